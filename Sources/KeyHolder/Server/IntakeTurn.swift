/// What a connection takes in before others have a turn, and what that cost. Pure; times are monotonic nanoseconds.
///
/// A packet may cost much more than its sender's share of a core has room for, so the time counts as well: without the time of
/// work that was done meanwhile, which has an order of its own, and no more of it than the thread had of a core. Where others
/// use the cores, too, the time by the clock says how busy they are, and no edge is to pay for that.
struct IntakeTurn {
    /// Packets in a turn, at most.
    static let size: Int = 64
    /// A turn's time: as much as work has, so that what has come is known, and can be put in order or refused, while it works.
    static let time: UInt64 = 1_000_000
    /// So much time costs as much as a packet.
    static let timePerPacket: UInt64 = 10_000

    private let begin: UInt64
    private let threadTime: UInt64
    private let worked: UInt64
    var packets: Int = 0

    /// - Parameters:
    ///   - threadTime: CPU time that the thread has had so far.
    ///   - worked: The time of all work on this event loop so far.
    init(now: UInt64, threadTime: UInt64, worked: UInt64) {
        self.begin = now
        self.threadTime = threadTime
        self.worked = worked
    }

    func isOver(now: UInt64) -> Bool {
        self.packets >= Self.size || (self.packets > 0 && now - self.begin > Self.time)
    }

    /// The turn's cost so far, in packets: their number, or the time if that is more.
    func cost(now: UInt64, threadTime: UInt64, worked: UInt64) -> Int {
        let taken: UInt64 = now - self.begin
        let work: UInt64 = min(taken, worked - self.worked)
        let own: UInt64 = min(taken - work, threadTime - min(self.threadTime, threadTime))
        return max(self.packets, Int(own / Self.timePerPacket))
    }
}
