/// How long an edge waits before it reads on after a doubt: each makes it read the stream from its beginning, and confirm what it
/// stores. Once is for nothing; a bus that brings about doubt after doubt gets slower answers.
struct DoubtPace {
    /// Milliseconds: the first wait, the longest, and how long it takes without doubts until they begin anew.
    static let first: Int64 = 1000
    static let longest: Int64 = 60_000
    static let forgottenAfter: Int64 = 120_000

    private var last: Int64?
    private var next: Int64 = 0

    /// Milliseconds to wait after a doubt at this time.
    mutating func pause(at now: Int64) -> Int64 {
        defer { self.last = now }
        guard let last, now - last < Self.forgottenAfter + self.next else {
            self.next = 0
            return 0
        }
        self.next = min(max(Self.first, self.next * 2), Self.longest)
        return self.next
    }
}
