public import TLSWire

/// What to ask for, and where to connect.
public struct ClientTarget: Equatable, Sendable {
    /// The URL's host: asked for by SNI, and what the certificate must be for.
    public var serverName: ServerName
    /// The `Host` field: the name, and the URL's port unless it is 443.
    public var authority: String
    /// Path and query as they go into the request line.
    public var requestTarget: String
    public var connectHost: String
    public var connectPort: Int

    /// - Parameters:
    ///   - url: `https://name[:port][/path][?query]`
    ///   - connect: `host:port` or `[v6]:port` to connect to instead of the URL's own.
    public init(url: String, connect: String? = nil) throws(ClientTargetError) {
        guard url.utf8.count <= 8192 else { throw .badTarget }
        let scheme = "https://"
        guard url.lowercased().hasPrefix(scheme) else { throw .notHTTPS }
        let rest: Substring = url.dropFirst(scheme.count)
        let authorityEnd: Substring.Index = rest.firstIndex { "/?#".contains($0) } ?? rest.endIndex
        let authority: Substring = rest[..<authorityEnd]
        if authority.contains("@") { throw .userInformation }

        let parts: [Substring] = authority.split(separator: ":", omittingEmptySubsequences: false)
        var port = 443
        if parts.count == 2 {
            guard let number: Int = Self.port(parts[1]) else { throw .badPort(String(parts[1])) }
            port = number
        }
        do {
            serverName = try ServerName(parts.count == 2 ? String(parts[0]) : String(authority))
        } catch {
            throw .badName(error)
        }
        self.authority = port == 443 ? serverName.rawValue : "\(serverName.rawValue):\(port)"

        var target = String(rest[authorityEnd...].prefix { $0 != "#" })
        if !target.hasPrefix("/") { target = "/" + target }
        // A blank or a control character would end the request line.
        guard target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { throw .badTarget }
        requestTarget = target

        if let connect {
            (connectHost, connectPort) = try Self.endpoint(connect)
        } else {
            (connectHost, connectPort) = (serverName.rawValue, port)
        }
    }

    private static func endpoint(_ text: String) throws(ClientTargetError) -> (String, Int) {
        guard let colon: String.Index = text.lastIndex(of: ":"), let port: Int = port(text[text.index(after: colon)...])
        else { throw .badConnect(text) }
        var host: Substring = text[..<colon]
        if host.hasPrefix("[") && host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            throw .badConnect(text)
        }
        guard !host.isEmpty else { throw .badConnect(text) }
        return (String(host), port)
    }

    private static func port(_ text: Substring) -> Int? {
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(text), (1...65535).contains(port)
        else { return nil }
        return port
    }
}

/// Why a URL or an address to connect to can't be used.
public enum ClientTargetError: Error, Equatable, Sendable, CustomStringConvertible {
    case notHTTPS
    case userInformation
    case badName(ServerNameError)
    case badPort(String)
    case badTarget
    case badConnect(String)

    public var description: String {
        switch self {
        case .notHTTPS: return "the URL must begin with https://"
        case .userInformation: return "the URL has a user name in it; leave it out"
        case .badName(let error):
            return "the URL's host is not a server name: \(error)"
                + (error == .ipAddress ? "; give the address with --connect" : "")
        case .badPort(let text): return "'\(text)' is not a port; it must be 1 to 65535"
        case .badTarget:
            return "the URL's path has blanks or characters outside ASCII, or is too long; percent-encode it"
        case .badConnect(let text): return "'\(text)' is not HOST:PORT; write [ADDRESS]:PORT for IPv6"
        }
    }
}
