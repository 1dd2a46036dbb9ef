import Synchronization
public import TLSWire

/// For what gets certificates from an authority while the key holder runs.
extension KeyHolderServer {
    /// Shows a certificate to authorities that check this name by TLS-ALPN (RFC 8737), until it is withdrawn.
    ///
    /// - Parameters:
    ///   - certificate: DER.
    ///   - key: DER. A key of its own: never a site's.
    /// - Throws: if the TLS library does not take them.
    public func showChallenge(_ certificate: [UInt8], key: [UInt8], for name: ServerName) throws {
        try self.core.challenges.show(certificate, key: key, for: name)
    }

    public func withdrawChallenge(for name: ServerName) {
        self.core.challenges.withdraw(name)
    }

    /// Has edges that were granted the name's site answer authorities that ask for this token without TLS (RFC 8555 section 8.3), until
    /// it is withdrawn.
    public func showToken(_ token: String, value: String, for name: ServerName) {
        self.core.challenges.show(token: token, value: value, for: name)
    }

    public func withdrawToken(_ token: String, for name: ServerName) {
        self.core.challenges.withdraw(token: token, for: name)
    }

    /// Puts a site with a new certificate in the place of the one with the same domains; all else stays as it is.
    ///
    /// Edges hear that their chain has changed. Where the key is the same one, handshakes under way end well.
    ///
    /// - Parameter renewed: The one certificate whose files are read; the others stay as they are in use, so that their files cannot
    ///   keep it out. nil: all files are read.
    /// - Throws: ``SiteLoadError``; everything stays as it was then.
    public func replace(_ configuration: SiteConfiguration, renewed: CertificateConfiguration? = nil) throws {
        try self.loads.withLock { _ in
            let loader = SiteLoader(store: self.keyStore, previous: self.core.policy.index, renewed: renewed)
            try self.put(try loader.load(configuration))
        }
    }

    private func put(_ site: Site) throws {
        try self.change { previous in
            guard let index = previous.sites.firstIndex(where: { $0.domains == site.domains }) else {
                throw SiteLoadError.nameNotCovered(site.chainName, name: site.name)
            }
            var sites = previous.sites
            sites[index] = site
            return try Policy(
                sites: sites, grants: previous.configured, lease: previous.lease, grace: previous.grace,
                previous: previous,
                now: Clock.monotonic(), wallSeconds: self.core.wallClock() / 1000)
        }
    }

    /// A line in the audit log about a site's certificate.
    ///
    /// - Parameters:
    ///   - isGood: Whether it came about.
    public func auditCertificate(_ event: AuditEvent, site: String, isGood: Bool, detail: String) {
        self.core.audit(event, outcome: isGood ? .ok : .failed, site: site, detail: detail)
    }

    /// A line in the audit log about a token with keys.
    public func auditToken(_ event: AuditEvent, isGood: Bool, detail: String) {
        self.core.auditRepeated(event, edge: nil, outcome: isGood ? .ok : .failed, detail: detail)
    }
}
