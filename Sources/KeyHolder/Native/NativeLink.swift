import Admission
import Logging
import NIOCore
import NIOSSL
import NIOTLS
import NativeHandshake
import PeerLink
import StreamWire
import Synchronization
import Telemetry

/// One link of an edge's, over which it brings its native clients: who the edge is, and then a ``NativeIntake`` for each stream.
///
/// Sits behind the TLS handler. Which inputs are whose:
/// - the edge's violations: a failed TLS handshake, an identity without a grant, another revision of the streams, what ``StreamLinkError``
///   names; the link ends;
/// - an edge that opens more streams, or faster, than it may: the stream is refused, so that it can be opened elsewhere.
final class NativeLink: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private enum Phase {
        /// TLS with the edge.
        case shaking
        case serving(edge: String, StreamLinkHandler)
        case closing
    }

    private let core: KeyHolderCore
    private let limits: NativeLimits
    private let registry: ConnectionRegistry
    private let census: NativeCensus
    private let trustGeneration: Int
    private let connectedAt: UInt64
    /// nil: the edge has opened it.
    private let dialled: DialledConnection?
    private var phase = Phase.shaking
    private var isDraining = false
    private var timer: Scheduled<Void>?
    private var context: ChannelHandlerContext?
    private var address: String?
    private var logger: Logger

    init(
        core: KeyHolderCore, limits: NativeLimits, registry: ConnectionRegistry, census: NativeCensus,
        trustGeneration: Int, now: UInt64, dialled: DialledConnection? = nil
    ) {
        self.core = core
        self.limits = limits
        self.registry = registry
        self.census = census
        self.trustGeneration = trustGeneration
        self.connectedAt = now
        self.dialled = dialled
        self.logger = core.logger
        if let dialled { self.logger[metadataKey: "dialled"] = "\(dialled.address)" }
    }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.address = context.channel.remoteAddress.map { "\(PeerText($0))" }
        self.logger[metadataKey: "peer"] = "\(self.address ?? "unknown")"
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(
            in: self.core.limits.handshakeTimeout
        ) {
            self.refuse("no TLS handshake in time")
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        if case .shaking = self.phase { self.refuse("closed before the end of the TLS handshake") }
        // The link's streams stand behind this handler, and say in `ended` why the link is over.
        context.fireChannelInactive()
        self.phase = .closing
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch self.phase {
        case .shaking: self.refuse(LinkProblem.textOfTaken(error))
        case .serving, .closing: context.fireErrorCaught(error)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as TLSUserEvent:
            if case .handshakeCompleted(let protocolName) = event { self.identify(context, protocolName) }
        case let event as IdleStateHandler.IdleStateEvent:
            // Edges send pings.
            if event == .read { self.close("nothing came over it for too long") }
        case let command as ConnectionCommand: self.perform(command)
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    // MARK: Who the edge is

    private func identify(_ context: ChannelHandlerContext, _ protocolName: String?) {
        guard case .shaking = self.phase else { return }
        do throws(PeerIdentityError) {
            guard
                let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLServerHandler.self)
            else {
                throw .noCertificate
            }
            let peer = try ConnectedEdge(handler: handler)
            let seconds: Int64 = self.core.wallClock() / 1000
            guard peer.isValid(at: seconds) else {
                return self.refuse("the edge's identity has expired, or is not valid yet", edge: peer.name)
            }
            guard protocolName == StreamFrame.protocolName else {
                return self.refuse(
                    "the edge opens a connection for each native client, not \(StreamFrame.protocolName): it is older than this key holder; upgrade the edge",
                    edge: peer.name)
            }
            if let refusal = self.registry.identified(context.channel, as: peer.name) {
                return self.refuse("limit of links for native clients: \(refusal)", edge: peer.name)
            }
            guard self.isTrusted else {
                return self.refuse("its authority is not trusted any more", edge: peer.name)
            }
            guard self.core.policy.knows(edge: peer.name) else {
                self.refuse("the edge has no grant", edge: peer.name)
                self.dialled?.ungranted(peer.name)
                return
            }
            self.serve(peer, seconds, context)
        } catch {
            self.refuse("\(error)")
        }
    }

    private func serve(_ peer: ConnectedEdge, _ seconds: Int64, _ context: ChannelHandlerContext) {
        let edge: String = peer.name
        self.timer?.cancel()
        let linked = LinkedEdge(
            name: edge, address: self.address, notAfter: peer.notAfter, trustGeneration: self.trustGeneration)
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: linked.timeLeft(at: seconds)) {
            self.cutOff("the edge's identity has expired")
        }
        self.logger[metadataKey: "edge"] = "\(edge)"
        let now: UInt64 = Clock.monotonic()
        let account: EdgeAccount = self.core.accounts.account(of: edge, now: now)
        let shared: NativeAccount = self.census.account(of: edge, now: now)
        let longest: TimeAmount = self.core.limits.longestPause
        let streams = StreamLinkHandler(
            role: .accepter, budget: shared.budget,
            events: StreamLinkHandler.Events(
                opened: { self.opened($0, by: linked, account) },
                charged: {
                    let time: UInt64 = shared.charge($0, now: Clock.monotonic())
                    return min(.nanoseconds(Int64(clamping: time)), longest)
                },
                emptied: { self.closeIfDrained() },
                ended: { self.ended($0) }))
        do { try context.pipeline.syncOperations.addHandler(streams, position: .after(self)) } catch {
            return context.close(promise: nil)
        }
        self.phase = .serving(edge: edge, streams)
        self.core.usage.connected(edge, time: self.core.wallClock())
        self.core.auditRepeated(.edgeConnected, edge: edge, address: self.address, detail: "for native clients")
        self.logger.info("link of an edge for native clients")
        self.dialled?.linked()
    }

    private var isTrusted: Bool {
        self.core.trustGeneration.load(ordering: .sequentiallyConsistent) == self.trustGeneration
    }

    // MARK: Streams

    private func opened(_ offered: OfferedStream, by linked: LinkedEdge, _ account: EdgeAccount) {
        let edge: String = linked.name
        guard case .serving(_, let streams) = self.phase else { return offered.refuse(.draining) }
        let now: UInt64 = Clock.monotonic()
        if let refusal = self.census.enter(edge, now: now) {
            self.core.auditRepeated(
                edge: edge, address: self.address, outcome: .refused,
                detail: "limit of native connections: \(refusal.rawValue)", since: now)
            return offered.refuse(.busy)
        }
        guard let header = Self.header(offered.introduction) else {
            self.census.leave(edge)
            self.core.auditRepeated(
                edge: edge, address: self.address, outcome: .refused, detail: "native: a bad PROXY header",
                since: now)
            return offered.refuse(.malformed)
        }
        guard let channel = offered.take() else { return self.census.leave(edge) }
        self.census.hold(channel, of: edge)
        do {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(IdleStateHandler(allTimeout: self.limits.idleTimeout))
            try pipeline.addHandler(
                NativeIntake(
                    core: self.core, limits: self.limits, census: self.census, by: linked, account: account,
                    header: header, now: now, logger: self.logger))
        } catch {
            return channel.reset(.broken)
        }
        streams.accept(channel)
    }

    /// What the edge says of a client: a PROXY protocol header of version 2, and nothing else. An edge has no connections of its own here.
    private static func header(_ introduction: ByteBuffer) -> ProxyProtocolHeader? {
        var introduction: ByteBuffer = introduction
        guard let outcome = try? ProxyProtocolReader.read(&introduction, versions: [.v2]),
            case .proxied(let header) = outcome, introduction.readableBytes == 0
        else { return nil }
        return header
    }

    private func tellStreams(_ command: ConnectionCommand, _ streams: StreamLinkHandler) {
        for channel in streams.streams { channel.pipeline.fireUserInboundEventTriggered(command) }
    }

    // MARK: Ends

    private func perform(_ command: ConnectionCommand) {
        switch command {
        case .cutOff:
            self.cutOff("the edge has no grant any more, or its authority is not trusted any more")
        case .evict: if case .shaking = self.phase { self.refuse("gave way to a newer connection") }
        case .reconsider: self.reconsider()
        case .drain:
            self.drain()
            self.context?.eventLoop.assumeIsolated().scheduleTask(in: self.core.limits.lastTurnsTimeout) {
                self.endHandshakes()
            }
        case .endHandshakes:
            self.drain()
            // A stream that came after the others were told.
            self.endHandshakes()
        }
    }

    private func endHandshakes() {
        if case .serving(_, let streams) = self.phase { self.tellStreams(.endHandshakes, streams) }
    }

    /// A reload may have taken grants away.
    private func reconsider() {
        guard case .serving(let edge, _) = self.phase else { return }
        guard self.isTrusted else { return self.cutOff("its authority is not trusted any more") }
        guard self.core.policy.knows(edge: edge) else {
            self.cutOff("the edge has no grant any more")
            self.dialled?.ungranted(edge)
            return
        }
    }

    /// Takes no further streams; ends when those that are under way have ended.
    private func drain() {
        switch self.phase {
        case .shaking: self.refuse("shutting down")
        case .serving(_, let streams):
            self.isDraining = true
            streams.drain()
            self.closeIfDrained()
        case .closing: break
        }
    }

    private func closeIfDrained() {
        guard self.isDraining, case .serving(_, let streams) = self.phase, streams.streamCount == 0
        else { return }
        streams.closeWhenSent(because: "no further streams", within: self.core.limits.drainTimeout)
    }

    private func refuse(_ reason: String, edge: String? = nil) {
        guard case .shaking = self.phase else { return }
        self.core.auditRepeated(
            edge: edge, address: self.address, outcome: .refused, detail: reason, since: self.connectedAt)
        self.phase = .closing
        self.timer?.cancel()
        self.context?.close(promise: nil)
    }

    private func cutOff(_ reason: String) {
        guard case .serving(let edge, let streams) = self.phase else { return }
        self.tellStreams(.cutOff, streams)
        let isWithinLimit: Bool = self.core.auditRepeated(
            edge: edge, address: self.address, outcome: .cutOff, detail: reason, since: self.connectedAt)
        self.logger.log(
            level: isWithinLimit ? .notice : .debug, "link for native clients cut off",
            metadata: ["reason": "\(reason)"])
        self.close(reason)
    }

    private func close(_ reason: String) {
        switch self.phase {
        case .shaking: self.refuse(reason)
        case .serving(_, let streams): streams.close(because: reason)
        case .closing: break
        }
    }

    private func ended(_ reason: String) {
        guard case .serving(let edge, _) = self.phase else { return }
        self.phase = .closing
        self.timer?.cancel()
        self.core.auditRepeated(
            .edgeGone, edge: edge, address: self.address, detail: "for native clients: \(reason)",
            since: self.connectedAt)
        self.logger.info(
            "link of an edge for native clients has ended", metadata: ["reason": "\(reason)"])
    }
}
