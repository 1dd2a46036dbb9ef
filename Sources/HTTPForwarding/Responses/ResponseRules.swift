public import HTTPFields
public import HTTPWire
import NIOCore

/// Why an origin's response isn't passed on; the client gets 502. The raw value is constant text for logs and metrics. What
/// `ResponseReader` refuses does not get this far.
public enum ResponseRefusal: String, Error, CaseIterable, Sendable {
    case badStatus = "bad-status"
    case connectionNamesVitalField = "connection-names-vital-field"
    case tooManyConnectionOptions = "too-many-connection-options"
    case upgradeNotRequested = "upgrade-not-requested"
    // Of the rules for texts, until nothing uses them.
    case badFieldName = "bad-field-name"
    case badFieldValue = "bad-field-value"
    case lengthAndCoding = "length-and-transfer-coding"
    case differingLengths = "differing-lengths"
    case badLength = "bad-length"
    case codingNotSupported = "transfer-coding-not-supported"
    case chunkedNotLast = "chunked-not-last"
    case codingInHTTP10 = "transfer-coding-in-http-1.0"
}

/// An origin's response that has been judged, and how it goes to the client.
public struct CheckedResponse: Sendable {
    /// As it goes to the client.
    public var head: OutgoingHead
    /// How the origin marks the content's end.
    public let originBody: BodyFraming
    /// The origin's connection may carry another request.
    public let originPersists: Bool
    /// The client's connection may carry another request.
    public let clientPersists: Bool

    public var status: Int { self.head.status }
    /// How the client sees the content's end.
    public var clientBody: BodyFraming { self.head.framing }

    /// A response from elsewhere than an origin's connection.
    public init(head: OutgoingHead, clientPersists: Bool) {
        self.init(head: head, originBody: .none, originPersists: false, clientPersists: clientPersists)
    }

    init(head: OutgoingHead, originBody: BodyFraming, originPersists: Bool, clientPersists: Bool) {
        self.head = head
        self.originBody = originBody
        self.originPersists = originPersists
        self.clientPersists = clientPersists
    }
}

/// The rules for responses: RFC 9110 §7.6 and §15, RFC 9112 §9.3. All faults here are the origin's. Framing has been judged by
/// `ResponseReader`.
public struct ResponseRules: Sendable {
    private let via11: String
    private let via10: String
    private let origin: OriginAddress?

    /// - Parameters:
    ///   - pseudonym: what this edge calls itself in `Via`.
    ///   - origin: where the origin is; nil: its `Location` passes as it is.
    public init(pseudonym: String, origin: OriginAddress? = nil) {
        self.origin = origin
        self.via11 = "1.1 \(pseudonym)"
        self.via10 = "1.0 \(pseudonym)"
    }

    /// Fields for one hop only, and those that say how the content ends.
    private static let hop = RequestRules.hop

    /// A final response (200 and above), or 101 to a request that asked for it.
    ///
    /// - Parameters:
    ///   - framing: how its content ends, by its head and the request's method.
    ///   - request: what it answers.
    ///   - closing: the edge wants to close the client's connection after this response.
    public func judge(
        _ head: ResponseHead, framing: BodyFraming, to request: CheckedRequest, closing: Bool
    ) throws(ResponseRefusal) -> CheckedResponse {
        guard 200...999 ~= head.status || head.status == 101 else { throw .badStatus }
        if head.status == 101, !request.upgrades { throw .upgradeNotRequested }
        let fields = self.origin?.translating(head.fields, scheme: request.scheme, host: request.host) ?? head.fields
        let options = fields.connectionOptions
        if options.named.contains(.host) || options.named.contains(.contentLength)
            || options.named.contains(.transferEncoding)
        {
            throw .connectionNamesVitalField
        }
        if options.isExcessive { throw .tooManyConnectionOptions }
        // Without these two, what follows would be read as HTTP by one party and not by the other.
        if head.status == 101, !options.upgrade || !fields.contains(.upgrade) { throw .badStatus }

        var clientBody = framing
        if framing == .chunked || framing == .untilClose {
            clientBody = request.version > .http10 ? .chunked : .untilClose
        }
        let clientPersists = request.clientPersists && !closing && clientBody != .untilClose
        var out = OutgoingHead(
            status: head.status, reason: head.fields.slice(head.reasonRange), fields: fields,
            omitted: Self.hop.union(options.named), framing: clientBody)
        out.namedOthers = options.others
        out.omitted.remove(.via)
        out.added.add(.via, .text(head.minorVersion == 0 ? self.via10 : self.via11))
        if clientBody == .chunked { out.omitted.remove(.trailer) }
        // To HEAD and in 304, the length is that of the response that GET would have got.
        if framing == .none, head.status >= 200, case .length(let length)? = head.announced {
            out.announcedLength = length
        }
        if request.version == .http2 {
            // Connections are HTTP/2's own business (RFC 9113 §8.2.2), and 426 can't be obeyed there.
        } else if head.status == 101 || head.status == 426 {
            // 426 has to name what it asks for (RFC 9110 §15.5.22).
            out.omitted.remove(.upgrade)
            out.connection = .upgrade(close: head.status == 426 && !clientPersists)
        } else if !clientPersists {
            out.connection = .close
        } else if request.version == .http10 {
            out.connection = .keepAlive
        }
        out.name(request)
        return CheckedResponse(
            head: out, originBody: framing,
            originPersists: options.persists(minorVersion: head.minorVersion) && framing != .untilClose
                && head.status != 101,
            clientPersists: clientPersists)
    }

    /// An informational response other than 101, or `nil` where the client is not to see it: HTTP/1.0 knows none
    /// (RFC 9110 §15.2), and one with too many options is dropped.
    public func informational(_ head: ResponseHead, to request: CheckedRequest) -> OutgoingHead? {
        guard request.version > .http10, head.isInformational else { return nil }
        // Whether the client asked for it or not, 100 without a body to wait for only confuses.
        if head.status == 100, !request.expectsContinue { return nil }
        let options = head.fields.connectionOptions
        if options.isExcessive { return nil }
        var out = OutgoingHead(
            status: head.status, reason: head.fields.slice(head.reasonRange), fields: head.fields,
            omitted: Self.hop.union(options.named), framing: .none)
        out.namedOthers = options.others
        return out
    }
}
