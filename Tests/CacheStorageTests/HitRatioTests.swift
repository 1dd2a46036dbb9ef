import Foundation
import HTTPCaching
import Testing

@testable import CacheStorage

/// The store's hit ratio beside LRU's, on requests whose popularity follows Zipf's law, with and without scans.
///
/// `LATCHSTRING_HIT_RATIO_REQUESTS=1000000` makes the table of docs/cache-storage.md.
@Suite struct HitRatioTests {
    struct Trace: Sendable, CustomStringConvertible {
        var name: String
        var skew: Double
        var scans: Bool
        var description: String { self.name }
    }

    static let keys = 20_000
    static let traces: [Trace] = [
        Trace(name: "Zipf 0.8", skew: 0.8, scans: false),
        Trace(name: "Zipf 1.0", skew: 1.0, scans: false),
        Trace(name: "Zipf 0.8 with scans", skew: 0.8, scans: true),
        Trace(name: "Zipf 1.0 with scans", skew: 1.0, scans: true),
    ]

    private var requests: Int {
        ProcessInfo.processInfo.environment["LATCHSTRING_HIT_RATIO_REQUESTS"].flatMap { Int($0) } ?? 60_000
    }

    @Test(arguments: Self.traces) func beatsLRU(trace: Trace) throws {
        let sequence: [Int] = Self.requests(trace, count: self.requests)
        let limits = StoreLimits(memoryBytes: 1 << 20)
        let store = MemoryStore(limits: limits)
        let response: StoredResponse = Sample.response(length: 0)
        var hits = 0
        var most = 0
        for number in sequence {
            let key = CacheKey(site: "s", uri: "https://www.example.test/\(1_000_000 + number)")
            if let entry = store.find(key).first {
                entry.recordUse()
                hits += 1
            } else {
                _ = store.commit(
                    CachedResponse(key: key, response: response, body: StoredBody(chunks: [])), since: 0)
                most = max(most, store.statistics.memoryEntries)
            }
        }
        var reference = LRU(capacity: most)
        let reached: Int = sequence.reduce(0) { $0 + (reference.request($1) ? 1 : 0) }
        let ours = Double(hits) / Double(sequence.count)
        let theirs = Double(reached) / Double(sequence.count)
        print(
            "| \(trace.name) | \(most) of \(Self.keys) | \(Self.percent(theirs)) | \(Self.percent(ours)) |")
        #expect(ours > theirs)
    }

    private static func percent(_ ratio: Double) -> String { String(format: "%.1f %%", ratio * 100) }

    /// Popularity by Zipf's law; with scans, a quarter of all requests are for keys never asked for again, in runs.
    static func requests(_ trace: Trace, count: Int) -> [Int] {
        var random = Lehmer(seed: 42)
        var sums: [Double] = []
        var sum = 0.0
        for rank in 1...Self.keys {
            sum += 1 / pow(Double(rank), trace.skew)
            sums.append(sum)
        }
        var sequence: [Int] = []
        sequence.reserveCapacity(count)
        var scanned: Int = Self.keys
        while sequence.count < count {
            if trace.scans, sequence.count % 8_000 == 6_000 {
                for _ in 0..<2_000 {
                    scanned += 1
                    sequence.append(scanned)
                }
                continue
            }
            let target = Double.random(in: 0..<sum, using: &random)
            var low = 0
            var high: Int = Self.keys - 1
            while low < high {
                let middle: Int = (low + high) / 2
                if sums[middle] <= target { low = middle + 1 } else { high = middle }
            }
            sequence.append(low)
        }
        return sequence
    }
}

/// Least recently used first, by number of entries.
private struct LRU {
    private let capacity: Int
    private var turnOf: [Int: Int] = [:]
    private var queue: [(key: Int, turn: Int)] = []
    private var head = 0
    private var turn = 0

    init(capacity: Int) {
        self.capacity = capacity
    }

    mutating func request(_ key: Int) -> Bool {
        self.turn += 1
        let hit: Bool = self.turnOf[key] != nil
        self.turnOf[key] = self.turn
        self.queue.append((key, self.turn))
        while self.turnOf.count > self.capacity {
            let oldest: (key: Int, turn: Int) = self.queue[self.head]
            self.head += 1
            if self.turnOf[oldest.key] == oldest.turn { self.turnOf[oldest.key] = nil }
        }
        return hit
    }
}
