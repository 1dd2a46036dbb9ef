/// One address of a bus.
public struct BusAddress: Hashable, Sendable, CustomStringConvertible {
    /// An IP address without brackets, or a name.
    public var host: String
    public var port: Int
    /// `rediss://`.
    public var usesTLS: Bool

    public init(host: String, port: Int, usesTLS: Bool) {
        self.host = host
        self.port = port
        self.usesTLS = usesTLS
    }

    /// Without anything secret.
    public var description: String {
        "\(self.usesTLS ? "rediss" : "redis")://\(self.host.contains(":") ? "[\(self.host)]" : self.host):\(self.port)"
    }
}

/// Where a bus is, and how to be let in.
public struct BusConfiguration: Equatable, Sendable {
    public struct Login: Equatable, Sendable {
        /// `default` where the server has only a password.
        public var user: String
        /// Never logged.
        public var password: [UInt8]

        public init(user: String, password: [UInt8]) {
            self.user = user
            self.password = password
        }
    }

    public struct Sentinel: Equatable, Sendable {
        /// What the sentinels call the primary.
        public var primary: String
        /// nil: they let every client in.
        public var login: Login?

        public init(primary: String, login: Login? = nil) {
            self.primary = primary
            self.login = login
        }
    }

    /// Tried in turn: servers, or sentinels that know them. At least one.
    public var addresses: [BusAddress]
    public var login: Login?
    /// nil: the addresses are servers.
    public var sentinel: Sentinel?
    /// In the server's list of clients.
    public var clientName: String
    /// Milliseconds for TCP and TLS, and for each reply before the bus can be used.
    public var connectTimeout: Int64 = 3000
    /// Replies that are waited for at once.
    public var pendingLimit = 256

    public init(
        addresses: [BusAddress], login: Login? = nil, sentinel: Sentinel? = nil, clientName: String = "latchstring"
    ) {
        self.addresses = addresses
        self.login = login
        self.sentinel = sentinel
        self.clientName = clientName
    }
}

/// Why there is no bus.
public enum BusFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// TCP, TLS, or the name's look-up.
    case unreachable(BusAddress, String)
    /// No answer in time.
    case silent(BusAddress)
    /// The connection ended.
    case closed(BusAddress)
    /// The server does not let this user in: its own words.
    case refused(BusAddress, String)
    case notPrimary(BusAddress, role: String)
    /// Not what is configured: a sentinel without that setting, a server with it, or a cluster.
    case wrongMode(BusAddress, String)
    case broken(BusAddress, String)
    /// Too much waits for it already.
    case full
    /// There is no connection.
    case absent
    /// It was given up on this side.
    case stopped

    public var description: String {
        switch self {
        case .unreachable(let address, let reason): "\(address): \(reason)"
        case .silent(let address): "\(address) does not answer"
        case .closed(let address): "\(address) closed the connection"
        case .refused(let address, let reason): "\(address) refuses: \(reason)"
        case .notPrimary(let address, let role): "\(address) is a \(role), and takes no writes"
        case .wrongMode(let address, let reason): "\(address) \(reason)"
        case .broken(let address, let reason): "\(address): \(reason)"
        case .full: "too much waits for the bus"
        case .absent: "there is no connection to the bus"
        case .stopped: "it was given up"
        }
    }
}
