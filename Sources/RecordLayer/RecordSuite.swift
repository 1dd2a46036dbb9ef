/// The cipher suites whose records this module protects, by their IANA number: AEAD suites only.
///
/// The number implies the version: TLS 1.3 for `0x13..`, TLS 1.2 for the others.
public enum RecordSuite: UInt16, CaseIterable, Sendable {
    case aes128GCMSHA256 = 0x1301
    case aes256GCMSHA384 = 0x1302
    case chaCha20Poly1305SHA256 = 0x1303
    case rsaAES128GCMSHA256 = 0x009C
    case rsaAES256GCMSHA384 = 0x009D
    case ecdheECDSAAES128GCMSHA256 = 0xC02B
    case ecdheECDSAAES256GCMSHA384 = 0xC02C
    case ecdheRSAAES128GCMSHA256 = 0xC02F
    case ecdheRSAAES256GCMSHA384 = 0xC030
    case ecdheRSAChaCha20Poly1305SHA256 = 0xCCA8
    case ecdheECDSAChaCha20Poly1305SHA256 = 0xCCA9

    /// The version that the suite belongs to.
    public var version: RecordVersion {
        rawValue >> 8 == 0x13 ? .tls13 : .tls12
    }

    /// Whether the keys do not follow from the certificate's private key: false for RSA key exchange.
    public var hasForwardSecrecy: Bool { self != .rsaAES128GCMSHA256 && self != .rsaAES256GCMSHA384 }

    /// The bulk cipher.
    public var cipher: RecordCipher {
        switch self {
        case .aes128GCMSHA256, .rsaAES128GCMSHA256, .ecdheECDSAAES128GCMSHA256, .ecdheRSAAES128GCMSHA256:
            return .aes128GCM
        case .aes256GCMSHA384, .rsaAES256GCMSHA384, .ecdheECDSAAES256GCMSHA384, .ecdheRSAAES256GCMSHA384:
            return .aes256GCM
        case .chaCha20Poly1305SHA256, .ecdheRSAChaCha20Poly1305SHA256, .ecdheECDSAChaCha20Poly1305SHA256:
            return .chaCha20Poly1305
        }
    }

    /// The hash of the TLS 1.3 key schedule, and of TLS 1.2's PRF.
    public var hash: RecordHash {
        cipher == .aes256GCM ? .sha384 : .sha256
    }

    /// Bytes of the implicit part of a nonce: 4 for AES-GCM in TLS 1.2 (RFC 5288 §3), otherwise 12 (RFC 7905 §2,
    /// RFC 8446 §5.3).
    public var ivLength: Int {
        version == .tls12 && cipher != .chaCha20Poly1305 ? 4 : 12
    }
}

/// The protocol versions whose records this module protects.
public enum RecordVersion: UInt16, Sendable {
    case tls12 = 0x0303
    case tls13 = 0x0304
}

/// A bulk cipher with authentication.
public enum RecordCipher: Sendable {
    case aes128GCM
    case aes256GCM
    case chaCha20Poly1305

    /// Bytes of a key.
    public var keyLength: Int { self == .aes128GCM ? 16 : 32 }
    /// Bytes of a tag, the same for all.
    public static let tagLength = 16
    /// Bytes of a nonce, the same for all.
    public static let nonceLength = 12
}

/// The hash of a suite.
public enum RecordHash: Sendable {
    case sha256
    case sha384

    /// Bytes of a digest, and of a traffic secret.
    public var length: Int { self == .sha256 ? 32 : 48 }
}
