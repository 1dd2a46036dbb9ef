import Admission
import Logging
import Metrics
import NIOCore
import NIOSSL
import StreamWire

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The links of streams to one end of a key holder, on one event loop: one that is kept warm, and more while there are many streams.
///
/// Lives on its event loop.
final class StreamPath {
    /// What its owner hears of it.
    struct Events {
        /// A link is there.
        var ready: () -> Void
        /// No link came about, or none is left: why.
        var failed: (String) -> Void
    }

    private enum State {
        case stopped
        case connecting
        case shaking(any Channel)
        case waiting(Scheduled<Void>, since: NIODeadline)
        /// Nothing is under way: there are links, or none is wanted.
        case resting
    }

    /// Why no link came about.
    private enum Problem {
        case lost(String)
        /// What there is at the other end is not the key holder.
        case stranger(String)
        /// It is the key holder, and only an operator can change that it takes no streams.
        case refusal(String)

        var reason: String {
            switch self {
            case .lost(let reason), .stranger(let reason), .refusal(let reason): reason
            }
        }
    }

    private struct Link {
        let handler: StreamLinkHandler
        /// It takes no streams any more.
        var isRetired = false
        let since: NIODeadline
        /// The end of the key holder's identity, in seconds since 1970.
        let notAfter: Int64
        /// Since when it has had no stream.
        var emptySince: NIODeadline
        /// A stream was not taken in time, and nothing has come since this moment.
        var suspectSince: NIODeadline?
        var missedPings = 0

        var isSilent: Bool { self.suspectSince.map { self.handler.lastReceived < $0 } ?? false }
        var isUsable: Bool { !self.isRetired && !self.isSilent }
    }

    private let end: KeyHolderEnd
    private let expected: PeerIdentity
    private let opener: LinkOpener
    private let tls: NIOSSLContext
    private let loop: any EventLoop
    private let limits: StreamMachine.Limits
    private let budget: WindowBudget
    private let logger: Logger
    private let events: Events
    private var state = State.stopped
    /// Whether there is to be a link without a client that waits for one.
    private var isWarm = true
    private var links: [ObjectIdentifier: Link] = [:]
    private var backOff = ReconnectPlan()
    private var frames: TokenBucket
    private var ticker: RepeatedTask?
    /// Says that no key holder has connected.
    private var patience: Scheduled<Void>?
    private let opened: Counter
    private let ready: Meter
    /// What the log said last of why there is none.
    private var reported: String?
    /// Why there is no link until an operator changes something; nil: there is one, or may be.
    private(set) var refusal: String?

    /// Links at once, those apart that take no streams any more, or are silent.
    static let mostLinks = 4
    /// On each of the links, before there is another one.
    static let streamsBeforeAnother = 128
    /// A link beyond the first one is closed when it has had no stream for so long.
    static let idleTime = TimeAmount.seconds(60)
    static let pingInterval = TimeAmount.seconds(5)
    private static let missedPings = 3
    /// While a client waits a link is tried so often at least.
    private static let hurry = TimeAmount.milliseconds(250)
    private static let handshakeTime = TimeAmount.seconds(5)
    /// For what streams have said last, when their link ends.
    private static let lastWords = TimeAmount.seconds(5)
    /// Frames per second that a key holder may send, all links together, with bursts of a fifth of that; beyond it they are read more slowly.
    private static let framesPerSecond = 200_000

    init(
        end: KeyHolderEnd, _ configuration: StreamLinks.Configuration, tls: NIOSSLContext, intake: LinkIntake?,
        loop: any EventLoop, logger: Logger, metrics: (opened: Counter, ready: Meter), events: Events
    ) {
        self.end = end
        switch end {
        case .address: self.expected = configuration.expected
        case .dialling(let identity): self.expected = identity
        }
        self.opener = LinkOpener(
            end: end, connectTimeout: Self.handshakeTime, intake: intake, loop: loop)
        self.tls = tls
        self.loop = loop
        self.limits = configuration.limits
        self.budget = configuration.budget
        self.frames = TokenBucket(
            perSecond: Self.framesPerSecond, burst: Self.framesPerSecond / 5, now: NIODeadline.now().uptimeNanoseconds)
        var logger = logger
        logger[metadataKey: "keyholder"] = "\(configuration.expected.name)"
        logger[metadataKey: "address"] = "\(end)"
        self.logger = logger
        self.opened = metrics.opened
        self.ready = metrics.ready
        self.events = events
    }

    // MARK: Orders

    /// Has a link from now on.
    func start() {
        guard case .stopped = self.state else { return }
        self.ticker = self.loop.scheduleRepeatedTask(
            initialDelay: Self.pingInterval, delay: Self.pingInterval
        ) {
            [bound = NIOLoopBound(self, eventLoop: self.loop)] _ in bound.value.tick()
        }
        self.connect()
    }

    /// Has links from now on only while clients want them.
    func rest() { self.isWarm = false }

    /// Has no more links than those with streams, which end with them.
    func stop() {
        let state = self.state
        self.state = .stopped
        self.opener.cancel()
        self.patience?.cancel()
        switch state {
        case .shaking(let channel): channel.close(promise: nil)
        case .waiting(let timer, _): timer.cancel()
        case .stopped, .connecting, .resting: break
        }
        for (id, link) in self.links { self.retire(id, link) }
        if self.links.isEmpty { self.endTicker() }
    }

    private func endTicker() {
        self.ticker?.cancel()
        self.ticker = nil
    }

    /// A client waits for a link.
    func hurry() {
        switch self.state {
        case .stopped: self.start()
        case .waiting(let timer, let since):
            guard self.refusal == nil else { return }
            timer.cancel()
            let due = since + Self.hurry
            guard due > .now() else { return self.connect() }
            self.wait(until: due, since: since, byClient: true)
        case .resting: self.connectIfWanted(byClient: true)
        case .connecting, .shaking: break
        }
    }

    /// The link for the next stream: the one with the fewest.
    func next() -> StreamLinkHandler? {
        for (id, link) in self.links where !link.isRetired && link.handler.isSpent { self.retire(id, link) }
        var best: StreamLinkHandler?
        for link in self.links.values where link.isUsable && link.handler.takesStreams {
            if link.handler.streamCount < best?.streamCount ?? .max { best = link.handler }
        }
        if best?.streamCount ?? .max >= Self.streamsBeforeAnother { self.connectIfWanted(byClient: true) }
        return best
    }

    /// A stream was not taken in time over this link, over which nothing has come since: it gets no others until something does.
    func suspect(_ handler: StreamLinkHandler, since: NIODeadline) {
        guard let id = self.links.first(where: { $0.value.handler === handler })?.key else { return }
        self.links[id]?.suspectSince = since
        _ = handler.ping()
    }

    private var usableLinks: Int { self.links.values.count { $0.isUsable } }

    // MARK: Connecting

    /// There is to be one link that takes streams, and another one while all are full.
    private func connectIfWanted(byClient: Bool = false) {
        guard case .resting = self.state, byClient || self.isWarm else { return }
        let usable = self.links.values.filter(\.isUsable)
        let isFull = usable.allSatisfy { $0.handler.streamCount >= Self.streamsBeforeAnother }
        guard isFull, usable.count < Self.mostLinks,
            // Those that are silent end by themselves.
            self.links.values.count(where: { !$0.isRetired }) < 2 * Self.mostLinks
        else { return }
        self.connect()
    }

    private func connect() {
        self.state = .connecting
        self.patience?.cancel()
        if case .dialling = self.end {
            self.patience = self.loop.assumeIsolated().scheduleTask(in: Self.handshakeTime) {
                guard case .connecting = self.state, self.links.isEmpty else { return }
                self.report("it has not connected to this edge")
            }
        }
        self.opener.open { result in
            guard case .connecting = self.state else {
                if case .success(let channel) = result { channel.close(promise: nil) }
                return
            }
            self.patience?.cancel()
            switch result {
            case .success(let channel): self.shakeHands(on: channel)
            case .failure(let error): self.failed(.lost(LinkProblem.text(error)))
            }
        }
    }

    private func shakeHands(on channel: any Channel) {
        self.state = .shaking(channel)
        do {
            try channel.pipeline.syncOperations.addHandlers([
                NIOSSLClientHandler(context: self.tls, serverHostname: nil),
                StreamLinkVerifier(expected: self.expected, time: Self.handshakeTime) { outcome in
                    guard case .shaking(let current) = self.state, current === channel else {
                        return channel.close(promise: nil)
                    }
                    switch outcome {
                    case .speaks(let notAfter):
                        self.opener.found(true)
                        return self.verified(channel, notAfter)
                    case .speaksNot(let reason):
                        self.opener.found(true)
                        self.failed(.refusal(reason))
                    case .stranger(let reason):
                        self.opener.found(false)
                        self.failed(.stranger(reason))
                    }
                    channel.close(promise: nil)
                },
            ])
            try channel.syncOptions?.setOption(
                .writeBufferWaterMark,
                value: ChannelOptions.Types.WriteBufferWaterMark(low: 64 << 10, high: 256 << 10))
            try channel.syncOptions?.setOption(.autoRead, value: true)
        } catch {
            channel.close(promise: nil)
            self.failed(.lost(LinkProblem.text(error)))
        }
    }

    private func verified(_ channel: any Channel, _ notAfter: Int64) {
        let id = ObjectIdentifier(channel)
        let handler = StreamLinkHandler(
            role: .opener, limits: self.limits, budget: self.budget,
            events: StreamLinkHandler.Events(
                charged: { self.charge($0) },
                draining: {
                    guard let link = self.links[id], !link.isRetired else { return }
                    self.logger.info("key holder takes no further native streams over a link")
                    self.retire(id, link)
                    self.replace(link)
                },
                emptied: { self.emptied(id) },
                ended: { self.ended(id, $0) }))
        do {
            try channel.pipeline.syncOperations.addHandler(handler)
        } catch {
            channel.close(promise: nil)
            return self.failed(.lost(LinkProblem.text(error)))
        }
        self.links[id] = Link(handler: handler, since: .now(), notAfter: notAfter, emptySince: .now())
        self.state = .resting
        self.reported = nil
        self.refusal = nil
        self.opened.increment()
        self.ready.increment()
        self.logger.info("link for native streams")
        self.events.ready()
    }

    private func charge(_ frames: Int) -> TimeAmount {
        let time = self.frames.charge(frames, now: NIODeadline.now().uptimeNanoseconds)
        return .nanoseconds(Int64(min(time, 200_000_000)))
    }

    private func report(_ reason: String) {
        self.logger.log(
            level: self.reported == reason ? .debug : .warning, "no link for native streams",
            metadata: ["error": "\(reason)"])
        self.reported = reason
    }

    private func failed(_ problem: Problem) {
        self.report(problem.reason)
        self.refusal = nil
        let delay: Int64
        switch (problem, self.end) {
        case (.stranger, .dialling):
            // What connects in the key holder's name must not make it wait: one handshake at a time is bound enough.
            delay = Int64.random(in: 20...60)
        case (.refusal(let reason), _):
            self.refusal = reason
            delay = self.backOff.next(after: .formerRevision, random: Double.random(in: 0...1))
        case (.stranger(let reason), _), (.lost(let reason), _):
            delay = self.backOff.next(after: .lost(reason), random: Double.random(in: 0...1))
        }
        self.wait(until: .now() + .milliseconds(delay), since: .now())
        self.events.failed(problem.reason)
    }

    private func wait(until deadline: NIODeadline, since: NIODeadline, byClient: Bool = false) {
        self.state = .waiting(
            self.loop.assumeIsolated().scheduleTask(deadline: deadline) {
                guard case .waiting = self.state else { return }
                self.state = .resting
                self.connectIfWanted(byClient: byClient)
            }, since: since)
    }

    // MARK: Links

    private func retire(_ id: ObjectIdentifier, _ link: Link) {
        guard !link.isRetired else { return }
        self.links[id]?.isRetired = true
        self.ready.decrement()
        if link.handler.streamCount == 0 { self.close(link) }
    }

    private func emptied(_ id: ObjectIdentifier) {
        guard let link = self.links[id] else { return }
        self.links[id]?.emptySince = .now()
        if link.isRetired { self.close(link) }
    }

    private func close(_ link: Link) {
        link.handler.closeWhenSent(because: "it is not needed any more", within: Self.lastWords)
    }

    private func ended(_ id: ObjectIdentifier, _ reason: String) {
        guard let link = self.links.removeValue(forKey: id) else { return }
        if !link.isRetired {
            self.ready.decrement()
            self.replace(link, because: reason)
        }
        if case .stopped = self.state, self.links.isEmpty { self.endTicker() }
    }

    /// A link has ended, for this reason, or takes no streams any more.
    private func replace(_ link: Link, because reason: String? = nil) {
        if link.handler.hasServed { self.backOff.served() }
        guard case .resting = self.state else { return }
        guard .now() - link.since <= Self.pingInterval else {
            if let reason { self.report(reason) }
            return self.connectIfWanted()
        }
        // One that came to nothing at once is no reason to try again at once, however often.
        let delay = self.backOff.next(after: .lost(reason ?? "draining"), random: Double.random(in: 0...1))
        self.wait(until: .now() + .milliseconds(delay), since: .now())
        guard let reason, self.usableLinks == 0 else { return }
        self.report(reason)
        self.events.failed(reason)
    }

    private func tick() {
        let now = NIODeadline.now()
        let wallSeconds = Int64(Date().timeIntervalSince1970)
        for (id, link) in self.links {
            if wallSeconds > link.notAfter {
                link.handler.close(because: "the key holder's identity has expired")
                continue
            }
            if !link.isRetired, link.handler.streamCount == 0, self.usableLinks > 1 || !self.isWarm,
                now - link.emptySince > Self.idleTime
            {
                self.retire(id, link)
                continue
            }
            guard !link.handler.ping(), now - link.handler.lastReceived > Self.pingInterval else {
                self.links[id]?.missedPings = 0
                continue
            }
            self.links[id]?.missedPings += 1
            guard link.missedPings + 1 >= Self.missedPings else { continue }
            link.handler.close(
                because:
                    "nothing came over it for \((now - link.handler.lastReceived).nanoseconds / 1_000_000) ms"
            )
        }
    }
}
