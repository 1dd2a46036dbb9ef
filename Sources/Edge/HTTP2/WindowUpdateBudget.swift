/// How many WINDOW_UPDATE frames a client may send. Pure.
///
/// A client that reads sends about two of them for each DATA frame. One that grants a byte at a time makes the edge frame and
/// seal every byte for itself (CVE-2019-9511), and one that grants what it never uses makes it count for nothing.
struct WindowUpdateBudget {
    private var left: Int
    private let limit: Int
    private var bytes = 0

    init(limit: Int) {
        self.left = limit
        self.limit = limit
    }

    /// A request buys eight, so that small answers may be acknowledged in any way.
    mutating func opened() {
        self.left = min(self.left + 8, self.limit)
    }

    /// 512 bytes buy one.
    mutating func sent(_ count: Int) {
        self.bytes += count
        self.left = min(self.left + self.bytes / 512, self.limit)
        self.bytes %= 512
    }

    /// - Returns: whether the client may go on.
    mutating func received() -> Bool {
        self.left -= 1
        return self.left >= 0
    }
}
