import KeyProtocol
import Logging
import NIOCore
import NIOSSL
import NIOTLS
import NativeChannel
import NativeHandshake
import PeerLink
import Synchronization
import TLSWire

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

    private enum Phase {
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
        var application: ApplicationConfiguration
        var kind: NativeKeyKind
        /// What the client asked for.
        var serverName: ServerName
    }

    let core: KeyHolderCore
    private let limits: NativeLimits
    private let registry: ConnectionRegistry
    private let connectedAt: UInt64
    private let trustGeneration: Int
    private var phase = Phase.shaking
    private var edge: String?
    private var input = ByteBuffer()
    private var header: ProxyHeaderReader.Header?
    private var reader = NativeFrameReader(from: .client)
    private var machine = NativeOriginMachine()
    private var served: Served?
    /// The client's stream, from the end of the handshake until it begins.
    private var session: NativeSession?
    /// All that a client said that is gone already.
    private var legacy: ByteBuffer?
    /// The audit line of this handshake, as long as it is owed.
    private var line: AuditDraft?
    private var wantsRead = false
    private var timer: Scheduled<Void>?
    private var expiryTimer: Scheduled<Void>?
    private var context: ChannelHandlerContext?
    private var address: String?
    private var logger: Logger

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
        self.address = context.channel.remoteAddress.map { "\($0)" }
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
        case .shaking: self.refuseConnection("TLS handshake failed: \(String("\(error)".prefix(300)))")
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
        case is NativeService.Reconsider: self.reconsider()
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    private func perform(_ command: ConnectionCommand) {
        switch command {
        case .cutOff: self.cutOff("the edge has no grant any more, or its authority is not trusted any more")
        case .evict:
            if case .shaking = self.phase { self.refuseConnection("gave way to a newer connection") }
        case .drain:
            // Streams get until the deadline.
            if case .streaming = self.phase { return }
            self.close()
        }
    }

    /// A reload may have taken the grant away.
    private func reconsider() {
        guard let edge = self.edge else { return }
        if !self.isTrusted { return self.cutOff("its authority is not trusted any more") }
        let isGranted: Bool =
            self.served.map { self.core.policy.stillServes($0, to: edge) }
            ?? self.core.policy.knows(edge: edge)
        if !isGranted { self.cutOff("the edge has no grant for native connections any more") }
    }

    private var isTrusted: Bool {
        self.core.trustGeneration.load(ordering: .sequentiallyConsistent) == self.trustGeneration
    }

    // MARK: Who the edge is

    private func edgeIdentified(_ context: ChannelHandlerContext) {
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

    private func refuseConnection(_ reason: String, edge: String? = nil) {
        guard case .shaking = self.phase else { return }
        self.core.auditConnection(
            edge: edge, address: self.address, outcome: .refused, detail: reason, since: self.connectedAt)
        self.close()
    }

    private func cutOff(_ reason: String) {
        if case .closing = self.phase { return }
        guard let edge = self.edge else { return }
        self.conclude(.cutOff)
        self.core.auditConnection(
            edge: edge, address: self.address, outcome: .cutOff, detail: reason, since: self.connectedAt)
        self.logger.notice("native connection cut off", metadata: ["reason": "\(reason)"])
        self.close()
    }

    private func close() {
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

    /// During the handshake no more is read than the machine takes, so that nobody can make this process hold bytes.
    private var takesInput: Bool {
        switch self.phase {
        case .shaking, .awaitsHeader, .streaming, .closing: true
        case .handshake: self.machine.wantsFrame
        case .connecting: false
        }
    }

    private func resumeReading() {
        guard self.wantsRead, self.takesInput else { return }
        self.wantsRead = false
        self.context?.read()
    }

    private func advance() {
        if case .awaitsHeader = self.phase {
            do throws(ProxyHeaderReader.Malformed) {
                guard let header = try ProxyHeaderReader.read(&self.input) else { return }
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
    private func pump() {
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

    // MARK: The handshake

    private func perform(_ action: NativeOriginMachine.Action) {
        switch action {
        case .wait: break
        case .chooseSite(let hello): self.choose(hello)
        case .sign(let content):
            let scheme: SignatureScheme = self.served?.kind == .rsa ? .rsaPSSSHA256 : .ecdsaP256SHA256
            self.ask(.sign(scheme, content: content)) { (machine, result) throws(NativeError) in
                guard case .success(let signature) = result else { throw .internalFailure("signature") }
                return try machine.signed(signature)
            }
        case .decrypt(let sealed):
            self.ask(sealed.operation) { (machine, result) throws(NativeError) in
                // A failure is not told apart from a wrong secret.
                try machine.decrypted(try? result.get())
            }
        case .send(let output): self.send(output)
        case .established(let output, let session): self.established(output, session)
        }
    }

    private func choose(_ hello: NativeHello) {
        guard let edge = self.edge else { return }
        let now: UInt64 = Clock.monotonic()
        guard self.core.audit.reserve() else {
            self.core.metrics.operation(KeyProtocol.Operation.native.rawValue, .overloaded, nanoseconds: 0)
            return self.end(.busy)
        }
        let judge = NativeJudge(
            edge: edge, policy: self.core.policy, now: now, wallSeconds: self.core.wallClock() / 1000)
        let site: Site? = judge.site(hello)
        self.line = AuditDraft(
            edge: edge, site: site?.name, serverName: hello.serverName.rawValue, clientIP: self.header?.source,
            operation: KeyProtocol.Operation.native.rawValue, arrival: now, detail: "\(hello.variant)")
        do throws(NativeJudge.Refusal) {
            let verdict: NativeJudge.Verdict = try judge.judge(site)
            self.served = Served(
                site: verdict.grant.site, application: verdict.service.application,
                kind: verdict.service.origin.keyKind, serverName: hello.serverName)
            do throws(NativeError) {
                self.perform(try self.machine.serve(verdict.service.origin))
            } catch {
                self.fail(error)
            }
        } catch {
            if let detail = error.detail { self.line?.detail = detail }
            self.conclude(error.outcome)
            self.end(error.alert)
        }
    }

    private typealias Answer =
        (inout NativeOriginMachine, Result<[UInt8], KeyOperationError>) throws(NativeError) ->
        NativeOriginMachine.Action

    /// Has the site's key do something, here or on another thread, and goes on with the result.
    private func ask(_ operation: KeyOperation, then answer: @escaping Answer) {
        guard let served = self.served, let edge = self.edge, let context = self.context else { return }
        let key: any StoredKey = served.site.key
        let cost: KeyOperationCost = key.cost(of: operation)
        if case .inPlace = cost {
            let result: Result<[UInt8], KeyOperationError> = Result { () throws(KeyOperationError) in
                try key.perform(operation)
            }
            return self.answered(result, answer)
        }
        guard self.core.slow.begin(edge) else {
            self.conclude(.overloaded)
            return self.end(.busy)
        }
        let core: KeyHolderCore = self.core
        let eventLoop: any EventLoop = context.eventLoop
        let bound = NIOLoopBound((self, answer), eventLoop: eventLoop)
        let done: @Sendable (Result<[UInt8], KeyOperationError>?) -> Void = { result in
            eventLoop.execute {
                core.slow.end(edge)
                let (intake, answer) = bound.value
                intake.performed(result, answer)
            }
        }
        guard case .offload = cost else { return key.perform(operation) { done($0) } }
        core.slow.submit(of: edge) { active in
            // It may have waited for long: look again whether the operation is allowed.
            guard active, core.policy.stillServes(served, to: edge) else { return done(nil) }
            done(Result { () throws(KeyOperationError) in try key.perform(operation) })
        }
    }

    /// A slow operation has come back; without a result if it was not done.
    private func performed(_ result: Result<[UInt8], KeyOperationError>?, _ answer: Answer) {
        guard case .handshake = self.phase, let edge = self.edge, let served = self.served else { return }
        guard let result, self.core.policy.stillServes(served, to: edge) else {
            self.conclude(.denied)
            return self.end(.notAllowed)
        }
        self.answered(result, answer)
        self.pump()
    }

    private func answered(_ result: Result<[UInt8], KeyOperationError>, _ answer: Answer) {
        do throws(NativeError) {
            self.perform(try answer(&self.machine, result))
        } catch {
            self.fail(error)
        }
    }

    private func send(_ output: ByteBuffer) {
        self.context?.writeAndFlush(self.wrapOutboundOut(output), promise: nil)
    }

    // MARK: The application

    private func established(_ output: ByteBuffer?, _ session: NativeSession) {
        guard let context = self.context, let served = self.served else { return }
        self.phase = .connecting
        self.session = session
        self.timer?.cancel()
        if let output { self.send(output) }
        // The client may have been gone when that was sent.
        guard case .connecting = self.phase else { return }
        ApplicationDialer.dial(
            served.application, timeout: self.limits.connectTimeout, on: context.eventLoop
        ).assumeIsolated().whenComplete { result in
            guard case .connecting = self.phase, let session = self.session else {
                if case .success(let channel) = result { channel.reset() }
                return
            }
            self.session = nil
            switch result {
            case .success(let channel):
                if let legacy = self.legacy {
                    self.deliver(legacy, served.application, to: channel)
                } else {
                    self.stream(session, served.application, to: channel)
                }
            case .failure(let error): self.applicationFailed(session, error)
            }
            self.core.audit.flush()
        }
    }

    private func applicationFailed(_ session: NativeSession, _ error: any Error) {
        var session: NativeSession = session
        self.logger.warning(
            "the application behind a site cannot be reached",
            metadata: ["site": "\(self.served?.site.name ?? "")", "error": "\(error)"])
        self.line?.detail = "application unavailable"
        self.conclude(.unavailable)
        self.phase = .closing
        self.close(after: session.fail(.unavailable) ?? ByteBuffer())
    }

    private func stream(_ session: NativeSession, _ application: ApplicationConfiguration, to channel: any Channel) {
        guard let context = self.context else { return channel.reset() }
        let client = SpliceHandler(resets: false, patience: self.limits.idleTimeout)
        let server = SpliceHandler(resets: true, patience: self.limits.idleTimeout)
        do {
            // From here on reads are the splice's to ask for.
            try context.channel.syncOptions?.setOption(.autoRead, value: false)
            try context.pipeline.syncOperations.addHandlers(
                [NativeStreamHandler(session: session, role: .origin), client])
            try channel.pipeline.syncOperations.addHandler(server)
        } catch {
            channel.reset()
            return self.close()
        }
        self.conclude(.ok)
        self.phase = .streaming
        self.introduce(application, to: channel)
        SpliceHandler.begin(client, server)
        var rest: ByteBuffer = self.reader.takeRemaining()
        rest.writeBuffer(&self.input)
        self.input = ByteBuffer()
        if rest.readableBytes > 0 {
            context.fireChannelRead(self.wrapInboundOut(rest))
            context.fireChannelReadComplete()
        }
        self.resumeReading()
    }

    private func introduce(_ application: ApplicationConfiguration, to channel: any Channel) {
        guard application.proxyProtocol, let header = self.header else { return }
        channel.writeAndFlush(header.bytes, promise: nil)
    }

    /// The client is gone while the application was dialled: if it had said everything by then, that is delivered.
    private func clientLeft() {
        guard case .connecting = self.phase, self.legacy == nil else { return }
        if let data = self.completeStream() {
            self.legacy = data
            self.context?.close(promise: nil)
        } else {
            self.close()
        }
    }

    /// What the client sent, if all of it, up to its end, has arrived. Reading waits while the application is dialled, so
    /// this is bounded by what the system and TLS held.
    private func completeStream() -> ByteBuffer? {
        guard var session = self.session else { return nil }
        var reader: NativeFrameReader = self.reader
        reader.receive(self.input)
        var data = ByteBuffer()
        do throws(NativeError) {
            while let frame = try reader.next() {
                switch try session.receive(frame) {
                case .data(let part): data.writeImmutableBuffer(part)
                case .end: return data
                }
            }
            return nil
        } catch {
            return nil
        }
    }

    private func deliver(_ data: ByteBuffer, _ application: ApplicationConfiguration, to channel: any Channel) {
        let server = SpliceHandler(resets: true, patience: self.limits.idleTimeout)
        do { try channel.pipeline.syncOperations.addHandler(server) } catch {
            channel.reset()
            return self.conclude(.abandoned)
        }
        self.line?.detail = "the client left before the application was reached"
        self.conclude(.ok)
        self.phase = .closing
        self.introduce(application, to: channel)
        server.finish(data)
    }

    // MARK: Ends

    private func fail(_ error: NativeError) {
        switch self.phase {
        case .awaitsHeader, .handshake: break
        case .shaking, .connecting, .streaming, .closing: return
        }
        if self.line == nil {
            // Before there was a hello: a line about the connection.
            self.core.auditConnection(
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
    private func end(_ alert: NativeAlert) {
        if case .closing = self.phase { return }
        self.logger.info("native handshake failed", metadata: ["alert": "\(alert)"])
        self.phase = .closing
        self.timer?.cancel()
        self.close(after: alert.record)
    }

    private func close(after last: ByteBuffer) {
        guard let context = self.context else { return }
        let channel: any Channel = context.channel
        let written: EventLoopPromise<Void> = context.eventLoop.makePromise()
        written.futureResult.whenComplete { _ in channel.close(promise: nil) }
        context.writeAndFlush(self.wrapOutboundOut(last), promise: written)
        self.resumeReading()
    }

    /// Writes the audit line, if it is still owed.
    private func conclude(_ outcome: AuditOutcome) {
        guard let line = self.line else { return }
        self.line = nil
        let nanoseconds = Int64(Clock.monotonic() - line.arrival)
        self.core.metrics.operation(line.operation, outcome, nanoseconds: nanoseconds)
        self.core.audit.record(
            line.record(time: Clock.wallMilliseconds(), outcome: outcome, microseconds: nanoseconds / 1000))
        self.core.audit.flush()
    }
}
