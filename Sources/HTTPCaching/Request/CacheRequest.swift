public import NIOHTTP1

/// A request as the cache sees it: read once, asked by every decision after that.
///
/// Nothing here is an error: fields that are not understood count as absent, and where that would be unsafe the request
/// bypasses the cache.
public struct CacheRequest: Sendable {
    public let method: HTTPMethod
    /// As given, but for what `Connection` lists: the origin doesn't see that, so that it may not select a variant. And
    /// with the codings that the site wants (`CacheRule.codings`) where a stored response may answer.
    public let fields: HTTPHeaders
    public let rule: CacheRule
    /// The store is not asked, and the response not kept.
    public let bypass: BypassReason?

    let directives: RequestDirectives
    let hasAuthorization: Bool
    let hasCookie: Bool
    /// What the origin is offered in the place of the client's `Accept-Encoding`; nil: that, or none.
    let acceptEncoding: String?
    let ifNoneMatch: EntityTagCondition?
    /// The text; read when a response to compare with is at hand.
    let ifModifiedSince: String?
    /// Valid byte ranges only; nil for other methods than GET.
    let ranges: [RangeSpec]?
    let ifRange: String?

    /// - Parameters:
    ///   - fields: as they would go to the origin if there were no cache (`ForwardedRequest.head`), with what the edge
    ///     adds about the client: `Vary` may name that too, and then clients must not share a response.
    ///   - rule: what the site wants for this path.
    ///   - hasBody: a body follows, although neither `Content-Length` nor `Transfer-Encoding` says so (HTTP/2).
    public init(method: HTTPMethod, fields: HTTPHeaders, rule: CacheRule, hasBody: Bool = false) {
        self.method = method
        self.rule = rule

        var fields = fields
        var facts = RequestFacts()
        for (name, value) in fields { facts.add(name, value) }
        if facts.hasConnectionOptions {
            let listed = StorableFields.connectionOptions(fields)
            let kept = fields.filter { field in !listed.contains { FieldText.sameName($0, field.name) } }
            fields = HTTPHeaders(kept.map { ($0.name, $0.value) })
            facts = RequestFacts()
            for (name, value) in fields { facts.add(name, value) }
        }
        if hasBody { facts.hasBodyOfItsOwn = true }

        var directives = facts.directives
        // Pragma counts only where there is no Cache-Control (RFC 9111 §5.4).
        if !facts.hasCacheControl, facts.pragmaNoCache { directives.noCache = true }
        switch rule.requestDirectives {
        case .honour: break
        case .limited:
            let kept = directives
            directives = RequestDirectives()
            directives.noStore = kept.noStore
            directives.onlyIfCached = kept.onlyIfCached
        case .ignore: directives = RequestDirectives()
        }
        self.directives = directives
        self.hasAuthorization = facts.hasAuthorization

        let isRead = method == .GET || method == .HEAD
        self.ifNoneMatch = isRead && !facts.ifNoneMatch.isEmpty ? EntityTagCondition(lines: facts.ifNoneMatch) : nil
        self.ifModifiedSince = isRead ? facts.ifModifiedSince.value : nil
        self.ranges = method == .GET ? facts.range.value.flatMap { RangeField.parse($0) } : nil
        self.ifRange = facts.ifRange.value
        self.hasCookie = !facts.cookies.isEmpty
        self.bypass = Self.bypass(method: method, facts: facts, fields: fields, rule: rule)
        self.acceptEncoding =
            isRead && self.bypass == nil
            ? rule.codings.flatMap { AcceptedCodings.reduced(facts.acceptEncoding, to: $0) } : nil
        if let acceptEncoding { fields.replaceOrAdd(name: "Accept-Encoding", value: acceptEncoding) }
        self.fields = fields
    }

    private static func bypass(
        method: HTTPMethod, facts: RequestFacts, fields: HTTPHeaders, rule: CacheRule
    ) -> BypassReason? {
        if rule.bypass { return .siteRule }
        if facts.hasPrecondition { return .precondition }
        // Two of them, or one that is no list of bytes: the origin may read it differently.
        if facts.range.count > 1 || facts.ifRange.count > 1 { return .ambiguous }
        if facts.hasOverride { return .override }
        if facts.hasBodyOfItsOwn, method == .GET || method == .HEAD { return .requestBody }
        for name in rule.bypassFields where fields.contains(name: name) { return .siteField }
        if !rule.bypassCookies.isEmpty {
            for cookies in facts.cookies {
                for pair in cookies.utf8.split(separator: UInt8(ascii: ";")) {
                    let name = FieldText.trimmed(Substring(pair.prefix { $0 != UInt8(ascii: "=") }))
                    if rule.bypassCookies.contains(where: { $0.matches(name) }) { return .siteCookie }
                }
            }
        }
        return nil
    }

    /// Whether the answer may have several parts, which takes a body that can be read more than once.
    public var asksForSeveralRanges: Bool { (self.ranges?.count ?? 0) > 1 }

    /// Whether a stored response may answer it at all.
    var isLookedUp: Bool { self.bypass == nil && (self.method == .GET || self.method == .HEAD) }
}

/// Why a request has nothing to do with the store. The text goes to `Cache-Status` details and to logs.
public enum BypassReason: String, Sendable, CaseIterable {
    case siteRule = "site-rule"
    case siteCookie = "site-rule-cookie"
    case siteField = "site-rule-field"
    /// `If-Match` or `If-Unmodified-Since`, which only the origin can answer (RFC 9111 §4.3.2).
    case precondition = "precondition"
    /// A field that may stand once only stands there twice.
    case ambiguous = "ambiguous-request"
    /// GET with a body: not part of the key, yet the origin may look at it.
    case requestBody = "request-body"
    /// A field by which some frameworks let a request pretend another method or target, which is not part of the key.
    case override = "override-field"
}

/// One pass over a request's fields. The length comes first: most fields are told apart by it alone.
private struct RequestFacts {
    var directives = RequestDirectives()
    var hasCacheControl = false
    /// More than the usual two.
    var hasConnectionOptions = false
    var pragmaNoCache = false
    var hasAuthorization = false
    var hasPrecondition = false
    var hasBodyOfItsOwn = false
    var hasOverride = false
    var ifNoneMatch: [String] = []
    var ifModifiedSince = SingleValue()
    var range = SingleValue()
    var ifRange = SingleValue()
    var cookies: [String] = []
    var acceptEncoding: [String] = []

    mutating func add(_ name: String, _ value: String) {
        switch name.utf8.count {
        case 5 where FieldText.equal(name, "range"): self.range.add(value)
        case 6 where FieldText.equal(name, "pragma"):
            FieldText.forEachElement(value) { if FieldText.equal($0, "no-cache") { self.pragmaNoCache = true } }
        case 6 where FieldText.equal(name, "cookie"): self.cookies.append(value)
        case 8 where FieldText.equal(name, "if-match"): self.hasPrecondition = true
        case 8 where FieldText.equal(name, "if-range"): self.ifRange.add(value)
        case 10 where FieldText.equal(name, "connection"):
            if !FieldText.equal(value, "keep-alive"), !FieldText.equal(value, "close") {
                self.hasConnectionOptions = true
            }
        case 13 where FieldText.equal(name, "cache-control"):
            self.hasCacheControl = true
            self.directives.add(value)
        case 13 where FieldText.equal(name, "if-none-match"): self.ifNoneMatch.append(value)
        case 13 where FieldText.equal(name, "authorization"): self.hasAuthorization = true
        case 6 where FieldText.equalFolded(name, "x-host"), 13 where FieldText.equalFolded(name, "x-http-method"),
            13 where FieldText.equalFolded(name, "x-rewrite-url"),
            14 where FieldText.equalFolded(name, "x-original-url"),
            17 where FieldText.equalFolded(name, "x-method-override"),
            20 where FieldText.equalFolded(name, "x-http-host-override"),
            22 where FieldText.equalFolded(name, "x-http-method-override"):
            self.hasOverride = true
        case 14 where FieldText.equal(name, "content-length"): if value != "0" { self.hasBodyOfItsOwn = true }
        case 15 where FieldText.equal(name, "accept-encoding"): self.acceptEncoding.append(value)
        case 17 where FieldText.equal(name, "if-modified-since"): self.ifModifiedSince.add(value)
        case 17 where FieldText.equal(name, "transfer-encoding"): self.hasBodyOfItsOwn = true
        case 19 where FieldText.equal(name, "if-unmodified-since"): self.hasPrecondition = true
        default: break
        }
    }
}
