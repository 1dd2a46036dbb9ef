public import NIOHTTP1

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

    public var status: HTTPResponseStatus
    /// With `Age`, and with `Content-Length` unless the length isn't known yet: then the body ends as the framing of
    /// the client's protocol says. No other framing fields.
    public var fields: HTTPHeaders
    public var body: Body
    /// Of the body as it is sent; nil if it isn't known yet. 0 for HEAD, whatever `Content-Length` says.
    public var length: Int64?

    /// Where the stored response comes from.
    public enum Source: Sendable {
        /// It was stored before this request, or renewed by a 304.
        case store
        /// It is the origin's response to this very request, just stored.
        case origin
    }

    /// - Parameters:
    ///   - now: milliseconds since 1970 UTC.
    ///   - source: responses from the store always have `Age`.
    ///   - withheld: fields of the origin's response to this very request that were not stored, in their order: `StoreDecision`
    ///     and `Freshening` return them.
    ///   - boundary: a new random delimiter for `multipart/byteranges`, 1...70 letters and digits. Called only if needed.
    public init(
        from stored: StoredResponse, to request: CacheRequest, now: Int64, source: Source = .store,
        withheld: [(name: String, value: String)] = [], boundary: () -> String
    ) {
        let age = stored.currentAge(at: now) / 1000
        let ageText = source == .store || age > 0 ? String(age) : nil
        var fields = stored.fields
        fields.reserveCapacity(fields.count + withheld.count + 4)
        for field in withheld { fields.add(name: field.name, value: field.value) }
        if let ageText { fields.add(name: "Age", value: ageText) }

        if request.isUnmodified(stored) {
            self.init(status: .notModified, fields: Self.validatorFields(fields, stored), body: .none, length: 0)
        } else if let part = Self.part(of: stored, for: request, fields: fields, boundary: boundary) {
            self = part
        } else {
            var body = Body.whole
            var length = stored.bodyLength
            if case .partial(let first, let last, let total) = stored.extent {
                // The lookup lets nobody else see it, but this may be the answer to the very request that brought it.
                fields.replaceOrAdd(name: "Content-Range", value: Self.contentRange(first...last, total: total))
            }
            if stored.status == .noContent {
                body = .none
                length = 0
            } else if let length {
                fields.add(name: "Content-Length", value: String(length))
            }
            if request.method == .HEAD {
                body = .none
                length = 0
            }
            self.init(status: stored.status, fields: fields, body: body, length: length)
        }
        request.rule.responseFields.apply(to: &self.fields)
    }

    private init(status: HTTPResponseStatus, fields: HTTPHeaders, body: Body, length: Int64?) {
        self.status = status
        self.fields = fields
        self.body = body
        self.length = length
    }

    /// What a 304 carries: everything but what describes a body that isn't there (RFC 9110 §15.4.5).
    private static func validatorFields(_ fields: HTTPHeaders, _ stored: StoredResponse) -> HTTPHeaders {
        let kept = fields.filter { field in
            switch field.name.utf8.count {
            case 11: !FieldText.equal(field.name, "content-md5")
            case 12: !FieldText.equal(field.name, "content-type")
            case 13:
                !FieldText.equal(field.name, "content-range")
                    && !(stored.entityTag != nil && FieldText.equal(field.name, "last-modified"))
            case 14: !FieldText.equal(field.name, "content-digest")
            case 16:
                !FieldText.equal(field.name, "content-encoding") && !FieldText.equal(field.name, "content-language")
            default: true
            }
        }
        return HTTPHeaders(kept.map { ($0.name, $0.value) })
    }

    /// 206 or 416; nil if the request's range doesn't count.
    private static func part(
        of stored: StoredResponse, for request: CacheRequest, fields: HTTPHeaders, boundary: () -> String
    ) -> Answer? {
        guard let specs = request.ranges else { return nil }
        if let ifRange = request.ifRange, !IfRange.holds(ifRange, for: stored) { return nil }
        let first: Int64
        let total: Int64?
        switch stored.extent {
        case .complete(let length):
            guard stored.status == .ok, let length else { return nil }
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
        guard let range = ranges.first else { return Self.unsatisfiable(fields, total: total) }
        var fields = fields
        fields.remove(name: "Content-Range")
        if ranges.count == 1 {
            let length = range.upperBound - range.lowerBound + 1
            fields.add(name: "Content-Range", value: Self.contentRange(range, total: total))
            fields.add(name: "Content-Length", value: String(length))
            let body = (range.lowerBound - first)...(range.upperBound - first)
            return Answer(status: .partialContent, fields: fields, body: .range(body), length: length)
        }
        let multipart = MultipartBody(
            ranges: ranges, total: total, offset: first, contentType: fields.first(name: "Content-Type"),
            boundary: boundary())
        fields.replaceOrAdd(name: "Content-Type", value: "multipart/byteranges; boundary=\(multipart.boundary)")
        fields.add(name: "Content-Length", value: String(multipart.length))
        return Answer(
            status: .partialContent, fields: fields, body: .multipart(multipart), length: multipart.length)
    }

    private static func unsatisfiable(_ fields: HTTPHeaders, total: Int64?) -> Answer? {
        guard let total else { return nil }
        var kept: HTTPHeaders = [:]
        for name in ["Date", "ETag", "Vary", "Cache-Control", "Age", "Via"] {
            for value in fields[name] { kept.add(name: name, value: value) }
        }
        kept.add(name: "Content-Range", value: "bytes */\(total)")
        kept.add(name: "Content-Length", value: "0")
        return Answer(status: .rangeNotSatisfiable, fields: kept, body: .none, length: 0)
    }

    static func contentRange(_ range: ClosedRange<Int64>, total: Int64?) -> String {
        "bytes \(range.lowerBound)-\(range.upperBound)/\(total.map { String($0) } ?? "*")"
    }
}

extension CacheRequest {
    /// Whether the client has what is stored already, so that 304 is the answer (RFC 9111 §4.3.2): `If-None-Match` by
    /// weak comparison, or else `If-Modified-Since` against `Last-Modified`, `Date` or the time of receipt.
    func isUnmodified(_ stored: StoredResponse) -> Bool {
        guard (200...299).contains(stored.status.code) else { return false }
        if let ifNoneMatch { return ifNoneMatch.matches(stored.entityTag) }
        guard let text = self.ifModifiedSince, let since = HTTPDate.parse(text, now: stored.responseTime) else {
            return false
        }
        return (stored.lastModified ?? stored.date) <= since
    }
}
