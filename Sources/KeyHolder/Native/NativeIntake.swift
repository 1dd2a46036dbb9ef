import Admission
import KeyProtocol
import Logging
import NIOCore
import NIOSSL
import NIOTLS
import NativeHandshake
import PeerLink
import Synchronization
import TLSWire
import Telemetry

/// One client's native connection, as an edge forwards it: who the edge is, a PROXY header, the client's handshake, and
/// then the way to the application.
///
/// Sits behind the TLS handler and stays there: it is who can cut the connection off. Which inputs are whose:
/// - the edge's violations: a failed TLS handshake, an identity without a grant, a bad PROXY header; the connection ends;
/// - the client's violations: whatever the machine refuses; an alert, an audit line, and the connection ends;
/// - silently dropped: whatever arrives once the connection is closing.
final class NativeIntake: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Phase {
        /// TLS with the edge.
        case shaking
        case awaitsHeader
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
    let registry: ConnectionRegistry
    let connectedAt: UInt64
    let trustGeneration: Int
    var phase = Phase.shaking
    var edge: String?
    var input = ByteBuffer()
    /// What the edge says of the client's addresses.
    var header: ProxyProtocolHeader?
    var reader = NativeFrameReader(from: .client)
    var machine = NativeOriginMachine()
    var served: Served?
    /// The client's stream, from the end of the handshake until it begins.
    var session: NativeSession?
    /// All that a client said that is gone already.
    var legacy: ByteBuffer?
    /// The audit line of this handshake, as long as it is owed.
    var line: AuditDraft?
    /// Whether a thread has the site's key do something, or is about to.
    var isAsking = false
    /// Set when the line is: what has not begun by then is not done.
    let isConcluded = Flag()
    var wantsRead = false
    var timer: Scheduled<Void>?
    var expiryTimer: Scheduled<Void>?
    var context: ChannelHandlerContext?
    var address: String?
    var logger: Logger

    init(
        core: KeyHolderCore, limits: NativeLimits, registry: ConnectionRegistry, trustGeneration: Int, now: UInt64
    ) {
        self.core = core
        self.limits = limits
        self.registry = registry
        self.trustGeneration = trustGeneration
        self.connectedAt = now
        self.logger = core.logger
    }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.address = context.channel.remoteAddress.map { "\(PeerText($0))" }
        self.logger[metadataKey: "peer"] = "\(self.address ?? "unknown")"
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.core.limits.handshakeTimeout) {
            self.refuseConnection("no TLS handshake in time")
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.expiryTimer?.cancel()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        switch self.phase {
        case .shaking: self.refuseConnection("closed before the end of the TLS handshake")
        case .awaitsHeader, .handshake: self.fail(.truncated)
        case .connecting: self.clientLeft()
        case .streaming, .closing: self.conclude(.abandoned)
        }
        if self.legacy == nil { self.phase = .closing }
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch self.phase {
        case .shaking: self.refuseConnection(LinkProblem.textOfTaken(error))
        case .streaming: context.fireErrorCaught(error)
        case .connecting: self.clientLeft()
        case .awaitsHeader, .handshake, .closing: self.close()
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as TLSUserEvent:
            if case .handshakeCompleted = event { self.edgeIdentified(context) }
        case let event as IdleStateHandler.IdleStateEvent:
            if event == .all, case .streaming = self.phase {
                self.logger.debug("native stream idle")
                context.fireUserInboundEventTriggered(event)
            }
        case let command as ConnectionCommand: self.perform(command)
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    func perform(_ command: ConnectionCommand) {
        switch command {
        case .cutOff: self.cutOff("the edge has no grant any more, or its authority is not trusted any more")
        case .evict:
            if case .shaking = self.phase { self.refuseConnection("gave way to a newer connection") }
        case .reconsider: self.reconsider()
        case .drain:
            // Streams get until the deadline.
            if case .streaming = self.phase { return }
            self.close()
        }
    }

    /// A reload may have taken the grant away.
    func reconsider() {
        guard let edge = self.edge else { return }
        if !self.isTrusted { return self.cutOff("its authority is not trusted any more") }
        let isGranted: Bool =
            self.served.map { self.core.policy.stillServes($0, to: edge) }
            ?? self.core.policy.knows(edge: edge)
        if !isGranted { self.cutOff("the edge has no grant for native connections any more") }
    }

    var isTrusted: Bool {
        self.core.trustGeneration.load(ordering: .sequentiallyConsistent) == self.trustGeneration
    }

    // MARK: Who the edge is

    func edgeIdentified(_ context: ChannelHandlerContext) {
        guard case .shaking = self.phase else { return }
        do throws(PeerIdentityError) {
            guard let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLServerHandler.self) else {
                throw .noCertificate
            }
            let peer = try ConnectedEdge(handler: handler)
            let seconds: Int64 = self.core.wallClock() / 1000
            guard peer.isValid(at: seconds) else {
                return self.refuseConnection("the edge's identity has expired, or is not valid yet", edge: peer.name)
            }
            if let refusal = self.registry.identified(context.channel, as: peer.name) {
                return self.refuseConnection("limit of native connections: \(refusal)", edge: peer.name)
            }
            guard self.isTrusted else {
                return self.refuseConnection("its authority is not trusted any more", edge: peer.name)
            }
            guard self.core.policy.knows(edge: peer.name) else {
                return self.refuseConnection("the edge has no grant", edge: peer.name)
            }
            self.edge = peer.name
            self.logger[metadataKey: "edge"] = "\(peer.name)"
            let left: Int64 = min(max(0, peer.notAfter - seconds), 100 * 366 * 86_400)
            self.expiryTimer = context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(left)) {
                self.cutOff("the edge's identity has expired")
            }
        } catch {
            return self.refuseConnection("\(error)")
        }
        self.phase = .awaitsHeader
        self.timer?.cancel()
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.limits.handshakeTimeout) {
            self.fail(.timeout("the native handshake took too long"))
        }
        self.advance()
    }

    func refuseConnection(_ reason: String, edge: String? = nil) {
        guard case .shaking = self.phase else { return }
        self.core.auditRepeated(
            edge: edge, address: self.address, outcome: .refused, detail: reason, since: self.connectedAt)
        self.close()
    }

    func cutOff(_ reason: String) {
        if case .closing = self.phase { return }
        guard let edge = self.edge else { return }
        self.conclude(.cutOff)
        let isWithinLimit: Bool = self.core.auditRepeated(
            edge: edge, address: self.address, outcome: .cutOff, detail: reason, since: self.connectedAt)
        self.logger.log(
            level: isWithinLimit ? .notice : .debug, "native connection cut off", metadata: ["reason": "\(reason)"])
        self.close()
    }

    func close() {
        if case .closing = self.phase { return }
        self.conclude(.abandoned)
        self.phase = .closing
        self.timer?.cancel()
        self.context?.close(promise: nil)
        self.resumeReading()
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.phase {
        case .streaming: context.fireChannelRead(data)
        case .closing: break
        case .shaking, .awaitsHeader, .handshake, .connecting:
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

    /// During the handshake no more is read than the machine takes, so that no peer can make this process hold bytes.
    var takesInput: Bool {
        switch self.phase {
        case .shaking, .awaitsHeader, .streaming, .closing: true
        case .handshake: self.machine.wantsFrame
        case .connecting: false
        }
    }

    func resumeReading() {
        guard self.wantsRead, self.takesInput else { return }
        self.wantsRead = false
        self.context?.read()
    }

    func advance() {
        if case .awaitsHeader = self.phase {
            do throws(ProxyProtocolError) {
                guard let outcome = try ProxyProtocolReader.read(&self.input, versions: [.v2]) else { return }
                // An edge has no connections of its own here.
                guard case .proxied(let header) = outcome else { throw .badValue }
                self.header = header
                self.phase = .handshake
            } catch {
                return self.fail(.malformed("PROXY header"))
            }
        }
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

    // MARK: Ends

    func fail(_ error: NativeError) {
        switch self.phase {
        case .awaitsHeader, .handshake: break
        case .shaking, .connecting, .streaming, .closing: return
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

    func close(after last: ByteBuffer) {
        guard let context = self.context else { return }
        let channel: any Channel = context.channel
        let written: EventLoopPromise<Void> = context.eventLoop.makePromise()
        written.futureResult.whenComplete { _ in channel.close(promise: nil) }
        context.writeAndFlush(self.wrapOutboundOut(last), promise: written)
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
