import NIOCore
import NIOSSL
import TLSWire

/// A site's private key as the TLS library sees it here: each operation goes to the handshake that needs it, which has
/// the stored key do it where its cost says.
final class SiteTLSKey: NIOSSLCustomPrivateKey, Hashable {
    let signatureAlgorithms: [SignatureAlgorithm]

    init(_ type: KeyType) {
        self.signatureAlgorithms = type.schemes.map { SignatureAlgorithm(rawValue: $0.rawValue) }
    }

    func sign(channel: any Channel, algorithm: SignatureAlgorithm, data: ByteBuffer) -> EventLoopFuture<ByteBuffer> {
        let scheme = SignatureScheme(rawValue: algorithm.rawValue)
        return Self.use(on: channel) { $0.sign(scheme, Array(data.readableBytesView)) }
    }

    /// Without unpadding: that is the library's, which does it in constant time.
    func decrypt(channel: any Channel, data: ByteBuffer) -> EventLoopFuture<ByteBuffer> {
        Self.use(on: channel) { $0.decrypt(Array(data.readableBytesView)) }
    }

    private static func use(
        on channel: any Channel, _ perform: (any HandshakeKeyUser) -> EventLoopFuture<ByteBuffer>
    ) -> EventLoopFuture<ByteBuffer> {
        guard let user = (channel as? VirtualChannel)?.keyUser else {
            return channel.eventLoop.makeFailedFuture(HandoffFailure.keyUseOutsideHandshake)
        }
        return perform(user)
    }

    static func == (one: SiteTLSKey, other: SiteTLSKey) -> Bool { one === other }

    func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// A handshake, to the TLS library that runs it.
protocol HandshakeKeyUser: AnyObject {
    func sign(_ scheme: SignatureScheme, _ content: [UInt8]) -> EventLoopFuture<ByteBuffer>
    /// The block of a client's encrypted secret, to be decrypted without unpadding.
    func decrypt(_ block: [UInt8]) -> EventLoopFuture<ByteBuffer>
}
