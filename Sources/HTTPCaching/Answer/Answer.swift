public import HTTPFields
import NIOCore

/// What a client gets from a stored response (RFC 9111 §4, RFC 9110 §13 and §14).
public struct Answer: Sendable {
    public enum Body: Hashable, Sendable {
        /// No body: 304, 416, 204, HEAD.
        case none
        /// All of what is stored.
        case whole
        /// Some of it: positions in the stored body, which for a stored part are not those of the representation.
        case range(ClosedRange<Int64>)
        case multipart(MultipartBody)
    }

    /// Status line and fields, without framing fields and `Age`. The stored head itself, without a copy, where all of it is the
    /// answer.
    public var head: EncodedHead
    /// The value of `Age` in seconds, to be added; nil: none.
    public var age: Int64?
    /// The value of `Content-Length`, to be added, also where no body follows (HEAD); nil: none. Where a body follows whose
    /// length isn't known yet, it ends as the framing of the client's protocol says.
    public var contentLength: Int64?
    public var body: Body
    /// Of the body as it is sent; nil if it isn't known yet. 0 for HEAD, whatever `Content-Length` says.
    public var length: Int64?

    /// `head` is the stored one, byte for byte, and `contentLength` the stored body's: what was encoded of that entry before may go
    /// out in their place.
    public private(set) var isStoredHead = false

    /// Where the stored response comes from.
    public enum Source: Sendable {
        /// It was stored before this request, or renewed by a 304.
        case store
        /// It is the origin's response to this very request, just stored.
        case origin
    }

    /// 100...999.
    public var status: Int { self.head.status }

    /// - Parameters:
    ///   - now: milliseconds since 1970 UTC.
    ///   - source: responses from the store always have `Age`.
    ///   - withheld: fields of the origin's response to this very request that were not stored, in their order: `StoreDecision`
    ///     and `Freshening` return them.
    ///   - boundary: a new random delimiter for `multipart/byteranges`, 1...70 letters and digits. Called only if needed.
    public init(
        from stored: borrowing StoredResponse, to request: borrowing CacheRequest, now: Int64, source: Source = .store,
        withheld: FieldSection? = nil, boundary: () -> String
    ) {
        if request.isUnmodified(stored) {
            self.init(notModified: stored)
        } else if let part = Self.part(of: stored, for: request, boundary: boundary) {
            self = part
        } else {
            self.init(all: stored, to: request)
        }
        if let withheld {
            self.isStoredHead = false
            self.head.add(withheld)
        }
        let age = stored.currentAge(at: now) / 1000
        if source == .store || age > 0 { self.age = age }
        let edits = request.rule.responseFields
        guard !edits.isEmpty else { return }
        self.isStoredHead = false
        self.head = edits.applied(to: self.head)
        if edits.removes(.age) { self.age = nil }
    }

    private init(head: EncodedHead, body: Body, length: Int64?, contentLength: Int64?) {
        self.head = head
        self.body = body
        self.length = length
        self.contentLength = contentLength
    }

    private init(all stored: borrowing StoredResponse, to request: borrowing CacheRequest) {
        let length = stored.bodyLength
        let isEmpty = stored.status == 204
        // 204 has no such field (RFC 9110 §8.6).
        self.init(head: stored.head, body: .whole, length: length, contentLength: isEmpty ? nil : length)
        if case .partial(let first, let last, let total) = stored.extent {
            // The lookup lets no other request see it, but this may be the answer to the very request that brought it.
            self.head = stored.head.filtered { field, _ in field.known != .contentRange }
            self.head.addContentRange(first...last, total: total)
        } else {
            self.isStoredHead = true
        }
        if isEmpty || request.method == .head {
            self.body = .none
            self.length = 0
        }
    }

    /// What a 304 carries: everything but what describes a body that isn't there (RFC 9110 §15.4.5).
    private init(notModified stored: borrowing StoredResponse) {
        let dropped = Self.contentFields
        let hasTag = stored.entityTag != nil
        let head = stored.head.filtered(status: 304, reason: "Not Modified") { field, names in
            switch field.known {
            case let known? where dropped.contains(known): false
            case .lastModified: !hasTag
            case nil: !names.matches(Self.contentMD5, field)
            default: true
            }
        }
        self.init(head: head, body: .none, length: 0, contentLength: nil)
    }

    private static let contentFields = KnownFieldSet(
        .contentType, .contentRange, .contentEncoding, .contentLanguage)
    private static let contentMD5 = FieldName("Content-MD5") ?? FieldName(.contentLength)

    /// 206 or 416; nil if the request's range doesn't count.
    private static func part(
        of stored: StoredResponse, for request: CacheRequest, boundary: () -> String
    ) -> Answer? {
        guard let specs = request.ranges, request.rangeHolds(for: stored) else { return nil }
        let first: Int64
        let total: Int64?
        switch stored.extent {
        case .complete(let length):
            guard stored.status == 200, let length else { return nil }
            // An empty body has no first byte to name in Content-Range.
            if length == 0, specs.contains(where: { if case .suffix(let count) = $0 { count > 0 } else { false } }) {
                return nil
            }
            (first, total) = (0, length)
        case .partial(let start, _, let length):
            // The origin may have sent another part than the one asked for. It is passed on as what it is.
            guard request.isCovered(by: stored) else { return nil }
            (first, total) = (start, length)
        }
        guard let ranges = CacheRequest.resolve(specs, total: total) else { return nil }
        guard let range = ranges.first else { return total.map { Self.unsatisfiable(stored, total: $0) } }
        if ranges.count == 1 {
            let length = range.upperBound - range.lowerBound + 1
            var head = stored.head.filtered(status: 206, reason: "Partial Content") { field, _ in
                field.known != .contentRange
            }
            head.addContentRange(range, total: total)
            let body = (range.lowerBound - first)...(range.upperBound - first)
            return Answer(head: head, body: .range(body), length: length, contentLength: length)
        }
        let fields = stored.fields
        let multipart = MultipartBody(
            ranges: ranges, total: total, offset: first,
            contentType: fields.first(.contentType).map { fields.copy($0.value) }, boundary: boundary())
        var head = stored.head.filtered(status: 206, reason: "Partial Content") { field, _ in
            field.known != .contentRange && field.known != .contentType
        }
        head.addText(.contentType, "multipart/byteranges; boundary=\(multipart.boundary)")
        return Answer(
            head: head, body: .multipart(multipart), length: multipart.length, contentLength: multipart.length)
    }

    private static func unsatisfiable(_ stored: StoredResponse, total: Int64) -> Answer {
        let kept = Self.rejectionFields
        var head = stored.head.filtered(status: 416, reason: "Range Not Satisfiable") { field, _ in
            field.known.map { kept.contains($0) } ?? false
        }
        head.addText(.contentRange, "bytes */\(total)")
        return Answer(head: head, body: .none, length: 0, contentLength: 0)
    }

    private static let rejectionFields = KnownFieldSet(.date, .etag, .vary, .cacheControl, .via)

    static func contentRange(_ range: ClosedRange<Int64>, total: Int64?) -> String {
        "bytes \(range.lowerBound)-\(range.upperBound)/\(total.map { String($0) } ?? "*")"
    }
}

extension EncodedHead {
    fileprivate mutating func addContentRange(_ range: ClosedRange<Int64>, total: Int64?) {
        self.addText(.contentRange, Answer.contentRange(range, total: total))
    }

    /// - Parameter text: visible characters and single spaces.
    fileprivate mutating func addText(_ name: KnownField, _ text: String) {
        try? self.add(name, text.utf8)
    }
}

extension CacheRequest {
    /// Whether the client has what is stored already, so that 304 is the answer (RFC 9111 §4.3.2): `If-None-Match` by
    /// weak comparison, or else `If-Modified-Since` against `Last-Modified`, `Date` or the time of receipt.
    func isUnmodified(_ stored: StoredResponse) -> Bool {
        guard self.isConditional, 200...299 ~= stored.status else { return false }
        if self.has(.ifNoneMatch) { return stored.head.withSpan { self.ifNoneMatchHolds(stored.entityTag, $0) } }
        guard let since = self.fields.date(.ifModifiedSince, now: stored.responseTime) else { return false }
        return (stored.lastModified ?? stored.date) <= since
    }

    /// Whether `If-None-Match` (RFC 9110 §13.1.2) names a response. Members that are no entity tags match nothing.
    ///
    /// - Parameters:
    ///   - tag: the response's.
    ///   - tagBytes: what it stands in.
    func ifNoneMatchHolds(_ tag: EntityTag?, _ tagBytes: borrowing Span<UInt8>) -> Bool {
        let bytes = self.fields.bytes.readableBytesUInt8Span
        var holds = false
        for field in self.fields where field.known == .ifNoneMatch {
            if bytes.equals(field.value, "*") { return true }
            guard let known = tag else { continue }
            FieldList.forEach(bytes, field.value, .quoted) { member in
                if let other = EntityTag(bytes, member), known.matchesWeakly(tagBytes, other, in: bytes) {
                    holds = true
                }
            }
        }
        return holds
    }

    /// Whether `If-Range`, if there is one, lets the ranges count for a stored response.
    func rangeHolds(for stored: StoredResponse) -> Bool {
        stored.head.withSpan {
            self.rangeHolds(
                stored.entityTag, $0, modified: stored.lastModified, date: stored.date, now: stored.responseTime)
        }
    }

    /// The same for a response (RFC 9110 §13.1.5): it has the same strong entity tag, or exactly this `Last-Modified` where that is
    /// strong enough (RFC 9110 §8.8.2.2: at least a second before `Date`).
    ///
    /// - Parameters:
    ///   - tag: the response's.
    ///   - tagBytes: what it stands in.
    ///   - modified, date, now: milliseconds since 1970 UTC; `now` is when the response came.
    func rangeHolds(
        _ tag: EntityTag?, _ tagBytes: borrowing Span<UInt8>, modified: Int64?, date: Int64, now: Int64
    ) -> Bool {
        guard self.has(.ifRange), let field = self.fields.only(.ifRange) else { return true }
        let bytes = self.fields.bytes.readableBytesUInt8Span
        if let wanted = EntityTag(bytes, field.value) {
            guard let tag else { return false }
            return tag.matchesStrongly(tagBytes, wanted, in: bytes)
        }
        guard let modified, HTTPDate.milliseconds(bytes, field.value, now: now) == modified else { return false }
        return date.saturatingSubtract(modified) >= 1000
    }
}
