import NIOCore
import TLSWire

/// Why a client could not be connected to its origin.
enum RelayFailure: Error, Equatable, Sendable {
    /// The site goes to the requested name, and the client requested none.
    case noServerName
    /// The origin's name has no addresses.
    case resolve(ResolveError)
    /// Every address of the name is one that this edge must not connect to; the first one's reason.
    case addressRefused(AddressRefusal)
    /// The origin is this edge itself.
    case loop
    /// No address took the connection; the last one's error.
    case connect(String)
    /// The limit passed.
    case timeout

    /// Constant text for the metric and the log line.
    var reason: String {
        switch self {
        case .noServerName: "no server name"
        case .resolve(let error): error.reason
        case .addressRefused: "address refused"
        case .loop: "loop to this edge"
        case .connect: "connect failed"
        case .timeout: "connect timeout"
        }
    }

    /// What the reason leaves open.
    var detail: String? {
        switch self {
        case .resolve(.failed(let text)), .connect(let text): text
        case .addressRefused(let refusal): refusal.rawValue
        case .noServerName, .resolve, .loop, .timeout: nil
        }
    }

    /// What the client is told: whose fault is it?
    ///
    /// - Parameter clientChoseOrigin: The origin is the name that the client requested. If it leads nowhere, or to a
    ///   forbidden place, that name is not served here; for a fixed origin the same is the operator's mistake.
    func alert(clientChoseOrigin: Bool) -> Alert.Description {
        switch self {
        case .noServerName, .resolve(.noSuchName), .addressRefused, .loop:
            clientChoseOrigin ? .unrecognizedName : .internalError
        case .resolve, .connect, .timeout:
            .internalError
        }
    }
}

extension ForwardingFailure {
    /// - Parameter clientChoseOrigin: as for ``RelayFailure/alert(clientChoseOrigin:)``.
    init(_ failure: RelayFailure, clientChoseOrigin: Bool) {
        let alert = failure.alert(clientChoseOrigin: clientChoseOrigin)
        self.init(
            reason: failure.reason, detail: failure.detail, alert: alert.name, answer: Alert(alert).record())
    }
}
