/// Whether one direction of a connection carries so much that its bytes are better moved than read. Pure.
///
/// To move bytes through a pipe takes more system calls than to read and to write them, and saves the copies: it pays for much at once.
struct FlowMeter {
    /// A read of so many bytes is a large one.
    static let large = 32_768
    /// So many large reads one after another make bulk.
    private static let largeReads = 2
    /// So many moves of less than ``large`` one after another end it.
    private static let smallMoves = 8

    private(set) var isBulk = false
    private var count = 0

    /// So many bytes were read.
    mutating func read(_ bytes: Int) {
        self.count = bytes >= Self.large ? self.count + 1 : 0
        if self.count >= Self.largeReads { (self.isBulk, self.count) = (true, 0) }
    }

    /// So many bytes were moved.
    mutating func moved(_ bytes: Int) {
        self.count = bytes < Self.large ? self.count + 1 : 0
        if self.count >= Self.smallMoves { (self.isBulk, self.count) = (false, 0) }
    }
}
