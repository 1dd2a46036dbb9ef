package import Admission
import KeyProtocol
package import NIOCore
package import PeerLink
package import TLSEngine
package import TLSWire

/// Carries the bytes of one handshake between the client and the TLS engine, and asks the key holder for its signature, as
/// ``KeylessHandshake`` says; makes way for a ``RecordHandler`` when the session is there.
///
/// It reads only when the handshake calls for it. While the key holder works one read is under way, so that interest in the socket need
/// not be taken back and declared again; if something comes of it, nothing more is read until the signature is there.
package final class KeylessHandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    /// Where the signature comes from.
    package struct Parties {
        package var serverName: ServerName
        package var clientIP: [UInt8]?
        package var pool: KeyHolderPool
        /// What the handshake goes by: its certificate, and the addresses of the key holder that are not asked.
        package var served: ServedDomain
        /// Whether the key holder may be asked now.
        package var turn: (Urgency) -> HandshakeGate.Entry
        /// Called when the key holder no longer has the certificate that was shown, so that it is fetched anew.
        package var onOutdated: () -> Void
        /// What is served in the place of what was, as soon as it is.
        package var renewal: (ServedDomain) -> EventLoopFuture<ServedDomain>

        package init(
            serverName: ServerName, clientIP: [UInt8]? = nil, pool: KeyHolderPool, served: ServedDomain,
            turn: @escaping (Urgency) -> HandshakeGate.Entry, onOutdated: @escaping () -> Void,
            renewal: @escaping (ServedDomain) -> EventLoopFuture<ServedDomain>
        ) {
            self.serverName = serverName
            self.clientIP = clientIP
            self.pool = pool
            self.served = served
            self.turn = turn
            self.onOutdated = onOutdated
            self.renewal = renewal
        }
    }

    private var parties: Parties
    private let watch: HandshakeWatch
    /// For the signature, if the key holder may be asked for it now. Given back at once where none is wanted.
    private var permit: KeyPermit?
    /// What a signature is that is wanted without one.
    private var urgency: Urgency
    private var handshake: KeylessHandshake
    private var context: ChannelHandlerContext?

    /// - Parameters:
    ///   - permit: for the signature, if the key holder may be asked for it now.
    /// - Throws: if there is no memory.
    package init(
        _ parties: Parties, certificate: SiteCertificate, permit: KeyPermit?, watch: HandshakeWatch
    ) throws(EngineError) {
        self.handshake = try KeylessHandshake(certificate)
        self.parties = parties
        self.permit = permit
        self.urgency = permit == nil ? .beginning : .underWay
        self.watch = watch
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.watch.begin(context)
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.handshake.abandon()
        self.watch.abandon()
    }

    /// Begins with what the client has sent so far.
    package func start(_ received: ByteBuffer) {
        self.take(self.handshake.received(received))
        // If no signature is wanted by now, the client has to say more, or it resumes a session: no other handshake is kept waiting
        // for that.
        self.permit = nil
    }

    // MARK: The client

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.handshake.isOver else { return context.fireChannelRead(data) }
        self.take(self.handshake.received(self.unwrapInboundIn(data)))
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        if self.handshake.isOver { context.fireChannelReadComplete() }
    }

    /// Nothing that ends a handshake comes any more.
    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard !self.handshake.isOver, case .inputClosed? = event as? ChannelEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        context.close(promise: nil)
    }

    package func channelInactive(context: ChannelHandlerContext) {
        self.handshake.abandon()
        self.watch.abandon()
        context.fireChannelInactive()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A broken connection is about to be inactive, and counts as abandoned.
        if self.handshake.isOver { context.fireErrorCaught(error) }
    }

    // MARK: Steps

    private func take(_ step: KeylessHandshake.Step) {
        guard let context else { return }
        if case .failed(let failure) = step.next {
            if failure.meansOutdated { self.parties.onOutdated() }
            return self.watch.fail(failure, sending: step.write, context)
        }
        if let bytes = step.write { context.writeAndFlush(self.wrapOutboundOut(bytes), promise: nil) }
        switch step.next {
        case .read: context.read()
        case .sign(let request, let ski):
            context.read()
            self.askForTurn(request, ski)
        case .established(let established): self.established(established, context)
        case .wait, .failed: break
        }
    }

    private func askForTurn(_ request: SignTLS13Request, _ ski: [UInt8]) {
        if let permit = self.permit.take() { return self.sign(request, ski, permit) }
        self.parties.turn(self.urgency).whenDecided { decision in
            // The client may have left meanwhile.
            guard !self.handshake.isOver else { return }
            switch decision {
            case .success(let permit): self.sign(request, ski, permit)
            case .failure(let refusal): self.take(self.handshake.notSigned(.turnedAway(refusal)))
            }
        }
    }

    private func sign(_ request: SignTLS13Request, _ ski: [UInt8], _ permit: KeyPermit) {
        self.urgency = .underWay
        self.parties.pool.signTLS13(
            request, name: self.parties.serverName, clientIP: self.parties.clientIP, ski: ski,
            excluding: self.parties.served.excluded, preferring: self.parties.served.holders[ski]
        )
        .assumeIsolated().whenComplete { result in
            permit.end(result)
            switch result {
            case .success(let signature): self.take(self.handshake.signed(Array(signature.readableBytesView)))
            case .failure(let error):
                self.notSigned(.keyHolder(error as? LinkFailure ?? .lost("\(error)")))
            }
        }
    }

    /// If the key holder does not have the certificate any more, there may be another one, or another address, in a moment.
    private func notSigned(_ failure: TerminationFailure) {
        guard failure.meansOutdated, self.handshake.mayStartOver else {
            return self.take(self.handshake.notSigned(failure))
        }
        self.parties.onOutdated()
        self.parties.renewal(self.parties.served).assumeIsolated().whenComplete { result in
            // The client may have left meanwhile.
            guard !self.handshake.isOver else { return }
            guard case .success(let served) = result, let certificate = served.certificate else {
                return self.take(self.handshake.notSigned(failure))
            }
            self.parties.served = served
            self.take(self.handshake.startOver(with: certificate))
        }
    }

    private func established(_ established: KeylessHandshake.Established, _ context: ChannelHandlerContext) {
        guard
            let records = self.watch.complete(
                self.handshake.takeSession(),
                self.handshake.facts.map { SessionFacts(group: $0.group, resumed: $0.resumed) }, context)
        else {
            return
        }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        records.begin(with: established.received, tickets: established.tickets)
    }
}
