import HTTP2Wire
import NIOCore

/// How many frames a client may send that bring nothing: PING, SETTINGS, PRIORITY, RST_STREAM, GOAWAY, WINDOW_UPDATE,
/// unknown types, and whatever concerns a stream that is gone. Pure; time is an argument.
///
/// Each frame costs one. What brings something pays: a request for itself and eight others, so that small answers may be
/// acknowledged in any way; DATA that is taken for itself; 512 bytes of a response for one, since a client that reads sends about two
/// WINDOW_UPDATE frames for each DATA frame, and a frame that no window cut short for two: events are small. One that grants a byte at a time makes the edge frame and seal every byte
/// for itself (CVE-2019-9511). CONTINUATION is free: it is bounded for each header block. And time pays a little, for
/// connections that last.
struct FrameBudget {
    private let limit: Int
    private let window: TimeAmount
    private var left: Int
    private var bytes = 0
    private var lastPaid: NIODeadline
    /// DATA frames that were counted, and that brought nothing so far.
    private var unpaidData = 0

    /// - Parameters:
    ///   - limit: what there is at the start, and at most.
    ///   - window: the time that pays as much again.
    init(limit: Int, window: TimeAmount, now: NIODeadline) {
        self.limit = limit
        self.window = window
        self.left = limit
        self.lastPaid = now
    }

    mutating func received(_ kind: FrameKind) {
        switch kind {
        case .continuation: return
        case .data: self.unpaidData += 1
        case .reset, .control, .other: break
        }
        self.left -= 1
    }

    /// The client has begun a request.
    mutating func opened() { self.pay(9) }

    /// Bytes of a request's body. A frame is told of in as many parts as it came in; the first one pays.
    mutating func dataTaken() {
        guard self.unpaidData > 0 else { return }
        self.unpaidData -= 1
        self.pay(1)
    }

    /// Bytes of a response's body were put on their way, in one frame.
    ///
    /// - Parameter isAll: nothing of the response waits for the client's window: that the frame is small is not the client's doing.
    mutating func sent(_ count: Int, isAll: Bool) {
        if isAll, count > 0 { self.pay(2) }
        self.bytes += count
        self.pay(self.bytes / 512)
        self.bytes %= 512
    }

    /// Everything received was worked off, but for a frame that has not come whole.
    ///
    /// - Returns: whether the client may go on.
    mutating func settle(unfinished: FrameKind?, now: @autoclosure () -> NIODeadline) -> Bool {
        self.unpaidData = unfinished == .data ? min(self.unpaidData, 1) : 0
        guard self.left < 0 else { return true }
        let now = now()
        let (elapsed, whole) = ((now - self.lastPaid).nanoseconds, self.window.nanoseconds)
        self.lastPaid = now
        // A whole window pays everything; no overflow below that.
        self.pay(elapsed >= whole ? self.limit : Int(elapsed / 1_000) * self.limit / max(1, Int(whole / 1_000)))
        return self.left >= 0
    }

    private mutating func pay(_ count: Int) { self.left = min(self.left + count, self.limit) }
}
