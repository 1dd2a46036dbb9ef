/// What a line of the access log can say. The raw value is the key in JSON, and the name in a template.
public enum AccessField: String, CaseIterable, Sendable {
    /// When the request was over, RFC 3339, UTC, with milliseconds.
    case time
    /// The same as web servers write it: `29/Nov/2026:19:38:00 +0000`. Not in JSON.
    case localTime = "local_time"
    case client, site, mode, host
    /// Method, target and protocol. Not in JSON.
    case request
    case method, target
    case `protocol`
    case status, bytes
    /// Bytes from the client, of a relayed connection.
    case received
    /// Seconds, with microseconds.
    case duration
    case firstByte = "first_byte"
    case originAddress = "origin_address"
    case originFirstByte = "origin_first_byte"
    case originDuration = "origin_duration"
    case cache
    case tlsVersion = "tls_version"
    case tlsSuite = "tls_suite"
    case tlsGroup = "tls_group"
    case tlsResumed = "tls_resumed"
    case referrer
    case userAgent = "user_agent"
    case requestID = "request_id"
    case connection, number, outcome

    /// In the order in which JSON has them.
    static let inJSON = Self.allCases.filter { $0 != .localTime && $0 != .request }
}
