public import KeyProtocol
public import NIOCore
public import TLSWire

/// The `latchstring.*` functions as calls. Each answers on the pool's event loop or fails with a ``LinkFailure``.
extension KeyHolderPool {
    /// The chains of a site, with what one address of the key holder lets this edge do with them.
    ///
    /// - Parameter address: counted from 0; it must be connected.
    public func certificate(for name: ServerName, at address: Int) -> EventLoopFuture<CertificateAnswer> {
        let message = self.call(.certificate, name: name, clientIP: nil, ski: nil, payload: ByteBuffer())
        return self.request(message, at: address).flatMapThrowing { answer in
            do { return try CertificateAnswer(decoding: answer.payload) } catch {
                throw LinkFailure.badAnswer("\(error)")
            }
        }
    }

    /// A signature over the server's CertificateVerify of a TLS 1.3 handshake.
    ///
    /// - Parameters:
    ///   - clientIP: 4 or 16 bytes, for the key holder's audit.
    ///   - ski: which of the site's certificates the client is shown: a key holder that has changed to another one
    ///     refuses instead of signing with a key that does not fit.
    ///   - excluded: addresses of the key holder that do not grant the site, counted from 0.
    ///   - preferred: those that have this certificate; the others are asked when none of them answers. nil: all.
    public func signTLS13(
        _ request: SignTLS13Request, name: ServerName, clientIP: [UInt8]?, ski: [UInt8],
        excluding excluded: Set<Int> = [], preferring preferred: Set<Int>? = nil
    ) -> EventLoopFuture<ByteBuffer> {
        self.request(
            self.call(.signTLS13, name: name, clientIP: clientIP, ski: ski, payload: request.encoded()),
            excluding: excluded, preferring: preferred, isSignature: true
        ).map(\.payload)
    }

    /// What an authority that asks for this token under this name is to get; nil: none of the key holder's connected addresses has an
    /// order open that has it.
    ///
    /// Each address orders for itself, so all are asked, and the first that knows is believed.
    public func challenge(_ token: String, for name: ServerName) -> EventLoopFuture<String?> {
        let promise = self.eventLoop.makePromise(of: String?.self)
        let addresses = self.connectedAddresses
        guard !addresses.isEmpty else {
            promise.succeed(nil)
            return promise.futureResult
        }
        let message = self.call(
            .challenge, name: name, clientIP: nil, payload: ChallengeRequest(token: token).encoded())
        let poll = ChallengePoll(promise, left: addresses.count)
        for address in addresses {
            self.request(message, at: address).assumeIsolated().whenComplete { result in
                let answer = try? ChallengeAnswer(decoding: result.get().payload)
                poll.answered(answer?.keyAuthorization)
            }
        }
        return promise.futureResult
    }

    func call(
        _ function: KeyFunction, name: ServerName, clientIP: [UInt8]?, ski: [UInt8]? = nil, payload: ByteBuffer
    ) -> KeyMessage {
        KeyMessage(
            opcode: .custom, payload: payload, function: function.rawValue, serverName: name.rawValue,
            clientIP: clientIP, ski: ski)
    }
}

/// The first answer of several that has something, or that none has. On one event loop.
private final class ChallengePoll {
    private let promise: EventLoopPromise<String?>
    private var left: Int

    init(_ promise: EventLoopPromise<String?>, left: Int) {
        self.promise = promise
        self.left = left
    }

    func answered(_ value: String?) {
        guard self.left > 0 else { return }
        self.left = value == nil ? self.left - 1 : 0
        if self.left == 0 { self.promise.succeed(value) }
    }
}
