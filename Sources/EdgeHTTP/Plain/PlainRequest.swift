import HTTPFields
import HTTPWire
public import NIOCore
public import TLSWire
public import Telemetry

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
        guard let (name, target) = Self.place(head) else { return .answer(Self.notFound(head)) }
        guard let site = site(name) else { return .answer(Self.notFound(head, name)) }
        if target.hasPrefix(Self.challengePath) {
            let token = target.dropFirst(Self.challengePath.count)
            guard site.hasOrigin, head.method == .get || head.method == .head, Self.isToken(token),
                head.framing == .none
            else {
                return .answer(Self.notFound(head, name))
            }
            return .challenge(PlainChallenge(name: name, token: String(token), head: head))
        }
        let status = head.method == .get || head.method == .head ? self.redirect : 308
        let authority = self.port == 443 ? name.rawValue : "\(name.rawValue):\(self.port)"
        return .answer(
            Self.answer(status, "location: https://\(authority)\(target)\r\n", to: head, name, outcome: "complete"))
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

    private static func notFound(_ head: RequestHead, _ name: ServerName? = nil) -> PlainAnswer {
        Self.answer(404, "", to: head, name, outcome: "not-found")
    }

    /// The answer to an authority's request (RFC 8555 §8.3).
    public static func keyAuthorization(_ text: String, for challenge: PlainChallenge) -> PlainAnswer {
        let bytes = ByteBuffer(
            string:
                "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: \(text.utf8.count)\r\n"
                + "cache-control: no-store\r\nconnection: close\r\n\r\n" + (challenge.isHead ? "" : text))
        return PlainAnswer(
            bytes: bytes, status: 200, contentLength: challenge.isHead ? 0 : text.utf8.count, name: challenge.name,
            head: challenge.head, outcome: "challenge")
    }

    static func failed(_ error: WireError) -> PlainAnswer {
        let local = LocalResponse(error)
        return Self.answer(error.status, "", to: nil, nil, outcome: local.reason)
    }

    private static func answer(
        _ status: Int, _ fields: String, to head: RequestHead?, _ name: ServerName?, outcome: String
    ) -> PlainAnswer {
        let text = head?.method == .head ? "" : status == 404 ? "Nothing is here.\n" : "\(status)\n"
        let length = status == 404 ? 17 : 4
        let bytes = ByteBuffer(
            string: "HTTP/1.1 \(status) \(Self.reason(status))\r\n\(fields)content-type: text/plain; charset=utf-8\r\n"
                + "content-length: \(length)\r\ncache-control: no-store\r\nconnection: close\r\n\r\n" + text)
        return PlainAnswer(
            bytes: bytes, status: status, contentLength: text.utf8.count, name: name, head: head, outcome: outcome)
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
    /// Whether the edge knows an origin that answers HTTP: of a relay site, where its operator has said so.
    public var hasOrigin: Bool

    public init(hasOrigin: Bool) {
        self.hasOrigin = hasOrigin
    }
}

/// An authority's request for a token.
public struct PlainChallenge: Sendable {
    public let name: ServerName
    /// Base64url; 1 to 256 characters.
    public let token: String
    let head: RequestHead?

    init(name: ServerName, token: String, head: RequestHead? = nil) {
        self.name = name
        self.token = token
        self.head = head
    }

    var isHead: Bool { self.head?.method == .head }
}

/// What becomes of a request without TLS.
public enum PlainVerdict: Sendable {
    /// Its bytes, and then the end of the connection.
    case answer(PlainAnswer)
    /// It is an authority's: the key holder knows the answer, or else it goes to the site's origin.
    case challenge(PlainChallenge)
}

/// An answer without TLS, and what the access log says of it.
public struct PlainAnswer: Sendable {
    public let bytes: ByteBuffer
    public let status: Int
    let contentLength: Int
    /// The host that was asked for, whether or not a site has it; nil: none could be read.
    let name: ServerName?
    /// nil: none could be read.
    let head: RequestHead?
    let outcome: String

    /// - Parameter site: the name of the host's site; nil: there is none.
    public func record(
        _ layout: AccessLayout, site: (ServerName) -> String?, client: SocketAddress?, connection: UInt64?,
        duration: TimeAmount
    ) -> AccessRecord {
        var record = AccessRecord(
            site: self.name.flatMap(site) ?? "-", status: self.status, bytes: self.contentLength, duration: duration,
            outcome: self.outcome)
        record.client = client
        record.host = self.name?.rawValue
        record.connection = connection ?? 0
        record.number = 1
        record.firstByte = duration
        let line = self.head.map { RequestLine($0) }
        record.method = line?.method
        record.httpVersion = line?.version.text
        record.take(line?.target ?? ByteBuffer(), line?.fields, for: layout)
        return record
    }
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
