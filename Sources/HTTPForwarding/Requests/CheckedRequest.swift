public import HTTPFields
public import NIOCore

/// A client's request that has been judged, and may be answered or go to the origin: what every decision about it asks. Nothing
/// has been built for the origin yet; ``writeOriginHead(edits:to:)`` does that for a request that goes there.
///
/// Made by ``RequestRules``, of an HTTP/1.1 head or of an HTTP/2 field block. A class, since everything that has to do with the request
/// holds it: that is a reference then, and one allocation for each request.
public final class CheckedRequest: SelectorSource {
    public let method: RequestMethod
    /// The bytes of a method without a number; empty for the others.
    let otherMethod: ByteBuffer
    /// In origin form, or `*`: visible ASCII without `#`, as the client sent it. A slice of what was read, unless the client sent
    /// an absolute URI without a path.
    public let target: ByteBuffer
    /// The host in its one normal form: lower case, no trailing dot, a port only if it is not the scheme's own. It is the site's.
    public let host: String
    /// What the client speaks.
    public let version: ClientVersion
    /// How the content ends on the way to the origin: `.none`, `.length` or `.chunked`. `.length(0)` has no content either, and
    /// says so to the origin, as the client did; with GET, HEAD and TRACE, where it says nothing (RFC 9110 §8.6), it is `.none`.
    public let framing: BodyFraming
    /// The client waits for `100 Continue` before it sends the content.
    public let expectsContinue: Bool
    /// The client asks to change the protocol, and the origin is told so. Never over HTTP/2.
    public let upgrades: Bool
    /// The client will read another response on this connection.
    public let clientPersists: Bool
    /// All fields as they came, those for one hop among them: ``passes(_:)`` tells them apart. Of an HTTP/2 request without the
    /// pseudo-fields, with one `Cookie`, and with `Host` only if the client sent one.
    public let fields: FieldSection
    /// What `Max-Forwards` says to the origin; only with OPTIONS and TRACE.
    let maxForwards: Int64?
    let connection: ConnectionOptions
    let rules: RequestRules
    /// What the request is called in logs and at the origin; nil where the site names none.
    public let name: RequestName?

    init(
        method: RequestMethod, otherMethod: ByteBuffer, target: ByteBuffer, host: String, version: ClientVersion,
        framing: BodyFraming, expectsContinue: Bool, upgrades: Bool, clientPersists: Bool, fields: FieldSection,
        maxForwards: Int64?, connection: ConnectionOptions, rules: RequestRules
    ) {
        self.method = method
        self.otherMethod = otherMethod
        self.target = target
        self.host = host
        self.version = version
        self.framing = framing
        self.expectsContinue = expectsContinue
        self.upgrades = upgrades
        self.clientPersists = clientPersists
        self.fields = fields
        self.maxForwards = maxForwards
        self.connection = connection
        self.rules = rules
        self.name = rules.policy.newRequestID.map {
            RequestName(fields, accepts: rules.policy.clientClaims == .append, $0)
        }
    }

    /// The scheme of the client's connection, in lower case.
    public var scheme: String { self.rules.policy.scheme }

    /// Whether the client is told the request's name.
    public var showsName: Bool { self.name != nil && self.rules.policy.showsRequestID }

    /// Whether content may follow.
    public var hasContent: Bool { self.framing.length.map { $0 > 0 } ?? true }

    /// Whether the request may go out again when no answer came (RFC 9110 §9.2.2). Its content can't: see ``hasContent``.
    public var isIdempotent: Bool {
        self.method == .other
            ? RequestMethod.isIdempotent(self.otherMethod.readableBytesView) : self.method.isIdempotent
    }

    /// The method as text, for log lines.
    public var methodText: String {
        self.method == .other ? String(buffer: self.otherMethod) : "\(self.method.name)"
    }
}

/// The protocol versions between client and edge, oldest first. Later minor versions of HTTP/1 count as 1.1.
public enum ClientVersion: Int, Comparable, Sendable {
    case http10, http11, http2

    public static func < (one: ClientVersion, other: ClientVersion) -> Bool { one.rawValue < other.rawValue }
}
