/// How much an origin may send that is no body: heads, 1xx responses, trailers, what frames the chunks. Pure.
///
/// Without it an origin keeps the edge reading for ever: a reason phrase, a chunk's extension or a line of zeros has no
/// end of its own, and the decoder tells of none of them.
struct ResponseBudget {
    enum Violation: String {
        case informational = "too many 1xx responses"
        case overhead = "too many bytes beside the body"
    }

    /// 1xx responses before the final one.
    static let informationalLimit = 64
    /// Bytes beside the body that each of its bytes pays for: chunks of one byte take five.
    private static let bytesForOne = 16

    private let allowance: Int
    private var informational = 0
    private var received = 0
    private var body = 0

    /// - Parameter headBytes: the largest head. Twice that is allowed beside the body: for the head and its trailers, and as much
    ///   for everything else.
    init(headBytes: Int) {
        self.allowance = 2 * headBytes
    }

    /// Bytes came from the connection, of whatever kind.
    mutating func received(_ count: Int) { self.received += count }

    /// They were bytes of the body.
    mutating func took(_ count: Int) { self.body += count }

    mutating func tookInformational() { self.informational += 1 }

    /// What the origin did wrong. To be asked when the bytes received were taken.
    var violation: Violation? {
        if self.informational > Self.informationalLimit { return .informational }
        // Bodies are bounded by nothing, but 2^63 / 16 bytes take longer than a connection lasts.
        if self.received - self.body > self.allowance + Self.bytesForOne * self.body { return .overhead }
        return nil
    }
}
