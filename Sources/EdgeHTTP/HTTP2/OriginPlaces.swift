import NIOCore

/// The places of requests that a client has reset when they were at the origin already (CVE-2023-44487, spread over several
/// reads). Pure; time is an argument.
///
/// A reset frees the stream, and a client could make the edge dial the origin anew for each. So the request keeps its
/// place among those that may be under way until its work has ended, and a while longer: no more than all places can be
/// wasted in that while. Our bug: more work ended than there was; ignored.
struct OriginPlaces {
    private let cooling: TimeAmount
    private var working = 0
    /// When places become free, soonest first.
    private var waiting = CircularBuffer<NIODeadline>()

    /// - Parameter cooling: how long a place stays taken after the work has ended.
    init(cooling: TimeAmount) {
        self.cooling = cooling
    }

    /// A request was reset, and its work at the origin goes on.
    mutating func resetAtWork() { self.working += 1 }

    /// A request was reset, and its work at the origin ended with it.
    mutating func reset(now: NIODeadline) { self.waiting.append(now + self.cooling) }

    /// The work of a request that was reset before has ended.
    mutating func workEnded(now: NIODeadline) {
        guard self.working > 0 else { return }
        self.working -= 1
        self.waiting.append(now + self.cooling)
    }

    /// How many places are taken.
    mutating func taken(now: @autoclosure () -> NIODeadline) -> Int {
        if !self.waiting.isEmpty {
            let now = now()
            while let first = self.waiting.first, first <= now { self.waiting.removeFirst() }
        }
        return self.working + self.waiting.count
    }
}
