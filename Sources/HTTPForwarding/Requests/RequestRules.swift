import HTTPFields
public import HTTPWire
import NIOCore
public import TLSWire

/// What becomes of a request.
public enum RequestVerdict: Sendable {
    /// It may be answered, or go to the origin.
    case accept(CheckedRequest)
    /// `OPTIONS` with `Max-Forwards: 0`: the edge is the recipient, and answers 200 without content.
    case answerOptions(clientPersists: Bool)
    case refuse(RequestRefusal)
}

/// The rules for the requests of one client connection: RFC 9110 §7, RFC 9112 §3 and §9, RFC 9113 §8, RFC 7239. One value for each
/// connection; what it knows of the client stands in it once.
///
/// Pure: the same head gets the same verdict. All faults here are the client's. Framing of HTTP/1.1 has been judged by
/// `RequestReader`.
public final class RequestRules: Sendable {
    let policy: ForwardingPolicy
    let client: ClientNode
    /// An element of `Forwarded` up to the host.
    let forwardedPrefix: String
    /// Fields that are not passed on as they are.
    let special: KnownFieldSet
    private let serverName: ServerName
    private let serverNameIsServed: Bool

    /// - Parameters:
    ///   - serverName: the name that the client asked for when the connection was set up. HTTP/1.0 clients that send no
    ///     `Host` are taken to mean it.
    ///   - client: the client's address.
    public init(policy: ForwardingPolicy, serverName: ServerName, client: ClientNode) {
        self.policy = policy
        self.serverName = serverName
        self.serverNameIsServed = policy.serves(serverName)
        self.client = client
        var prefix: String = policy.forwardedBy
        prefix += client.forwardedValue
        prefix += policy.forwardedProto
        self.forwardedPrefix = prefix
        self.special = policy.clientClaims == .replace ? Self.replacing : Self.appending
    }

    private static let replacing = hop.union(rewritten).union(ClientClaims.known)
    private static let appending = hop.union(rewritten).union(
        KnownFieldSet(.forwarded, .xForwardedFor, .xForwardedProto, .xForwardedHost))

    /// Fields for one hop only (RFC 9110 §7.6.1), and those that say how the content ends.
    static let hop = KnownFieldSet(
        .connection, .keepAlive, .proxyConnection, .proxyAuthenticate, .proxyAuthenticationInfo, .proxyAuthorization,
        .http2Settings, .te, .trailer, .transferEncoding, .upgrade, .contentLength)
    private static let rewritten = KnownFieldSet(.host, .via, .maxForwards, .expect)

    func via(_ version: ClientVersion) -> String {
        switch version {
        case .http10: self.policy.via10
        case .http11: self.policy.via11
        case .http2: self.policy.via20
        }
    }

    // MARK: HTTP/1.1

    public func judge(_ head: RequestHead) -> RequestVerdict {
        do throws(RequestRefusal) {
            return try self.judged(head)
        } catch {
            return .refuse(error)
        }
    }

    private func judged(_ head: RequestHead) throws(RequestRefusal) -> RequestVerdict {
        if head.targetRange.count > self.policy.maximumTargetBytes { throw .targetTooLong }
        if head.method == .connect { throw .connectNotSupported }
        let options = head.fields.connectionOptions
        if options.named.contains(.host) || options.named.contains(.contentLength)
            || options.named.contains(.transferEncoding)
        {
            throw .connectionNamesVitalField
        }
        if options.isExcessive { throw .tooManyConnectionOptions }
        let (target, host) = try self.route(head)
        return try self.judged(
            Parts(
                method: head.method,
                otherMethod: head.method == .other ? head.fields.slice(head.methodRange) : ByteBuffer(),
                target: target, host: host, version: head.minorVersion == 0 ? .http10 : .http11, framing: head.framing,
                fields: head.fields, connection: options))
    }

    /// The target as the origin gets it, and the host, which has to be the site's.
    private func route(_ head: RequestHead) throws(RequestRefusal) -> (target: ByteBuffer, host: String) {
        switch head.target {
        case .origin, .asterisk: break
        case .authority: throw .badTarget
        case .absolute(let scheme, let authority, let rest):
            // The target's host wins over the field (RFC 9112 §3.2.2). The field still has to be there, and valid.
            if let field = head.fields.first(.host), !field.value.isEmpty { _ = try SiteHost(head.fields, field.value) }
            guard head.fields.text(scheme).lowercased() == self.policy.scheme else { throw .schemeNotServed }
            let host = try self.servedHost(head.fields, authority)
            if rest.isEmpty { return (ByteBuffer(string: head.method == .options ? "*" : "/"), host) }
            let path = head.fields.slice(rest)
            guard path.readableBytesView.first == UInt8(ascii: "?") else { return (path, host) }
            var whole = ByteBuffer(string: "/")
            whole.writeImmutableBuffer(path)
            return (whole, host)
        }
        let target = head.fields.slice(head.targetRange)
        guard let field = head.fields.first(.host) else { return (target, self.serverName.rawValue) }
        return (target, try self.servedHost(head.fields, field.value))
    }

    // MARK: All versions

    /// A request whose target, host and framing are known.
    struct Parts {
        var method: RequestMethod
        var otherMethod: ByteBuffer
        var target: ByteBuffer
        var host: String
        var version: ClientVersion
        var framing: BodyFraming
        var fields: FieldSection
        var connection: ConnectionOptions
    }

    func judged(_ parts: consuming Parts) throws(RequestRefusal) -> RequestVerdict {
        let fields = parts.fields
        if fields.contains(.via), ViaField.mentions(self.policy.pseudonym, in: fields) { throw .loop }

        var framing = parts.framing
        if framing == .length(0), parts.method == .get || parts.method == .head || parts.method == .trace {
            framing = .none
        }
        let persists = parts.connection.persists(minorVersion: parts.version == .http10 ? 0 : 1)
        var maxForwards: Int64?
        if fields.contains(.maxForwards), parts.method == .trace || parts.method == .options {
            guard let number = Self.maxForwards(fields) else { throw .badMaxForwards }
            if number == 0 {
                // TRACE would show the client's own cookies to scripts that may not see them.
                if parts.method == .trace { throw .traceNotAnswered }
                return .answerOptions(clientPersists: persists)
            }
            maxForwards = number - 1
        }
        if parts.method == .trace, framing != .none { throw .traceWithBody }

        var expectsContinue = false
        if parts.version > .http10 {
            switch fields.expectation {
            case .none: break
            case .continue: expectsContinue = (framing.length ?? 1) > 0
            case .unknown: throw .unknownExpectation
            }
        }
        let upgrades =
            parts.version == .http11 && parts.connection.upgrade && parts.connection.isPlain
            && self.hasProtocolForOrigin(fields)
        return .accept(
            CheckedRequest(
                method: parts.method, otherMethod: parts.otherMethod, target: parts.target, host: parts.host,
                version: parts.version, framing: framing, expectsContinue: expectsContinue, upgrades: upgrades,
                clientPersists: persists, fields: fields, maxForwards: maxForwards, connection: parts.connection,
                rules: self))
    }

    /// The last one counts.
    private static func maxForwards(_ fields: FieldSection) -> Int64? {
        guard let field = fields.last(where: { $0.known == .maxForwards }) else { return nil }
        return fields.bytes.readableBytesUInt8Span.number(field.value)
    }

    private func hasProtocolForOrigin(_ fields: FieldSection) -> Bool {
        let bytes = fields.bytes.readableBytesUInt8Span
        var found = false
        for field in fields where field.known == .upgrade {
            FieldList.forEach(bytes, field.value, .tokens) { element in
                if UpgradeProtocol.isForOrigin(bytes, element) { found = true }
            }
        }
        return found
    }

    /// A host of the site, as the origin gets it: in lower case, without a trailing dot, an empty port or the scheme's own
    /// (RFC 9110 §4.2.3). A cache takes all spellings for one, so that the origin must not answer them differently.
    func servedHost(_ fields: FieldSection, _ range: Range<Int>) throws(RequestRefusal) -> String {
        if self.serverNameIsServed, self.isServerName(fields.bytes.readableBytesUInt8Span, range) {
            return self.serverName.rawValue
        }
        let host = try SiteHost(fields, range)
        guard let name = host.name, self.policy.serves(name) else { throw .hostNotServed }
        let ownPort = self.policy.scheme == "http" ? 80 : 443
        guard let port = host.port, port != ownPort else { return name.rawValue }
        return "\(name.rawValue):\(port)"
    }

    private func isServerName(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) -> Bool {
        let name = self.serverName.rawValue.utf8.span
        return bytes.equals(range, name, 0..<name.count)
    }
}

/// A host as a request names it, in its one spelling.
struct SiteHost: Equatable {
    /// nil for an address, which is valid; but no site is called that.
    let name: ServerName?
    private let address: [UInt8]
    let port: Int?

    init(_ fields: FieldSection, _ range: Range<Int>) throws(RequestRefusal) {
        if range.isEmpty { throw .missingHost }
        let bytes = fields.bytes.readableBytesUInt8Span
        guard let authority = Authority(bytes, range) else { throw .badHost }
        self.port = authority.port
        guard authority.kind == .name else {
            self.name = nil
            self.address = bytes.copy(authority.host)
            return
        }
        self.address = []
        do throws(ServerNameError) {
            self.name = try ServerName(wire: bytes.copy(authority.host))
        } catch {
            throw .badHost
        }
    }
}
