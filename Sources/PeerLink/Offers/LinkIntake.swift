import Admission
import KeyProtocol
import Logging
import Metrics
public import NIOCore
import Synchronization
public import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Takes connections that key holders open to this edge, and gives each to a link that wants one, on the link's event loop.
///
/// Shared by all event loops and all generations of an edge. Until a link has one, all that is read of it is the line in
/// which it says whose it is, and nothing is sent: a connection costs a descriptor, for a bounded time.
public final class LinkIntake: Sendable {
    /// For a connection to say whose it is.
    static let namingTime = TimeAmount.seconds(5)
    /// A connection that no link wanted for so long is closed; its key holder opens another one before.
    static let parkingTime = TimeAmount.seconds(120)

    /// A connection, given to a link: its socket, which is the taker's.
    struct Taken: Sendable {
        var descriptor: CInt
        var network: ClientNetwork
    }

    private struct State {
        var board: OfferBoard
        var channels: [OfferBoard.Offer: any Channel] = [:]
        var takers: [OfferBoard.Place: @Sendable (Taken?) -> Void] = [:]
        var count: UInt64 = 0
        var isResting = false

        mutating func number() -> UInt64 {
            self.count += 1
            return self.count
        }
    }

    private let state: Mutex<State>
    private let reports: ReportLog
    private let refused: [Refusal: Counter]

    /// Why a connection was closed.
    enum Refusal: String, CaseIterable {
        case malformed
        case unexpected
        case silent
        case crowded
        case expired
        case resting
    }

    /// - Parameter reports: for lines that strangers can cause.
    public convenience init(reports: ReportLog) { self.init(reports: reports, limits: OfferBoard.Limits()) }

    init(reports: ReportLog, limits: OfferBoard.Limits) {
        self.state = Mutex(State(board: OfferBoard(limits: limits)))
        self.reports = reports
        self.refused = Dictionary(
            uniqueKeysWithValues: Refusal.allCases.map { reason in
                (
                    reason,
                    Counter(
                        label: "latchstring_edge_link_offers_refused_total", dimensions: [("reason", reason.rawValue)])
                )
            })
    }

    /// Connections that are here at most, where so many key holders are expected.
    public static func mostConnections(names: Int) -> Int {
        let limits = OfferBoard.Limits()
        return limits.unnamed + names * limits.parked
    }

    // MARK: Connections

    /// A connection was accepted where key holders connect. Call it on the channel's event loop, before it is active.
    public func accepted(_ channel: any Channel) throws {
        let network = ClientNetwork(channel.remoteAddress)
        let (number, evicted, isResting) = self.state.withLock { state -> (UInt64, (any Channel)?, Bool) in
            let number = state.number()
            guard !state.isResting else { return (number, nil, true) }
            let evicted = state.board.arrived(number, from: network, now: Self.now)
            state.channels[number] = channel
            return (number, evicted.flatMap { state.channels.removeValue(forKey: $0) }, false)
        }
        if isResting {
            self.refused[.resting]?.increment()
            throw ChannelError.ioOnClosedChannel
        }
        if let evicted { self.close(evicted, because: .crowded) }
        channel.closeFuture.whenComplete { _ in
            self.state.withLock { state in
                state.board.closed(number)
                state.channels[number] = nil
            }
        }
        try channel.pipeline.syncOperations.addHandler(
            OfferHandler(
                named: { self.named(number, as: $0, channel, network) },
                refused: { self.close(channel, because: $0) }))
    }

    private func named(_ number: OfferBoard.Offer, as name: String, _ channel: any Channel, _ network: ClientNetwork) {
        let (naming, evicted) = self.state.withLock { state -> (OfferBoard.Naming?, (any Channel)?) in
            // It may have given way just now.
            guard state.channels[number] != nil else { return (nil, nil) }
            let naming = state.board.named(number, as: name, now: Self.now)
            guard case .parked(let evicting?) = naming else { return (naming, nil) }
            return (naming, state.channels.removeValue(forKey: evicting))
        }
        if let evicted { self.close(evicted, because: .crowded) }
        switch naming {
        case .parked, nil: break
        case .give(let place): self.give(channel, number, from: network, to: place)
        case .refused:
            self.reports.write(
                .notice, "a connection of an unexpected key holder is closed",
                ["peer": "\(PeerText(channel.remoteAddress))", "says": "\(name)"])
            self.close(channel, because: .unexpected)
        }
    }

    private func close(_ channel: any Channel, because reason: Refusal) {
        self.refused[reason]?.increment()
        channel.close(promise: nil)
    }

    /// Takes the socket out of its channel, since a channel cannot change its event loop.
    private func give(
        _ channel: any Channel, _ number: OfferBoard.Offer, from network: ClientNetwork, to place: OfferBoard.Place
    ) {
        channel.eventLoop.execute {
            let copy = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
                of: NIOBSDSocket.Handle.self
            ) { fcntl($0, F_DUPFD_CLOEXEC, 0) }
            channel.close(promise: nil)
            let taker = self.state.withLock { state in
                state.channels[number] = nil
                return state.takers[place]
            }
            let descriptor = copy.flatMap { $0 >= 0 ? $0 : nil }
            guard let taker else {
                // Not within the extension of a channel: this is the system's.
                if let descriptor { closeDescriptor(descriptor) }
                return
            }
            taker(descriptor.map { Taken(descriptor: $0, network: network) })
        }
    }

    // MARK: Places

    /// A place for a link of this name. It gets nothing until it lacks one.
    ///
    /// - Parameter take: called from any event loop, once for each ``lacks(_:)``; nil: that connection has just ended.
    func register(for name: String, take: @escaping @Sendable (Taken?) -> Void) -> OfferBoard.Place {
        self.state.withLock { state in
            let place = state.number()
            state.takers[place] = take
            state.board.register(place, for: name)
            return place
        }
    }

    /// The place is no more. Connections of names that no place is for are closed.
    func withdraw(_ place: OfferBoard.Place) {
        let orphans = self.state.withLock { state in
            state.takers[place] = nil
            return state.board.withdraw(place).compactMap { state.channels.removeValue(forKey: $0) }
        }
        for channel in orphans { self.close(channel, because: .unexpected) }
    }

    func lacks(_ place: OfferBoard.Place) {
        let given = self.state.withLock { state -> (OfferBoard.Offer, any Channel)? in
            guard let offer = state.board.lacks(place, now: Self.now), let channel = state.channels[offer] else {
                return nil
            }
            return (offer, channel)
        }
        guard let (offer, channel) = given else { return }
        self.give(channel, offer, from: ClientNetwork(channel.remoteAddress), to: place)
    }

    /// What came from there was not who it said, or was.
    func found(_ isRight: Bool, from network: ClientNetwork, for place: OfferBoard.Place) {
        self.state.withLock { state in
            if isRight {
                state.board.proved(network, for: place)
            } else {
                state.board.failed(network, now: Self.now)
            }
        }
    }

    /// A connection that no link takes after all.
    static func close(_ taken: Taken) { closeDescriptor(taken.descriptor) }

    private static var now: Int64 { Int64(clamping: NIODeadline.now().uptimeNanoseconds) }

    // MARK: Another process

    /// Leaves key holders to another process that accepts at the same sockets, or takes them again. Links stay.
    public func rest(_ isResting: Bool) {
        let closed = self.state.withLock { state -> [any Channel] in
            state.isResting = isResting
            guard isResting else { return [] }
            return state.board.takeAll().compactMap { state.channels.removeValue(forKey: $0) }
        }
        for channel in closed { self.close(channel, because: .resting) }
    }
}

private func closeDescriptor(_ descriptor: CInt) { _ = close(descriptor) }

/// Reads who a key holder says it is, and then nothing more.
private final class OfferHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let named: (String) -> Void
    private let refused: (LinkIntake.Refusal) -> Void
    private var reader = LinkOfferReader()
    private var isNamed = false
    private var timer: Scheduled<Void>?

    init(named: @escaping (String) -> Void, refused: @escaping (LinkIntake.Refusal) -> Void) {
        self.named = named
        self.refused = refused
    }

    func handlerAdded(context: ChannelHandlerContext) { self.wait(LinkIntake.namingTime, .silent, context) }

    func handlerRemoved(context: ChannelHandlerContext) { self.timer?.cancel() }

    private func wait(_ time: TimeAmount, _ reason: LinkIntake.Refusal, _ context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: time) { self.refused(reason) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // What comes behind the line, before TLS has begun, is nothing that a key holder sends.
        guard !self.isNamed else { return self.refused(.malformed) }
        switch self.reader.receive(self.unwrapInboundIn(data)) {
        case .needMore: break
        case .malformed: self.refused(.malformed)
        case .offer(let offer):
            self.isNamed = true
            self.wait(LinkIntake.parkingTime, .expired, context)
            self.named(offer.name)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
