public import NIOHTTP1

/// What a response to an unsafe request makes stale (RFC 9111 §4.4).
public enum Invalidation {
    /// The keys whose stored responses must be validated before they are used again: the request's own, and those that
    /// `Location` and `Content-Location` point to on the same origin. Empty for safe methods and for errors.
    ///
    /// Use `StoredResponse.invalidated()` for each variant, or remove them.
    public static func keys(
        method: HTTPMethod, status: HTTPResponseStatus, fields: HTTPHeaders, key: CacheKey,
        query: QueryRules = QueryRules()
    ) -> [CacheKey] {
        guard !Self.isSafe(method), (200...399).contains(status.code) else { return [] }
        var keys = [key]
        for (name, value) in fields
        where FieldText.equal(name, "location") || FieldText.equal(name, "content-location") {
            if let other = key.resolving(value, query: query), !keys.contains(other) { keys.append(other) }
        }
        return keys
    }

    /// Registered as safe. A method that we don't know may change anything.
    static func isSafe(_ method: HTTPMethod) -> Bool {
        switch method {
        case .GET, .HEAD, .OPTIONS, .TRACE, .PROPFIND, .REPORT, .SEARCH: true
        default: method.rawValue == "QUERY"
        }
    }
}
