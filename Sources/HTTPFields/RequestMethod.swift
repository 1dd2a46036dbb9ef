/// A request's method, as a number (RFC 9110 §9, RFC 5789). The letter case counts.
public enum RequestMethod: UInt8, Sendable {
    case get, head, post, put, delete, connect, options, trace, patch
    /// Any other token. The head has its bytes.
    case other

    package init(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) {
        func isSame(_ text: StaticString) -> Bool {
            for offset in 0..<range.count where bytes[range.lowerBound &+ offset] != text.utf8Start[offset] {
                return false
            }
            return true
        }
        self =
            switch range.count {
            case 3 where isSame("GET"): .get
            case 3 where isSame("PUT"): .put
            case 4 where isSame("HEAD"): .head
            case 4 where isSame("POST"): .post
            case 5 where isSame("PATCH"): .patch
            case 5 where isSame("TRACE"): .trace
            case 6 where isSame("DELETE"): .delete
            case 7 where isSame("OPTIONS"): .options
            case 7 where isSame("CONNECT"): .connect
            default: .other
            }
    }
}
