public import Admission

/// Where clients connect.
public struct ListenAddress: Hashable, Sendable {
    public var host: String
    /// 0 takes a free port.
    public var port: Int
    /// Who may connect.
    public var policy: ListenerPolicy

    public init(host: String, port: Int, policy: ListenerPolicy = .clients) {
        self.host = host
        self.port = port
        self.policy = policy
    }
}

/// Who may connect to a listener, and how a connection begins there.
public enum ListenerPolicy: Hashable, Sendable {
    /// Clients connect themselves.
    case clients
    /// Balancers connect, from these networks, and begin with a PROXY protocol header. Clients that connect themselves,
    /// from anywhere else, are refused unless they are to be served.
    case proxies([IPNetwork], servesOthers: Bool)
    /// Clients connect themselves, and speak HTTP without TLS.
    case plain
    /// No clients: key holders connect, which this edge may ask then.
    case keyHolders
}
