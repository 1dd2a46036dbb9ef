import NIOCore

/// How often a client may make us reset a stream (CVE-2025-8671). Pure.
///
/// The library counts the resets for what it finds wrong itself; these are for what only the rules of HTTP find. Each may
/// have cost an exchange with the origin.
struct ProvokedResets {
    private let limit: Int
    private let window: TimeAmount
    private var count = 0
    private var end = NIODeadline.uptimeNanoseconds(0)

    init(limit: Int, window: TimeAmount) {
        self.limit = limit
        self.window = window
    }

    /// - Returns: whether the client may go on.
    mutating func provoked(now: NIODeadline) -> Bool {
        if now >= self.end {
            self.end = now + self.window
            self.count = 0
        }
        self.count += 1
        return self.count <= self.limit
    }
}
