import HTTPFields

/// The directives of a request (RFC 9111 §5.2.1). Where repeated, the strictest reading counts.
struct RequestDirectives: Equatable {
    /// Seconds.
    var maxAge: Int64?
    var minFresh: Int64?
    /// Seconds; `Int64.max` for `max-stale` without a number.
    var maxStale: Int64?
    var noCache = false
    var noStore = false
    var onlyIfCached = false

    /// Names in any letter case. What is no number is not there, but for `max-age`, where it is 0.
    mutating func add(_ bytes: borrowing Span<UInt8>, _ line: Range<Int>) {
        DirectiveList.forEach(bytes, line) { name, argument in
            switch name.count {
            case 7 where bytes.equals(name, "max-age"):
                self.maxAge = min(self.maxAge ?? .max, argument.seconds(bytes) ?? 0)
            case 9 where bytes.equals(name, "min-fresh"):
                if let seconds = argument.seconds(bytes) { self.minFresh = max(self.minFresh ?? 0, seconds) }
            case 9 where bytes.equals(name, "max-stale"):
                if argument == .none {
                    self.maxStale = self.maxStale ?? .max
                } else if let seconds = argument.seconds(bytes) {
                    self.maxStale = min(self.maxStale ?? .max, seconds)
                }
            case 8 where bytes.equals(name, "no-cache"): self.noCache = true
            case 8 where bytes.equals(name, "no-store"): self.noStore = true
            case 14 where bytes.equals(name, "only-if-cached"): self.onlyIfCached = true
            default: break
            }
        }
    }
}
