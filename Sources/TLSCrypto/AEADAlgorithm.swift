@_implementationOnly import CNIOBoringSSL

/// A cipher with authentication (RFC 5116) that this module seals and opens with.
public enum AEADAlgorithm: Sendable, CaseIterable {
    case aes128GCM
    case aes256GCM
    case chaCha20Poly1305
    /// With a nonce that is long enough to be drawn at random, however often a key is used. For session tickets; no TLS record is
    /// protected with it.
    case xChaCha20Poly1305

    /// Bytes of a key.
    public var keyLength: Int { self == .aes128GCM ? 16 : 32 }
    /// Bytes of a nonce.
    public var nonceLength: Int { self == .xChaCha20Poly1305 ? 24 : 12 }
    /// Bytes of a tag, the same for all.
    public static let tagLength = 16

    /// BoringSSL's table for it: constant, and shared by all threads.
    var pointer: OpaquePointer? {
        switch self {
        case .aes128GCM: EVP_aead_aes_128_gcm()
        case .aes256GCM: EVP_aead_aes_256_gcm()
        case .chaCha20Poly1305: EVP_aead_chacha20_poly1305()
        case .xChaCha20Poly1305: EVP_aead_xchacha20_poly1305()
        }
    }
}
