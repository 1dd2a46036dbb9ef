import HTTPFields

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Dates as directories write them, as milliseconds since 1970.
enum DateText {
    /// RFC 3339, with or without fractions of a second.
    static func rfc3339(_ text: String) -> Int64? {
        guard text.utf8.count <= 40 else { return nil }
        let plain = try? Date(text, strategy: Date.ISO8601FormatStyle())
        let date = plain ?? (try? Date(text, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true)))
        guard let seconds = date?.timeIntervalSince1970, abs(seconds) < 1e11 else { return nil }
        return Int64(seconds * 1000)
    }

    /// HTTP-date (RFC 9110 section 5.6.7).
    ///
    /// - Parameter now: milliseconds since 1970, for years of two digits.
    static func http(_ text: String, now: Int64) -> Int64? {
        let bytes = Array(text.utf8)
        return HTTPDate.milliseconds(bytes.span, bytes.indices, now: now)
    }
}
