public import X509

public import struct FoundationEssentials.Date

/// A root for site certificates in tests, trials and the demo. Real sites have certificates that browsers know.
public struct TestSiteAuthority: Sendable {
    private let signer: Signer
    /// The authorities between the root and this one, this one first; empty for a root.
    private let intermediates: [Certificate]

    /// A new root with a fresh key.
    /// - Parameters:
    ///   - name: its common name, 1 to 64 characters.
    ///   - keyType: P-256 or RSA. Clients that know RSA only take RSA sites of an RSA root.
    ///   - validity: default ten years.
    public init(name: String, keyType: SiteKeyType = .p256, validity: Validity = .days(3650)) throws {
        guard (1...64).contains(name.unicodeScalars.count) else { throw AuthorityError.invalidName(name) }
        self.signer = try Signer(root: name, keyType: keyType, maxPathLength: nil, validity: validity)
        self.intermediates = []
    }

    /// A root made before.
    /// - Throws: `AuthorityError` where a text can't be read, the certificate is no authority's, or the key isn't its own.
    public init(certificatePEM: String, keyPEM: String) throws(AuthorityError) {
        self.signer = try Signer(certificatePEM: certificatePEM, keyPEM: keyPEM, types: [.p256, .rsa2048])
        self.intermediates = []
    }

    private init(signer: Signer, intermediates: [Certificate]) {
        self.signer = signer
        self.intermediates = intermediates
    }

    public var certificate: Certificate { signer.certificate }

    /// The certificate as PEM. Of a root, this is what clients are given to trust.
    public var certificatePEM: String { signer.certificatePEM }

    /// The private key as PEM, PKCS#8.
    public var keyPEM: String { signer.keyPEM }

    /// An authority below this one. The chains of what it issues include its certificate.
    public func issueIntermediate(name: String, validity: Validity = .days(1825)) throws -> TestSiteAuthority {
        let below = try signer.issueAuthority(commonName: name, validity: validity)
        return TestSiteAuthority(signer: below, intermediates: [below.certificate] + intermediates)
    }

    /// The same authority with a certificate by another one, which it adds to its chains: clients that trust either take them.
    public func below(_ other: TestSiteAuthority, validity: Validity = .days(1825)) throws -> TestSiteAuthority {
        let certificate = try other.signer.certify(
            self.certificate.subject, self.certificate.publicKey,
            validity: validity.ending(noLaterThan: self.certificate.notValidAfter))
        return TestSiteAuthority(signer: self.signer, intermediates: [certificate] + other.intermediates)
    }

    /// Makes a key and a server certificate for `domains`.
    /// - Parameters:
    ///   - domains: DNS names or `*.` and a DNS name, 1 to 100 of them.
    ///   - validity: default 90 days; cut off where the authority ends.
    public func issueSite(
        domains: [String], keyType: SiteKeyType, validity: Validity = .days(90)
    ) throws -> IssuedCertificate {
        guard let first = domains.first, domains.count <= 100 else { throw AuthorityError.noDomains }
        for domain in domains where !Self.isDomain(domain) {
            throw AuthorityError.invalidDomain(domain)
        }
        return try self.issueSite(domains: domains, first: first, key: SigningKey(generating: keyType), validity)
    }

    /// Another certificate for a key that there is.
    /// - Throws: `AuthorityError`, also for a key of another kind than ``SiteKeyType``.
    public func issueSite(
        domains: [String], keyPEM: String, validity: Validity = .days(90)
    ) throws -> IssuedCertificate {
        guard let first = domains.first, domains.count <= 100 else { throw AuthorityError.noDomains }
        guard let key = SigningKey(pem: keyPEM) else {
            throw AuthorityError.unreadable(what: "site's key", reason: "it is of no kind that is made here")
        }
        return try self.issueSite(domains: domains, first: first, key: key, validity)
    }

    private func issueSite(
        domains: [String], first: String, key: SigningKey, _ validity: Validity
    ) throws -> IssuedCertificate {
        let certificate = try signer.issueLeaf(
            // RFC 5280 appendix A: a common name has at most 64 characters, a DNS name may have more.
            commonName: first.utf8.count <= 64 ? first : nil,
            names: domains.map { .dnsName($0) }, usages: [.serverAuth],
            publicKey: key.privateKey.publicKey, validity: validity)
        return try IssuedCertificate(certificate: certificate, intermediates: intermediates, key: key)
    }

    /// The same with explicit times; `notAfter` may lie in the past, for tests of expiry.
    public func issueSite(
        domains: [String], keyType: SiteKeyType, notBefore: Date, notAfter: Date
    ) throws -> IssuedCertificate {
        try issueSite(
            domains: domains, keyType: keyType, validity: Validity(notBefore: notBefore, notAfter: notAfter))
    }

    /// Lower-case labels of letters, digits, hyphens and underscores, 253 bytes in all; the first may be `*`.
    static func isDomain(_ text: String) -> Bool {
        let name = text.hasPrefix("*.") ? text.dropFirst(2) : text[...]
        guard (1...253).contains(text.utf8.count) else { return false }
        let labels = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        // An address is no DNS name, and a last label of digits only is how addresses look.
        guard let last = labels.last, !last.allSatisfy(isDigit) else { return false }
        return labels.allSatisfy { label in
            (1...63).contains(label.count) && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
                && label.allSatisfy(isLabelByte)
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private static func isLabelByte(_ byte: UInt8) -> Bool {
        isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
            || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
    }
}
