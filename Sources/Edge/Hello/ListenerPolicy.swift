public import Admission

/// Who may connect to a listener, and how a connection begins there.
public enum ListenerPolicy: Hashable, Sendable {
    /// Clients connect themselves.
    case clients
    /// Balancers connect, from these networks, and begin with a PROXY protocol header. Clients that connect themselves,
    /// from anywhere else, are refused unless they are to be served.
    case proxies([IPNetwork], servesOthers: Bool)

    enum Start: Equatable {
        case hello
        case proxyHeader
        case refused
    }

    /// How a connection from this address begins. No address, no trust.
    func start(of address: IPAddress?) -> Start {
        switch self {
        case .clients: .hello
        case .proxies(let networks, let servesOthers):
            networks.contain(address) ? .proxyHeader : servesOthers ? .hello : .refused
        }
    }
}
