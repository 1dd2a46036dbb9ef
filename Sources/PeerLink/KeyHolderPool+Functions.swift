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

    func call(
        _ function: KeyFunction, name: ServerName, clientIP: [UInt8]?, ski: [UInt8]? = nil, payload: ByteBuffer
    ) -> KeyMessage {
        KeyMessage(
            opcode: .custom, payload: payload, function: function.rawValue, serverName: name.rawValue,
            clientIP: clientIP, ski: ski)
    }
}
