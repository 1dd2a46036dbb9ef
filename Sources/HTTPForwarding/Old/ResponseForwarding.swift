public import NIOHTTP1

/// A response as it goes to the client.
public struct ForwardedResponse: Sendable {
    /// HTTP/1.1 always (RFC 9110 §2.5: a server's own version), with framing fields that say what `clientBody` says. To
    /// HTTP/2 clients without the fields that concern a connection; what remains is a matter of spelling.
    public var head: HTTPResponseHead
    /// How the origin marks the end of the body.
    public var originBody: OldBodyFraming
    /// How the client sees the end of the body. HTTP/2 marks it itself: `.chunked` means a length that nobody has announced.
    public var clientBody: OldBodyFraming
    /// The origin's connection may carry another request.
    public var originPersists: Bool
    /// The client's connection may carry another request.
    public var clientPersists: Bool

    /// A response from elsewhere than an origin's connection: its head must say what the framing says.
    public init(
        head: HTTPResponseHead, originBody: OldBodyFraming, clientBody: OldBodyFraming, originPersists: Bool,
        clientPersists: Bool
    ) {
        self.head = head
        self.originBody = originBody
        self.clientBody = clientBody
        self.originPersists = originPersists
        self.clientPersists = clientPersists
    }
}

/// The rules for responses: RFC 9110 §7.6 and §15, RFC 9112 §6.3 and §9.3. All faults here are the origin's.
public struct ResponseForwarding: Sendable {
    private let via11: String
    private let via10: String

    /// - Parameter pseudonym: what this edge calls itself in `Via`.
    public init(pseudonym: String) {
        self.via11 = "1.1 \(pseudonym)"
        self.via10 = "1.0 \(pseudonym)"
    }

    /// A final response (200 and above), or 101 to a request that asked for it.
    ///
    /// - Parameters:
    ///   - requestMethod: responses to HEAD have no body, whatever they say.
    ///   - request: what was forwarded.
    ///   - closing: the edge wants to close the client's connection after this response.
    public func decide(
        _ head: HTTPResponseHead, to request: ForwardedRequest, closing: Bool
    ) -> Result<ForwardedResponse, ResponseRefusal> {
        do throws(ResponseRefusal) {
            return .success(try self.decided(head, to: request, closing: closing))
        } catch {
            return .failure(error)
        }
    }

    private func decided(
        _ head: HTTPResponseHead, to request: ForwardedRequest, closing: Bool
    ) throws(ResponseRefusal) -> ForwardedResponse {
        let code = head.status.code
        guard (200...999).contains(code) || code == 101 else { throw .badStatus }
        if code == 101, !request.upgrades { throw .upgradeNotRequested }
        let minorVersion = min(head.version.minor, 1)

        var fields = ResponseFields(capacity: head.headers.count + 4)
        for (name, value) in head.headers { try fields.add(name: name, value: value) }
        if fields.connection.namesVitalField { throw .badFieldValue }
        // Without these two, what follows would be read as HTTP by one party and not by the other.
        if code == 101, !fields.connection.upgrade || fields.upgrades.isEmpty { throw .badStatus }

        let hasBody = request.head.method != .HEAD && code != 204 && code != 304 && code != 101
        var announced: OldBodyFraming?
        if code == 204 || code == 101 {
            announced = nil
        } else {
            if fields.framing.hasCoding, minorVersion == 0 { throw .codingInHTTP10 }
            announced = try Self.framing(fields.framing)
        }
        let originBody: OldBodyFraming = hasBody ? announced ?? .untilClose : .none

        var clientBody = originBody
        if originBody == .chunked || originBody == .untilClose {
            clientBody = request.clientVersion > .http10 ? .chunked : .untilClose
        }
        let clientPersists = request.clientPersists && !closing && clientBody != .untilClose && !request.stopsDecoder

        var out = fields.kept
        fields.connection.removeListed(from: &out)
        for value in fields.vias { out.append(("Via", value)) }
        out.append(("Via", minorVersion == 0 ? self.via10 : self.via11))
        switch clientBody {
        case .length(let length): out.append(("Content-Length", String(length)))
        case .chunked:
            if request.clientVersion != .http2 { out.append(("Transfer-Encoding", "chunked")) }
            for value in fields.trailers { out.append(("Trailer", value)) }
        case .untilClose: break
        case .none:
            // To HEAD and in 304, the length is that of the response that GET would have got.
            if code != 204, code != 101, case .length(let length)? = announced {
                out.append(("Content-Length", String(length)))
            }
        }
        if request.clientVersion == .http2 {
            // Connections are HTTP/2's own business (RFC 9113 §8.2.2), and 426 can't be obeyed there.
        } else if code == 101 {
            out.append(("Connection", "Upgrade"))
            for value in fields.upgrades { out.append(("Upgrade", value)) }
        } else {
            // 426 has to name what it asks for (RFC 9110 §15.5.22).
            if code == 426 {
                for value in fields.upgrades { out.append(("Upgrade", value)) }
                out.append(("Connection", clientPersists ? "Upgrade" : "Upgrade, close"))
            } else if !clientPersists {
                out.append(("Connection", "close"))
            } else if request.clientVersion == .http10 {
                out.append(("Connection", "keep-alive"))
            }
        }
        return ForwardedResponse(
            head: HTTPResponseHead(version: .http1_1, status: head.status, headers: HTTPHeaders(out)),
            originBody: originBody, clientBody: clientBody,
            originPersists: fields.connection.persists(minorVersion: minorVersion) && originBody != .untilClose
                && code != 101,
            clientPersists: clientPersists)
    }

    /// An informational response other than 101, or `nil` where the client is not to see it: HTTP/1.0 knows none
    /// (RFC 9110 §15.2), and one that is malformed is dropped, since the final response is still to come.
    public func informational(_ head: HTTPResponseHead, to request: ForwardedRequest) -> HTTPResponseHead? {
        guard request.clientVersion > .http10, (100...199).contains(head.status.code), head.status.code != 101 else {
            return nil
        }
        // Whether the client asked for it or not, 100 without a body to wait for only confuses.
        if head.status.code == 100, !request.expectsContinue { return nil }
        var fields = ResponseFields(capacity: head.headers.count)
        do throws(ResponseRefusal) {
            for (name, value) in head.headers { try fields.add(name: name, value: value) }
        } catch {
            return nil
        }
        var out = fields.kept
        fields.connection.removeListed(from: &out)
        return HTTPResponseHead(version: .http1_1, status: head.status, headers: HTTPHeaders(out))
    }

    private static func framing(_ fields: FramingFields) throws(ResponseRefusal) -> OldBodyFraming? {
        do throws(FramingFault) {
            return try fields.framing()
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
}

/// One pass over a response's fields.
struct ResponseFields {
    var kept: [(String, String)] = []
    var connection = OldConnectionOptions()
    var framing = FramingFields()
    var vias: [String] = []
    var trailers: [String] = []
    var upgrades: [String] = []

    init(capacity: Int) {
        self.kept.reserveCapacity(capacity)
    }

    mutating func add(name: String, value: String) throws(ResponseRefusal) {
        guard FieldText.isToken(name) else { throw .badFieldName }
        guard FieldText.isValue(value) else { throw .badFieldValue }
        switch SpecialField(name) {
        case .connection: self.connection.add(value)
        case .keepAlive, .proxyConnection, .proxyCredentials, .te, .http2Settings: break
        case .contentLength: self.framing.addLength(value)
        case .transferEncoding: self.framing.addCoding(value)
        case .trailer: self.trailers.append(value)
        case .upgrade: self.upgrades.append(value)
        case .via: self.vias.append(value)
        case nil, .host, .maxForwards, .expect, .clientAddress: self.kept.append((name, value))
        }
    }
}
