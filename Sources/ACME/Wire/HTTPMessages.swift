/// A request to a directory. Its head beyond this is the client's: host, user agent, and for a body its type and length.
public struct ACMERequest: Equatable, Sendable {
    public enum Method: String, Sendable {
        case get = "GET"
        case head = "HEAD"
        case post = "POST"
    }

    public var method: Method
    /// `https://…`
    public var url: String
    /// `application/jose+json`; empty but for POST.
    public var body: [UInt8]

    public init(method: Method, url: String, body: [UInt8] = []) {
        self.method = method
        self.url = url
        self.body = body
    }
}

/// A directory's answer.
public struct ACMEResponse: Equatable, Sendable {
    public var status: Int
    /// Names in lower case. Of a field that came several times, the last one.
    public var fields: [String: String]
    public var body: [UInt8]

    public init(status: Int, fields: [String: String] = [:], body: [UInt8] = []) {
        self.status = status
        self.fields = fields
        self.body = body
    }

    public static let longestBody = JSONText.maximumBytes

    var nonce: String? {
        self.fields["replay-nonce"].flatMap {
            (1...1024).contains($0.utf8.count) && Base64URL.isAlphabetOnly($0) ? $0 : nil
        }
    }

    var location: String? { self.fields["location"] }

    /// Milliseconds since 1970 at which `Retry-After` says to come back; nil: it says nothing that can be understood.
    ///
    /// - Parameter now: milliseconds since 1970.
    func retryAfter(now: Int64) -> Int64? {
        guard let text = self.fields["retry-after"] else { return nil }
        if let seconds = Int64(text) { return seconds < 0 ? nil : now + min(seconds, Self.longestRetryAfter) * 1000 }
        guard let date = DateText.http(text, now: now) else { return nil }
        return min(max(date, now), now + Self.longestRetryAfter * 1000)
    }

    /// Seconds: no directory keeps us away for longer than a week.
    static let longestRetryAfter: Int64 = 7 * 86_400

    /// The directory's clock; milliseconds since 1970.
    func date(now: Int64) -> Int64? { self.fields["date"].flatMap { DateText.http($0, now: now) } }
}
