import KeyProtocol
import NIOCore
import NIOSSL
import TLSWire

/// A site's private key as the TLS library sees it on the edge: every operation is a request to the key holder.
///
/// The library hands over the whole content to be signed. What is sent is not that content but what it was made of, so
/// that the key holder can check it and rebuild it: the transcript hash (TLS 1.3), the randoms and the ECDHE parameters
/// (TLS 1.2). Anything else is not sent at all.
struct RemotePrivateKey: NIOSSLCustomPrivateKey, Hashable {
    /// The subject key identifier of the certificate that this key belongs to, 20 bytes.
    let ski: [UInt8]
    let signatureAlgorithms: [SignatureAlgorithm]

    init(ski: [UInt8], schemes: [SignatureScheme]) {
        self.ski = ski
        self.signatureAlgorithms = schemes.map { SignatureAlgorithm(rawValue: $0.rawValue) }
    }

    func sign(channel: any Channel, algorithm: SignatureAlgorithm, data: ByteBuffer) -> EventLoopFuture<ByteBuffer> {
        let session: KeylessHandshake
        do {
            session = try channel.pipeline.syncOperations.handler(type: KeylessHandshake.self)
        } catch {
            return channel.eventLoop.makeFailedFuture(error)
        }
        let scheme = SignatureScheme(rawValue: algorithm.rawValue)
        return session.sign(Self.request(scheme: scheme, content: data), ski: self.ski)
    }

    /// RSA key exchange is never offered, so nothing is ever decrypted.
    func decrypt(channel: any Channel, data: ByteBuffer) -> EventLoopFuture<ByteBuffer> {
        channel.eventLoop.makeFailedFuture(KeylessError.nothingToDecrypt)
    }

    enum Request {
        case tls13(SignTLS13Request)
        case tls12(SignTLS12Request)
        case neither
    }

    static func request(scheme: SignatureScheme, content: ByteBuffer) -> Request {
        if let hash = TLS13ServerSignature.transcriptHash(fromContent: content.readableBytesView) {
            return .tls13(SignTLS13Request(scheme: scheme, transcriptHash: hash))
        }
        if let exchange = try? TLS12ServerKeyExchange(signedContent: content.readableBytesView) {
            return .tls12(SignTLS12Request(scheme: scheme, exchange: exchange))
        }
        return .neither
    }
}

/// Why a keyless handshake ends on the edge's side.
enum KeylessError: Error, CustomStringConvertible {
    case notAHandshake
    case nothingToDecrypt

    var description: String {
        switch self {
        case .notAHandshake: "the TLS library asked for a signature over something that is no TLS server handshake"
        case .nothingToDecrypt: "the TLS library asked for an RSA decryption, which is never offered"
        }
    }
}
