import Foundation
import GRDB
import HTTPCaching
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Testing

@testable import CacheStorage

@Suite struct DiskStoreTests {
    private static let lengths: [Int] = [0, 1, 1_000, 16_384, 16_385, 65_536, 65_537, 200_000, 1_000_000]

    @Test func aRestartFindsWhatWasStored() async throws {
        let stage = try DiskStage()
        var store: ResponseStore = try stage.open()
        for length in Self.lengths { store.fill("\(length)", bytes: length, tags: ["red"]) }
        await store.close()
        store = try stage.open()
        #expect(store.statistics.memoryEntries == 0)
        #expect(store.statistics.disk?.entries == Self.lengths.count)
        for length in Self.lengths {
            #expect(store.lookup(Sample.key("\(length)")).isEmpty)
            #expect(store.mayBeOnDisk("\(length)"))
            #expect(try await store.fetch("\(length)") == Sample.body(length, seed: UInt64(length)))
        }
        #expect(!store.mayBeOnDisk("other"))
        #expect(stage.log.warnings.isEmpty)
        await store.close()
    }

    @Test("Another process may have the folder: memory is served on, a body that is being read is read to its end")
    func letGo() async throws {
        let stage = try DiskStage()
        let store: ResponseStore = try stage.open()
        store.fill("small", bytes: 100)
        store.fill("large", bytes: 500_000)
        await store.close()
        let former: ResponseStore = try stage.open()
        #expect(try await former.fetch("small") == Sample.body(100, seed: 100))
        let large: CachedResponse = try #require(
            try await former.load(Sample.key("large"), on: InertLoop.loop).get().first)
        #expect(throws: DiskStoreError.self) { try stage.open() }
        await former.letGoOfDisk()
        let latter: ResponseStore = try stage.open()
        #expect(latter.statistics.disk?.entries == 2)
        #expect(!former.lookup(Sample.key("small")).isEmpty)
        #expect(!former.mayBeOnDisk("large"))
        let body: Collected = try await Collector.read(large.body, on: InertLoop.loop).get()
        #expect(body.bytes == Sample.body(500_000, seed: 500_000))
        // What it stores now stays in memory.
        former.fill("new", bytes: 100)
        #expect(!former.lookup(Sample.key("new")).isEmpty)
        await #expect(throws: DiskStoreError.self) { try await former.takeDiskBack() }
        latter.fill("other", bytes: 100)
        await latter.close()
        try await former.takeDiskBack()
        #expect(try await former.fetch("other") == Sample.body(100, seed: 100))
        former.fill("last", bytes: 100)
        await former.close()
        let end: ResponseStore = try stage.open()
        #expect(end.statistics.disk?.entries == 4)
        await end.close()
    }

    @Test("A purge that is to last waits for what else serves it")
    func purgeElsewhere() async throws {
        let store = ResponseStore()
        let calls = NIOLockedValueBox(0)
        store.purgeElsewhere { calls.withLockedValue { $0 += 1 } }
        _ = try await store.purgeDurably(.everything, .remove)
        #expect(calls.withLockedValue { $0 } == 1)
        store.purgeElsewhere(nil)
        _ = try await store.purgeDurably(.everything, .remove)
        #expect(calls.withLockedValue { $0 } == 1)
    }

    @Test func metadataComeBackAsTheyWere() async throws {
        let stage = try DiskStage()
        var store: ResponseStore = try stage.open()
        let response: StoredResponse = Sample.response(length: 10, language: "de", tags: ["red", "blue"], time: 77)
        store.fill(Sample.key("a"), response, Sample.body(10, seed: 1))
        await store.close()
        store = try stage.open()
        let entry: CachedResponse = try #require(
            try await store.load(Sample.key("a"), on: InertLoop.loop).get().first)
        #expect(entry.response == response)
        #expect(entry.isOnDisk)
        // It is in memory now, and nothing more is to be had from the disk.
        #expect(store.lookup(Sample.key("a")).first === entry)
        #expect(!store.mayBeOnDisk(Sample.key("a"), besides: StoredVariants([entry])))
        await store.close()
    }

    @Test func largeBodiesComeIntoMemoryOnceTheyWereRead() async throws {
        let stage = try DiskStage()
        var store: ResponseStore = try stage.open()
        store.fill("a", bytes: 500_000)
        await store.close()
        store = try stage.open()
        let entry: CachedResponse = try #require(
            try await store.load(Sample.key("a"), on: InertLoop.loop).get().first)
        #expect(entry.body.chunks == nil)
        #expect(store.lookup(Sample.key("a")).isEmpty)
        let part: Collected = try await Collector.read(entry.body, range: 100_000..<300_000, on: InertLoop.loop).get()
        let whole: ByteBuffer = Sample.body(500_000, seed: 500_000)
        #expect(part.bytes == whole.getSlice(at: 100_000, length: 200_000))
        #expect(store.lookup(Sample.key("a")).isEmpty)
        #expect(
            try await Collector.read(entry.body, on: InertLoop.loop, step: 10_000, yields: true).get().bytes == whole)
        #expect(store.lookup(Sample.key("a")).first?.bytes == whole)
        #expect(store.statistics.fillBytes == 0)
        await store.close()
    }

    @Test func bodiesTooLargeForMemoryAreSpooled() async throws {
        let stage = try DiskStage()
        let limits = StoreLimits(memoryObjectBytes: 100_000, windowBytes: 65_536)
        var store: ResponseStore = try stage.open(memory: limits)
        let body: ByteBuffer = Sample.body(3_000_000, seed: 3)
        for (path, length) in [("known", 3_000_000), ("unknown", nil)] as [(String, Int?)] {
            guard case .lead(let writer) = store.flight(for: Sample.key(path), now: 0) else { return }
            let loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next()
            let reading: EventLoopFuture<Collected> = Collector.follow(
                writer.fill, on: loop, step: 20_000, yields: true)
            writer.begin(Sample.response(length: length, tags: ["red"]))
            _ = try await Pump.start(writer, body, piece: 30_000, on: loop).get()
            #expect(try await reading.get().bytes == body)
            // The spool ends behind the fill.
            #expect(try await eventually { store.statistics.disk?.entries == (path == "known" ? 1 : 2) })
        }
        await store.close()
        store = try stage.open(memory: limits)
        for path in ["known", "unknown"] {
            #expect(try await store.fetch(path) == body)
            #expect(!store.holds(path))
        }
        #expect(try await store.purgeDurably(.tag("red", site: nil), .remove).diskEntries == 2)
        #expect(try await store.fetch("known") == nil)
        #expect(stage.bodyFiles.isEmpty)
        await store.close()
    }

    /// The disk writes nothing at all for as long as the client reads: the client has the whole body all the same.
    @Test(.timeLimit(.minutes(1)), arguments: [2_000_000, 8_000_000])
    func aDiskThatStallsHoldsUpNoReader(length: Int) async throws {
        let stage = try DiskStage()
        let files = FaultyFiles()
        // A quarter of the fills' memory is what the disk may fall behind: 4 MiB.
        let limits = StoreLimits(memoryObjectBytes: 100_000, fillBytes: 16 << 20, windowBytes: 65_536)
        let store: ResponseStore = try stage.open(memory: limits, files: files)
        let body: ByteBuffer = Sample.body(length, seed: 3)
        files.faults.withLockedValue { $0.isStalled = true }
        defer { files.faults.withLockedValue { $0.isStalled = false } }
        guard case .lead(let writer) = store.flight(for: Sample.key("a"), now: 0) else { return }
        let loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let reading: EventLoopFuture<Collected> = Collector.follow(writer.fill, on: loop)
        writer.begin(Sample.response(length: length))
        _ = try await Pump.start(writer, body, piece: 30_000, on: loop).get()
        #expect(try await reading.get().bytes == body)
        #expect(store.statistics.fillBytes <= 6 << 20)
        files.faults.withLockedValue { $0.isStalled = false }
        // What fell too far behind is not stored, and leaves nothing.
        #expect(try await eventually { writer.fill.followerCount == 0 })
        let isKept = length < 4 << 20
        #expect(try await eventually { store.statistics.disk?.entries == (isKept ? 1 : 0) })
        #expect(try await eventually { stage.bodyFiles.count == (isKept ? 1 : 0) })
        if isKept { #expect(try await store.fetch("a") == body) }
        await store.close()
    }

    @Test func aSpooledFillThatBreaksOffLeavesNothing() async throws {
        let stage = try DiskStage()
        let store: ResponseStore = try stage.open(memory: StoreLimits(memoryObjectBytes: 100_000))
        guard case .lead(let writer) = store.flight(for: Sample.key("a"), now: 0) else { return }
        writer.begin(Sample.response(length: 500_000))
        _ = writer.append(Sample.body(300_000, seed: 1))
        writer.fail(.originFailed("reset"))
        #expect(try await eventually { writer.fill.followerCount == 0 })
        #expect(try await eventually { stage.bodyFiles.isEmpty })
        #expect(stage.bodyFiles.isEmpty)
        #expect(store.statistics.disk?.entries == 0)
        await store.close()
    }

    @Test func newerResponsesTakeTheirPlace() async throws {
        let stage = try DiskStage()
        var store: ResponseStore = try stage.open()
        for length in [100_000, 30_000, 50_000] {
            store.fill(Sample.key("a"), Sample.response(length: length), Sample.body(length, seed: 1))
        }
        store.fill(Sample.key("b"), Sample.response(length: 10, language: "de"), Sample.body(10, seed: 1))
        store.fill(Sample.key("b"), Sample.response(length: 20, language: "fr"), Sample.body(20, seed: 1))
        let old: CachedResponse = try #require(store.lookup(Sample.key("a")).first)
        store.update(old, with: Sample.response(length: 50_000, time: 9_000), since: store.generation)
        await store.close()
        #expect(stage.bodyFiles.count == 1)
        store = try stage.open()
        let found: [CachedResponse] = try await store.load(Sample.key("a"), on: InertLoop.loop).get()
        #expect(found.map(\.body.length) == [50_000])
        #expect(found.first?.response.responseTime == 9_000)
        #expect(try await store.load(Sample.key("b"), on: InertLoop.loop).get().map(\.body.length) == [20, 10])
        await store.close()
    }

    @Test func whatIsSoonUselessIsNotWritten() async throws {
        let stage = try DiskStage()
        let store: ResponseStore = try stage.open { $0.minimumLifetime = 60_000 }
        var response: StoredResponse = Sample.response(length: 10)
        response = StoredResponse(
            head: Sample.head([]), requestTime: 0, responseTime: 0, variant: .invariant,
            extent: .complete(length: 10), freshness: Freshness(initialAge: 0, lifetime: 59_000, source: .maxAge),
            tags: [])
        store.fill(Sample.key("short"), response, Sample.body(10, seed: 1))
        response.freshness.lifetime = 60_000
        store.fill(Sample.key("long"), response, Sample.body(10, seed: 1))
        await store.flush()
        #expect(!store.mayBeOnDisk("short"))
        #expect(store.mayBeOnDisk("long"))
        await store.close()
    }

    @Test func theDiskIsBoundedAndKeepsWhatIsUsed() async throws {
        let stage = try DiskStage()
        let memory = StoreLimits(memoryBytes: 1 << 20)
        let store: ResponseStore = try stage.open(memory: memory) { limits in
            limits.bytes = 4 << 20
            limits.shares = SiteShares(["small": 0.25])
        }
        store.fill("used", bytes: 40_000)
        for number in 0..<300 {
            store.fill("\(number)", bytes: 30_000)
            store.fill("\(number)", site: "small", bytes: 10_000)
            // Asked for now and then: always from disk, for memory is small.
            if number % 20 == 0 {
                store.memory.noteDiskUse(row: try #require(store.lookupRow("used") ?? store.usedRow))
            }
            if number % 10 == 0 { await store.flush() }
            #expect(try #require(store.statistics.disk).bytes <= 4 << 20)
        }
        await store.flush()
        #expect(try await store.fetch("used") != nil)
        #expect(try await store.fetch("299") != nil)
        #expect(try await store.fetch("0") == nil)
        let usage: DiskUsage = try #require(store.disk).usage.withLockedValue { $0 }
        #expect(usage.share(of: "small").bytes <= 1 << 20)
        #expect(usage.share(of: "small").bytes > 900_000)
        let onDisk: Int = try stage.bodyFiles.reduce(0) { sum, path in
            sum + ((try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0)
        }
        #expect(onDisk <= 4 << 20)
        await store.close()
    }

    @Test func theBooksAgreeWithTheIndexAfterManyChanges() async throws {
        let stage = try DiskStage()
        let store: ResponseStore = try stage.open(memory: StoreLimits(memoryBytes: 2 << 20)) { $0.bytes = 3 << 20 }
        var random = Lehmer(seed: 5)
        for _ in 0..<600 {
            let number = Int.random(in: 0..<150, using: &random)
            switch Int.random(in: 0..<12, using: &random) {
            case 0: store.purge(.tag("t\(number % 5)", site: nil), .remove)
            case 1: store.purge(.key(Sample.key("\(number)")), .remove)
            case 2: _ = try await store.fetch("\(number)")
            case 3: store.purge(.tag("t\(number % 5)", site: nil), .invalidate)
            default: store.fill("\(number)", bytes: number * 400, tags: ["t\(number % 5)"])
            }
        }
        await store.flush()
        let disk: DiskStore = try #require(store.disk)
        let (hashes, usage): ([UInt64], DiskUsage) = try await #require(disk.index).read {
            try DiskIndex.inventory($0)
        }
        let books: DiskUsage = disk.usage.withLockedValue { $0 }
        #expect(usage.whole.bytes == books.whole.bytes)
        #expect(usage.whole.smallBytes == books.whole.smallBytes)
        #expect(usage.entries == books.entries)
        #expect(usage.sites.mapValues(\.bytes) == books.sites.mapValues(\.bytes))
        for number in 0..<150 {
            let hash: UInt64 = KeyFilter.hash(Sample.key("\(number)"))
            #expect(disk.filter.count(hash) == hashes.count { $0 == hash })
        }
        #expect(stage.bodyFiles.count <= usage.entries)
        #expect(stage.bodyFiles.count > 10)
        await store.close()
    }

    @Test func anotherProcessIsKeptOut() async throws {
        let stage = try DiskStage()
        let store: ResponseStore = try stage.open()
        #expect(throws: DiskStoreError.self) { try stage.open() }
        await store.close()
    }

    @Test func aFolderOfSomebodyElseIsLeftAlone() throws {
        let stage = try DiskStage()
        try FileManager.default.createDirectory(atPath: stage.path, withIntermediateDirectories: true)
        try Data("mine".utf8).write(to: URL(filePath: stage.path + "/letter"))
        #expect(throws: DiskStoreError.self) { try stage.open() }
        #expect(try FileManager.default.contentsOfDirectory(atPath: stage.path) == ["letter"])
    }

    @Test func filesAreForThisUserOnly() async throws {
        let stage = try DiskStage()
        let store: ResponseStore = try stage.open()
        store.fill("a", bytes: 100_000)
        await store.flush()
        for name in try FileManager.default.subpathsOfDirectory(atPath: stage.path) + ["."] {
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(stage.path)/\(name)")
            let mode: Int = (attributes[.posixPermissions] as? NSNumber)?.intValue ?? 0
            #expect(mode & 0o077 == 0, "\(name) has mode \(String(mode, radix: 8))")
        }
        await store.close()
    }

    @Test func orphanedFilesAreSweptAway() async throws {
        let stage = try DiskStage()
        var store: ResponseStore = try stage.open()
        store.fill("a", bytes: 100_000)
        await store.close()
        let kept: [String] = stage.bodyFiles
        #expect(kept.count == 1)
        try Data("orphan".utf8).write(to: URL(filePath: "\(stage.path)/bodies/07/107"))
        try Data("orphan".utf8).write(to: URL(filePath: "\(stage.path)/bodies/08/108.part"))
        store = try stage.open()
        #expect(try await eventually { stage.bodyFiles.count <= 1 })
        #expect(stage.bodyFiles == kept)
        #expect(try await store.fetch("a") != nil)
        await store.close()
    }
}

extension ResponseStore {
    /// The disk row of what memory has for a path.
    func lookupRow(_ path: String) -> Int64? { self.lookup(Sample.key(path)).first?.diskRowID }

    var usedRow: Int64? {
        guard let index = self.disk?.index else { return nil }
        let key: CacheKey = Sample.key("used")
        return try? index.read { try DiskIndex.rows(of: key, hash: KeyFilter.hash(key), $0).first?.id }
    }
}
