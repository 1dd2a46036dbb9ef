import Admission
import KeyProtocol
import Logging
import NIOCore
import NativeHandshake
import PeerLink
import StreamWire
import Synchronization
import TLSWire
import Telemetry

/// One client's native connection, as an edge brings it over a stream of its link: the client's handshake, and then the way to the application.
///
/// Stays in the stream's pipeline: it is who can cut the stream off. Which inputs are whose:
/// - the client's violations: whatever the machine refuses; an alert, an audit line, and the stream ends;
/// - silently dropped: whatever arrives once the stream is closing.
final class NativeIntake: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Phase {
        case handshake
        /// To the application.
        case connecting
        case streaming
        case closing
    }

    /// What is known once the hello was judged.
    struct Served {
        var site: Site
        var credential: SiteCredential
        var application: ApplicationConfiguration
        var kind: NativeKeyKind
        /// What the client asked for.
        var serverName: ServerName
    }

    let core: KeyHolderCore
    let limits: NativeLimits
    let census: NativeCensus
    let linked: LinkedEdge
    /// The edge's.
    let account: EdgeAccount
    let connectedAt: UInt64
    var phase = Phase.handshake
    var input = ByteBuffer()
    /// What the edge says of the client's addresses.
    let header: ProxyProtocolHeader
    var reader = NativeFrameReader(from: .client)
    var machine = NativeOriginMachine()
    var served: Served?
    /// The client's stream, from the end of the handshake until it begins.
    var session: NativeSession?
    /// Of the connection to the application, while it is made.
    var dial: EventLoopFuture<any Channel>?
    /// All that a client said that is gone already.
    var legacy: ByteBuffer?
    /// The audit line of this handshake, as long as it is owed.
    var line: AuditDraft?
    /// Whether a thread has the site's key do something, or is about to.
    var isAsking = false
    /// Whether the site's key was asked for anything before: then the handshake is under way.
    var hasAsked = false
    /// Set when the line is: what has not begun by then is not done.
    let isConcluded = Flag()
    var wantsRead = false
    /// While the application was dialled: the client says nothing more.
    var hasInputEnded = false
    var timer: Scheduled<Void>?
    var context: ChannelHandlerContext?
    let logger: Logger

    var edge: String { self.linked.name }
    var address: String? { self.linked.address }

    /// - Parameters:
    ///   - linked: Whose link it is, with a grant.
    ///   - now: Monotonic nanoseconds.
    init(
        core: KeyHolderCore, limits: NativeLimits, census: NativeCensus, by linked: LinkedEdge, account: EdgeAccount,
        header: ProxyProtocolHeader, now: UInt64, logger: Logger
    ) {
        self.core = core
        self.limits = limits
        self.census = census
        self.linked = linked
        self.account = account
        self.header = header
        self.connectedAt = now
        self.logger = logger
    }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.limits.handshakeTimeout) {
            self.fail(.timeout("the native handshake took too long"))
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        switch self.phase {
        case .handshake: self.fail(.truncated)
        case .connecting: self.clientLeft()
        case .streaming, .closing: self.conclude(.abandoned)
        }
        if self.legacy == nil { self.phase = .closing }
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch self.phase {
        case .streaming: context.fireErrorCaught(error)
        case .connecting: self.clientLeft()
        case .handshake, .closing: self.close()
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as ChannelEvent where event == .inputClosed: self.inputEnded(context)
        case let event as IdleStateHandler.IdleStateEvent:
            guard case .streaming = self.phase else { return context.close(promise: nil) }
            self.logger.debug("native stream idle")
            context.fireUserInboundEventTriggered(event)
        case let command as ConnectionCommand: self.perform(command)
        case is StreamLinkEnded:
            self.watchIdentity(context)
            context.fireUserInboundEventTriggered(event)
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    /// What is left of a stream whose link is gone, which saw to that before. A handshake that is under way has its own time limit, and so has a dial.
    func watchIdentity(_ context: ChannelHandlerContext) {
        guard case .streaming = self.phase else { return }
        self.timer?.cancel()
        let left: TimeAmount = self.linked.timeLeft(at: self.core.wallClock() / 1000)
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: left) {
            self.cutOff("the edge's identity has expired")
        }
    }

    func perform(_ command: ConnectionCommand) {
        switch command {
        case .cutOff:
            self.cutOff("the edge has no grant any more, or its authority is not trusted any more")
        case .reconsider: self.reconsider()
        case .endHandshakes:
            if case .streaming = self.phase { return }
            self.close()
        // The link's.
        case .evict, .drain: break
        }
    }

    var isTrusted: Bool {
        self.core.trustGeneration.load(ordering: .sequentiallyConsistent) == self.linked.trustGeneration
    }

    /// A reload may have taken the grant away.
    func reconsider() {
        guard self.isTrusted else { return self.cutOff("the edge's authority is not trusted any more") }
        let isGranted: Bool =
            self.served.map { self.core.policy.stillServes($0, to: self.edge) }
            ?? self.core.policy.knows(edge: self.edge)
        if !isGranted { self.cutOff("the edge has no grant for native connections any more") }
    }

    /// The client says nothing more. What it says inside of its records counts, and is all that makes an end of data.
    func inputEnded(_ context: ChannelHandlerContext) {
        switch self.phase {
        case .handshake: self.fail(.truncated)
        case .connecting: self.inputEndedEarly()
        case .streaming: context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        case .closing: break
        }
    }

    // MARK: Ends by others

    func cutOff(_ reason: String) {
        if case .closing = self.phase { return }
        self.conclude(.cutOff)
        let isWithinLimit: Bool = self.core.auditRepeated(
            edge: self.edge, address: self.address, outcome: .cutOff, detail: reason,
            since: self.connectedAt)
        self.logger.log(
            level: isWithinLimit ? .notice : .debug, "native connection cut off", metadata: ["reason": "\(reason)"])
        self.close(because: .withdrawn)
    }

    /// - Parameter reason: why the edge's rather than the client's end is broken off; nil: it is closed.
    func close(because reason: StreamReset? = nil) {
        if case .closing = self.phase { return }
        self.conclude(.abandoned)
        self.phase = .closing
        self.timer?.cancel()
        // A dial may go on for a while.
        self.input = ByteBuffer()
        self.legacy = nil
        self.session = nil
        if let reason {
            (self.context?.channel as? StreamChannel)?.reset(reason)
        } else {
            self.context?.close(promise: nil)
        }
        self.resumeReading()
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.phase {
        case .streaming: context.fireChannelRead(data)
        case .closing: break
        case .handshake, .connecting:
            var bytes: ByteBuffer = self.unwrapInboundIn(data)
            self.input.writeBuffer(&bytes)
            self.advance()
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if case .streaming = self.phase { context.fireChannelReadComplete() }
    }

    func read(context: ChannelHandlerContext) {
        if self.takesInput {
            context.read()
        } else {
            self.wantsRead = true
        }
    }

    /// During the handshake no more is read than the machine takes, so that no peer can make this process hold bytes. While the application is
    /// dialled so much more that it is heard whether the client leaves.
    var takesInput: Bool {
        switch self.phase {
        case .streaming, .closing: true
        case .handshake: self.machine.wantsFrame
        case .connecting: self.input.readableBytes < Self.heldInput
        }
    }

    /// Bytes of a client's that are read while its application is dialled: about a window's.
    private static let heldInput = 65_536

    func resumeReading() {
        guard self.wantsRead, self.takesInput else { return }
        self.wantsRead = false
        self.context?.read()
    }

    func advance() {
        guard case .handshake = self.phase else { return }
        self.reader.receive(self.input)
        self.input = ByteBuffer()
        self.pump()
    }

    /// Hands the machine what it takes.
    func pump() {
        do throws(NativeError) {
            while case .handshake = self.phase, self.machine.wantsFrame, let frame = try self.reader.next() {
                self.perform(try self.machine.receive(frame))
            }
        } catch {
            return self.fail(error)
        }
        self.core.audit.flush()
        self.resumeReading()
    }

    // MARK: Writing

    /// What nothing hears is no sign of life, for which ``IdleStateHandler`` would take it.
    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if let stream = context.channel as? StreamChannel, stream.peerIsGone {
            promise?.succeed(())
        } else {
            context.write(data, promise: promise)
        }
    }

    // MARK: Ends

    func fail(_ error: NativeError) {
        switch self.phase {
        case .handshake: break
        case .connecting, .streaming, .closing: return
        }
        if self.line == nil {
            // Before there was a hello: a line about the connection.
            self.core.auditRepeated(
                edge: self.edge, address: self.address, outcome: .refused, detail: "native: \(error.reason)",
                since: self.connectedAt)
        }
        if let detail = self.line?.detail { self.line?.detail = "\(detail): \(error.reason)" }
        self.conclude(error.outcome)
        if let alert = error.alert {
            self.end(alert)
        } else {
            self.close()
        }
    }

    /// Tells the client, and closes.
    func end(_ alert: NativeAlert) {
        if case .closing = self.phase { return }
        self.core.reports.write(.info, "native handshake failed", by: self.logger, ["alert": "\(alert)"])
        self.phase = .closing
        self.timer?.cancel()
        self.close(after: alert.record)
    }

    /// At once: a stream sends before its end what was written, if the edge takes it, and is broken off otherwise. So none waits for an edge
    /// that takes nothing.
    func close(after last: ByteBuffer) {
        guard let context = self.context else { return }
        context.writeAndFlush(self.wrapOutboundOut(last), promise: nil)
        context.close(promise: nil)
        self.resumeReading()
    }

    /// Writes the audit line, if it is still owed.
    func conclude(_ outcome: AuditOutcome) {
        guard var line = self.line else { return }
        self.line = nil
        self.isConcluded.value.store(true, ordering: .relaxed)
        // The thread may have begun.
        if self.isAsking { line.usedKey = true }
        self.core.conclude(line, outcome)
        self.core.audit.flush()
    }
}
