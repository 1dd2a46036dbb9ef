public import HTTPFields
import NIOCore

/// Whether a response is stored, and as what (RFC 9111 §3).
public enum StoreDecision: Sendable {
    /// `withheld`: fields that are not stored but that the client whose request this was still gets (`Set-Cookie` by the
    /// site's policy, what `no-cache="…"` or `private="…"` name).
    case store(StoredResponse, withheld: FieldSection?)
    case refuse(StoreRefusal)
}

/// Why a response is not stored. The text goes to logs and to `Cache-Status` details.
public enum StoreRefusal: String, Error, Sendable, CaseIterable {
    case bypass = "bypass"
    case method = "method"
    case interim = "interim-response"
    case notModified = "not-modified"
    case requestNoStore = "request-no-store"
    case noStore = "no-store"
    case isPrivate = "private"
    case notUnderstood = "status-not-understood"
    case authorization = "authorization"
    case setCookie = "set-cookie"
    /// The request had a cookie, and nothing but the heuristic or the site's default speaks for storing.
    case cookie = "cookie"
    case varyStar = "vary-star"
    /// The response varies by `Accept-Encoding`, and what the request says there is not reduced to the site's codings: any client could
    /// put as many such variants into a key as it has room for.
    case ownCodings = "accept-encoding-not-reduced"
    /// The status says nothing about caching, and neither does the origin.
    case notExplicit = "no-explicit-freshness"
    /// It would be stale at once, and no origin could be asked whether it still holds.
    case useless = "no-freshness-no-validator"
    case tooLarge = "too-large"
    /// More fields, or larger ones, than the store keeps.
    case tooManyFields = "too-many-fields"
    /// A 206 that is none of the kind that is kept (docs/caching.md) or that was not asked for, and whatever else than 200
    /// answers a request for a range.
    case partial = "partial"
    /// A small range of a large response, which was asked for as a whole: the rest is not worth its way.
    case smallRange = "small-range"
    /// The body ends where the connection does, and nothing vouches for that being its end.
    case endNotCertain = "end-not-certain"
    /// A status or a reason phrase that no head can have.
    case badHead = "bad-head"
}

/// A final response of the origin as it arrived.
public struct OriginResponse: Sendable {
    /// 100...999.
    public var status: Int
    /// As it came; may be empty.
    public var reason: [UInt8]
    /// As the origin sent them, or as they go on to the client; fields for one hop are left out when storing.
    public var fields: FieldSection
    /// The body's length in bytes where the framing announces it; for a response to HEAD, what `Content-Length` says.
    public var bodyLength: Int64?
    /// Milliseconds since 1970 UTC: when the request was sent, when the head arrived.
    public var requestTime: Int64
    public var responseTime: Int64
    /// Whether a body that breaks off can be told from one that ends. Not so where the end of a connection without TLS is
    /// the end of the body.
    public var endIsCertain: Bool

    public init(
        status: Int, reason: [UInt8], fields: FieldSection, bodyLength: Int64?, requestTime: Int64,
        responseTime: Int64, endIsCertain: Bool = true
    ) {
        self.status = status
        self.reason = reason
        self.fields = fields
        self.bodyLength = bodyLength
        self.requestTime = requestTime
        self.responseTime = responseTime
        self.endIsCertain = endIsCertain
    }
}

extension CacheRequest {
    /// Whether the origin's response to this request, forwarded as `OriginRequest` says, is stored under the request's
    /// key.
    ///
    /// - Parameters:
    ///   - sent: how it was forwarded; nil: as `originRequest()` has it.
    ///   - key: the request's.
    ///   - query: the site's rules, to compare `Content-Location` with the key where the request was a POST.
    public func decideStoring(
        _ response: OriginResponse, to sent: OriginRequest? = nil, key: CacheKey, query: QueryRules = QueryRules()
    ) -> StoreDecision {
        do throws(StoreRefusal) {
            return try self.storing(response, to: sent ?? self.originRequest(), key: key, query: query)
        } catch {
            return .refuse(error)
        }
    }

    /// Why a response to GET is not stored, where its status and its own words say so: what ``decideStoring(_:to:key:query:)`` would say,
    /// asked before an ``OriginResponse`` is put together.
    ///
    /// - Parameter fields: as the origin sent them. Fields for one hop may be among them, but none that `Connection` made one.
    /// - Returns: nil where there is more to be looked at.
    public func refusal(status: Int, fields: FieldSection) -> StoreRefusal? {
        guard self.method == .get else { return nil }
        do throws(StoreRefusal) {
            try self.check(status, try self.facts(status, fields))
            return nil
        } catch {
            return error
        }
    }

    private func facts(_ code: Int, _ fields: FieldSection) throws(StoreRefusal) -> ResponseFacts {
        guard self.bypass == nil else { throw .bypass }
        if code < 200 { throw .interim }
        if code == 304 { throw .notModified }
        return ResponseFacts(fields, rule: self.rule)
    }

    private func storing(
        _ response: OriginResponse, to sent: OriginRequest, key: CacheKey, query: QueryRules
    ) throws(StoreRefusal) -> StoreDecision {
        let code = response.status
        let facts = try self.facts(code, response.fields)
        switch self.method {
        case .get: break
        case .post:
            // It answers later GETs if it says that it is what they would get, and for how long (RFC 9110 §9.3.3).
            guard 200...299 ~= code, code != 206, facts.hasExplicitLifetime,
                let location = response.fields.only(.contentLocation),
                let reference = String(validating: response.fields.copy(location.value), as: UTF8.self),
                key.resolving(reference, query: query) == key
            else { throw .method }
        default: throw .method
        }
        try self.check(code, facts)
        // What an error says about a range, it doesn't say about the whole.
        if sent.sendsRange, self.method == .get, code != 200, code != 206 { throw .partial }
        let extent = try self.extent(of: response, isAskedFor: sent.sendsRange, facts: facts)
        if case .complete(let length?) = extent, !sent.sendsRange, self.asksForLittle(of: length) { throw .smallRange }
        guard response.endIsCertain else { throw .endNotCertain }
        guard let variant = VariantKey(response: response.fields, request: self) else { throw .varyStar }
        if self.hasOwnCodings, variant.selectors.contains(where: { $0.name.known == .acceptEncoding }) {
            throw .ownCodings
        }
        if self.hasCookie, self.rule.cookieRequests == .explicit, !facts.hasExplicitLifetime,
            !facts.directives.isPublic, self.rule.overrideLifetime == nil,
            !variant.selectors.contains(where: { $0.name.known == .cookie })
        {
            throw .cookie
        }

        let freshness = FreshnessDecision.decide(
            status: code, fields: response.fields, facts: facts, age: AgeField.seconds(response.fields),
            rule: self.rule, requestTime: response.requestTime, responseTime: response.responseTime)
        let storable = StorableFields(
            response.fields, withheldNames: facts.directives.withheldFields,
            withholdsCookies: facts.setsCookies && self.rule.setCookie == .strip)
        var head = StorableHead()
        for field in response.fields {
            switch storable.fate(of: field) {
            case .kept: head.keep(field, of: response.fields)
            case .withheld: head.withhold(field, of: response.fields)
            case .dropped: break
            }
        }
        let stored = StoredResponse(
            head: try Self.encoded(
                head, code, response.reason, date: response.fields.contains(.date) ? nil : response.responseTime),
            requestTime: response.requestTime, responseTime: response.responseTime, variant: variant, extent: extent,
            freshness: freshness, tags: TagFields.tags(response.fields))
        let isFreshOnce = freshness.lifetime > freshness.initialAge && !freshness.flags.contains(.noCache)
        let mayServeStale = freshness.staleWhileRevalidate > 0 || freshness.staleIfError > 0
        guard isFreshOnce || stored.hasValidator || mayServeStale else { throw .useless }
        return .store(stored, withheld: head.withheld?.section)
    }

    /// RFC 9111 §3 and §3.5, and the site's policy about cookies.
    func check(_ code: Int, _ facts: ResponseFacts) throws(StoreRefusal) {
        let directives = facts.directives
        if self.directives.noStore { throw .requestNoStore }
        if directives.mustUnderstand {
            // It overrides no-store for those who know the status (RFC 9111 §5.2.2.3).
            guard StatusCodes.isUnderstood(code) else { throw .notUnderstood }
        } else if directives.noStore {
            throw .noStore
        }
        if directives.isPrivate { throw .isPrivate }
        if self.hasAuthorization, !directives.isPublic, !directives.mustRevalidateForAll, directives.sharedMaxAge == nil
        {
            throw .authorization
        }
        let hasSiteLifetime = self.rule.negativeLifetimes[code] != nil
        guard
            facts.hasExplicitLifetime || directives.isPublic || hasSiteLifetime
                || StatusCodes.isHeuristicallyCacheable(code)
        else { throw .notExplicit }
        if facts.setsCookies {
            switch self.rule.setCookie {
            case .strip: break
            case .refuse: throw .setCookie
            case .store: if !facts.hasExplicitLifetime, !directives.isPublic { throw .setCookie }
            case .refuseUnlessShared: if !facts.isMeantForSharing { throw .setCookie }
            }
        }
    }

    /// Whether ranges are asked for that are less than half of a body that is worth a thought. Who has them may leave, and the fetch would
    /// go on for the store alone: a request of 300 bytes could so make an origin send a GiB (RFC 9110 §17.15).
    private func asksForLittle(of length: Int64) -> Bool {
        guard length > Self.alwaysFilled, let ranges else { return false }
        let asked = ranges.reduce(Int64(0)) { sum, range in
            switch range {
            case .from(let first, let last):
                let end = min(last ?? .max, length - 1)
                return sum.saturatingAdd(max(0, end.saturatingSubtract(first).saturatingAdd(1)))
            case .suffix(let count): return sum.saturatingAdd(min(count, length))
            }
        }
        return asked < length / 2
    }

    /// Bytes: a body that is fetched as a whole however little of it is asked for.
    private static let alwaysFilled: Int64 = 1 << 20

    /// - Parameter isAskedFor: whether a range was.
    private func extent(
        of response: OriginResponse, isAskedFor: Bool, facts: ResponseFacts
    ) throws(StoreRefusal) -> StoredResponse.Extent {
        if let length = response.bodyLength, length > self.rule.maximumObjectBytes { throw .tooLarge }
        guard response.status == 206 else {
            if response.status == 204 { return .complete(length: 0) }
            return .complete(length: response.bodyLength)
        }
        // Kept: one part, with a length that agrees, in answer to a plain range, and fresh because the origin says so.
        // Parts are never combined, so that no validator is needed to tell whether they fit.
        guard isAskedFor, self.ranges?.count == 1, facts.hasExplicitLifetime, !facts.directives.noCache,
            let field = response.fields.only(.contentRange),
            let range = ContentRange(response.fields.bytes.readableBytesUInt8Span, field.value),
            let length = response.bodyLength,
            length == range.last - range.first + 1
        else { throw .partial }
        return .partial(first: range.first, last: range.last, total: range.total)
    }

    static func encoded(
        _ head: StorableHead, _ status: Int, _ reason: [UInt8], date: Int64?
    ) throws(StoreRefusal) -> EncodedHead {
        if head.isTooLarge { throw .tooManyFields }
        do throws(FieldFault) {
            return try head.encoded(status: status, reason: reason, date: date)
        } catch {
            throw .badHead
        }
    }
}

extension StoredResponse {
    /// Names and values together; what is larger isn't stored. Below what the codec can write.
    public static let maximumFieldBytes = 256 << 10

    /// Which stored variants this newly stored response takes the place of, as indices: those that its own request
    /// selects. A part takes the place of parts only, and only of those that overlap it or belong to another version.
    ///
    /// - Parameter request: the one that was answered.
    public func displaced(from variants: [StoredResponse], request: CacheRequest) -> [Int] {
        var values = SelectorValues()
        return variants.indices.filter { index in
            let other = variants[index]
            guard other.variant.matches(request, &values) else { return false }
            switch (self.extent, other.extent) {
            case (.complete, _): return true
            case (.partial, .complete): return false
            case (.partial(let first, let last, let total), .partial(let otherFirst, let otherLast, let otherTotal)):
                let isSameVersion = total == otherTotal && self.hasSameValidators(as: other)
                return !isSameVersion || (first <= otherLast && otherFirst <= last)
            }
        }
    }

    private func hasSameValidators(as other: StoredResponse) -> Bool {
        guard self.lastModified == other.lastModified else { return false }
        switch (self.entityTag, other.entityTag) {
        case (nil, nil): return true
        case (let one?, let two?):
            return one.isWeak == two.isWeak
                && self.head.withSpan { mine in
                    other.head.withSpan { one.matchesWeakly(mine, two, in: $0) }
                }
        default: return false
        }
    }
}
