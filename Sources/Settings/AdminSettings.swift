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
