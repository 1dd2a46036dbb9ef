public import RecordLayer
public import TLSWire
public import X509

/// Where private keys live and are used. The rest of the key holder never sees a private key.
///
/// ``SoftwareKeyStore`` keeps them in this process. A store whose keys are on another device is another conformance: keys come out
/// of it as ``StoredKey`` values, and nothing else changes.
public protocol KeyStore: Sendable {
    /// - Parameter certified: The key in the certificate. A device that does not give out public keys is asked for a signature that
    ///   this one verifies; whether the key that is returned has the same public key, the caller looks.
    /// - Throws: ``SiteLoadError`` with the file's name and what to do.
    func key(
        from source: KeySource, for certified: Certificate.PublicKey
    ) throws(SiteLoadError) -> any StoredKey
}

/// A private key that can be used but not read.
public protocol StoredKey: Sendable {
    var type: KeyType { get }
    var publicKey: Certificate.PublicKey { get }

    /// The key itself, as PKCS #8 in DER, for the TLS library: RSA key exchange is with a key that it has, or not at all. Nil, which
    /// is the default, where it is not to be had or the key is no RSA key.
    func privateKeyInfo() -> Secret?

    /// Whether the key does nothing but ``KeyOperation/sign(_:content:)``: no decryption, nothing for stock peers. Default: no.
    var signsHandshakesOnly: Bool { get }

    /// How long `operation` takes, roughly: decides where it is done.
    func cost(of operation: KeyOperation) -> KeyOperationCost

    /// Does the operation, on the calling thread: an event loop's only where the cost is ``KeyOperationCost/inPlace``.
    func perform(_ operation: KeyOperation) throws(KeyOperationError) -> [UInt8]
}

extension StoredKey {
    public func privateKeyInfo() -> Secret? { nil }

    public var signsHandshakesOnly: Bool { false }
}

/// The kinds of keys that sites may have.
public enum KeyType: Hashable, Sendable, CustomStringConvertible {
    case p256, p384, p521
    /// 2,048 to 4,096 bits.
    case rsa(bits: Int)
    case ed25519

    public var description: String {
        switch self {
        case .p256: "P-256"
        case .p384: "P-384"
        case .p521: "P-521"
        case .rsa(let bits): "RSA-\(bits)"
        case .ed25519: "Ed25519"
        }
    }

    public var isRSA: Bool { if case .rsa = self { true } else { false } }

    public var isECDSA: Bool {
        switch self {
        case .p256, .p384, .p521: true
        case .rsa, .ed25519: false
        }
    }

    /// The curve, as its IANA number among groups; nil: the key is on none that TLS 1.2 clients name.
    var curve: UInt16? {
        switch self {
        case .p256: 23
        case .p384: 24
        case .p521: 25
        case .rsa, .ed25519: nil
        }
    }

    /// What the key can sign in TLS, preferred first. A curve goes with one hash only, also in TLS 1.2, and SHA-1 not at
    /// all.
    public var schemes: [SignatureScheme] {
        switch self {
        case .p256: [.ecdsaP256SHA256]
        case .p384: [.ecdsaP384SHA384]
        case .p521: [.ecdsaP521SHA512]
        case .rsa:
            [.rsaPSSSHA256, .rsaPSSSHA384, .rsaPSSSHA512, .rsaPKCS1SHA256, .rsaPKCS1SHA384, .rsaPKCS1SHA512]
        case .ed25519: [.ed25519]
        }
    }

    /// Whether it is one of ``schemes``, and not PKCS #1 v1.5, which RFC 8446 section 4.4.3 forbids in a CertificateVerify.
    public func signsTLS13(_ scheme: SignatureScheme) -> Bool {
        switch scheme {
        case .rsaPKCS1SHA256, .rsaPKCS1SHA384, .rsaPKCS1SHA512: false
        default: self.schemes.contains(scheme)
        }
    }
}

/// What a stored key is asked to do.
public enum KeyOperation: Equatable, Sendable {
    /// Hash and sign `content` as the scheme says. ECDSA signatures are DER; RSA ones as long as the modulus.
    case sign(SignatureScheme, content: SignedContent)
    /// Sign a digest that a stock peer made.
    case signDigest(DigestAlgorithm, SignaturePadding, digest: [UInt8])
    /// Ed25519: sign a stock peer's message.
    case signMessage([UInt8])
    /// Undo RSA encryption with PKCS #1 v1.5 padding of a TLS premaster secret. The result is always 48 bytes: where the
    /// padding is wrong, 48 bytes that cannot be predicted and that stay the same for the same ciphertext.
    case decryptPremasterSecret([UInt8])
    /// Undo RSAES-OAEP (RFC 8017) with SHA-256 for hash and MGF1 and an empty label.
    case decryptOAEP([UInt8])
    /// P-256: undo HPKE (RFC 9180) in base mode, with DHKEM(P-256, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM.
    case openHPKE(encapsulatedKey: [UInt8], ciphertext: [UInt8], info: [UInt8], authenticated: [UInt8])
    /// RSA's private operation on a block as long as the modulus.
    case rawRSA([UInt8])
}

/// How a digest is put in shape for the key.
public enum SignaturePadding: Equatable, Sendable {
    case pkcs1
    /// The salt is as long as the hash.
    case pss
    case ecdsa
}

/// The hashes whose digests stock peers send.
public enum DigestAlgorithm: Equatable, Sendable, CaseIterable {
    /// MD5 and SHA-1 one after the other, as TLS 1.0 and 1.1 sign.
    case md5SHA1
    case sha1, sha224, sha256, sha384, sha512

    /// Bytes.
    public var length: Int {
        switch self {
        case .md5SHA1: 36
        case .sha1: 20
        case .sha224: 28
        case .sha256: 32
        case .sha384: 48
        case .sha512: 64
        }
    }
}

/// Where an operation belongs.
public enum KeyOperationCost: Equatable, Sendable {
    /// Less than half a millisecond of work: cheaper where it is than with a change of thread.
    case inPlace
    /// More work than that: for one of the threads for that, of which there are as many as cores.
    case offload
    /// A wait for a device, which may not answer: for threads that nothing else than this device's keys needs.
    case device(KeyDevice)
}

/// What keys are on that are not in this process. Each has threads of its own, so that one that does not answer holds up its own keys
/// alone. It is known by its identity: one for all keys of a device, and as long as there are such.
public final class KeyDevice: Equatable, Sendable {
    /// Operations that it does at once.
    public let concurrency: Int

    public init(concurrency: Int) { self.concurrency = max(1, concurrency) }

    public static func == (left: KeyDevice, right: KeyDevice) -> Bool { left === right }
}

public enum KeyOperationError: Error, Equatable, Sendable {
    /// The operation does not fit the key's type.
    case wrongKeyType
    /// A digest or block of the wrong length.
    case badLength
    /// The library refused; for example a block that is not smaller than the modulus.
    case failed
}
