/// The body of a 206 with several ranges (RFC 9110 §14.6): each part's text, then its bytes, then the closing text.
public struct MultipartBody: Hashable, Sendable {
    public struct Part: Hashable, Sendable {
        /// Sent before the bytes: delimiter and the part's fields.
        public var preamble: [UInt8]
        /// Positions in the stored body.
        public var range: ClosedRange<Int64>
    }

    public let boundary: String
    public let parts: [Part]
    /// Sent after the last part's bytes.
    public let closing: [UInt8]
    /// Of everything together, in bytes.
    public let length: Int64

    /// - Parameters:
    ///   - ranges: positions in the representation; none overlap.
    ///   - offset: where in the representation the stored body begins.
    init(
        ranges: [ClosedRange<Int64>], total: Int64?, offset: Int64, contentType: [UInt8]?, boundary: String
    ) {
        var parts: [Part] = []
        var length: Int64 = 0
        for range in ranges {
            var preamble = Array((parts.isEmpty ? "--\(boundary)\r\n" : "\r\n--\(boundary)\r\n").utf8)
            if let contentType { preamble += Array("Content-Type: ".utf8) + contentType + Array("\r\n".utf8) }
            preamble += Array("Content-Range: \(Answer.contentRange(range, total: total))\r\n\r\n".utf8)
            length += Int64(preamble.count) + range.upperBound - range.lowerBound + 1
            parts.append(
                Part(preamble: preamble, range: (range.lowerBound - offset)...(range.upperBound - offset)))
        }
        self.closing = Array("\r\n--\(boundary)--\r\n".utf8)
        self.length = length + Int64(self.closing.count)
        self.parts = parts
        self.boundary = boundary
    }
}
