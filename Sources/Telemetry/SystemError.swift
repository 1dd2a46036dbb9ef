import NIOCore
import NIOPosix

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// What the system's errors mean, in words.
public enum SystemError {
    /// `permission denied`, in lower case where it is no name.
    public static func words(_ number: Int32) -> String {
        let text = String(cString: strerror(number))
        guard let first = text.first, text.dropFirst().first?.isLowercase == true else { return text }
        return first.lowercased() + text.dropFirst()
    }

    /// Why a connection was not made, or broke: the system's reason once, without the names of calls.
    public static func text(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            if let attempt = error.connectionErrors.first { return self.text(attempt.error) }
            return "the name \(error.host) cannot be resolved"
        case let error as IOError: return self.words(error.errnoCode)
        case ChannelError.connectTimeout(let limit):
            return "no connection within \(limit.nanoseconds / 1_000_000) ms"
        default: return "\(error)"
        }
    }

    /// Why an address cannot be listened on, and what helps.
    ///
    /// - Parameter address: as it is configured.
    public static func cannotListen(on address: String, port: Int, _ error: any Error) -> String {
        switch (error as? IOError)?.errnoCode {
        case EACCES where port > 0 && port < 1024:
            "port \(port) needs CAP_NET_BIND_SERVICE: AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit, or "
                + "`setcap cap_net_bind_service=+ep` on the program"
        case EADDRINUSE:
            "another process listens on \(address); `ss -ltnp 'sport = :\(port)'` says which one"
        case EADDRNOTAVAIL:
            "this machine has no address \(address); `ip address` lists those it has"
        default: "cannot listen on \(address): \(self.text(error))"
        }
    }
}
