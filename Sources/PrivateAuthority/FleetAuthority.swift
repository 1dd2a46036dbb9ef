import Crypto
import KeyProtocol
public import X509

public import struct FoundationEssentials.Date

/// The two kinds of parties that a fleet authority vouches for.
public enum IdentityRole: String, CaseIterable, Sendable {
    case edge
    case keyholder
}

/// The private authority of one fleet: edges and key holders know each other by certificates that it issued.
///
/// It has nothing to do with site certificates, and no client ever sees its certificates. Its key is needed only to add an
/// edge or a key holder, and belongs offline in between.
public struct FleetAuthority: Sendable {
    private let signer: Signer

    /// A new authority with a fresh P-256 key.
    /// - Parameters:
    ///   - name: its common name, 1 to 64 characters, for people.
    ///   - validity: default ten years.
    public init(name: String, validity: Validity = .days(3650)) throws {
        guard (1...64).contains(name.unicodeScalars.count) else { throw AuthorityError.invalidName(name) }
        self.signer = try Signer(root: name, maxPathLength: 0, validity: validity)
    }

    /// An authority made before.
    /// - Throws: `AuthorityError` where a text can't be read, the certificate is no authority's, or the key isn't its own.
    public init(certificatePEM: String, keyPEM: String) throws(AuthorityError) {
        self.signer = try Signer(certificatePEM: certificatePEM, keyPEM: keyPEM)
    }

    public var certificate: Certificate { signer.certificate }

    /// What every edge and key holder needs: one certificate as PEM.
    public var certificatePEM: String { signer.certificatePEM }

    /// The authority's private key as PEM, PKCS#8. Keep it offline.
    public var keyPEM: String { signer.keyPEM }

    /// Makes a P-256 key and a certificate that says `latchstring:<role>:<name>` in a URI subject alternative name.
    ///
    /// An edge's may only act as a TLS client, a key holder's only as a TLS server; the latter also bears the DNS name
    /// `NAME.keyholder.latchstring.internal`.
    /// - Parameters:
    ///   - name: as `PartyName` has it.
    ///   - validity: default two years; cut off where the authority ends.
    public func issueIdentity(
        role: IdentityRole, name: String, validity: Validity = .days(730)
    ) throws -> IssuedCertificate {
        let key = try SigningKey(generating: .p256)
        let certificate = try self.certify(key.privateKey.publicKey, role: role, name: name, validity: validity)
        return try IssuedCertificate(certificate: certificate, intermediates: [], key: key)
    }

    /// The same for a key that was made elsewhere, and stays there.
    func certify(
        _ request: IdentityRequest, role: IdentityRole, name: String, validity: Validity
    ) throws -> Certificate {
        try self.certify(request.publicKey, role: role, name: name, validity: validity)
    }

    /// Who an identity's certificate says that it is.
    static func uri(_ role: IdentityRole, _ name: String) -> String { "latchstring:\(role.rawValue):\(name)" }

    private func certify(
        _ key: Certificate.PublicKey, role: IdentityRole, name: String, validity: Validity
    ) throws -> Certificate {
        guard PartyName.isLegal(name) else { throw AuthorityError.invalidName(name) }
        var names: [GeneralName] = [.uniformResourceIdentifier(Self.uri(role, name))]
        let usage: ExtendedKeyUsage.Usage
        switch role {
        case .edge:
            usage = .clientAuth
        case .keyholder:
            usage = .serverAuth
            names.append(.dnsName("\(name).keyholder.latchstring.internal"))
        }
        return try signer.issueLeaf(
            commonName: name, names: names, usages: [usage], publicKey: key, validity: validity)
    }

    /// The same with explicit times; `notAfter` may lie in the past, for tests of expiry.
    public func issueIdentity(
        role: IdentityRole, name: String, notBefore: Date, notAfter: Date
    ) throws -> IssuedCertificate {
        try issueIdentity(role: role, name: name, validity: Validity(notBefore: notBefore, notAfter: notAfter))
    }
}
