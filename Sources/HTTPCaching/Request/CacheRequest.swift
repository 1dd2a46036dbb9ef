public import HTTPFields
import NIOCore

/// A request as the cache sees it: read once, asked by every decision after that.
///
/// One pass over the fields' numbers, and none at all over those that say nothing to a cache. What only some answers need
/// (conditions, dates) is read when a response to compare with is at hand.
///
/// Nothing here is an error: fields that are not understood count as absent, and where that would be unsafe the request
/// bypasses the cache.
public struct CacheRequest: Sendable {
    public let method: RequestMethod
    /// As the client sent them. What `Connection` lists counts as absent: the origin doesn't see that.
    public let fields: FieldSection
    public var rule: CacheRule { self.shared.rule }
    private let shared: SharedRule
    /// The store is not asked, and the response not kept.
    public let bypass: BypassReason?

    let directives: RequestDirectives
    /// What the origin is offered in the place of the client's `Accept-Encoding`; nil: that, or none.
    let codings: OfferedCodings.Reduced?
    /// Valid byte ranges only; nil for other methods than GET.
    let ranges: [RangeSpec]?
    /// It renews a stored response while its client has been answered already.
    let isInBackground: Bool

    /// Names that stand among `fields` and are not listed by `Connection`.
    private let present: KnownFieldSet
    /// The names without a number that `Connection` lists.
    private let hiddenOthers: [Range<Int>]
    private let source: (any SelectorSource)?

    /// - Parameters:
    ///   - fields: as the client sent them.
    ///   - rule: what the site wants for this path (`CachePolicy.rule(for:)`).
    ///   - body: how the end of the content is found. None, and one of no bytes, are the same: no content.
    ///   - source: the fields as the origin gets them, with what the edge adds about the client: `Vary` may name that too, and
    ///     then clients must not share a response. nil: `fields`.
    public init(
        method: RequestMethod, fields: FieldSection, rule: SharedRule, body: BodyFraming = .none,
        source: (any SelectorSource)? = nil
    ) {
        self.init(
            method: method, fields: fields, rule: rule, hasContent: body.length != 0, source: source,
            isInBackground: false)
    }

    /// The same with a rule that no other request has.
    public init(
        method: RequestMethod, fields: FieldSection, rule: CacheRule, body: BodyFraming = .none,
        source: (any SelectorSource)? = nil
    ) {
        self.init(method: method, fields: fields, rule: SharedRule(rule), body: body, source: source)
    }

    private init(
        method: RequestMethod, fields: FieldSection, rule shared: SharedRule, hasContent: Bool,
        source: (any SelectorSource)?, isInBackground: Bool
    ) {
        self.method = method
        self.fields = fields
        self.shared = shared
        self.source = source
        self.isInBackground = isInBackground

        var present = fields.known
        var hiddenOthers: [Range<Int>] = []
        if present.contains(.connection) {
            let options = fields.connectionOptions
            present.subtract(options.named)
            hiddenOthers = options.others
        }
        if isInBackground { present.subtract(Self.conditionsAndRanges) }
        self.present = present
        self.hiddenOthers = hiddenOthers

        self.directives = Self.directives(fields, present, shared.rule.requestDirectives)
        self.bypass =
            Self.bypass(method, fields, present, shared, hasContent: hasContent)
            ?? (Self.hasDifferingClaim(fields, source, shared) ? .unkeyedField : nil)
        let isRead = method == .get || method == .head
        self.codings = isRead && self.bypass == nil ? shared.rule.offered?.reduced(fields, present) : nil
        if method == .get, present.contains(.range), let field = fields.only(.range) {
            self.ranges = RangeField.parse(fields.bytes.readableBytesUInt8Span, field.value)
        } else {
            self.ranges = nil
        }
    }

    private static func directives(
        _ fields: FieldSection, _ present: KnownFieldSet, _ policy: CacheRule.RequestDirectives
    ) -> RequestDirectives {
        var directives = RequestDirectives()
        guard policy != .ignore else { return directives }
        let bytes = fields.bytes.readableBytesUInt8Span
        if present.contains(.cacheControl) {
            for field in fields where field.known == .cacheControl { directives.add(bytes, field.value) }
        } else if present.contains(.pragma) {
            // Pragma counts only where there is no Cache-Control (RFC 9111 §5.4).
            for field in fields where field.known == .pragma {
                FieldList.forEach(bytes, field.value, .quoted) { member in
                    if bytes.equals(member, "no-cache") { directives.noCache = true }
                }
            }
        }
        guard policy == .limited else { return directives }
        var limited = RequestDirectives()
        limited.noStore = directives.noStore
        limited.onlyIfCached = directives.onlyIfCached
        return limited
    }

    private static func bypass(
        _ method: RequestMethod, _ fields: FieldSection, _ present: KnownFieldSet, _ shared: SharedRule,
        hasContent: Bool
    ) -> BypassReason? {
        if shared.rule.bypass { return .siteRule }
        if present.contains(.ifMatch) || present.contains(.ifUnmodifiedSince) { return .precondition }
        // Two of them: the origin may read it differently.
        if fields.repeats(.range) && present.contains(.range) || fields.repeats(.ifRange) && present.contains(.ifRange)
        {
            return .ambiguous
        }
        if shared.rule.unkeyedFields.isIn(fields) { return .unkeyedField }
        if hasContent, method == .get || method == .head { return .requestBody }
        for name in shared.rule.bypassFields where fields.contains(name) { return .siteField }
        if !shared.rule.bypassCookies.isEmpty, present.contains(.cookie),
            Self.hasCookie(fields, shared.rule.bypassCookies)
        {
            return .siteCookie
        }
        return nil
    }

    private static func hasDifferingClaim(
        _ fields: FieldSection, _ source: (any SelectorSource)?, _ shared: SharedRule
    ) -> Bool {
        var hasOne = false
        source?.forEachDifferingClaim { if !shared.rule.unkeyedFields.allows($0, of: fields) { hasOne = true } }
        return hasOne
    }

    private static func hasCookie(_ fields: FieldSection, _ patterns: [GlobPattern]) -> Bool {
        let bytes = fields.bytes.readableBytesUInt8Span
        for field in fields where field.known == .cookie {
            var start = field.value.lowerBound
            while start <= field.value.upperBound {
                let end = bytes.first(UInt8(ascii: ";"), in: start..<field.value.upperBound) ?? field.value.upperBound
                let nameEnd = bytes.first(UInt8(ascii: "="), in: start..<end) ?? end
                let name = bytes.trimmed(start..<nameEnd)
                for pattern in patterns where pattern.matches(bytes, name) { return true }
                start = end + 1
            }
        }
        return false
    }

    /// Whether there is a field of this name that the origin would see.
    func has(_ name: KnownField) -> Bool { self.present.contains(name) }

    var hasAuthorization: Bool { self.has(.authorization) }
    var hasCookie: Bool { self.has(.cookie) }

    /// Whether it has conditions that a stored response can answer.
    var isConditional: Bool {
        (self.method == .get || self.method == .head) && (self.has(.ifNoneMatch) || self.has(.ifModifiedSince))
    }

    /// Whether the answer may have several parts, which takes a body that can be read more than once.
    public var asksForSeveralRanges: Bool { (self.ranges?.count ?? 0) > 1 }

    /// Whether a stored response may answer it at all.
    var isLookedUp: Bool { self.bypass == nil && (self.method == .get || self.method == .head) }

    /// The same request as it renews a stored response while its client has been answered already: a GET for
    /// everything, without the client's own conditions and ranges. Every later decision about the response is asked of
    /// the returned value, not of the original.
    public func inBackground() -> CacheRequest {
        CacheRequest(
            method: .get, fields: self.fields, rule: self.shared, hasContent: false, source: self.source,
            isInBackground: true)
    }
}

// MARK: What Vary selects by

extension CacheRequest {
    /// The field as `Vary` compares it (``VaryNormalisation``); nil: the origin gets no such field.
    public func selectorValue(_ name: FieldName) -> [UInt8]? {
        if name.known == .acceptEncoding, let codings { return codings.selector }
        var lines: [[UInt8]] = []
        self.forEachValue(of: name) { lines.append(Array($0)) }
        return lines.isEmpty ? nil : VaryNormalisation.value(of: name, lines)
    }

    /// Whether the field has this value as `Vary` compares it, mostly without making it.
    ///
    /// - Parameter values: those that this request was asked for already; what has to be made is put there.
    func hasSelectorValue(_ value: [UInt8]?, for name: FieldName, _ values: inout SelectorValues) -> Bool {
        if name.known == .acceptEncoding, let codings { return value == codings.selector }
        guard VaryNormalisation.isPlain(name) else { return values.value(of: name, in: self) == value }
        var lines = 0
        var isSame = false
        self.forEachValue(of: name) { line in
            lines += 1
            if lines == 1, let value { isSame = line.count == value.count && line.elementsEqual(value) }
        }
        return switch lines {
        case 0: value == nil
        case 1: isSame
        default: values.value(of: name, in: self) == value
        }
    }

    /// The client's `Accept-Encoding` goes to the origin in its own words, although the site has codings of its own to offer.
    var hasOwnCodings: Bool {
        self.method == .get && self.codings == nil && self.rule.offered != nil && self.has(.acceptEncoding)
    }

    private func forEachValue(of name: FieldName, _ body: (UnsafeRawBufferPointer) -> Void) {
        // What a client hides from the origin, or the cache takes away, selects nothing.
        if let known = name.known, self.fields.known.contains(known), !self.present.contains(known) { return }
        if let source { return source.forEachSelectorLine(name, body) }
        if let known = name.known, !self.present.contains(known) { return }
        for field in self.fields where self.fields.isNamed(field, name) {
            if name.known == nil, self.fields.isNamed(field, by: self.hiddenOthers) { continue }
            self.fields.withBytes(field.value, body)
        }
    }
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
    /// A field that frameworks trust, and that is no part of the key (``UnkeyedFields``).
    case unkeyedField = "unkeyed-field"
}
