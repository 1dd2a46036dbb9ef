public import HTTPFields
import NIOCore

/// What a response to an unsafe request makes stale (RFC 9111 §4.4).
public enum Invalidation {
    /// The keys whose stored responses must be validated before they are used again: the request's own, and those that
    /// `Location` and `Content-Location` point to on the same origin. Empty for safe methods and for errors.
    ///
    /// Use `StoredResponse.invalidated()` for each variant, or remove them.
    ///
    /// - Parameters:
    ///   - method: the token as it came.
    ///   - fields: the response's.
    public static func keys(
        method: some Collection<UInt8>, status: Int, fields: FieldSection, key: CacheKey,
        query: QueryRules = QueryRules()
    ) -> [CacheKey] {
        guard 200...399 ~= status, !Self.isSafe(method) else { return [] }
        var keys = [key]
        for field in fields where field.known == .location || field.known == .contentLocation {
            // A reference that is not UTF-8 is no URI (RFC 3986 §2).
            guard let reference = String(validating: fields.copy(field.value), as: UTF8.self),
                let other = key.resolving(reference, query: query), !keys.contains(other)
            else { continue }
            keys.append(other)
        }
        return keys
    }

    /// Registered as safe. A method that we don't know may change anything.
    private static func isSafe(_ method: some Collection<UInt8>) -> Bool {
        for safe in ["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"]
        where method.elementsEqual(safe.utf8) { return true }
        return false
    }
}
