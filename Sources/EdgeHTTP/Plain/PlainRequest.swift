import HTTPFields
import HTTPWire
public import NIOCore
public import TLSWire

/// What becomes of requests that come without TLS: clients are sent on to HTTPS, an authority's challenges go to the site's origin, and
/// all else is not found. Pure.
public struct PlainRules: Sendable {
    /// 301 or 308, for GET and HEAD. What has another method keeps it: 308 (RFC 9110 §15.4.9).
    public var redirect: Int
    /// Where clients reach the edge with TLS.
    public var port: Int

    public init(redirect: Int = 308, port: Int = 443) {
        self.redirect = redirect
        self.port = port
    }

    /// What is before the token (RFC 8555 §8.3).
    static let challengePath = "/.well-known/acme-challenge/"

    /// - Parameter site: what is known of the site with a name; nil: there is none.
    func judge(_ head: RequestHead, site: (ServerName) -> PlainSite?) -> PlainVerdict {
        guard let (name, target) = Self.place(head), let site = site(name) else {
            return .answer(Self.notFound(head))
        }
        if target.hasPrefix(Self.challengePath) {
            let token = target.dropFirst(Self.challengePath.count)
            guard site.hasOrigin, head.method == .get || head.method == .head, Self.isToken(token),
                head.framing == .none
            else {
                return .answer(Self.notFound(head))
            }
            return .challenge(name)
        }
        let status = head.method == .get || head.method == .head ? self.redirect : 308
        let authority = self.port == 443 ? name.rawValue : "\(name.rawValue):\(self.port)"
        return .answer(Self.answer(status, "location: https://\(authority)\(target)\r\n", isHead: head.method == .head))
    }

    /// Base64url without padding.
    private static func isToken(_ text: Substring) -> Bool {
        (1...256).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D
                    || $0 == 0x5F
            }
    }

    /// nil: it names no host, or nothing that could be there.
    private static func place(_ head: RequestHead) -> (ServerName, target: String)? {
        switch head.target {
        case .origin:
            guard let field = head.fields.first(.host), let name = Self.name(head.fields.text(field.value)) else {
                return nil
            }
            return (name, head.fields.text(head.targetRange))
        case .absolute(let scheme, let authority, let rest):
            guard head.fields.text(scheme).lowercased() == "http", let name = Self.name(head.fields.text(authority))
            else { return nil }
            let target = head.fields.text(rest)
            return (name, target.hasPrefix("/") ? target : "/" + target)
        case .asterisk, .authority: return nil
        }
    }

    private static func name(_ text: String) -> ServerName? {
        let bytes = Array(text.utf8)
        guard let authority = Authority(bytes.span, bytes.indices), authority.kind == .name else { return nil }
        return try? ServerName(String(decoding: bytes[authority.host], as: UTF8.self))
    }

    private static func notFound(_ head: RequestHead) -> ByteBuffer {
        Self.answer(404, "", isHead: head.method == .head)
    }

    static func failed(_ error: WireError) -> ByteBuffer { Self.answer(error.status, "", isHead: false) }

    private static func answer(_ status: Int, _ fields: String, isHead: Bool) -> ByteBuffer {
        let text = status == 404 ? "Nothing is here.\n" : "\(status)\n"
        return ByteBuffer(
            string: "HTTP/1.1 \(status) \(Self.reason(status))\r\n\(fields)content-type: text/plain; charset=utf-8\r\n"
                + "content-length: \(text.utf8.count)\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
                + (isHead ? "" : text))
    }

    private static func reason(_ status: Int) -> String {
        switch status {
        case 301: "Moved Permanently"
        case 308: "Permanent Redirect"
        case 404: "Not Found"
        case 414: "URI Too Long"
        case 431: "Request Header Fields Too Large"
        case 501: "Not Implemented"
        case 505: "HTTP Version Not Supported"
        default: "Bad Request"
        }
    }
}

/// What a site is to requests without TLS.
public struct PlainSite: Sendable {
    /// Whether the edge knows an origin that answers HTTP: not of a relay site.
    public var hasOrigin: Bool

    public init(hasOrigin: Bool) {
        self.hasOrigin = hasOrigin
    }
}

/// What becomes of a request without TLS.
public enum PlainVerdict: Equatable, Sendable {
    /// These bytes, and then the end of the connection.
    case answer(ByteBuffer)
    /// It goes to the origin of the site with this name.
    case challenge(ServerName)
}

/// Reads the one request of a connection without TLS. Bounded by `limits`; after a verdict it is of no use.
public struct PlainRequest: Sendable {
    private let rules: PlainRules
    private var reader: RequestReader

    public init(_ rules: PlainRules, limits: ProxyLimits) {
        self.rules = rules
        self.reader = RequestReader(limits: limits.wireLimits)
    }

    /// - Returns: nil as long as the head is not complete.
    public mutating func receive(_ bytes: ByteBuffer, site: (ServerName) -> PlainSite?) -> PlainVerdict? {
        self.reader.receive(bytes)
        do throws(WireError) {
            guard case .head(let head)? = try self.reader.next() else { return nil }
            return self.rules.judge(head, site: site)
        } catch {
            return .answer(PlainRules.failed(error))
        }
    }
}
