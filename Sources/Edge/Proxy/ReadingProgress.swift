import NIOCore

/// How fast a client of HTTP/1.1 reads: seen from what of its responses still waits in the channel.
struct ReadingProgress {
    var pace: TransferPace
    /// Bytes of bodies that were given to the channel.
    private var written = 0
    /// Of those, what had left the channel when it was looked at last.
    private var left = 0

    init(_ limits: TransferPace.Limits) {
        self.pace = TransferPace(limits)
    }

    mutating func wrote(_ count: Int) { self.written += count }

    /// Notes what has left the channel since the last time. What frames and seals the body counts as waiting only, and so for
    /// a little less than was read.
    mutating func look(at channel: (any Channel)?, now: NIODeadline) {
        let waiting = (try? channel?.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        let left = self.written - waiting
        guard left > self.left else { return }
        self.pace.moved(left - self.left, now: now)
        self.left = left
    }
}
