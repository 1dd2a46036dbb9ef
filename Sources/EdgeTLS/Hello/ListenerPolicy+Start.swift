package import Admission
package import EdgeModel

extension ListenerPolicy {
    package enum Start: Equatable {
        case hello
        /// An HTTP request.
        case plain
        case proxyProtocolHeader
        case refused
    }

    /// How a connection from this address begins. No address, no trust.
    package func start(of address: IPAddress?) -> Start {
        switch self {
        case .clients: .hello
        case .plain: .plain
        case .keyHolders: .refused
        case .proxies(let networks, let servesOthers):
            networks.contain(address) ? .proxyProtocolHeader : servesOthers ? .hello : .refused
        }
    }
}
