import AuditChain

/// Whether an audit file leads from a line that was remembered to its last one without a break. Pure: the file's lines in, in their order.
///
/// A number alone says nothing of what is behind it: the chain without its signatures can be made anew.
struct AuditPath {
    private let head: ChainPosition
    private var last: ChainPosition?
    private(set) var isBroken = false
    /// The number of the first line.
    private var first: UInt64?

    init(from head: ChainPosition) { self.head = head }

    /// The remembered line, or one that follows from it (the first of a file that was opened then), was there; and no line since that
    /// does not follow from the one before it.
    var leads: Bool { self.last != nil && !self.isBroken }

    /// The number of the file's first line, where that is beyond the remembered one, and what follows from that.
    var firstBehind: UInt64? { self.first.flatMap { $0 > self.head.sequence + 1 ? $0 : nil } }

    /// The next line. What is no line of the chain is passed over: the rest of a line that was broken off.
    mutating func take(_ bytes: ArraySlice<UInt8>) {
        guard !self.isBroken, let line = SealedLine(bytes) else { return }
        if self.first == nil { self.first = line.position.sequence }
        if let last = self.last {
            self.isBroken = !line.follows(last)
            self.last = line.position
        } else if line.position == self.head || line.follows(self.head) {
            self.last = line.position
        }
    }
}
