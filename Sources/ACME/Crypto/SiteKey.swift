import Crypto
import SwiftASN1
import X509

/// The private key of a site's certificate: P-256, made here, and never sent anywhere.
public struct SiteKey: Sendable {
    let key: P256.Signing.PrivateKey

    public init() { self.key = P256.Signing.PrivateKey() }

    /// - Throws: if the text is no P-256 key in PEM.
    public init(pem: String) throws { self.key = try P256.Signing.PrivateKey(pemRepresentation: pem) }

    public var pem: String { self.key.pemRepresentation }

    /// A request for a certificate (PKCS #10): DER. The names stand in the extension for alternative names alone.
    func certificateRequest(for names: [String]) throws(ACMEFailure) -> [UInt8] {
        do {
            let extensions = try Certificate.Extensions { SubjectAlternativeNames(names.map { .dnsName($0) }) }
            let request = try CertificateSigningRequest(
                version: .v1, subject: DistinguishedName(), privateKey: Certificate.PrivateKey(self.key),
                attributes: CertificateSigningRequest.Attributes([
                    .init(ExtensionRequest(extensions: extensions))
                ]), signatureAlgorithm: .ecdsaWithSHA256)
            var serializer = DER.Serializer()
            try serializer.serialize(request)
            return serializer.serializedBytes
        } catch {
            throw ACMEFailure(.local("the certificate request cannot be made: \(error)"))
        }
    }
}
