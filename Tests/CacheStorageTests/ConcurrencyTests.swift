import HTTPCaching
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Testing

@testable import CacheStorage

@Suite struct ConcurrencyTests {
    /// Runs `body` on as many threads at once.
    private func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) async throws {
        let pool = NIOThreadPool(numberOfThreads: count)
        pool.start()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<count { group.addTask { try await pool.runIfActive { body(number) } } }
            try await group.waitForAll()
        }
        try await pool.shutdownGracefully()
    }

    @Test func onlyOneLeads() async throws {
        let store = ResponseStore()
        let writers = NIOLockedValueBox<[FillWriter]>([])
        let joined = NIOLockedValueBox<Int>(0)
        try await self.onThreads(8) { _ in
            for number in 0..<200 {
                switch store.flight(for: Sample.key("\(number)"), now: 0) {
                case .lead(let writer): writers.withLockedValue { $0.append(writer) }
                case .join: joined.withLockedValue { $0 += 1 }
                case .alone: Issue.record("alone")
                }
            }
        }
        #expect(writers.withLockedValue { $0.count } == 200)
        #expect(joined.withLockedValue { $0 } == 1_400)
        #expect(store.statistics.fills == 200)
    }

    /// Everything at once: whatever is read is right, the bounds hold, and in the end the books agree.
    @Test func theBooksAgreeAfterEverythingAtOnce() async throws {
        let limits = StoreLimits(memoryBytes: 2 << 20, variantsPerKey: 4, shares: SiteShares(["other": 0.25]))
        let store = ResponseStore(limits: limits)
        let bodies: [ByteBuffer] = (0..<60).map { Sample.body(($0 + 1) * 700, seed: UInt64($0)) }
        try await self.onThreads(6) { thread in
            var random = Lehmer(seed: UInt64(thread + 1))
            for _ in 0..<1_500 {
                let number = Int.random(in: 0..<60, using: &random)
                let key: CacheKey = Sample.key("\(number)", site: number % 3 == 0 ? "other" : "example")
                let body: ByteBuffer = bodies[number]
                switch Int.random(in: 0..<20, using: &random) {
                case 0..<10:
                    for entry in store.lookup(key) {
                        entry.recordUse()
                        if entry.bytes != body { Issue.record("wrong bytes") }
                    }
                case 10..<17:
                    guard case .lead(let writer) = store.flight(for: key, now: 0) else { break }
                    let tags: [String] = ["t\(number % 7)"]
                    writer.begin(Sample.response(length: body.readableBytes, tags: tags))
                    _ = writer.append(body)
                    if Int.random(in: 0..<10, using: &random) == 0 {
                        writer.fail(.originFailed("test"))
                    } else {
                        writer.finish()
                    }
                case 17:
                    guard let entry = store.lookup(key).first else { break }
                    store.update(entry, with: entry.response, since: store.generation)
                case 18:
                    store.purge(
                        .tag("t\(number % 7)", site: nil), Bool.random(using: &random) ? .remove : .markStale(at: 0))
                default:
                    store.purge(.key(key), .remove)
                }
                if store.memory.ledger.withLockedValue({ $0.bytes }) > limits.memoryBytes {
                    Issue.record("over the bound")
                }
            }
        }
        var bytes = 0
        var count = 0
        for shard in store.memory.shards {
            shard.state.withLockedValue { state in
                #expect(state.flights.isEmpty)
                for entry in state.all {
                    bytes += entry.cost
                    count += 1
                    #expect(store.memory.ledger.withLockedValue { $0.holds(entry) })
                }
            }
        }
        let figures: StoreStatistics = store.statistics
        #expect(figures.memoryBytes == bytes)
        #expect(figures.memoryEntries == count)
        #expect(figures.fillBytes == 0)
        store.purge(.everything, .remove)
        #expect(store.statistics.memoryBytes == 0)
        #expect(store.memory.ledger.withLockedValue { $0.tagCount } == 0)
    }

    /// No look-up that begins after a purge returned finds what was stored before it.
    @Test func aPurgeHoldsForAllThreads() async throws {
        let store = ResponseStore()
        let key: CacheKey = Sample.key("a")
        try await self.onThreads(4) { thread in
            if thread == 0 {
                for number in 1...2_000 {
                    let time = Int64(number)
                    guard case .lead(let writer) = store.flight(for: key, now: 0) else { continue }
                    writer.begin(Sample.response(length: 0, time: time))
                    writer.finish()
                }
            } else {
                for _ in 0..<700 {
                    // What a fill asked for before this purge is not found after it.
                    let before: Int64 = store.lookup(key).first?.response.responseTime ?? 0
                    store.purge(.key(key), .remove)
                    let after: Int64 = store.lookup(key).first?.response.responseTime ?? .max
                    if after <= before { Issue.record("found \(after) after a purge that followed \(before)") }
                }
            }
        }
    }
}
