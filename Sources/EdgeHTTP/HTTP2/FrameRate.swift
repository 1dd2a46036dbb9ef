import NIOCore

/// How many frames of a kind a client may send, or make us send, in a window: RST_STREAM (CVE-2023-44487), control frames, and what makes us
/// reset a stream (CVE-2025-8671). Pure; time is an argument.
struct FrameRate {
    private let limit: Int
    private let window: TimeAmount
    private var count = 0
    private var end = NIODeadline.uptimeNanoseconds(0)

    init(limit: Int, window: TimeAmount) {
        self.limit = limit
        self.window = window
    }

    /// Another one.
    ///
    /// - Returns: whether the client may go on.
    mutating func permits(now: NIODeadline) -> Bool {
        if now >= self.end {
            self.end = now + self.window
            self.count = 0
        }
        self.count += 1
        return self.count <= self.limit
    }
}
