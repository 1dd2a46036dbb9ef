/// When a flow-control window of ours is to be opened again (RFC 9113 §5.2): for what was taken, not for what was received.
/// Pure.
struct ReceiveWindow {
    private let target: Int
    /// What the client may send before it gets a WINDOW_UPDATE; nil until it has sent something.
    private var open: Int?
    /// Received, and not taken yet.
    private(set) var waiting = 0

    init(target: Int) {
        self.target = target
    }

    mutating func received(_ count: Int) { self.waiting += count }

    mutating func taken(_ count: Int) { self.waiting -= count }

    /// The library has counted a frame.
    mutating func changed(to open: Int) { self.open = open }

    /// What to grant now, if it is worth a frame: half of the window or more. Counts as granted.
    mutating func grant() -> Int? {
        guard let open else { return nil }
        let missing = self.target - open - self.waiting
        guard missing > 0, missing >= self.target / 2 else { return nil }
        self.open = open + missing
        return missing
    }
}
