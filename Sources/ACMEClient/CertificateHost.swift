public import ACME

/// What takes the certificates, and shows challenges: the key holder.
public protocol CertificateHost: Sendable {
    /// Whether an edge is connected, so that an authority's check can get here.
    var hasEdge: Bool { get }

    /// Shows the certificate to who asks for this name by TLS-ALPN, until it is withdrawn.
    func show(_ challenge: ChallengeCertificate, for name: String) throws

    func withdraw(challengeFor name: String)

    /// Answers requests without TLS for this token under this name, until it is withdrawn.
    func show(token: String, value: String, for name: String) throws

    func withdraw(token: String, for name: String)

    /// Serves the site with the chain that is on disk from now on.
    ///
    /// - Throws: if it cannot; then it goes on with the old one.
    func install(_ site: ManagedSite) throws

    /// Something for the audit log. `detail` says what; there is no secret in it.
    func audit(_ event: CertificateEvent, of site: ManagedSite, detail: String)

    /// For metrics. Milliseconds since 1970.
    func measured(_ site: ManagedSite, nextOrder: Int64)
}

public enum CertificateEvent: String, Sendable {
    /// A certificate was issued, and is in use.
    case issued
    /// An order, or a challenge, or the directory failed.
    case failed
    /// An account was made with a directory.
    case registered
}
