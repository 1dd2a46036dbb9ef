public import FleetBus

/// What makes an edge part of a fleet, and what the command needs to speak to one.
public struct FleetSettings: Hashable, Sendable {
    public struct Address: Hashable, Sendable {
        public var endpoint: SocketEndpoint
        /// `rediss://`.
        public var usesTLS: Bool
        public var location: SourceLocation
    }

    public struct Login: Hashable, Sendable {
        /// Default: `default`.
        public var user: String
        /// Path of the file with the password.
        public var password: String
        /// Of the password.
        public var location: SourceLocation
    }

    public struct Sentinel: Hashable, Sendable {
        /// What the sentinels call the primary.
        public var primary: String
        public var login: Login?
    }

    /// A key whose purges are done.
    public struct Signer: Hashable, Sendable {
        public var name: String
        public var key: SignerKey
        /// nil: everything.
        public var may: Rights?
    }

    public struct Rights: Hashable, Sendable {
        /// `www.example.test` or `*.example.test`, in lower case.
        public var hosts: [String]
        /// A tag, or its beginning and `*`.
        public var tags: [String]
    }

    public var location: SourceLocation
    public var name: String
    /// At least one.
    public var redis: [Address]
    public var login: Login?
    /// Path of the PEM file with the authorities to trust; nil: the system's.
    public var roots: String?
    /// The name that the bus's certificate must show; nil: the address's host.
    public var tlsName: String?
    public var sentinel: Sentinel?
    public var signers: [Signer] = []
    /// Path of the file with the key that orders purges; nil: none can be ordered with this file.
    public var signingKey: String?
    /// nil where there is none.
    public var signingKeyLocation: SourceLocation?
    /// Names of edges that are missed when they are not there.
    public var edges: [String] = []
    /// Entries that the stream keeps, about. Default: 100,000.
    public var streamLength: Int = 100_000
    /// How long an edge waits at its start for the purges that it has missed. Default: 2 s.
    public var catchUp: Duration = .seconds(2)
}

/// What a file of `role: fleet` says: for commands on a machine that is no edge.
public struct FleetCommandSettings: Hashable, Sendable {
    public var fleet: FleetSettings
    /// Path of the fleet authority's certificate, PEM: it shows which edges' reports are believed.
    public var authority: String

    public init(fleet: FleetSettings, authority: String) {
        self.fleet = fleet
        self.authority = authority
    }
}
