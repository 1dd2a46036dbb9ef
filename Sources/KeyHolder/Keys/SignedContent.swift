import NativeHandshake
import TLSWire

/// What a site's key signs for our own functions.
///
/// The rule: *the key holder signs only content that is separated by a context string or made by itself.* This type is the
/// rule, since ``KeyOperation/sign(_:content:)`` takes nothing else and no value can be made of bytes that an edge chose
/// freely. The one exception has operations of its own (``KeyOperation/signDigest(_:_:digest:)``,
/// ``KeyOperation/signMessage(_:)``, and ``KeyOperation/rawRSA(_:)``): stock opcodes, which are off
/// unless a grant names them.
public struct SignedContent: Equatable, Sendable {
    /// What is hashed and signed.
    public let bytes: [UInt8]

    private init(unchecked bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// The CertificateVerify of a TLS 1.3 server: 64 spaces, the context string and a zero, built here around the hash.
    ///
    /// - Parameter transcriptHash: 32 (SHA-256) or 48 bytes.
    public static func tls13Server(transcriptHash: [UInt8]) -> SignedContent {
        SignedContent(unchecked: TLS13ServerSignature.content(transcriptHash: transcriptHash))
    }

    /// What the machine of a native handshake here wants signed. Nil for what has none of the native contexts.
    init?(native content: [UInt8]) {
        guard content.starts(with: NativeSignature.prefix) else { return nil }
        self.init(unchecked: content)
    }

    /// What the TLS library here wants signed in the handshake with this client: a TLS 1.3 CertificateVerify, or a TLS 1.2
    /// ServerKeyExchange, whose server random and ECDHE share the library has made. The latter has no context string, and its
    /// first 32 bytes are the client's random, as at every TLS 1.2 server. Nil for anything else.
    ///
    /// - Parameter clientRandom: 32 bytes, of the hello with which the handshake was begun.
    init?(handshake content: [UInt8], of clientRandom: [UInt8]) {
        if TLS13ServerSignature.transcriptHash(fromContent: content) == nil {
            guard let exchange = try? TLS12ServerKeyExchange(signedContent: content),
                exchange.clientRandom == clientRandom
            else { return nil }
        }
        self.init(unchecked: content)
    }
}
