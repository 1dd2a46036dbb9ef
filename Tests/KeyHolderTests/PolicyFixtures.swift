import Crypto
import CryptoExtras
import KeyProtocol
import NIOCore
import TLSWire
import X509

@testable import KeyHolder

/// Sites without certificates, for tests of decisions.
enum PolicyFixtures {
    static let edwards = Curve25519.Signing.PrivateKey()
    static let p256 = P256.Signing.PrivateKey()
    static let p384 = P384.Signing.PrivateKey()
    static let p521 = P521.Signing.PrivateKey()
    static let rsa: _RSA.Signing.PrivateKey = KeyStoreTests.rsaKeys[0]

    /// One key of each type.
    static func keys() throws -> [any StoredKey] {
        [
            SoftwareKey(.p256(self.p256)), SoftwareKey(.p384(self.p384)), SoftwareKey(.p521(self.p521)),
            SoftwareKey(.ed25519(self.edwards)), SoftwareKey(.rsa(try RSASecret(self.rsa))),
        ]
    }

    static func site(
        _ domains: String..., ski: UInt8, key: (any StoredKey)? = nil, notAfter: Int64 = 4_000_000_000,
        modes: Set<TrustMode> = [.keyless], application: ApplicationConfiguration? = nil
    ) throws -> Site {
        let names = try domains.map { try ServerNamePattern($0) }
        let credential = self.credential(ski, key: key, names: names, notAfter: notAfter)
        return Site(
            domains: names, credentials: [credential], modes: modes,
            native: try application.map {
                try NativeSite($0, credentials: [credential], chainName: credential.chainName)
            })
    }

    static func credential(
        _ ski: UInt8, key: (any StoredKey)? = nil, names: [ServerNamePattern] = [], notBefore: Int64 = 0,
        notAfter: Int64 = 4_000_000_000
    ) -> SiteCredential {
        SiteCredential(
            chain: [[ski, 1, 2, 3]], ski: [UInt8](repeating: ski, count: 20),
            certificateDigest: [UInt8](repeating: ski, count: 32), key: key ?? SoftwareKey(.p256(self.p256)),
            certified: names, notBefore: notBefore, notAfter: notAfter,
            chainName: "\(names.first?.description ?? "").pem")
    }

    static func grant(
        _ edge: String, _ sites: String..., operations: Set<KeyProtocol.Operation> = KeyProtocol.Operation.keyless,
        rate: Int = 1000
    ) throws -> GrantConfiguration {
        GrantConfiguration(
            edge: edge, sites: try sites.map { try ServerNamePattern($0) }, operations: operations, rate: rate)
    }

    static func certificateRequest(_ name: String) -> KeyMessage {
        KeyMessage(opcode: .custom, function: KeyFunction.certificate.rawValue, serverName: name)
    }

    static func signRequest(
        _ name: String, _ scheme: SignatureScheme = .ecdsaP256SHA256, hashLength: Int = 32, ski: [UInt8]? = nil
    ) -> KeyMessage {
        let request = SignTLS13Request(
            scheme: scheme, transcriptHash: [UInt8](repeating: 0xAB, count: hashLength))
        return KeyMessage(
            opcode: .custom, payload: request.encoded(), function: KeyFunction.signTLS13.rawValue, serverName: name,
            ski: ski)
    }

    /// The record of a hello without a name, whose client offers these versions.
    private static func hello(versions: [UInt16]) -> ByteBuffer {
        var body: [UInt8] = [3, 3] + [UInt8](repeating: 7, count: 32) + [0, 0, 4, 0x13, 0x01, 0xC0, 0x2B, 1, 0]
        let list: [UInt8] = versions.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
        let versions: [UInt8] = [0, 43, 0, UInt8(list.count + 1), UInt8(list.count)] + list
        body += [0, UInt8(versions.count)] + versions
        return ByteBuffer(
            bytes: [22, 3, 1, 0, UInt8(body.count + 4), 1, 0, 0, UInt8(body.count)] + body)
    }

    static let tls12Hello: ByteBuffer = hello(versions: [0x0303])
    static let tls13Hello: ByteBuffer = hello(versions: [0x0304, 0x0303])

    static func beginRequest(_ name: String, _ hello: ByteBuffer) throws -> KeyMessage {
        KeyMessage(
            opcode: .custom,
            payload: try HandshakeBegin(applicationProtocols: ["http/1.1"], clientBytes: hello).encoded(),
            function: KeyFunction.handshakeBegin.rawValue, serverName: name)
    }
}

extension Site {
    /// The preferred one.
    var first: SiteCredential { self.credentials[0] }
}

extension RequestJudge.Action {
    var refusal: (KeyErrorCode, AuditOutcome)? {
        if case .refuse(let code, let outcome) = self { (code, outcome) } else { nil }
    }

    var outcome: AuditOutcome? { self.refusal?.1 }
    var code: KeyErrorCode? { self.refusal?.0 }

    /// What would be done.
    var operation: KeyOperation? {
        if case .perform(let operation, _, _) = self { operation } else { nil }
    }

    var answer: ByteBuffer? {
        if case .answer(let payload) = self { payload } else { nil }
    }
}
