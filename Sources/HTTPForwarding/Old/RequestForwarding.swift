public import NIOHTTP1
public import TLSWire

/// A request as it goes to the origin.
public struct ForwardedRequest: Sendable {
    /// Always HTTP/1.1 with a target in origin or asterisk form, exactly one `Host`, and framing fields that say what
    /// `body` says.
    public var head: HTTPRequestHead
    /// `.none`, `.length` or `.chunked`.
    public var body: OldBodyFraming
    /// The client waits for `100 Continue` before it sends the body.
    public var expectsContinue: Bool
    /// The client asks to change the protocol, and the origin is told so.
    public var upgrades: Bool
    /// The client mentioned an upgrade at all: NIO's decoder reads nothing after such a request.
    public var stopsDecoder: Bool
    /// The client will read another response on this connection.
    public var clientPersists: Bool
    /// What the client speaks.
    public var clientVersion: ClientVersion

    public init(
        head: HTTPRequestHead, body: OldBodyFraming, expectsContinue: Bool, upgrades: Bool, stopsDecoder: Bool,
        clientPersists: Bool, clientVersion: ClientVersion
    ) {
        self.head = head
        self.body = body
        self.expectsContinue = expectsContinue
        self.upgrades = upgrades
        self.stopsDecoder = stopsDecoder
        self.clientPersists = clientPersists
        self.clientVersion = clientVersion
    }
}

/// What becomes of a request.
public enum RequestDecision: Sendable {
    case forward(ForwardedRequest)
    /// `OPTIONS` with `Max-Forwards: 0`: the edge is the recipient, and answers 200 without a body.
    case answerOptions(clientPersists: Bool)
    case refuse(RequestRefusal)
}

/// The rules for requests of one client connection: RFC 9110 §7, RFC 9112 §3, §6 and §9, RFC 7239.
///
/// Pure: the same head gives the same decision. All faults here are the client's; nothing is dropped silently but fields
/// that are for one hop only.
public struct RequestForwarding: Sendable {
    let policy: ForwardingPolicy
    private let serverName: ServerName
    private let serverNameIsServed: Bool
    private let client: ClientNode
    private let forwardedPrefix: String
    private let via20: String
    private let via11: String
    private let via10: String

    /// - Parameters:
    ///   - serverName: the name that the client asked for when the connection was set up. HTTP/1.0 clients that send no
    ///     `Host` are taken to mean it.
    ///   - client: the client's address.
    public init(policy: ForwardingPolicy, serverName: ServerName, client: ClientNode) {
        self.policy = policy
        self.serverName = serverName
        self.serverNameIsServed = policy.serves(serverName)
        self.client = client
        self.forwardedPrefix =
            "by=\(ForwardedElement.obfuscatedIdentifier(policy.pseudonym));for=\(client.forwardedValue)"
            + ";proto=\(policy.scheme);host="
        self.via20 = "2.0 \(policy.pseudonym)"
        self.via11 = "1.1 \(policy.pseudonym)"
        self.via10 = "1.0 \(policy.pseudonym)"
    }

    public func decide(_ head: HTTPRequestHead) -> RequestDecision {
        do throws(RequestRefusal) {
            return try self.decided(head)
        } catch {
            return .refuse(error)
        }
    }

    private func decided(_ head: HTTPRequestHead) throws(RequestRefusal) -> RequestDecision {
        let minorVersion = min(head.version.minor, 1)
        if head.uri.utf8.count > self.policy.maximumTargetBytes { throw .targetTooLong }
        if head.method == .CONNECT { throw .connectNotSupported }
        guard let target = RequestTarget(head.uri, isConnect: false) else { throw .badTarget }

        var fields = RequestFields(capacity: head.headers.count + 6)
        for (name, value) in head.headers {
            try fields.add(name: name, value: value, policy: self.policy)
        }
        if fields.connection.namesVitalField { throw .connectionNamesVitalField }
        let body = try Self.body(fields.framing, minorVersion: minorVersion)

        let (uri, host) = try self.route(target, head: head, fields: fields, minorVersion: minorVersion)
        return try self.decided(
            head.method, uri: uri, host: host, fields: fields, body: body,
            version: minorVersion == 0 ? .http10 : .http11)
    }

    /// What the versions have in common, once target, host and framing are known.
    func decided(
        _ method: HTTPMethod, uri: String, host: String, fields: RequestFields, body: OldBodyFraming,
        version: ClientVersion
    ) throws(RequestRefusal) -> RequestDecision {
        if fields.isLoop { throw .loop }

        let persists = fields.connection.persists(minorVersion: version == .http10 ? 0 : 1)
        var maxForwards: Int64?
        if let value = fields.maxForwards, method == .TRACE || method == .OPTIONS {
            guard let number = FramingFields.number(value) else { throw .badMaxForwards }
            if number == 0 {
                // TRACE would show the client's own cookies to scripts that may not see them.
                if method == .TRACE { throw .traceNotAnswered }
                return .answerOptions(clientPersists: persists)
            }
            maxForwards = number - 1
        }
        if method == .TRACE, body != .none { throw .traceWithBody }

        var expectsContinue = false
        if let expectation = fields.expectation, version > .http10 {
            guard FieldText.equal(expectation, "100-continue") else { throw .unknownExpectation }
            expectsContinue = body != .none
        }

        var out = fields.kept
        fields.connection.removeListed(from: &out)
        out.append(("Host", host))
        switch body {
        case .length(let length): out.append(("Content-Length", String(length)))
        case .chunked:
            out.append(("Transfer-Encoding", "chunked"))
            for value in fields.trailers { out.append(("Trailer", value)) }
        case .none, .untilClose: break
        }
        if expectsContinue { out.append(("Expect", "100-continue")) }
        if let maxForwards { out.append(("Max-Forwards", String(maxForwards))) }
        for value in fields.vias { out.append(("Via", value)) }
        out.append(("Via", self.via(version)))
        self.appendClientAddress(to: &out, fields: fields, host: host)
        // What follows an upgrade is not HTTP: the decoder has to agree that there is one.
        let upgrades =
            version == .http11 && fields.connection.upgrade && fields.connection.isPlain
            && !fields.upgradeProtocols.isEmpty
        if upgrades {
            out.append(("Connection", "Upgrade"))
            out.append(("Upgrade", fields.upgradeProtocols.joined(separator: ", ")))
        } else if fields.acceptsTrailers, version > .http10 {
            out.append(("Connection", "TE"))
            out.append(("TE", "trailers"))
        }
        return .forward(
            ForwardedRequest(
                head: HTTPRequestHead(
                    version: .http1_1, method: Self.onTheWire(method), uri: uri, headers: HTTPHeaders(out)),
                body: body, expectsContinue: expectsContinue, upgrades: upgrades,
                stopsDecoder: fields.mentionsUpgrade, clientPersists: persists,
                clientVersion: version))
    }

    private func via(_ version: ClientVersion) -> String {
        switch version {
        case .http10: self.via10
        case .http11: self.via11
        case .http2: self.via20
        }
    }

    static func body(_ fields: FramingFields, minorVersion: Int) throws(RequestRefusal) -> OldBodyFraming {
        if fields.hasCoding, minorVersion == 0 { throw .codingInHTTP10 }
        do throws(FramingFault) {
            return try fields.framing() ?? .none
        } catch {
            switch error {
            case .lengthAndCoding: throw .lengthAndCoding
            case .differingLengths: throw .differingLengths
            case .badLength: throw .badLength
            case .codingNotSupported: throw .codingNotSupported
            case .chunkedNotLast: throw .chunkedNotLast
            }
        }
    }

    /// NIO's own value for this method would be written without its dash.
    private static func onTheWire(_ method: HTTPMethod) -> HTTPMethod {
        method == .MSEARCH ? .RAW(value: "M-SEARCH") : method
    }

    /// The target as the origin gets it, and the host, which has to be the site's.
    private func route(
        _ target: RequestTarget, head: HTTPRequestHead, fields: RequestFields, minorVersion: Int
    ) throws(RequestRefusal) -> (uri: String, host: String) {
        if fields.hostCount > 1 { throw .severalHosts }
        if fields.host == nil, minorVersion >= 1 { throw .missingHost }
        switch target {
        case .origin:
            break
        case .asterisk:
            if head.method != .OPTIONS { throw .asteriskNotOptions }
        case .authority:
            throw .badTarget
        case .absolute(let scheme, let authority, let rest):
            // The target's host wins over the field (RFC 9112 §3.2.2). The field still has to be there, and valid.
            if let host = fields.host, !host.isEmpty, OldAuthority(host) == nil { throw .badHost }
            guard FieldText.lowercased(scheme) == self.policy.scheme else { throw .schemeNotServed }
            let host = try self.servedHost(String(authority))
            let path: String
            if rest.isEmpty {
                path = head.method == .OPTIONS ? "*" : "/"
            } else {
                path = rest.utf8.first == UInt8(ascii: "?") ? "/" + rest : String(rest)
            }
            return (path, host)
        }
        guard let host = fields.host else { return (head.uri, self.serverName.rawValue) }
        return (head.uri, try self.servedHost(host))
    }

    /// A host of the site, as the origin gets it: in lower case, without a trailing dot, an empty port or the scheme's own
    /// (RFC 9110 §4.2.3). A cache takes all spellings for one, so that the origin must not answer them differently.
    func servedHost(_ text: String) throws(RequestRefusal) -> String {
        if self.serverNameIsServed, text == self.serverName.rawValue { return self.serverName.rawValue }
        guard let authority = OldAuthority(text) else { throw text.isEmpty ? .missingHost : .badHost }
        guard case .name(let name) = authority.host, self.policy.serves(name) else { throw .hostNotServed }
        let ownPort = self.policy.scheme == "http" ? 80 : 443
        guard let port = authority.port, port != ownPort else { return name.rawValue }
        return "\(name.rawValue):\(port)"
    }

    private func appendClientAddress(to out: inout [(String, String)], fields: RequestFields, host: String) {
        let element = self.forwardedPrefix + ForwardedElement.value(host)
        switch self.policy.clientClaims {
        case .replace:
            out.append(("Forwarded", element))
            out.append(("X-Forwarded-For", self.client.plainValue))
            out.append(("X-Forwarded-Proto", self.policy.scheme))
            out.append(("X-Forwarded-Host", host))
        case .append:
            out.append(("Forwarded", (fields.forwarded + [element]).joined(separator: ", ")))
            let chain = fields.xForwardedFor + [self.client.plainValue]
            out.append(("X-Forwarded-For", chain.joined(separator: ", ")))
            // These two have one value each by custom: the first hop's.
            out.append(("X-Forwarded-Proto", fields.xForwardedProto ?? self.policy.scheme))
            out.append(("X-Forwarded-Host", fields.xForwardedHost ?? host))
        }
    }
}
