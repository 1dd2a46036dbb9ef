/// Where lines of a log go: the access log of an edge, the audit of a key holder.
public enum LogTarget: Hashable, Sendable {
    case file(String)
    case standardOutput
    /// Each line a datagram.
    case syslog(SyslogTarget)
}

/// Why the access log cannot be written, or no longer.
public struct AccessLogError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
}
