/// What the cache knows about status codes.
enum StatusCodes {
    /// Those that may be stored without the origin saying so (RFC 9110 §15.1). 206 is a matter of its own.
    static func isHeuristicallyCacheable(_ code: Int) -> Bool {
        switch code {
        case 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501: true
        default: false
        }
    }

    /// Those whose requirements we know and meet, for `must-understand` (RFC 9111 §5.2.2.3): the final ones of RFC 9110.
    static func isUnderstood(_ code: Int) -> Bool {
        switch code {
        case 200...206, 300...305, 307, 308, 400...417, 421, 422, 426, 500...505: true
        default: false
        }
    }
}
