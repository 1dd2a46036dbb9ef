/// Names by a count of each, greatest first. A count changes by one at a time, in constant time; so does looking at the next
/// lower one that there is. Pure.
///
/// Our bug: a change of a name from a count that is not its own.
struct Ranking<Name: Hashable & Sendable>: Sendable {
    private struct Level {
        var names: Set<Name> = []
        var lower: Int?
        var higher: Int?
    }

    private var levels: [Int: Level] = [:]
    private var lowest: Int?
    /// The greatest count.
    private(set) var highest: Int?

    /// One of those with the greatest count.
    var first: Name? { self.highest.flatMap { self.levels[$0]?.names.first } }

    /// The names with this count.
    func names(at count: Int) -> Set<Name> { self.levels[count]?.names ?? [] }

    /// The greatest count below one that there is.
    func next(below count: Int) -> Int? { self.levels[count]?.lower }

    /// - Parameters:
    ///   - count: Before; 0: it is new.
    ///   - change: 1, or -1 where the count is not 0. With 0 left it is gone.
    mutating func change(_ name: Name, from count: Int, by change: Int) {
        let after = count + change
        if after > 0 {
            if self.levels[after] == nil {
                self.insert(after, above: change > 0 && count > 0 ? count : self.levels[count]?.lower)
            }
            self.levels[after]?.names.insert(name)
        }
        self.remove(name, at: count)
    }

    /// - Parameter lower: The level under it; nil: it is the lowest.
    private mutating func insert(_ count: Int, above lower: Int?) {
        let higher = if let lower { self.levels[lower]?.higher } else { self.lowest }
        self.levels[count] = Level(lower: lower, higher: higher)
        self.link(lower, count)
        self.link(count, higher)
    }

    private mutating func remove(_ name: Name, at count: Int) {
        self.levels[count]?.names.remove(name)
        guard let level = self.levels[count], level.names.isEmpty else { return }
        self.levels[count] = nil
        self.link(level.lower, level.higher)
    }

    /// Makes two levels neighbours; nil: the end.
    private mutating func link(_ lower: Int?, _ higher: Int?) {
        if let lower { self.levels[lower]?.higher = higher } else { self.lowest = higher }
        if let higher { self.levels[higher]?.lower = lower } else { self.highest = lower }
    }
}
