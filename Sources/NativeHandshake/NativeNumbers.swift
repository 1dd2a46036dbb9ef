/// Numbers and bounds of the native handshake, version 1 (docs/native-handshake.md).
public enum NativeNumbers {
    /// The version byte in every record's header.
    public static let version: UInt8 = 1
    /// Bytes of a record's header: type, version, length.
    public static let headerLength = 4
    /// The longest record body a client may send during the handshake, and the longest hello.
    public static let maximumClientBody = 1024
    /// The longest record body an origin may send during the handshake: certificate information with its chain.
    public static let maximumOriginBody = 32_768
    /// Bytes of application data in one protected record, at most.
    public static let maximumData = 16_384
    /// Certificates in a chain, at most.
    public static let maximumCertificates = 10
    /// Bytes of a random, a nonce, an X25519 share and the symmetric key.
    public static let randomLength = 32
    /// Bytes of an AEAD tag.
    static let tagLength = 16
    /// The longest body of a protected record: data, the byte that tells its kind, and the tag.
    static let maximumProtectedBody = maximumData + 1 + tagLength
}

/// The first byte of every record. None of them begins a TLS record (0x14...0x18), an SSL 2.0 hello (0x80), an HTTP
/// request (ASCII) or a PROXY protocol header (`P`, 0x0D); nor can they occur in UTF-8 text (0xC1).
public enum NativeRecordType: UInt8, Sendable {
    /// One handshake message.
    case handshake = 0xC1
    /// An alert in the clear, before there are keys.
    case alert = 0xF5
    /// Something protected by the keys agreed on.
    case protected = 0xF6
}

/// Which of the published text's two key agreements.
public enum NativeVariant: UInt8, CaseIterable, Sendable, CustomStringConvertible {
    /// Figure 3: the origin makes the second random after it has decrypted the first.
    case originDerived = 1
    /// Figure 4: the second random comes with the certificate information, and the client sends the symmetric key.
    case clientDerived = 2

    public var description: String {
        switch self {
        case .originDerived: "origin-derived"
        case .clientDerived: "client-derived"
        }
    }

    /// From ``description``'s words.
    public init?(name: String) {
        guard let variant = Self.allCases.first(where: { $0.description == name }) else { return nil }
        self = variant
    }
}

/// A cipher with its hash, by the number of the TLS 1.3 suite that has the same two.
public enum NativeSuite: UInt16, CaseIterable, Sendable, CustomStringConvertible {
    case aes128GCMSHA256 = 0x1301
    case aes256GCMSHA384 = 0x1302
    case chaCha20Poly1305SHA256 = 0x1303

    public var description: String {
        switch self {
        case .aes128GCMSHA256: "AES-128-GCM with SHA-256"
        case .aes256GCMSHA384: "AES-256-GCM with SHA-384"
        case .chaCha20Poly1305SHA256: "ChaCha20-Poly1305 with SHA-256"
        }
    }

    /// Bytes of a key.
    var keyLength: Int { self == .aes128GCMSHA256 ? 16 : 32 }
    /// Bytes of a hash, a Finished, and a traffic secret.
    var hashLength: Int { self == .aes256GCMSHA384 ? 48 : 32 }
    var usesSHA384: Bool { self == .aes256GCMSHA384 }
}

/// The kinds of certificate keys that can both sign and decrypt, and with what.
public enum NativeKeyKind: UInt8, CaseIterable, Sendable, CustomStringConvertible {
    /// RSA-PSS with SHA-256 to sign, RSA-OAEP with SHA-256 to decrypt.
    case rsa = 1
    /// ECDSA with SHA-256 to sign, HPKE (DHKEM P-256 with HKDF-SHA256, AES-256-GCM) to decrypt.
    case p256 = 2

    public var description: String {
        switch self {
        case .rsa: "RSA (PSS, OAEP)"
        case .p256: "P-256 (ECDSA, HPKE)"
        }
    }
}

/// Which end of the channel.
public enum NativeRole: Sendable {
    case client
    case origin
}
