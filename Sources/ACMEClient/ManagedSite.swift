public import ACME

/// A certificate of a site that comes from an ACME directory, as the configuration has it. A site with several has one of these for each:
/// each has a key, an order and a time of its own.
public struct ManagedSite: Hashable, Sendable {
    /// How messages and the state folder call it: its first domain.
    public var name: String
    /// What the certificate is for; a site has one of each kind at most.
    public var key: SiteKeyKind
    /// Lower case; wildcards as `*.example.com`.
    public var domains: [String]
    /// URL of the directory.
    public var directory: String
    public var email: String?
    public var externalAccount: Binding?
    public var challenge: ChallengeKind
    /// For ``ACME/ChallengeKind/dns01``.
    public var hook: HookProgram?
    /// A file with the certificates that the directory's HTTPS is trusted by, PEM; nil: those of the system.
    public var roots: String?
    /// Percent of a certificate's life after which it is renewed, where the directory suggests nothing.
    public var renewAfter: Int

    /// What the authority gave its customer.
    public struct Binding: Hashable, Sendable {
        public var kid: String
        /// Path of a file with the MAC key, base64url.
        public var keyFile: String

        public init(kid: String, keyFile: String) {
            self.kid = kid
            self.keyFile = keyFile
        }
    }

    public init(
        name: String, key: SiteKeyKind = .ecdsa, domains: [String], directory: String, email: String?,
        externalAccount: Binding? = nil,
        challenge: ChallengeKind = .tlsALPN01, hook: HookProgram? = nil, roots: String? = nil, renewAfter: Int = 66
    ) {
        self.name = name
        self.key = key
        self.domains = domains
        self.directory = directory
        self.email = email
        self.externalAccount = externalAccount
        self.challenge = challenge
        self.hook = hook
        self.roots = roots
        self.renewAfter = renewAfter
    }
}
