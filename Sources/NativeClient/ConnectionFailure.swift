import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Why there is no connection: none could be made, or it broke before the handshake had ended.
public struct ConnectionFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// Whether the TCP connection stood.
    public var isConnected: Bool
    /// What happened, in a few words.
    public var reason: String

    public var description: String { self.reason }
}

/// Says in few words why a connection could not be made.
package enum ConnectError {
    package static func text(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            let errors: [any Error] = [error.dnsAError, error.dnsAAAAError].compactMap { $0 }
            if error.connectionErrors.isEmpty, !errors.isEmpty { return "the name can't be resolved" }
            return error.connectionErrors.map { text($0.error) }.joined(separator: ", ")
        case let error as IOError:
            return String(cString: strerror(error.errnoCode))
        case ChannelError.connectTimeout:
            return "no answer in time"
        default:
            return "\(error)"
        }
    }
}
