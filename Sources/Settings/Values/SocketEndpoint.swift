internal import NIOCore

/// A host and a TCP port, written `127.0.0.1:8443`, `[::1]:8443` or `origin.example.com:443`.
public struct SocketEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// An IPv4 or IPv6 address without brackets, or a host name.
    public var host: String
    /// 1...65535, or 0 where the system may choose.
    public var port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    public var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }

    /// True if `host` is an IP address rather than a name.
    public var isIPAddress: Bool { Self.isIPAddress(self.host) }

    /// True for 127.0.0.0/8, ::1 and `localhost`.
    public var isLoopback: Bool {
        if self.host.lowercased() == "localhost" { return true }
        guard let address = try? SocketAddress(ipAddress: self.host, port: self.port) else { return false }
        if case .v4 = address { return self.host.hasPrefix("127.") }
        return address == (try? SocketAddress(ipAddress: "::1", port: self.port))
    }

    static func isIPAddress(_ host: String) -> Bool {
        (try? SocketAddress(ipAddress: host, port: 0)) != nil
    }
}

extension SocketEndpoint {
    /// Why a text is no endpoint.
    public struct ParsingError: Error {
        /// Without a full stop.
        public var message: String
        /// One or more sentences.
        public var remedy: String?
    }

    /// Parses `host:port`.
    public static func parse(_ text: String, allowPortZero: Bool) throws(ParsingError) -> SocketEndpoint {
        let host: Substring
        let portText: Substring
        if text.hasPrefix("[") {
            guard let close = text.firstIndex(of: "]") else {
                throw ParsingError(message: "\"\(text)\" has no closing bracket", remedy: "Write [::1]:8443.")
            }
            host = text[text.index(after: text.startIndex)..<close]
            guard Self.isIPAddress(String(host)), host.contains(":") else {
                throw ParsingError(message: "\"\(host)\" is not an IPv6 address", remedy: nil)
            }
            let rest = text[text.index(after: close)...]
            guard rest.hasPrefix(":") else {
                throw ParsingError(
                    message: "\"\(text)\" has no port", remedy: "Write \(text.prefix(through: close)):443.")
            }
            portText = rest.dropFirst()
        } else {
            let colons = text.filter { $0 == ":" }.count
            if colons > 1 {
                throw ParsingError(
                    message: "\"\(text)\" is an IPv6 address without brackets",
                    remedy: "Write it as [::1]:8443, in quotes if it stands at the beginning.")
            }
            guard let colon = text.firstIndex(of: ":") else {
                throw ParsingError(message: "\"\(text)\" has no port", remedy: "Write \(text):443.")
            }
            host = text[..<colon]
            portText = text[text.index(after: colon)...]
        }
        let name = try Self.checkedHost(String(host))
        return SocketEndpoint(host: name, port: try Self.checkedPort(portText, allowZero: allowPortZero))
    }

    /// An IP address or a host name; folds upper case.
    static func checkedHost(_ host: String) throws(ParsingError) -> String {
        if host.isEmpty {
            throw ParsingError(message: "the host is missing", remedy: "Write 0.0.0.0:PORT for every interface.")
        }
        if Self.isIPAddress(host) { return host }
        if host.allSatisfy({ $0.isNumber || $0 == "." }) {
            throw ParsingError(
                message: "\"\(host)\" is not an IPv4 address", remedy: "Write four numbers from 0 to 255.")
        }
        do {
            return try HostName.checked(host)
        } catch {
            throw ParsingError(message: "\"\(host)\" is neither an IP address nor a host name", remedy: nil)
        }
    }

    static func checkedPort(_ text: some StringProtocol, allowZero: Bool) throws(ParsingError) -> Int {
        let lowest = allowZero ? 0 : 1
        guard !text.isEmpty, text.utf8.count <= 5, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let port = Int(text), (lowest...65535).contains(port)
        else {
            throw ParsingError(message: "\"\(text)\" is not a port", remedy: "Ports are \(lowest) to 65535.")
        }
        return port
    }
}
