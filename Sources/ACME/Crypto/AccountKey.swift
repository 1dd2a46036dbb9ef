import Crypto

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The key of an account with a directory: signs every request to it (RFC 8555 section 6.2), with ES256.
public struct AccountKey: Sendable {
    private let key: P256.Signing.PrivateKey

    public init() { self.key = P256.Signing.PrivateKey() }

    /// - Throws: if the text is no P-256 key in PEM.
    public init(pem: String) throws { self.key = try P256.Signing.PrivateKey(pemRepresentation: pem) }

    public var pem: String { self.key.pemRepresentation }

    /// RFC 7517; members in the order that RFC 7638 hashes them in.
    struct JWK: Codable, Equatable {
        var crv: String
        var kty: String
        var x: String
        var y: String
    }

    var jwk: JWK {
        let point = self.key.publicKey.rawRepresentation
        return JWK(
            crv: "P-256", kty: "EC", x: Base64URL.encode(point.prefix(32)), y: Base64URL.encode(point.suffix(32)))
    }

    /// RFC 7638 with SHA-256.
    var thumbprint: String {
        get throws(ACMEFailure) { Base64URL.encode(Array(SHA256.hash(data: try JSONText.encode(self.jwk)))) }
    }

    /// What proves that the account asks for the name (RFC 8555 section 8.1).
    func keyAuthorization(token: String) throws(ACMEFailure) -> String {
        "\(token).\(try self.thumbprint)"
    }

    /// 64 bytes: r and s.
    func signature(over bytes: [UInt8]) throws(ACMEFailure) -> [UInt8] {
        do { return [UInt8](try self.key.signature(for: bytes).rawRepresentation) } catch {
            throw ACMEFailure(.local("the account key does not sign: \(error)"))
        }
    }
}
