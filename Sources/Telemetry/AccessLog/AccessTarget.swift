/// Where lines of the access log go.
public enum AccessTarget: Hashable, Sendable {
    case file(String)
    case standardOutput
    /// RFC 5424, each line a datagram.
    case syslog(Syslog)

    public struct Syslog: Hashable, Sendable {
        public enum Place: Hashable, Sendable {
            /// A datagram socket of this machine's log daemon: `/dev/log`.
            case local(path: String)
            /// RFC 5426.
            case udp(host: String, port: Int)
        }

        public var place: Place
        /// 0...23, RFC 5424 §6.2.1.
        public var facility: Int

        public init(_ place: Place, facility: Int = 23) {
            self.place = place
            self.facility = facility
        }
    }
}

/// Why the access log cannot be written, or no longer.
public struct AccessLogError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
}
