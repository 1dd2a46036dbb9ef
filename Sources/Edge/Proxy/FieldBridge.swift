import Admission
import HTTPCaching
import HTTPFields
import HTTPForwarding
import HTTPWire
import NIOCore
import NIOHTTP1

// Between the caching modules, whose fields are bytes, and what of the edge still speaks swift-nio's strings. To be deleted with
// its last use.

extension FieldSection {
    /// Names and values have passed HTTPForwarding's checks; what is no field all the same is left out.
    init(_ headers: HTTPHeaders) {
        var builder = FieldSectionBuilder()
        for (name, value) in headers {
            let bytes = Array(value.utf8)
            let trimmed = bytes.span.trimmed(0..<bytes.count)
            try? builder.add(name: name.utf8, value: bytes[trimmed])
        }
        self = builder.section
    }

    var headers: HTTPHeaders {
        HTTPHeaders(self.map { (self.text($0.name), self.text($0.value)) })
    }
}

extension RequestMethod {
    init(_ method: HTTPMethod) {
        self =
            switch method {
            case .GET: .get
            case .HEAD: .head
            case .POST: .post
            case .PUT: .put
            case .DELETE: .delete
            case .CONNECT: .connect
            case .OPTIONS: .options
            case .TRACE: .trace
            case .PATCH: .patch
            default: .other
            }
    }
}

extension BodyFraming {
    init(_ framing: OldBodyFraming) {
        self =
            switch framing {
            case .none: .none
            case .length(let length): .length(length)
            case .chunked: .chunked
            case .untilClose: .untilClose
            }
    }
}

extension HTTPHeaders {
    mutating func remove(_ fields: KnownFieldSet) {
        for field in KnownField.allCases where fields.contains(field) {
            self.remove(name: String(decoding: field.name, as: UTF8.self))
        }
    }
}

extension OriginRequest {
    func apply(to headers: inout HTTPHeaders) {
        headers.remove(self.removed)
        for (name, value) in self.added.headers { headers.add(name: name, value: value) }
    }
}

extension FieldEdits {
    func apply(to headers: inout HTTPHeaders) {
        for name in self.remove { headers.remove(name: name.text) }
        for field in self.add { headers.add(name: field.name, value: field.value) }
    }
}

extension Answer {
    var statusLine: HTTPResponseStatus {
        HTTPResponseStatus(
            statusCode: self.status, reasonPhrase: String(decoding: self.head.reason, as: UTF8.self))
    }

    /// With `Age` and `Content-Length`.
    var headers: HTTPHeaders {
        var headers = self.head.section.headers
        if let age = self.age { headers.add(name: "Age", value: String(age)) }
        if let length = self.contentLength { headers.add(name: "Content-Length", value: String(length)) }
        return headers
    }
}

extension ResponseHead {
    var bridged: HTTPResponseHead {
        HTTPResponseHead(
            version: HTTPVersion(major: 1, minor: self.minorVersion),
            status: HTTPResponseStatus(statusCode: self.status, reasonPhrase: self.fields.text(self.reasonRange)),
            headers: self.fields.headers)
    }

    init?(bridging head: HTTPResponseHead) {
        var bytes = ByteBuffer()
        guard
            var writer = try? HeadWriter(
                status: Int(head.status.code), reason: head.status.reasonPhrase.utf8, to: &bytes)
        else { return nil }
        for (name, value) in head.headers { try? writer.add(name: name.utf8, value: value.utf8, to: &bytes) }
        writer.finish(.none, to: &bytes)
        var parser = ResponseHeadParser()
        guard let head = try? parser.parse(&bytes) else { return nil }
        self = head
    }
}

extension OutgoingHead {
    /// With framing and connection fields, as HTTP/1.1 has them.
    var bridged: HTTPResponseHead {
        var bytes = ByteBuffer()
        self.write(to: &bytes)
        var parser = ResponseHeadParser(limits: WireLimits(headBytes: 1 << 24, fields: 4096))
        return (try? parser.parse(&bytes))?.bridged
            ?? HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: self.status))
    }

    init(bridging response: ForwardedResponse) {
        let close = response.head.headers["connection"].contains("close")
        self.init(
            status: Int(response.head.status.code), reason: ByteBuffer(string: response.head.status.reasonPhrase),
            fields: FieldSection(response.head.headers),
            omitted: KnownFieldSet(.connection, .keepAlive), framing: BodyFraming(response.clientBody),
            connection: close ? .close : response.head.headers.contains(name: "connection") ? .keepAlive : .none)
        if self.framing == .none {
            self.announcedLength = response.head.headers.first(name: "content-length").flatMap { Int64($0) }
        }
    }
}

extension BodyFraming {
    var old: OldBodyFraming {
        switch self {
        case .none: .none
        case .length(let length): .length(length)
        case .chunked: .chunked
        case .untilClose: .untilClose
        }
    }
}

extension ForwardedRequest {
    init(bridging request: CheckedRequest) {
        var bytes = ByteBuffer()
        request.writeOriginHead(to: &bytes)
        var parser = RequestHeadParser(limits: WireLimits(startLineBytes: 1 << 20, headBytes: 1 << 24, fields: 4096))
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/")
        if let parsed = try? parser.parse(&bytes) {
            head = HTTPRequestHead(
                version: .http1_1, method: HTTPMethod(rawValue: parsed.fields.text(parsed.methodRange)),
                uri: parsed.fields.text(parsed.targetRange), headers: parsed.fields.headers)
        }
        self.init(
            head: head, body: request.hasContent ? request.framing.old : .none,
            expectsContinue: request.expectsContinue, upgrades: request.upgrades, stopsDecoder: false,
            clientPersists: request.clientPersists, clientVersion: request.version)
    }
}

extension OriginClient {
    func exchange(
        _ head: HTTPRequestHead, hasBody: Bool, network: ClientNetwork?, receiver: any OriginReceiver
    ) -> OriginExchange {
        var bytes = ByteBuffer()
        if var writer = try? HeadWriter(method: head.method.rawValue.utf8, target: head.uri.utf8, to: &bytes) {
            for (name, value) in head.headers { try? writer.add(name: name.utf8, value: value.utf8, to: &bytes) }
            writer.finish(.none, to: &bytes)
        }
        let request = OutboundRequest(
            head: bytes, method: RequestMethod(head.method.rawValue.utf8), framing: .none, isIdempotent: true)
        return self.exchange(request, network: network, receiver: receiver)
    }
}

extension CacheExchange {
    convenience init(_ request: CheckedRequest, exchange: ProxyExchange, cache: SiteCache, client: OriginClient) {
        self.init(ForwardedRequest(bridging: request), exchange: exchange, cache: cache, client: client)
    }

    func passing(_ response: inout CheckedResponse) {
        var forwarded = ForwardedResponse(
            head: response.head.bridged, originBody: response.originBody.old, clientBody: response.clientBody.old,
            originPersists: response.originPersists, clientPersists: response.clientPersists)
        let upgrade = response.head.connection
        self.passing(&forwarded)
        response.head = OutgoingHead(bridging: forwarded)
        if case .upgrade = upgrade { response.head.connection = upgrade }
    }
}

extension CacheFetch {
    func originInformational(_ head: ResponseHead) { self.originInformational(head.bridged) }
    func originHead(_ head: ResponseHead, framing: BodyFraming) { self.originHead(head.bridged) }
    func originEnd(_ trailers: FieldSection?) { self.originEnd(trailers?.headers) }
}

extension ProxyExchange {
    func adopt(_ origin: OriginExchange, _ head: HTTPResponseHead) { self.adopt(origin) }

    func originInformational(_ head: HTTPResponseHead) {
        if let head = ResponseHead(bridging: head) { self.originInformational(head) }
    }

    func cacheHead(_ response: ForwardedResponse) {
        self.cacheHead(
            CheckedResponse(head: OutgoingHead(bridging: response), clientPersists: response.clientPersists))
    }

    @_disfavoredOverload
    func originEnd(_ trailers: HTTPHeaders?) {
        self.originEnd(trailers.map { FieldSection($0) })
    }
}
