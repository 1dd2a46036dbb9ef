import Channels
import KeyProtocol
package import NIOCore
package import PeerLink
import RecordLayer
package import TLSWire

/// Carries the bytes of one handshake between the client and the key holder, as ``ForwardedHandshake`` says, and makes way
/// for a ``RecordHandler`` when the session is the edge's.
///
/// It reads only when the handshake calls for it. While the key holder works one read is under way, so that interest in the socket need
/// not be taken back and declared again; if something comes of it, nothing more is read until there is an answer.
package final class ForwardedHandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    /// Where the handshake comes from and goes to.
    package struct Parties {
        package var serverName: ServerName
        package var clientIP: [UInt8]?
        package var pool: KeyHolderPool
        /// Addresses of the key holder that are not asked.
        package var excluded: Set<Int> = []
        /// What clients of the site are offered (ALPN), preferred first.
        package var applicationProtocols: [String]
        /// Whether a key exchange by RSA is refused, whatever the key holder offers.
        package var needsForwardSecrecy: Bool
        /// Whether it may be asked to go on now.
        package var turn: () -> HandshakeGate.Entry

        package init(
            serverName: ServerName, clientIP: [UInt8]? = nil, pool: KeyHolderPool, excluded: Set<Int> = [],
            applicationProtocols: [String], needsForwardSecrecy: Bool, turn: @escaping () -> HandshakeGate.Entry
        ) {
            self.serverName = serverName
            self.clientIP = clientIP
            self.pool = pool
            self.excluded = excluded
            self.applicationProtocols = applicationProtocols
            self.needsForwardSecrecy = needsForwardSecrecy
            self.turn = turn
        }
    }

    private let parties: Parties
    private let watch: HandshakeWatch
    /// For the beginning, which the key holder may be asked for now. Given back at once where nothing is asked.
    private var permit: KeyPermit?
    private var handshake: ForwardedHandshake
    private var link: HandshakeLink?
    /// What the key holder tells of the session.
    private var facts: SessionFacts?
    private var context: ChannelHandlerContext?

    package init(_ parties: Parties, permit: KeyPermit, hello: ClientHello, watch: HandshakeWatch) {
        self.parties = parties
        self.watch = watch
        self.permit = permit
        self.handshake = ForwardedHandshake(
            protocols: parties.applicationProtocols, earlyDataOffered: hello.offersEarlyData,
            offersProtocols: !hello.applicationProtocols.isEmpty, needsForwardSecrecy: parties.needsForwardSecrecy,
            isAuthorityCheck: hello.isAuthorityCheck)
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.watch.begin(context)
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.abandon()
    }

    /// Begins with what the client has sent so far.
    package func start(_ received: ByteBuffer) {
        self.take(self.handshake.start(received))
        // Whatever became of it instead: what is refused lingers, and a place at the key holder is not for that.
        self.permit = nil
    }

    // MARK: The client

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.handshake.isOver else { return context.fireChannelRead(data) }
        self.take(self.handshake.received(self.unwrapInboundIn(data)))
    }

    /// Nothing that ends a handshake comes any more.
    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard !self.handshake.isOver, case .inputClosed? = event as? ChannelEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        context.close(promise: nil)
    }

    package func channelInactive(context: ChannelHandlerContext) {
        self.abandon()
        context.fireChannelInactive()
    }

    private func abandon() {
        if self.handshake.abandon() { self.link?.abandon() }
        self.watch.abandon()
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        if self.handshake.isOver { context.fireChannelReadComplete() }
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A broken connection is about to be inactive, and counts as abandoned.
        if self.handshake.isOver { context.fireErrorCaught(error) }
    }

    // MARK: Steps

    private func take(_ step: ForwardedHandshake.Step) {
        guard let context else { return }
        if case .failed(let failure, let informs) = step.next {
            if informs { self.link?.abandon() }
            return self.watch.fail(failure, sending: step.write, context)
        }
        if let bytes = step.write { context.writeAndFlush(self.wrapOutboundOut(bytes), promise: nil) }
        switch step.next {
        case .read: context.read()
        case .begin(let hello):
            context.read()
            self.begin(hello)
        case .proceed(let bytes):
            context.read()
            self.proceed(bytes)
        case .established(let established): self.established(established, context)
        case .wait, .failed: break
        }
    }

    private func begin(_ hello: ByteBuffer) {
        let parties = self.parties
        let permit = self.permit.take()
        let begin = HandshakeBegin(applicationProtocols: parties.applicationProtocols, clientBytes: hello)
        parties.pool.beginHandshake(
            begin, name: parties.serverName, clientIP: parties.clientIP, excluding: parties.excluded
        )
        .assumeIsolated().whenComplete { result in
            permit?.end(result)
            switch result {
            case .success((let progress, let link)):
                self.link = link
                self.answered(progress)
            case .failure(let error): self.failed(error)
            }
        }
    }

    private func proceed(_ bytes: ByteBuffer) {
        self.parties.turn().whenDecided { decision in
            // The client may have left meanwhile.
            guard !self.handshake.isOver else { return }
            switch decision {
            case .success(let permit): self.proceed(bytes, permit)
            case .failure(let refusal): self.take(self.handshake.turnedAway(refusal))
            }
        }
    }

    private func proceed(_ bytes: ByteBuffer, _ permit: KeyPermit) {
        guard let link else { return self.failed(LinkFailure.notConnected) }
        link.continueHandshake(bytes).assumeIsolated().whenComplete { result in
            permit.end(result)
            switch result {
            case .success(let progress): self.answered(progress)
            case .failure(let error): self.failed(error)
            }
        }
    }

    private func answered(_ progress: HandshakeProgress) {
        defer { progress.eraseSession() }
        guard !self.handshake.isOver else {
            // The client has left meanwhile.
            if progress.leavesSomethingToDo { self.link?.abandon() }
            return
        }
        self.facts = progress.facts
        self.take(self.handshake.answered(progress))
    }

    private func failed(_ error: any Error) {
        self.take(self.handshake.keyHolderFailed(error as? LinkFailure ?? .lost("\(error)")))
    }

    // MARK: Ends

    private func established(_ established: ForwardedHandshake.Established, _ context: ChannelHandlerContext) {
        guard let records = self.watch.complete(self.handshake.takeSession(), self.facts, context) else { return }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        records.begin(with: established.received, tickets: established.tickets)
    }
}
