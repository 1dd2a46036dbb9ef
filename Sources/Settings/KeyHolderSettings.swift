public import ACME
public import HSMWire
public import KeyProtocol
public import TLSWire
public import Telemetry

/// What `Examples/keyholder.yaml` says, with defaults filled in and paths resolved.
public struct KeyHolderSettings: Hashable, Sendable {
    /// Where edges reach it; nil: nowhere, and ``dial`` is not empty. Port 0 lets the system choose.
    public var listen: SocketEndpoint?
    /// Edges that it connects to by itself.
    public var dial: [SocketEndpoint] = []
    /// Where edges forward native connections to; nil: nowhere.
    public var native: SocketEndpoint?
    /// Who this key holder is towards edges.
    public var identity: IdentitySettings
    /// At least one. No explicitly named domain stands in two of them.
    public var sites: [Site]
    /// Who may do what; whatever is not here is denied.
    public var grants: [Grant]
    /// How long an edge may go on under its grants without hearing from this key holder. Default: 10 minutes.
    public var lease: Duration = .seconds(600)
    /// How long a key that is replaced stays good for clients that were shown its certificate. Default: 10 min.
    public var grace: Duration = .seconds(600)
    /// A folder of this key holder's own, for what it keeps across restarts; nil: it keeps nothing.
    public var state: String?
    /// What reaches tokens with keys; nil: there are none.
    public var hsm: TokenModule?
    public var audit: Audit
    /// Health and metrics; always a loopback address. nil: none.
    public var admin: AdminSettings?
    /// nil: none.
    public var monitoring: MonitoringSettings?
    public var log: LogSettings
    public var limits: Limits
    public var handOver = HandOverSettings()
    /// Event loops; nil: one per core.
    public var threads: Int?

    /// A certificate and its private key.
    public struct Certificate: Hashable, Sendable {
        public var location: SourceLocation
        /// Path of the chain, PEM, leaf first.
        public var chain: String
        public var key: Key
    }

    /// One or several certificates for the same domains.
    public struct Site: Hashable, Sendable {
        public var location: SourceLocation
        /// Preferred first; 1 to 8. With ``acme`` there is one for each kind of key, in the state folder, and they may not be there yet; nor may their keys.
        public var certificates: [Certificate]
        /// nil: the DNS names of the first certificate. Never nil with ``acme``.
        public var domains: [ServerNamePattern]?
        /// How the key holder shakes hands with clients.
        public var tls = TLS()
        /// What native clients reach; nil: the site does not serve them.
        public var application: Application?
        /// Where its certificate comes from; nil: it is a file of the owner's.
        public var acme: ACME?
    }

    /// Where a site's private key is.
    public enum Key: Hashable, Sendable {
        /// A path, PEM: PKCS#8, SEC1 or PKCS#1; and the path of a file with its passphrase, if it is encrypted.
        case file(String, passphraseFile: String?)
        case token(PKCS11URI)
    }

    /// How a site's certificate is ordered from an ACME directory.
    public struct ACME: Hashable, Sendable {
        /// What an authority gave its customer to bind the account to.
        public struct ExternalAccount: Hashable, Sendable {
            public var kid: String
            /// Path of a file with the MAC key, base64url.
            public var key: String
        }

        /// URL of the directory.
        public var directory: String
        /// A certificate is ordered for each; preferred first. Default: ecdsa.
        public var keys: [SiteKeyKind]
        public var email: String?
        public var externalAccount: ExternalAccount?
        /// Default: tls-alpn-01.
        public var challenge: ChallengeKind
        /// A program and its arguments, for dns-01; else empty.
        public var hook: [String]
        public var hookTimeout: Duration
        /// Path of a file with the certificates that the directory is trusted by, PEM; nil: those of the system.
        public var roots: String?
        /// Percent of a certificate's life, where the directory suggests no time.
        public var renewAfter: Int
    }

    /// What stands behind a site for native clients.
    public struct Application: Hashable, Sendable {
        public enum Address: Hashable, Sendable {
            case tcp(SocketEndpoint)
            /// A Unix socket's path.
            case unix(String)
        }

        /// The two key agreements of the native handshake.
        public enum Variant: String, CaseIterable, Sendable {
            case originDerived = "origin-derived"
            case clientDerived = "client-derived"
        }

        public enum ProxyProtocol: String, CaseIterable, Sendable {
            case none, v2
        }

        public var address: Address
        /// Default: none.
        public var proxyProtocol: ProxyProtocol
        /// At least one. Default: both.
        public var variants: Set<Variant>
    }

    /// What one edge may do for some sites.
    public struct Grant: Hashable, Sendable {
        public var location: SourceLocation
        /// The name in the edge's identity.
        public var edge: String
        /// Domains of sites, as the sites have them. At least one.
        public var sites: [ServerNamePattern]
        /// At least one.
        public var operations: Set<KeyProtocol.Operation>
        /// Operations per second for this edge and site, with bursts of twice as many. Default: 1,000.
        public var rate: Int
        /// The same for operations that have a rate of their own beside ``rate``.
        public var rates: [KeyProtocol.Operation: Int]
        /// When it counts. Default: always.
        public var times: GrantTimes
    }

    /// Where the audit lines go, and what signs them.
    public struct Audit: Hashable, Sendable {
        public var target: LogTarget
        /// Path of the key that signs checkpoints, made where it is missing; nil: there is no place for one, and no checkpoints.
        public var key: String?
        /// Path of the file that remembers where the chain stands; nil: as with ``key``.
        public var head: String?
        /// Between checkpoints. Default: a minute.
        public var checkpoint: Duration
    }

    public struct Limits: Hashable, Sendable {
        /// Edges connected at once.
        public var connections: Int = 1024
        /// Requests under way on one connection.
        public var inFlight: Int = 4096
        /// Packets per second of one edge, on all its connections, pings included.
        public var packets: Int = 50_000
        /// TLS handshakes with clients (handoff) under way for one edge, on all its connections.
        public var clientHandshakes: Int = 4096
        /// For each of them, from its first message to its last.
        public var clientHandshakeTimeout: Duration = .seconds(15)

        public init() {}
    }
}
