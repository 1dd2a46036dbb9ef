import Admission
import Channels
import KeyProtocol
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import PeerLink
import Synchronization
import Telemetry

/// Serves one edge's connection: packets in, answers out, in whatever order they are ready.
///
/// Sits behind the TLS handler. Which inputs are whose:
/// - the peer's violations that end the connection: a failed handshake, an identity that is not an edge's with a grant,
///   another major version of the protocol;
/// - the peer's violations that are answered: malformed bodies, bad opcodes, whatever ``RequestJudge`` refuses;
/// - silently dropped: whatever arrives once the connection is closing.
///
/// A peer that does not read its answers, or is refused too often by its own fault, is not read from for a while.
final class KeyHolderConnection: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = Never
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    enum Phase {
        /// Opened to an edge, which has not begun TLS.
        case offered
        case shaking
        case serving(edge: String)
        /// Only what goes on with a handshake is answered; closes when nothing is under way. Other requests stay without an answer,
        /// so that the edge asks them over its next connection, or elsewhere.
        case draining(edge: String)
        /// The edge has no grant. What it asks next is answered with that, and the connection ends; after a while it ends
        /// without.
        case turningAway
        case closing
    }

    let core: KeyHolderCore
    let connectedAt: UInt64
    /// Under which the peer's certificate is verified.
    private let trustGeneration: Int
    var phase: Phase = .shaking {
        didSet { if case .closing = self.phase { self.hasEnded.value.store(true, ordering: .relaxed) } }
    }
    /// For threads: the edge does not wait for this connection's operations any more.
    let hasEnded = Flag()
    /// When the edge's identity expires, seconds since 1970.
    private(set) var expiry: Int64 = .max
    var decoder = KeyPacketDecoder()
    /// Answers not handed to the channel yet.
    var outbound = ByteBuffer()
    /// Answers that are to leave when their audit lines are written.
    var held = HeldAnswers()
    /// Batches of them that wait for that.
    var heldBatches: Int = 0
    /// Slow operations under way.
    var inFlight: Int = 0
    /// Of requests for a signature that are not answered: whether the edge has taken them back.
    var cancelled: [UInt32: Flag] = [:]
    /// Requests that wait for their turn on the event loop.
    var queued: Int = 0
    /// TLS handshakes with clients; there from when the edge is known.
    private(set) var desk: HandshakeDesk?
    /// Packets are being answered, and what is sent goes out at the end.
    var isServing: Bool = false
    var flushIsDue: Bool = false
    private var wantsRead: Bool = false
    /// Over a budget: reading goes on at a later time.
    private var isPaused: Bool = false
    /// What the edge may cost; there from when it is known.
    private(set) var account: EdgeAccount?
    /// Packets that may be taken in before the account is charged again.
    private var credit: Int = 0
    /// Of the event loop, for what takes longer than a packet.
    private(set) var work: LoopWork?
    /// Handshakes that wait for their clients have no more time.
    var isLastTurn: Bool = false
    var heldLease = HeldLease()
    var leaseTimer: Scheduled<Void>?
    var leaseRequests: TokenBucket
    var hasWarnedOfRevision: Bool = false
    var timer: Scheduled<Void>?
    private(set) var context: ChannelHandlerContext?
    private(set) var logger: Logger
    var address: String?
    /// nil: the edge has opened it.
    let dialled: DialledConnection?
    /// The edge, from when it was let in.
    private var served: String?
    var closeReason: String?

    /// Answers are handed on when this many bytes have gathered, or no request is left.
    private static let flushSize: Int = 64 * 1024
    /// Packets for which the account is charged at once.
    private static let creditSize: Int = 32
    /// So many bytes cost as much as a packet.
    private static let bytesPerPacket: Int = 8 * 1024

    /// - Parameter dialled: whom it tells what becomes of it, if it was opened to an edge.
    init(core: KeyHolderCore, trustGeneration: Int, now: UInt64, dialled: DialledConnection? = nil) {
        self.core = core
        self.dialled = dialled
        self.trustGeneration = trustGeneration
        self.connectedAt = now
        self.logger = core.logger
        self.leaseRequests = TokenBucket(
            perSecond: Self.leaseRate.perSecond, burst: Self.leaseRate.burst, now: now)
        if let dialled {
            self.phase = .offered
            self.logger[metadataKey: "dialled"] = "\(dialled.address)"
        }
    }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.work = self.core.loops.work(of: context.eventLoop)
        self.address = context.channel.remoteAddress.map { "\(PeerText($0))" }
        self.logger[metadataKey: "peer"] = "\(self.address ?? "unknown")"
        if self.dialled == nil { self.awaitHandshake(context) }
    }

    private func awaitHandshake(_ context: ChannelHandlerContext) {
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.core.limits.handshakeTimeout) {
            self.refuse("no TLS handshake in time")
        }
    }

    /// The edge to which the connection was opened begins TLS.
    func offerTaken() {
        guard case .offered = self.phase, let context = self.context else { return }
        self.phase = .shaking
        self.awaitHandshake(context)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.leaseTimer?.cancel()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        if case .shaking = self.phase { self.refuse("closed before the end of the TLS handshake") }
        self.phase = .closing
        if let edge = self.served {
            self.core.auditRepeated(
                .edgeGone, edge: edge, address: self.address, detail: self.closeReason ?? "closed by the edge",
                since: self.connectedAt)
        }
        self.desk?.endAll("the edge is gone")
        self.logger.debug("edge disconnected", metadata: ["reason": "\(self.closeReason ?? "closed by the edge")"])
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as TLSUserEvent:
            if case .handshakeCompleted = event { self.handshakeCompleted(context) }
        case let event as IdleStateHandler.IdleStateEvent:
            if case .offered = self.phase { break }
            if event == .read, self.isIdle { self.close("idle") }
        case let command as ConnectionCommand:
            switch command {
            case .cutOff:
                if self.isTrusted { self.withdraw() } else { self.cutOff("its authority is not trusted any more") }
            case .reconsider: self.reconsiderLease()
            case .evict:
                switch self.phase {
                case .shaking: self.refuse("gave way to a newer connection during the handshake")
                case .turningAway: self.close("gave way to a newer connection")
                case .offered, .serving, .draining, .closing: break
                }
            case .drain: self.drain()
            case .endHandshakes: break
            }
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case .shaking = self.phase {
            self.refuse(LinkProblem.textOfTaken(error))
        } else {
            self.close(LinkProblem.textOfTaken(error))
        }
    }

    private var isTrusted: Bool {
        self.core.trustGeneration.load(ordering: .sequentiallyConsistent) == self.trustGeneration
    }

    /// Looks at who the peer is. TLS has verified its chain; what is left is its role and its grants, and whether the
    /// certificate is valid at this moment, which TLS would not ask about a session that it resumed.
    private func handshakeCompleted(_ context: ChannelHandlerContext) {
        guard case .shaking = self.phase else { return }
        self.timer?.cancel()
        do throws(PeerIdentityError) {
            guard let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLServerHandler.self) else {
                throw .noCertificate
            }
            let peer = try ConnectedEdge(handler: handler)
            guard peer.isValid(at: self.core.wallClock() / 1000) else {
                return self.refuse("the edge's identity has expired, or is not valid yet", edge: peer.name)
            }
            // Without a grant it is still one of those whose handshake is under way, which give way to newer ones.
            guard self.core.policy.knows(edge: peer.name) else {
                return self.turnAway(peer.name)
            }
            if let refusal = self.core.registry.identified(context.channel, as: peer.name) {
                return self.refuse("limit of connections: \(refusal)", edge: peer.name)
            }
            // Registered first: a reload that drops the edge or its authority is seen here, or sees this connection.
            guard self.isTrusted else {
                return self.refuse("its authority is not trusted any more", edge: peer.name)
            }
            guard self.core.policy.knows(edge: peer.name) else {
                return self.turnAway(peer.name)
            }
            let now: UInt64 = Clock.monotonic()
            let account: EdgeAccount = self.core.accounts.account(of: peer.name, now: now)
            self.account = account
            self.core.usage.connected(peer.name, time: self.core.wallClock())
            self.phase = .serving(edge: peer.name)
            self.served = peer.name
            self.desk = HandshakeDesk(edge: peer.name, core: self.core, channel: context.channel, host: self)
            self.logger[metadataKey: "edge"] = "\(peer.name)"
            self.logger.log(level: account.takeLine(now: now) ? .info : .debug, "edge connected")
            self.core.metrics.connections(self.core.registry.count)
            self.core.auditRepeated(.edgeConnected, edge: peer.name, address: self.address)
            self.closeAtExpiry(peer.notAfter, context)
            self.dialled?.linked()
            self.serve()
        } catch {
            self.refuse("\(error)")
        }
    }

    /// A connection must not outlive the identity that opened it.
    ///
    /// The timer is for a connection that is silent; requests look for themselves, since clocks can be set and machines sleep.
    private func closeAtExpiry(_ expiry: Int64, _ context: ChannelHandlerContext) {
        self.expiry = expiry
        // Identities may live longer than a timer can count; a century is enough.
        let left: Int64 = min(max(0, expiry - self.core.wallClock() / 1000), 100 * 366 * 86_400)
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(left)) {
            self.cutOff("the edge's identity has expired")
        }
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.phase {
        case .serving, .draining, .turningAway: break
        case .offered, .shaking, .closing: return
        }
        let bytes: ByteBuffer = self.unwrapInboundIn(data)
        self.credit -= bytes.readableBytes / Self.bytesPerPacket
        self.decoder.receive(bytes)
        self.serve()
    }

    func read(context: ChannelHandlerContext) {
        if case .serving = self.phase, !self.takesRequests {
            self.wantsRead = true
        } else {
            context.read()
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.serve()
        context.fireChannelWritabilityChanged()
    }

    private var takesRequests: Bool {
        guard let context = self.context else { return false }
        return switch self.phase {
        case .serving, .draining: !self.isPaused && context.channel.isWritable
        case .turningAway: true
        case .offered, .shaking, .closing: false
        }
    }

    /// The edge is over a budget: nothing is read from here for a while.
    ///
    /// - Parameter nanoseconds: Until it is within the budget again; 0: it is.
    func pause(_ nanoseconds: UInt64) {
        guard nanoseconds > 0 else { return }
        let time = TimeAmount.nanoseconds(Int64(clamping: nanoseconds))
        self.pause(for: min(max(time, .milliseconds(1)), self.core.limits.longestPause))
    }

    private func pause(for time: TimeAmount) {
        guard !self.isPaused, let context = self.context else { return }
        self.isPaused = true
        context.eventLoop.assumeIsolated().scheduleTask(in: time) {
            self.isPaused = false
            self.serve()
        }
    }

    /// Each packet counts.
    private func countPacket() {
        if self.credit <= 0, let account = self.account {
            let count: Int = Self.creditSize - self.credit
            self.pause(account.packets(count, now: Clock.monotonic()))
            self.credit = Self.creditSize
        }
        self.credit -= 1
    }

    /// Answers every packet that has arrived, as far as the peer reads the answers.
    func serve() {
        self.isServing = true
        defer { self.isServing = false }
        var turn = IntakeTurn(
            now: Clock.monotonic(), threadTime: Clock.threadTime(), worked: self.work?.performed ?? 0)
        defer {
            let cost: Int = turn.cost(
                now: Clock.monotonic(), threadTime: Clock.threadTime(), worked: self.work?.performed ?? 0)
            self.credit -= max(0, cost - turn.packets)
        }
        while self.takesRequests {
            // Others have a turn: packets may be small, and many come with one read.
            if self.decoder.bufferedBytes > 0, turn.isOver(now: Clock.monotonic()) {
                self.pause(for: LoopPause.time)
                break
            }
            turn.packets += 1
            let event: KeyPacketEvent?
            do throws(KeyFramingError) {
                event = try self.decoder.next()
            } catch {
                return self.framingFailed(error)
            }
            guard let event else { break }
            self.countPacket()
            self.handle(event)
            if self.outbound.readableBytes >= Self.flushSize { self.flushOutbound() }
        }
        self.flushOutbound()
        if self.wantsRead, self.takesRequests {
            self.wantsRead = false
            self.context?.read()
        }
        self.closeIfDrained()
    }

    private func framingFailed(_ error: KeyFramingError) {
        guard let edge = self.edge else { return self.close("major version of the key protocol") }
        switch error {
        case .versionMismatch(let major, let id):
            let arrival: UInt64 = Clock.monotonic()
            let line = AuditDraft(edge: edge, operation: "unknown", arrival: arrival, detail: "major version \(major)")
            if self.core.audit.reserve() { self.conclude(line, .versionMismatch) }
            self.send(.failure(id: id, .versionMismatch))
            self.close("major version \(major) of the key protocol")
        }
    }
}

/// A boolean that threads may look at.
final class Flag: Sendable {
    let value = Atomic<Bool>(false)
}
