/// The admin port.
public struct AdminSettings: Hashable, Sendable {
    public var endpoint: SocketEndpoint
    /// Path of the file with the token that requests must bear; always there unless `endpoint` is a loopback address.
    public var token: String?

    public init(endpoint: SocketEndpoint, token: String? = nil) {
        self.endpoint = endpoint
        self.token = token
    }
}

/// Where a monitoring system elsewhere looks, over TLS and with a certificate of its own.
public struct MonitoringSettings: Hashable, Sendable {
    public var endpoint: SocketEndpoint
    /// What the port shows, and in `authority` whose certificates it lets in.
    public var identity: IdentitySettings

    public init(endpoint: SocketEndpoint, identity: IdentitySettings) {
        self.endpoint = endpoint
        self.identity = identity
    }
}
