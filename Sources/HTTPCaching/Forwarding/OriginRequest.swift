public import NIOHTTP1

/// How a request's fields change on the way to the origin for the cache's sake. Fields for one hop are not its business.
public struct OriginRequest: Sendable {
    /// Names to take away, in lower case.
    public var removed: [String]
    /// The stored response's validators, where it is validated.
    public var added: [(name: String, value: String)]
    /// The client wants a range, but everything is asked for, to be stored and to take the range from.
    public var fillsRange: Bool
    /// A 304 answers the cache's own question: see `CacheRequest.freshen`. Otherwise it is for the client.
    public var validates: Bool
    /// It goes out with a `Range` of the client's: only then is a part of a response an answer to it.
    public var sendsRange: Bool
    /// Conditions and range of the client are kept from the origin: they are judged on what it answers.
    public var asksForAll: Bool { self.removed.contains("if-none-match") }

    public func apply(to fields: inout HTTPHeaders) {
        for name in self.removed { fields.remove(name: name) }
        for field in self.added { fields.add(name: field.name, value: field.value) }
    }
}

extension CacheRequest {
    /// The request as it goes to the origin.
    ///
    /// - Parameters:
    ///   - validating: the stored response that a lookup said to validate (`validate`, `serveAndRevalidate`);
    ///   nil to fetch a whole one. One without a validator is fetched.
    ///   - asClient: conditions and range of the client's go along, since what comes is hardly for the store. Of no account where
    ///   a stored response is validated.
    public func originRequest(validating stored: StoredResponse? = nil, asClient: Bool = false) -> OriginRequest {
        var request = self.conditionedRequest(validating: stored, asClient: asClient)
        // What may be stored must be what the codings in its key stand for.
        if let acceptEncoding {
            request.removed.append("accept-encoding")
            request.added.append(("Accept-Encoding", acceptEncoding))
        }
        return request
    }

    private func conditionedRequest(validating stored: StoredResponse?, asClient: Bool) -> OriginRequest {
        if let stored, stored.hasValidator {
            var added: [(name: String, value: String)] = []
            if stored.entityTag != nil, let tag = stored.fields.first(name: "ETag") {
                added.append(("If-None-Match", tag))
            }
            if stored.lastModified != nil, let date = stored.fields.first(name: "Last-Modified") {
                added.append(("If-Modified-Since", date))
            }
            return OriginRequest(
                removed: Self.conditions + Self.rangeFields, added: added, fillsRange: self.ranges != nil,
                validates: true, sendsRange: false)
        }
        // What won't be stored goes through as the client sent it.
        guard !asClient, self.bypass == nil, self.method == .GET, !self.directives.noStore, !self.hasAuthorization
        else {
            return self.untouched
        }
        guard let ranges else {
            // The client's conditions would bring a 304 that says nothing to others; they are judged here instead.
            return OriginRequest(
                removed: Self.conditions + Self.rangeFields, added: [], fillsRange: false, validates: false,
                sendsRange: false)
        }
        guard self.rule.fills(ranges) else { return self.untouched }
        return OriginRequest(
            removed: Self.conditions + Self.rangeFields, added: [], fillsRange: true, validates: false,
            sendsRange: false)
    }

    private var untouched: OriginRequest {
        OriginRequest(
            removed: [], added: [], fillsRange: false, validates: false,
            sendsRange: self.fields.contains(name: "Range"))
    }

    private static let conditions = ["if-none-match", "if-modified-since"]
    private static let rangeFields = ["range", "if-range"]
}

extension CacheRequest {
    /// The same request as it renews a stored response while its client has been answered already: a GET for
    /// everything, without the client's own conditions and ranges. Every later decision about the response is asked of
    /// the returned value, not of the original.
    public func inBackground() -> CacheRequest {
        var fields = self.fields
        for name in Self.conditions + Self.rangeFields { fields.remove(name: name) }
        return CacheRequest(method: .GET, fields: fields, rule: self.rule)
    }
}

extension CacheRule {
    /// Whether to fetch everything where these ranges are asked for.
    func fills(_ ranges: [RangeSpec]) -> Bool {
        ranges.allSatisfy { range in
            switch range {
            case .from(let first, _): first <= self.fillsRangesBefore
            case .suffix: false
            }
        }
    }
}
