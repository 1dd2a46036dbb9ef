/// A flow-control window of ours (RFC 9113 §5.2): what the client may send, and when it may send more. It is opened again for what was
/// taken, not for what was received. Pure.
struct ReceiveWindow {
    /// What the client may send before it gets a WINDOW_UPDATE. Below zero when our settings have made it smaller.
    private(set) var open: Int
    /// Received, and not taken yet.
    private(set) var waiting = 0

    /// As large as a window is before anything is said of it (RFC 9113 §6.9.2).
    static let initial = 65_535

    /// Bytes that a frame is worth, where few are left to grant.
    private static let worthAFrame = 1024

    init(open: Int = ReceiveWindow.initial) {
        self.open = open
    }

    /// - Returns: false if it is more than the client may send.
    mutating func received(_ count: Int) -> Bool {
        guard count <= self.open || count == 0 else { return false }
        self.open -= count
        self.waiting += count
        return true
    }

    mutating func taken(_ count: Int) { self.waiting -= count }

    /// A setting has changed, and the client has acknowledged it.
    mutating func resize(by change: Int) { self.open += change }

    /// What to grant now, if it is worth a frame: half or more of what can be open beside what waits. Counts as granted.
    ///
    /// What waits, such as for an origin that does not read, must not keep the rest of the window from those that do.
    mutating func grant(of target: Int) -> Int? {
        let missing = target - self.open - self.waiting
        guard missing > 0, missing >= max(min(Self.worthAFrame, target / 2), (target - self.waiting) / 2) else {
            return nil
        }
        self.open += missing
        return missing
    }
}
