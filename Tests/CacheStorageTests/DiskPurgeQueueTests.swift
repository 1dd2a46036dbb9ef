import Foundation
import GRDB
import HTTPCaching
import NIOCore
import Testing

@testable import CacheStorage

/// Purges while the disk hangs, and what they leave in the index.
@Suite struct DiskPurgeQueueTests {
    /// A store whose writer is stuck until `release`.
    private func hang(_ store: ResponseStore) throws -> [HeldThread] {
        let disk: DiskStore = try #require(store.disk)
        return (0..<2).map { _ in HeldThread(disk.writers) }
    }

    private func pending(_ store: ResponseStore) -> Int { store.statistics.disk?.pendingOperations ?? -1 }

    private func expectAllPurgesOnDisk(_ store: ResponseStore) {
        #expect(store.memory.purgesOnDisk == store.generation)
    }

    @Test func purgesThatMeanNothingOnDiskAreNotQueued() async throws {
        let stage = try DiskStage()
        let store: ResponseStore = try stage.open()
        store.fill("a", bytes: 100)
        await store.flush()
        let held: [HeldThread] = try self.hang(store)
        for number in 0..<2_000 { store.purge(.key(Sample.key("none \(number)")), .invalidate) }
        #expect(self.pending(store) == 0)
        self.expectAllPurgesOnDisk(store)
        for thread in held { thread.release() }
        await store.close()
    }

    @Test func purgesOfOneKeyAreQueuedOnce() async throws {
        let stage = try DiskStage()
        let store: ResponseStore = try stage.open()
        for path in ["a", "b"] { store.fill(path, bytes: 100) }
        await store.flush()
        let held: [HeldThread] = try self.hang(store)
        for _ in 0..<1_000 {
            for path in ["a", "b"] {
                store.purge(.key(Sample.key(path)), .invalidate)
                store.purge(.key(Sample.key(path)), .remove)
            }
        }
        #expect(self.pending(store) == 4)
        #expect(store.memory.purgesOnDisk < store.generation, "what waits is not done")
        for thread in held { thread.release() }
        await store.flush()
        self.expectAllPurgesOnDisk(store)
        #expect(store.statistics.disk?.entries == 0)
        await store.close()
    }

    /// What was stored between two purges of a key is met by the second.
    @Test func aPurgeBehindANewRowIsQueued() async throws {
        let stage = try DiskStage()
        let store: ResponseStore = try stage.open()
        store.fill("a", bytes: 100)
        await store.flush()
        let held: [HeldThread] = try self.hang(store)
        store.purge(.key(Sample.key("a")), .remove)
        store.fill("a", bytes: 200)
        #expect(self.pending(store) == 2)
        store.purge(.key(Sample.key("a")), .remove)
        #expect(self.pending(store) == 3)
        // The first row of a key that the disk doesn't know yet.
        store.fill("new", bytes: 200)
        store.purge(.key(Sample.key("new")), .remove)
        #expect(self.pending(store) == 5)
        for thread in held { thread.release() }
        await store.flush()
        self.expectAllPurgesOnDisk(store)
        #expect(store.statistics.disk?.entries == 0)
        #expect(try await store.fetch("a") == nil)
        await store.close()
    }

    @Test func tooManyPurgesEmptyTheStoreInstead() async throws {
        let stage = try DiskStage()
        let store: ResponseStore = try stage.open { $0.pendingPurges = 100 }
        for number in 0..<300 { store.fill("\(number)", bytes: number % 50 == 0 ? 20_000 : 100) }
        await store.flush()
        #expect(store.statistics.disk?.entries == 300)
        let held: [HeldThread] = try self.hang(store)
        for number in 0..<250 {
            store.purge(.key(Sample.key("\(number)")), .invalidate)
            #expect(self.pending(store) <= 101)
        }
        store.purge(.host("www.example.test"), .invalidate)
        #expect(self.pending(store) == 1)
        #expect(stage.log.warnings.count == 1)
        store.fill("refused", bytes: 100)
        #expect(self.pending(store) == 1)
        #expect(store.memory.purgesOnDisk < store.generation)
        for thread in held { thread.release() }
        await store.flush()
        self.expectAllPurgesOnDisk(store)
        #expect(store.statistics.disk?.entries == 0)
        #expect(try await eventually { stage.bodyFiles.isEmpty })
        // It goes on.
        store.fill("after", bytes: 20_000)
        await store.flush()
        #expect(store.statistics.disk?.entries == 1)
        await store.close()
        let again: ResponseStore = try stage.open()
        #expect(try await again.fetch("0") == nil)
        #expect(try await again.fetch("after") == Sample.body(20_000, seed: 20_000))
        await again.close()
    }

    /// A flipped bit must not make fresh what a purge has marked.
    @Test(arguments: ["invalidated = 0", "stale = NULL", "stale = stale + 1", "marks = zeroblob(16)"])
    func damagedMarksAreNeverBelieved(damage: String) async throws {
        let stage = try DiskStage()
        let store: ResponseStore = try stage.open()
        store.fill("a", bytes: 100)
        store.fill("b", bytes: 100)
        await store.flush()
        for path in ["a", "b"] {
            try await store.purgeDurably(.key(Sample.key(path)), .invalidate)
            try await store.purgeDurably(.key(Sample.key(path)), .markStale(at: 5_000))
        }
        try await #require(store.disk?.index).write { try $0.execute(sql: "UPDATE entry SET \(damage)") }
        store.memory.purgeMemoryOnly()
        #expect(try await store.fetch("a") == nil)
        #expect(store.statistics.disk?.damages == 1)
        // A further purge does not make them right.
        try await store.purgeDurably(.key(Sample.key("b")), .markStale(at: 4_000))
        #expect(try await store.fetch("b") == nil)
        await store.flush()
        #expect(store.statistics.disk?.entries == 0)
        await store.close()
    }

    @Test func marksAreReadBack() async throws {
        let stage = try DiskStage()
        let store: ResponseStore = try stage.open()
        store.fill("a", bytes: 100)
        await store.flush()
        try await store.purgeDurably(.key(Sample.key("a")), .markStale(at: 5_000))
        try await store.purgeDurably(.key(Sample.key("a")), .markStale(at: 9_000))
        try await store.purgeDurably(.site("example"), .invalidate)
        let expected: StoredResponse = try #require(store.lookup(Sample.key("a")).first).response
        store.memory.purgeMemoryOnly()
        let entry: CachedResponse = try #require(
            try await store.load(Sample.key("a"), on: InertLoop.loop).get().first)
        #expect(entry.response == expected)
        await store.close()
    }
}
