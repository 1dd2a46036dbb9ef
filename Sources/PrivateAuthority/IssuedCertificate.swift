import SwiftASN1
public import X509

/// A certificate with what it takes to use it: the chain to send, and the private key.
public struct IssuedCertificate: Sendable {
    /// The leaf.
    public let certificate: Certificate
    /// What stands between the leaf and its root, nearest first; the root itself is left out.
    public let intermediates: [Certificate]
    /// The leaf's private key.
    public let privateKey: Certificate.PrivateKey
    /// The leaf and its intermediates as PEM, leaf first: what a TLS server sends.
    public let chainPEM: String
    /// The private key as PEM, PKCS#8 (`BEGIN PRIVATE KEY`).
    public let keyPEM: String

    init(certificate: Certificate, intermediates: [Certificate], key: SigningKey) throws {
        self.certificate = certificate
        self.intermediates = intermediates
        self.privateKey = key.privateKey
        self.chainPEM = try ([certificate] + intermediates).map(PEM.encode).joined()
        self.keyPEM = try key.pkcs8PEM
    }

    /// The chain as DER, leaf first.
    public var chainDER: [[UInt8]] {
        get throws {
            try ([certificate] + intermediates).map { element in
                var serializer = DER.Serializer()
                try element.serialize(into: &serializer)
                return serializer.serializedBytes
            }
        }
    }

    /// The subject key identifier: 20 bytes, the SHA-1 of the subjectPublicKey bit string (RFC 5280 §4.2.1.2, method 1).
    public var subjectKeyIdentifier: [UInt8] {
        Array(SubjectKeyIdentifier(hash: certificate.publicKey).keyIdentifier)
    }
}

enum PEM {
    /// One certificate as PEM with a newline at its end, so that several can be put one after another.
    static func encode(_ certificate: Certificate) throws -> String {
        withNewline(try certificate.serializeAsPEM().pemString)
    }

    static func withNewline(_ text: String) -> String {
        text.hasSuffix("\n") ? text : text + "\n"
    }
}
