import HTTPCaching
import NIOCore
import NIOPosix
import Testing

@testable import CacheStorage

@Suite struct DiskPurgeTests {
    private static let paths: [(String, String)] = [
        ("a/1", "example"), ("a/2", "example"), ("b/1", "example"), ("a/1", "other"),
    ]

    private func fill(_ store: ResponseStore) {
        store.fill("a/1", tags: ["red"])
        store.fill("a/2", bytes: 100_000, tags: ["red", "blue"])
        store.fill("b/1", tags: ["blue"])
        store.fill("a/1", site: "other", bytes: 20_000, tags: ["red"])
    }

    @Test func eachScopeRemovesWhatItNames() async throws {
        let cases: [(PurgeScope, [Bool])] = [
            (.key(Sample.key("a/1")), [false, true, true, true]),
            (.prefix(site: "example", uri: "https://www.example.test/a/"), [false, false, true, true]),
            (.host("www.example.test"), [false, false, false, true]),
            (.site("other"), [true, true, true, false]),
            (.tag("red", site: nil), [false, false, true, false]),
            (.tag("red", site: "example"), [false, false, true, true]),
            (.everything, [false, false, false, false]),
        ]
        let stage = try DiskStage()
        for (scope, expected) in cases {
            var store: ResponseStore = try stage.open()
            self.fill(store)
            await store.close()
            // Nothing is in memory: the purge finds it on disk alone.
            store = try stage.open()
            let result: PurgeResult = try await store.purgeDurably(scope, .remove)
            #expect(result.diskEntries == expected.filter { !$0 }.count, "\(scope)")
            await store.close()
            store = try stage.open()
            for (place, isThere) in zip(Self.paths, expected) {
                #expect(try await (store.fetch(place.0, site: place.1) != nil) == isThere, "\(scope) \(place)")
            }
            try await store.purgeDurably(.everything, .remove)
            #expect(store.statistics.disk?.entries == 0)
            #expect(store.statistics.disk?.bytes == 0)
            #expect(try await eventually { stage.bodyFiles.isEmpty })
            await store.close()
        }
    }

    @Test func softPurgesOutliveARestart() async throws {
        let stage = try DiskStage()
        var store: ResponseStore = try stage.open()
        self.fill(store)
        await store.close()
        store = try stage.open()
        try await store.purgeDurably(.tag("red", site: nil), .markStale(at: 5_000))
        try await store.purgeDurably(.key(Sample.key("b/1")), .invalidate)
        await store.close()
        store = try stage.open()
        for (path, site) in Self.paths {
            let entry: CachedResponse = try #require(
                try await store.load(Sample.key(path, site: site), on: InertLoop.loop).get().first)
            #expect(!entry.response.isFresh(at: 5_000))
            #expect(entry.response.freshness.flags.contains(.invalidated) == (path == "b/1"))
        }
        await store.close()
    }

    /// The disk's writer is held up: a purge counts nevertheless, at once.
    @Test func nothingGetsPastAPurgeThatTheDiskDoesNotHaveYet() async throws {
        let stage = try DiskStage()
        var store: ResponseStore = try stage.open()
        self.fill(store)
        await store.close()
        store = try stage.open()
        let disk: DiskStore = try #require(store.disk)
        let isHeld = try await disk.holdWriter()
        store.purge(.key(Sample.key("a/1")), .remove)
        store.purge(.tag("blue", site: nil), .markStale(at: 5_000))
        #expect(try await store.fetch("a/1") == nil)
        let marked: CachedResponse = try #require(
            try await store.load(Sample.key("b/1"), on: InertLoop.loop).get().first)
        #expect(!marked.response.isFresh(at: 5_000))
        #expect(try await store.fetch("a/1", site: "other") != nil)
        isHeld.release()
        await store.flush()
        #expect(try await store.fetch("a/1") == nil)
        #expect(store.memory.purgesOnDisk == store.generation)
        await store.close()
    }

    /// What was asked for before a purge reaches neither memory nor disk.
    @Test func aFillFromBeforeAPurgeIsNotWritten() async throws {
        let stage = try DiskStage()
        let limits = StoreLimits(memoryObjectBytes: 70_000)
        var store: ResponseStore = try stage.open(memory: limits)
        var writers: [FillWriter] = []
        for (path, length) in [("small", 100), ("large", 60_000), ("spooled", 300_000)] {
            guard case .lead(let writer) = store.flight(for: Sample.key(path), now: 0) else { return }
            writer.begin(Sample.response(length: length, tags: ["red"]))
            _ = writer.append(Sample.body(length, seed: 1))
            writers.append(writer)
        }
        store.purge(.tag("red", site: nil), .remove)
        for writer in writers { writer.finish() }
        for writer in writers {
            #expect(try await eventually { writer.fill.followerCount == 0 })
        }
        await store.close()
        store = try stage.open(memory: limits)
        #expect(store.statistics.disk?.entries == 0)
        await store.close()
    }
}

/// Holds the disk's writing job until it is released.
final class HeldWriter: Sendable {
    private let promise: EventLoopPromise<Void>

    init(_ promise: EventLoopPromise<Void>) {
        self.promise = promise
    }

    func release() {
        self.promise.succeed(())
    }
}

extension DiskStore {
    func holdWriter() async throws -> HeldWriter {
        let loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let held: EventLoopPromise<Void> = loop.makePromise()
        let reached: EventLoopPromise<Void> = loop.makePromise()
        self.enqueue(
            .barrier {
                reached.succeed(())
                try? held.futureResult.wait()
            })
        try await reached.futureResult.get()
        return HeldWriter(held)
    }
}
