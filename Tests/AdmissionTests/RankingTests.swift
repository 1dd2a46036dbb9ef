import Testing

@testable import Admission

@Suite("Names by their counts")
struct RankingTests {
    /// Against the simplest possible bookkeeping, over many random events.
    @Test("The levels are those that there are, from the highest to the lowest")
    func levels() {
        var random = SystemRandomNumberGenerator()
        var ranking = Ranking<Int>()
        var counts: [Int: Int] = [:]
        for _ in 0..<20_000 {
            let name = Int.random(in: 0..<12, using: &random)
            let count = counts[name] ?? 0
            let change = count > 0 && Int.random(in: 0..<9, using: &random) > 3 ? -1 : 1
            ranking.change(name, from: count, by: change)
            counts[name] = count + change > 0 ? count + change : nil
            var seen: [Int] = []
            var next = ranking.highest
            while let level = next, seen.count <= counts.count {
                seen.append(level)
                #expect(ranking.names(at: level) == Set(counts.filter { $0.value == level }.keys))
                next = ranking.next(below: level)
            }
            #expect(seen == Set(counts.values).sorted(by: >))
            #expect(ranking.first.map { counts[$0] } == counts.values.max().map { $0 })
        }
    }
}
