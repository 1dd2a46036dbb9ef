import SecretFiles
import X509

public import struct FoundationEssentials.Date

/// A directory of certificates and keys as `latchstring certs` lays it out:
///
///     authority.pem  authority.key                      the fleet authority; its key belongs offline
///     edge-NAME.pem  keyholder-NAME.pem  and .key       identities
///     edge-NAME.csr  keyholder-NAME.csr                 requests for identities, whose keys stay with their parties
///     test-site-authority.pem  and .key                 a root for test sites
///     test-site-authority-rsa.pem  and .key             one for those with RSA keys, below the other for clients that trust that
///     DOMAIN.pem  and .key                              test sites; the chain, leaf first
///
/// Authorities that are there already are used, and never replaced. Other files are replaced only where that is asked for.
public struct CertificateDirectory: Sendable {
    public let path: String

    public init(path: String) {
        self.path = path
    }

    /// One certificate and key that were written.
    public struct Made: Sendable, Equatable {
        public enum Kind: Sendable, Equatable {
            case fleetAuthority
            case edge(String)
            case keyHolder(String)
            /// With the type of its key.
            case testSiteAuthority(SiteKeyType)
            case site([String], SiteKeyType)
        }

        public var kind: Kind
        public var certificatePath: String
        public var keyPath: String
        public var notAfter: Date
    }

    /// Makes what `order` asks for, and the authorities that it takes if they are missing.
    ///
    /// Everything is checked and made before the first file is written. Keys can be read by their owner alone (0600), and
    /// so can the directory if it has to be made (0700).
    /// - Parameter replacing: replace identities and sites that exist. Without it, an existing file is an error.
    /// - Throws: `CertificateOrderError`, `CertificateDirectoryError`, `AuthorityError`, `FileError`, `SecretFileError`.
    public func fulfil(_ order: CertificateOrder, replacing: Bool = false, now: Date = Date()) throws -> [Made] {
        try order.validate()
        try refuseExisting(order, replacing: replacing)

        var batch = Batch()
        if order.needsFleetAuthority {
            try issueIdentities(order, now: now, into: &batch)
        }
        if !order.sites.isEmpty {
            try issueSites(order, now: now, into: &batch)
        }
        try PrivateFiles.makeDirectory(path)
        try PrivateFiles.write(batch.files, replacing: replacing)
        return batch.made
    }

    private func issueIdentities(_ order: CertificateOrder, now: Date, into batch: inout Batch) throws {
        let authority: FleetAuthority
        if let files = try existingAuthority(FileStem.fleetAuthority) {
            authority = try FleetAuthority(certificatePEM: files.certificate, keyPEM: files.key)
        } else {
            authority = try FleetAuthority(
                name: order.authorityName, validity: .days(order.authorityDays, from: now))
            batch.add(
                .fleetAuthority, at: paths(FileStem.fleetAuthority), certificatePEM: authority.certificatePEM,
                keyPEM: authority.keyPEM, notAfter: authority.certificate.notValidAfter)
        }
        let validity = Validity.days(order.identityDays, from: now)
        for name in order.edges {
            let identity = try authority.issueIdentity(role: .edge, name: name, validity: validity)
            batch.add(.edge(name), at: paths(FileStem.edge(name)), identity)
        }
        for name in order.keyHolders {
            let identity = try authority.issueIdentity(role: .keyholder, name: name, validity: validity)
            batch.add(.keyHolder(name), at: paths(FileStem.keyHolder(name)), identity)
        }
    }

    private func issueSites(_ order: CertificateOrder, now: Date, into batch: inout Batch) throws {
        let authority = try self.siteAuthority(.p256, order, now: now, into: &batch)
        let rsa =
            order.needsRSAAuthority
            ? try self.siteAuthority(.rsa2048, order, now: now, into: &batch)
                .below(authority, validity: .days(order.authorityDays, from: now)) : authority
        for site in order.sites {
            let issued = try (site.keyType == .rsa2048 ? rsa : authority).issueSite(
                domains: site.domains, keyType: site.keyType, validity: .days(order.siteDays, from: now))
            batch.add(.site(site.domains, site.keyType), at: paths(FileStem.site(site)), issued)
        }
    }

    /// The one that is there, or a new one.
    private func siteAuthority(
        _ type: SiteKeyType, _ order: CertificateOrder, now: Date, into batch: inout Batch
    ) throws -> TestSiteAuthority {
        let stem = type == .rsa2048 ? FileStem.rsaTestSiteAuthority : FileStem.testSiteAuthority
        if let files = try existingAuthority(stem) {
            return try TestSiteAuthority(certificatePEM: files.certificate, keyPEM: files.key)
        }
        let name = "Latchstring test site authority"
        let authority = try TestSiteAuthority(
            name: type == .rsa2048 ? "\(name) (RSA)" : name, keyType: type,
            validity: .days(order.authorityDays, from: now))
        batch.add(
            .testSiteAuthority(type), at: paths(stem), certificatePEM: authority.certificatePEM,
            keyPEM: authority.keyPEM, notAfter: authority.certificate.notValidAfter)
        return authority
    }

    private func paths(_ stem: String) -> (certificate: String, key: String) {
        ("\(path)/\(stem).pem", "\(path)/\(stem).key")
    }

    private func refuseExisting(_ order: CertificateOrder, replacing: Bool) throws {
        guard !replacing else { return }
        let stems =
            order.edges.map(FileStem.edge) + order.keyHolders.map(FileStem.keyHolder) + order.sites.map(FileStem.site)
        let existing = stems.flatMap { [paths($0).certificate, paths($0).key] }.filter(PrivateFiles.exists)
        guard existing.isEmpty else { throw CertificateDirectoryError.exists(existing) }
    }

    /// Both files of an authority, nil if there is neither, an error if there is only one of them.
    func existingAuthority(_ stem: String) throws -> (certificate: String, key: String)? {
        let (certificate, key) = paths(stem)
        switch (PrivateFiles.exists(certificate), PrivateFiles.exists(key)) {
        case (false, false): return nil
        case (true, false): throw CertificateDirectoryError.authorityKeyMissing(certificate: certificate, key: key)
        case (false, true):
            throw CertificateDirectoryError.authorityCertificateMissing(certificate: certificate, key: key)
        case (true, true): return (try PrivateFiles.read(certificate), try SecretFile.read(key))
        }
    }

    /// What will be written once everything has been made.
    private struct Batch {
        var files: [PrivateFiles.File] = []
        var made: [Made] = []

        mutating func add(
            _ kind: Made.Kind, at paths: (certificate: String, key: String), _ issued: IssuedCertificate
        ) {
            add(
                kind, at: paths, certificatePEM: issued.chainPEM, keyPEM: issued.keyPEM,
                notAfter: issued.certificate.notValidAfter)
        }

        mutating func add(
            _ kind: Made.Kind, at paths: (certificate: String, key: String), certificatePEM: String, keyPEM: String,
            notAfter: Date
        ) {
            // The key first: a certificate without its key would be taken for something that is there.
            files.append(PrivateFiles.File(path: paths.key, text: keyPEM, isPrivate: true))
            files.append(PrivateFiles.File(path: paths.certificate, text: certificatePEM, isPrivate: false))
            made.append(
                Made(kind: kind, certificatePath: paths.certificate, keyPath: paths.key, notAfter: notAfter))
        }
    }
}

/// Why a certificate directory was left as it is. The description names the remedy.
public enum CertificateDirectoryError: Error, Equatable, CustomStringConvertible {
    case exists([String])
    case authorityKeyMissing(certificate: String, key: String)
    case authorityCertificateMissing(certificate: String, key: String)

    public var description: String {
        switch self {
        case .exists(let paths):
            "nothing was written, since this exists already: \(paths.joined(separator: ", ")). "
                + "Leave it out of the command, move it away, or replace it with --force"
        case .authorityKeyMissing(let certificate, let key):
            "\(certificate) is here, but not its key \(key): bring the key from where you keep it, "
                + "or choose another directory for a new authority"
        case .authorityCertificateMissing(let certificate, let key):
            "\(key) is here, but not its certificate \(certificate): bring the certificate, "
                + "or choose another directory for a new authority"
        }
    }
}
