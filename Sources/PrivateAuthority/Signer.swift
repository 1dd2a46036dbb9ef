import FoundationEssentials
import SwiftASN1
import X509

/// An authority's certificate and key: what both kinds of authorities issue with.
struct Signer: Sendable {
    let certificate: Certificate
    let key: SigningKey
    /// The certificate as PEM.
    let certificatePEM: String
    /// The key as PEM, PKCS#8.
    let keyPEM: String

    /// A self-signed root.
    /// - Parameter maxPathLength: how many authorities may stand between it and a leaf; nil sets no limit.
    init(root commonName: String, keyType: SiteKeyType = .p256, maxPathLength: Int?, validity: Validity) throws {
        let key = try SigningKey(generating: keyType)
        let privateKey = key.privateKey
        let name = try DistinguishedName { CommonName(commonName) }
        let certificate = try Self.sign(
            subject: name, publicKey: privateKey.publicKey, validity: validity,
            extensions: try Self.authorityExtensions(privateKey.publicKey, maxPathLength: maxPathLength, issuer: nil),
            issuer: name, issuerKey: key)
        try self.init(certificate: certificate, key: key)
    }

    /// Reads a certificate and its key, and checks that they belong together and may issue certificates.
    ///
    /// - Parameter types: what its key may be.
    init(certificatePEM: String, keyPEM: String, types: [SiteKeyType] = [.p256]) throws(AuthorityError) {
        let certificate: Certificate
        do {
            certificate = try Certificate(pemEncoded: certificatePEM)
        } catch {
            throw .unreadable(what: "authority's certificate", reason: String(describing: error))
        }
        guard let key = SigningKey(pem: keyPEM), types.contains(key.type) else {
            let names = types.map(\.displayName).joined(separator: " or ")
            throw .unreadable(what: "authority's key", reason: "it is not a \(names) private key in PEM")
        }
        guard
            case .isCertificateAuthority = (try? certificate.extensions.basicConstraints) ?? .notCertificateAuthority,
            let usage = try? certificate.extensions.keyUsage, usage.keyCertSign
        else {
            throw .notAnAuthority
        }
        guard key.privateKey.publicKey == certificate.publicKey else {
            throw .keyDoesNotMatch
        }
        do {
            try self.init(certificate: certificate, key: key)
        } catch {
            throw .unreadable(what: "authority's certificate", reason: String(describing: error))
        }
    }

    /// An authority below this one.
    func issueAuthority(commonName: String, validity: Validity) throws -> Signer {
        let key = try SigningKey(generating: .p256)
        let certificate = try self.certify(
            try DistinguishedName { CommonName(commonName) }, key.privateKey.publicKey, validity: validity)
        return try Signer(certificate: certificate, key: key)
    }

    /// A certificate for another authority's name and key, which puts that one below this one.
    func certify(
        _ subject: DistinguishedName, _ publicKey: Certificate.PublicKey, validity: Validity
    ) throws -> Certificate {
        try Self.sign(
            subject: subject, publicKey: publicKey,
            validity: validity.ending(noLaterThan: self.certificate.notValidAfter),
            extensions: try Self.authorityExtensions(publicKey, maxPathLength: 0, issuer: self.certificate),
            issuer: self.certificate.subject, issuerKey: self.key)
    }

    /// A leaf for TLS: digital signatures only, so that its key cannot be used for key transport.
    func issueLeaf(
        commonName: String?, names: [GeneralName], usages: [ExtendedKeyUsage.Usage],
        publicKey: Certificate.PublicKey, validity: Validity
    ) throws -> Certificate {
        let subject: DistinguishedName =
            if let commonName { try DistinguishedName { CommonName(commonName) } } else { DistinguishedName() }
        // RFC 5280 §4.2.1.6: without a subject, the alternative names must be critical.
        let alternativeNames = try Certificate.Extension(SubjectAlternativeNames(names), critical: commonName == nil)
        let extensions = try Certificate.Extensions([
            Certificate.Extension(BasicConstraints.notCertificateAuthority, critical: true),
            Certificate.Extension(KeyUsage(digitalSignature: true), critical: true),
            Certificate.Extension(try ExtendedKeyUsage(usages), critical: false),
            alternativeNames,
            Certificate.Extension(SubjectKeyIdentifier(hash: publicKey), critical: false),
            Certificate.Extension(Self.authorityKeyIdentifier(certificate), critical: false),
        ])
        return try Self.sign(
            subject: subject, publicKey: publicKey,
            validity: validity.ending(noLaterThan: certificate.notValidAfter),
            extensions: extensions, issuer: certificate.subject, issuerKey: key)
    }

    private init(certificate: Certificate, key: SigningKey) throws {
        self.certificatePEM = try PEM.encode(certificate)
        self.keyPEM = try key.pkcs8PEM
        self.certificate = certificate
        self.key = key
    }

    private static func authorityExtensions(
        _ publicKey: Certificate.PublicKey, maxPathLength: Int?, issuer: Certificate?
    ) throws -> Certificate.Extensions {
        var list: [Certificate.Extension] = [
            try .init(BasicConstraints.isCertificateAuthority(maxPathLength: maxPathLength), critical: true),
            try .init(KeyUsage(keyCertSign: true, cRLSign: true), critical: true),
            try .init(SubjectKeyIdentifier(hash: publicKey), critical: false),
        ]
        if let issuer {
            list.append(try .init(authorityKeyIdentifier(issuer), critical: false))
        }
        return try Certificate.Extensions(list)
    }

    private static func authorityKeyIdentifier(_ issuer: Certificate) -> AuthorityKeyIdentifier {
        let written = (try? issuer.extensions.subjectKeyIdentifier)?.keyIdentifier
        return AuthorityKeyIdentifier(
            keyIdentifier: written ?? SubjectKeyIdentifier(hash: issuer.publicKey).keyIdentifier)
    }

    private static func sign(
        subject: DistinguishedName, publicKey: Certificate.PublicKey, validity: Validity,
        extensions: Certificate.Extensions, issuer: DistinguishedName, issuerKey: SigningKey
    ) throws -> Certificate {
        guard validity.notAfter > validity.notBefore else {
            throw AuthorityError.emptyValidity(notBefore: validity.notBefore, notAfter: validity.notAfter)
        }
        return try Certificate(
            version: .v3, serialNumber: randomSerialNumber(), publicKey: publicKey,
            notValidBefore: validity.notBefore, notValidAfter: validity.notAfter,
            issuer: issuer, subject: subject, signatureAlgorithm: issuerKey.signatureAlgorithm,
            extensions: extensions, issuerPrivateKey: issuerKey.privateKey)
    }

    /// 16 bytes of which 126 bits are random: the first bit is clear, so that the number is positive, and the second set,
    /// so that it always has the same length (RFC 5280 §4.1.2.2 allows up to 20 bytes).
    private static func randomSerialNumber() -> Certificate.SerialNumber {
        var generator = SystemRandomNumberGenerator()
        var bytes: [UInt8] = (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }
        bytes[0] = bytes[0] & 0x3F | 0x40
        return Certificate.SerialNumber(bytes: bytes)
    }
}
