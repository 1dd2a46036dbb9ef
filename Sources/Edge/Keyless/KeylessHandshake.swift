import Admission
import KeyProtocol
import NIOCore
import PeerLink
import TLSWire

/// Stands between the socket and the TLS handler while a keyless handshake runs.
///
/// It knows what a key operation needs to say (name, client address, key holder), and it can still send an alert in the
/// clear when the key holder does not sign: the library has sent nothing that is protected by then, and would close the
/// connection without a word.
final class KeylessHandshake: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let serverName: ServerName
    private let clientIP: [UInt8]?
    private let pool: KeyHolderPool
    private let excluded: Set<Int>
    /// For the signature, if the key holder may be asked for it now.
    private var permit: KeyPermit?
    /// What a signature is that the library asks for without one.
    private var urgency: Urgency
    /// Whether the key holder may be asked now.
    private let turn: (Urgency) -> HandshakeGate.Entry
    /// Called when the key holder no longer has the certificate that was shown, so that it is fetched anew.
    private let onOutdated: () -> Void
    private var context: ChannelHandlerContext?

    /// - Parameters:
    ///   - excluded: addresses of the key holder that are not asked.
    ///   - permit: for the signature, if its turn is now.
    init(
        serverName: ServerName, clientIP: [UInt8]?, pool: KeyHolderPool, excluded: Set<Int>,
        permit: KeyPermit?, turn: @escaping (Urgency) -> HandshakeGate.Entry, onOutdated: @escaping () -> Void
    ) {
        self.serverName = serverName
        self.clientIP = clientIP
        self.pool = pool
        self.excluded = excluded
        self.permit = permit
        self.urgency = permit == nil ? .beginning : .underWay
        self.turn = turn
        self.onOutdated = onOutdated
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    /// The TLS library has read the hello. If it has asked for no signature by now, it waits for the client, or resumes a
    /// session: no other handshake is kept waiting for that.
    func helloIsRead() { self.permit = nil }

    private func takeTurn() -> HandshakeGate.Entry {
        guard let permit = self.permit.take() else { return self.turn(self.urgency) }
        return .pass(permit)
    }

    /// - Parameter request: nil for what no TLS 1.3 server signs; refused.
    func sign(_ request: SignTLS13Request?, ski: [UInt8]) -> EventLoopFuture<ByteBuffer> {
        switch self.takeTurn() {
        case .pass(let permit): return self.signNow(request, ski: ski, permit)
        case .refused(let refusal):
            self.sendAlert(.internalError)
            return self.pool.eventLoop.makeFailedFuture(refusal)
        case .wait(_, let turn): return self.sign(request, ski: ski, at: turn)
        }
    }

    private func sign(
        _ request: SignTLS13Request?, ski: [UInt8], at turn: EventLoopFuture<KeyPermit>
    ) -> EventLoopFuture<ByteBuffer> {
        let promise = self.pool.eventLoop.makePromise(of: ByteBuffer.self)
        turn.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let permit): self.signNow(request, ski: ski, permit).cascade(to: promise)
            case .failure(let error):
                self.sendAlert(.internalError)
                promise.fail(error)
            }
        }
        return promise.futureResult
    }

    private func signNow(
        _ request: SignTLS13Request?, ski: [UInt8], _ permit: KeyPermit
    ) -> EventLoopFuture<ByteBuffer> {
        let answer: EventLoopFuture<ByteBuffer> =
            if let request {
                self.pool.signTLS13(
                    request, name: self.serverName, clientIP: self.clientIP, ski: ski, excluding: self.excluded)
            } else {
                self.pool.eventLoop.makeFailedFuture(KeylessError.notAHandshake)
            }
        answer.assumeIsolated().whenComplete { permit.end($0) }
        answer.assumeIsolated().whenFailure { error in
            if case .refused(let code) = error as? LinkFailure, code == .certificateNotFound || code == .keyNotFound {
                self.onOutdated()
            }
            self.sendAlert(.internalError)
        }
        return answer
    }

    /// Sends a fatal alert in the clear, below the TLS handler.
    func sendAlert(_ description: Alert.Description) {
        guard let context = self.context, context.channel.isActive else { return }
        context.writeAndFlush(self.wrapOutboundOut(Alert(description).record()), promise: nil)
    }
}
