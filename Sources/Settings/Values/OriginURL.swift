internal import EdgeModel

/// Where a site's requests go: `http://host[:port]` or `https://host[:port]`.
enum OriginURL {
    /// - Returns: the host is an IP address without brackets, or a name in lower case; the port is 80 or 443 if the URL names none.
    static func parse(_ text: String) throws(SocketEndpoint.ParsingError) -> OriginConfiguration {
        let scheme: OriginConfiguration.Scheme
        let rest: Substring
        if text.lowercased().hasPrefix("http://") {
            scheme = .http
            rest = text.dropFirst(7)
        } else if text.lowercased().hasPrefix("https://") {
            scheme = .https
            rest = text.dropFirst(8)
        } else {
            throw SocketEndpoint.ParsingError(
                message: "\"\(text)\" is not an http:// or https:// URL", remedy: "Write http://127.0.0.1:8080.")
        }
        let authority = rest.hasSuffix("/") ? rest.dropLast() : rest
        if let odd = authority.first(where: { "/?#@".contains($0) }) {
            let what: String
            switch odd {
            case "/": what = "a path"
            case "@": what = "a user name"
            case "?": what = "a query"
            default: what = "a fragment"
            }
            throw SocketEndpoint.ParsingError(
                message: "an origin's URL cannot have \(what)",
                remedy: "Keep scheme, host and port; requests bring their own paths.")
        }
        let hasPort: Bool
        if authority.hasPrefix("[") {
            hasPort = !authority.hasSuffix("]")
        } else {
            hasPort = authority.contains(":")
        }
        let defaultPort = scheme == .http ? 80 : 443
        let text = hasPort ? String(authority) : "\(authority):\(defaultPort)"
        let endpoint = try SocketEndpoint.parse(text, allowPortZero: false)
        return OriginConfiguration(scheme: scheme, host: endpoint.host, port: endpoint.port)
    }
}
