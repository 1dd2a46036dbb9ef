import NIOCore
import NIOPosix

/// What went wrong while connecting, in words for a log line.
enum ConnectFailure {
    static func text(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            if let attempt = error.connectionErrors.first { return self.text(attempt.error) }
            return "the host \(error.host) cannot be resolved"
        case let error as IOError: return error.description
        case ChannelError.connectTimeout(let limit):
            return "no connection within \(limit.nanoseconds / 1_000_000) ms"
        default: return "\(error)"
        }
    }
}
