/// What a directory suggests for a certificate's renewal (RFC 9773 section 4.2). Milliseconds since 1970.
public struct RenewalInformation: Equatable, Sendable {
    public var start: Int64
    public var end: Int64
    /// Why, for people; nil: no reason was given.
    public var explanation: String?
    /// When to ask again.
    public var nextLook: Int64

    /// Between two looks: the bounds that RFC 9773 section 4.3 leaves to the client.
    static let looks: ClosedRange<Int64> = 60_000...86_400_000
    /// Where the directory says nothing about it.
    static let defaultLook: Int64 = 6 * 3_600_000

    private struct Body: Decodable {
        struct Window: Decodable {
            var start: String
            var end: String
        }

        var suggestedWindow: Window
        var explanationURL: String?
    }

    init(start: Int64, end: Int64, explanation: String?, nextLook: Int64) {
        self.start = start
        self.end = end
        self.explanation = explanation
        self.nextLook = nextLook
    }

    public init(_ response: ACMEResponse, now: Int64) throws(ACMEFailure) {
        guard response.status == 200 else {
            throw ACMEFailure(
                .unexpectedStatus(response.status, request: "the question when to renew"),
                notBefore: response.retryAfter(now: now))
        }
        let body = try JSONText.decode(Body.self, from: response.body, "the renewal information")
        guard let start = DateText.rfc3339(body.suggestedWindow.start),
            let end = DateText.rfc3339(body.suggestedWindow.end), start < end
        else { throw ACMEFailure(.badAnswer("a renewal window that ends before it starts, or is no window")) }
        let asked = (response.retryAfter(now: now) ?? now + Self.defaultLook) - now
        self.init(
            start: start, end: end,
            explanation: body.explanationURL.map { ACMEProblem.printable($0, most: 300) },
            nextLook: now + min(max(asked, Self.looks.lowerBound), Self.looks.upperBound))
    }

    /// A request for it; nil: the directory has none, or the certificate no name there.
    public static func request(directory response: ACMEResponse, chain: IssuedChain) throws(ACMEFailure) -> ACMERequest?
    {
        guard response.status == 200 else {
            throw ACMEFailure(.unexpectedStatus(response.status, request: "the request for the directory"))
        }
        guard let base = try Directory(response).renewalInfo, let id = chain.ariID else { return nil }
        return ACMERequest(method: .get, url: base.hasSuffix("/") ? base + id : "\(base)/\(id)")
    }
}
