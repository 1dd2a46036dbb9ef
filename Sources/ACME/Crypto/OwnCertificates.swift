import Crypto
public import SwiftASN1
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A certificate that a validating authority is shown (RFC 8737 section 3), with a key of its own. Both DER.
public struct ChallengeCertificate: Sendable {
    public var certificate: [UInt8]
    /// PKCS #8.
    public var key: [UInt8]

    /// id-pe-acmeIdentifier.
    public static let acmeIdentifier: ASN1ObjectIdentifier = [1, 3, 6, 1, 5, 5, 7, 1, 31]

    /// - Parameters:
    ///   - digest: SHA-256 of the key authorization.
    ///   - now: milliseconds since 1970.
    init(name: String, digest: [UInt8], now: Int64) throws(ACMEFailure) {
        do {
            let key = P256.Signing.PrivateKey()
            var value = DER.Serializer()
            try value.serialize(ASN1OctetString(contentBytes: digest[...]))
            let extensions = try Certificate.Extensions {
                SubjectAlternativeNames([.dnsName(name)])
                Certificate.Extension(
                    oid: Self.acmeIdentifier, critical: true, value: value.serializedBytes[...])
            }
            let certificate = try OwnCertificates.selfSigned(
                Certificate.PrivateKey(key), .ecdsaWithSHA256, commonName: "ACME challenge", extensions: extensions,
                now: now, days: 7)
            var serializer = DER.Serializer()
            try serializer.serialize(certificate)
            self.certificate = serializer.serializedBytes
            self.key = [UInt8](key.derRepresentation)
        } catch {
            throw ACMEFailure(.local("the challenge certificate cannot be made: \(error)"))
        }
    }
}

/// What a site shows until an authority has issued its first certificate: no client trusts it.
public enum Placeholder {
    /// Seen in a certificate's subject, it says that the certificate is none.
    static let commonName = "waiting for the first certificate"

    /// PEM. Valid for ten years, so that the site is there for challenges however long the first order takes.
    ///
    /// - Parameter now: milliseconds since 1970.
    public static func pem(for names: [String], key: SiteKey, now: Int64) throws(ACMEFailure) -> String {
        do {
            let extensions = try Certificate.Extensions { SubjectAlternativeNames(names.map { .dnsName($0) }) }
            let (key, algorithm) = key.signing
            return try OwnCertificates.selfSigned(
                key, algorithm, commonName: Self.commonName, extensions: extensions, now: now, days: 3650
            ).serializeAsPEM().pemString
        } catch {
            throw ACMEFailure(.local("the placeholder certificate cannot be made: \(error)"))
        }
    }
}

enum OwnCertificates {
    static func selfSigned(
        _ key: Certificate.PrivateKey, _ algorithm: Certificate.SignatureAlgorithm, commonName: String,
        extensions: Certificate.Extensions, now: Int64, days: Int64
    ) throws -> Certificate {
        let name = try DistinguishedName { CommonName(commonName) }
        let now = Date(timeIntervalSince1970: Double(now / 1000))
        return try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: key.publicKey,
            notValidBefore: now.addingTimeInterval(-3600), notValidAfter: now.addingTimeInterval(Double(days * 86_400)),
            issuer: name, subject: name, signatureAlgorithm: algorithm, extensions: extensions,
            issuerPrivateKey: key)
    }
}
