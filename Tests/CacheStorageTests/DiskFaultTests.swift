import Foundation
import GRDB
import HTTPCaching
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import TestSockets
import Testing

@testable import CacheStorage

@Suite struct DiskFaultTests {
    private static let lengths: [Int] = [500, 30_000, 150_000]

    /// What may be served for a path: what was stored, or nothing.
    private func expectRightOrAbsent(_ store: ResponseStore, _ what: String) async throws -> Int {
        var found = 0
        for length in Self.lengths {
            guard let bytes = try await store.fetch("\(length)") else { continue }
            #expect(bytes == Sample.body(length, seed: UInt64(length)), "\(what)")
            found += 1
        }
        return found
    }

    private func filledStage() async throws -> DiskStage {
        let stage = try DiskStage()
        let store: ResponseStore = try stage.open()
        for length in Self.lengths { store.fill("\(length)", bytes: length) }
        await store.close()
        return stage
    }

    @Test func aFlippedBitInABodyIsNeverServed() async throws {
        let stage: DiskStage = try await self.filledStage()
        let files: [String] = stage.bodyFiles
        #expect(files.count == 2)
        for path in files {
            let original = try Data(contentsOf: URL(filePath: path))
            for position in stride(from: 0, to: original.count, by: 29_001) + [original.count - 1] {
                // Anew for each place: what is damaged is thrown out.
                let copy: DiskStage = try self.copy(of: stage)
                let target: String = path.replacingOccurrences(of: stage.path, with: copy.path)
                var damaged: Data = original
                damaged[position] ^= 1 << UInt8(position % 8)
                try damaged.write(to: URL(filePath: target))
                let store: ResponseStore = try copy.open()
                #expect(try await self.expectRightOrAbsent(store, "\(path) at \(position)") == 2)
                #expect(store.statistics.disk?.damages == 1)
                await store.flush()
                #expect(store.statistics.disk?.entries == 2)
                await store.close()
            }
        }
    }

    @Test func filesThatAreCutOrGoneAreAbsent() async throws {
        let stage: DiskStage = try await self.filledStage()
        for path in stage.bodyFiles {
            let original = try Data(contentsOf: URL(filePath: path))
            for length in [0, 1, 20_000, original.count - 1, nil] {
                let copy: DiskStage = try self.copy(of: stage)
                let target: String = path.replacingOccurrences(of: stage.path, with: copy.path)
                if let length {
                    try original.prefix(length).write(to: URL(filePath: target))
                } else {
                    try FileManager.default.removeItem(atPath: target)
                }
                let store: ResponseStore = try copy.open()
                #expect(try await self.expectRightOrAbsent(store, "\(path) of \(length ?? -1)") == 2)
                await store.close()
            }
        }
    }

    /// Every page of the index, torn in turn. The store opens, serves what is right, and can be written to.
    @Test func aDamagedIndexIsMadeAnewOrServesWhatIsRight() async throws {
        let stage: DiskStage = try await self.filledStage()
        let size: Int = try Data(contentsOf: URL(filePath: stage.path + "/index.sqlite")).count
        var rebuilds: UInt64 = 0
        for position in stride(from: 0, to: size, by: 2_903) {
            let copy: DiskStage = try self.copy(of: stage)
            let url = URL(filePath: copy.path + "/index.sqlite")
            var damaged = try Data(contentsOf: url)
            let end: Int = min(position + 700, size)
            for place in position..<end { damaged[place] ^= 0x5a }
            try damaged.write(to: url)
            let store: ResponseStore = try copy.open()
            _ = try await self.expectRightOrAbsent(store, "the index at \(position)")
            // It goes on: what is filled now is served after a restart, sooner or later.
            store.purge(.everything, .remove)
            store.fill("new", bytes: 40_000)
            await store.flush()
            rebuilds += store.statistics.disk?.rebuilds ?? 0
            await store.close()
            let again: ResponseStore = try copy.open()
            _ = try await self.expectRightOrAbsent(again, "the index at \(position), reopened")
            again.fill("last", bytes: 40_000)
            await again.flush()
            #expect(try await again.fetch("last") == Sample.body(40_000, seed: 40_000), "at \(position)")
            await again.close()
        }
        #expect(rebuilds > 0)
    }

    @Test(
        "An index of an earlier version is made anew, with one line in the log, and never misread", arguments: [1, 2])
    func anEarlierVersion(version: Int) async throws {
        let stage: DiskStage = try await self.filledStage()
        let queue = try DatabaseQueue(path: stage.path + "/index.sqlite")
        try await queue.write { try $0.execute(sql: "PRAGMA user_version = \(version)") }
        try queue.close()
        let before: Int = stage.log.warnings.count
        let store: ResponseStore = try stage.open()
        #expect(stage.log.warnings.count == before + 1, "\(stage.log.warnings)")
        #expect(stage.log.warnings.last?.contains("its version is \(version)") == true)
        #expect(store.statistics.disk?.entries == 0)
        store.fill("new", bytes: 40_000)
        await store.flush()
        await store.close()
        let again: ResponseStore = try stage.open()
        #expect(try await again.fetch("new") == Sample.body(40_000, seed: 40_000))
        #expect(stage.log.warnings.count == before + 1)
        await again.close()
    }

    @Test(arguments: ["", "not a database", "SQLite format 3\0"]) func anIndexThatIsNoneIsMadeAnew(content: String)
        async throws
    {
        let stage: DiskStage = try await self.filledStage()
        var junk = Data(content.utf8)
        if !content.isEmpty { junk.append(Data(repeating: 7, count: 9_000)) }
        try junk.write(to: URL(filePath: stage.path + "/index.sqlite"))
        for suffix in ["-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: stage.path + "/index.sqlite" + suffix)
        }
        let store: ResponseStore = try stage.open()
        #expect(store.statistics.disk?.entries == 0)
        store.fill("a", bytes: 30_000)
        await store.flush()
        #expect(store.mayBeOnDisk("a"))
        // Bodies without an index are swept away.
        #expect(try await eventually { stage.bodyFiles.count <= 1 })
        #expect(stage.bodyFiles.count == 1)
        #expect(stage.log.warnings.count == (content.isEmpty ? 0 : 1))
        await store.close()
    }

    @Test func aFullDiskStopsWritingForAWhileWithOneLine() async throws {
        let stage = try DiskStage()
        let files = FaultyFiles()
        let clock = ManualClock()
        let store: ResponseStore = try stage.open(files: files, clock: clock)
        store.fill("before", bytes: 30_000)
        await store.flush()
        files.faults.withLockedValue { $0.room = 45_000 }
        for number in 0..<20 {
            store.fill("\(number)", bytes: 30_000)
            await store.flush()
            // Memory serves on.
            #expect(store.holds("\(number)"))
        }
        #expect(stage.log.warnings.count == 1)
        #expect(store.statistics.disk?.isWritable == false)
        #expect(store.statistics.disk?.entries == 2)
        #expect(stage.bodyFiles.count == 2)
        #expect(try await store.fetch("before") != nil)

        // Still full after the pause: no second line.
        clock.advance(by: 30_000)
        store.fill("again", bytes: 30_000)
        await store.flush()
        #expect(stage.log.warnings.count == 1)
        #expect(store.statistics.disk?.isWritable == false)

        clock.advance(by: 30_000)
        files.faults.withLockedValue { $0.room = nil }
        store.fill("after", bytes: 30_000)
        await store.flush()
        #expect(store.statistics.disk?.isWritable == true)
        #expect(store.mayBeOnDisk("after"))
        #expect(stage.log.all.contains { $0.hasPrefix("notice") })
        await store.close()
        let reopened: ResponseStore = try stage.open()
        #expect(try await reopened.fetch("after") == Sample.body(30_000, seed: 30_000))
        await reopened.close()
    }

    @Test func aFullDiskDoesNotHoldUpASpooledBody() async throws {
        let stage = try DiskStage()
        let files = FaultyFiles()
        files.faults.withLockedValue { $0.room = 200_000 }
        let store: ResponseStore = try stage.open(
            memory: StoreLimits(memoryObjectBytes: 70_000, windowBytes: 65_536), files: files)
        let body: ByteBuffer = Sample.body(2_000_000, seed: 1)
        guard case .lead(let writer) = store.flight(for: Sample.key("a"), now: 0) else { return }
        let loop: any EventLoop = InertLoop.loop
        let reading: EventLoopFuture<Collected> = Collector.follow(writer.fill, on: loop)
        writer.begin(Sample.response(length: 2_000_000))
        _ = try await Pump.start(writer, body, piece: 40_000, on: loop).get()
        #expect(try await reading.get().bytes == body)
        #expect(try await eventually { stage.bodyFiles.isEmpty })
        #expect(stage.bodyFiles.isEmpty)
        await store.close()
    }

    @Test func aDiskThatCannotBeReadIsAMiss() async throws {
        let stage: DiskStage = try await self.filledStage()
        let files = FaultyFiles()
        let store: ResponseStore = try stage.open(files: files)
        let entry: CachedResponse = try #require(
            try await store.load(Sample.key("150000"), on: InertLoop.loop).get().first)
        files.faults.withLockedValue { $0.failsReads = true }
        // What has begun ends with a word about it.
        let got: Collected = try await Collector.read(entry.body, on: InertLoop.loop).get()
        guard case .unreadable? = got.failure else {
            Issue.record("\(String(describing: got.failure))")
            return
        }
        #expect(got.bytes.readableBytes == 65_536)
        #expect(try await store.fetch("30000") == nil)
        #expect(try await store.fetch("500") != nil, "small bodies stand in the index")
        // What can't be read now isn't damaged.
        await store.flush()
        #expect(store.statistics.disk?.damages == 0)
        #expect(store.statistics.disk?.entries == 3)
        files.faults.withLockedValue { $0.failsReads = false }
        #expect(try await store.fetch("30000") == Sample.body(30_000, seed: 30_000))
        #expect(try await store.fetch("150000") == Sample.body(150_000, seed: 150_000))
        await store.close()
    }

    /// No descriptors left, no rights, a disk that fails: nothing of that is said about the body.
    @Test(arguments: [EMFILE, ENFILE, EIO, EACCES]) func aBodyThatCannotBeOpenedStays(code: CInt) async throws {
        let stage: DiskStage = try await self.filledStage()
        let files = FaultyFiles()
        let store: ResponseStore = try stage.open(files: files)
        files.faults.withLockedValue { $0.openError = code }
        #expect(try await store.fetch("30000") == nil)
        await store.flush()
        #expect(store.statistics.disk?.damages == 0)
        #expect(store.statistics.disk?.failures == 1)
        #expect(store.statistics.disk?.entries == 3)
        files.faults.withLockedValue { $0.openError = nil }
        #expect(try await store.fetch("30000") == Sample.body(30_000, seed: 30_000))
        // One that is gone is gone.
        files.faults.withLockedValue { $0.openError = ENOENT }
        #expect(try await store.fetch("150000") == nil)
        await store.flush()
        #expect(store.statistics.disk?.damages == 1)
        #expect(store.statistics.disk?.entries == 2)
        await store.close()
    }

    /// A disk that hangs is a miss after the deadline, and is then left in peace.
    @Test func aDiskThatHangsHoldsNobodyUpForLong() async throws {
        let stage: DiskStage = try await self.filledStage()
        let clock = ManualClock()
        let store: ResponseStore = try stage.open(disk: { $0.deadline = 50 }, clock: clock)
        let disk: DiskStore = try #require(store.disk)
        let held = NIOLockedValueBox<[HeldThread]>([])
        for _ in 0..<disk.limits.readers { held.withLockedValue { $0.append(HeldThread(disk.readers)) } }
        #expect(store.mayBeOnDisk("500"))
        #expect(try await store.load(Sample.key("500"), on: InertLoop.loop).get().isEmpty)
        #expect(!store.mayBeOnDisk("500"))
        #expect(stage.log.warnings.count == 1)
        held.withLockedValue { $0.forEach { $0.release() } }
        clock.advance(by: 30_000)
        #expect(store.mayBeOnDisk("500"))
        #expect(try await eventually { !store.lookup(Sample.key("500")).isEmpty }, "what came late is kept")
        await store.close()
    }

    /// A real full disk, where this may mount one.
    @Test(.enabled(if: getuid() == 0)) func aFullFileSystem() async throws {
        let stage = try DiskStage()
        try FileManager.default.createDirectory(atPath: stage.path, withIntermediateDirectories: true)
        guard Self.run("mount", ["-t", "tmpfs", "-o", "size=4m", "none", stage.path]) else { return }
        defer { _ = Self.run("umount", ["-l", stage.path]) }
        let clock = ManualClock()
        let store: ResponseStore = try stage.open(clock: clock)
        for number in 0..<400 {
            store.fill("\(number)", bytes: number % 2 == 0 ? 30_000 : 9_000)
            if number % 5 == 0 { await store.flush() }
            if number % 50 == 0 { clock.advance(by: 30_000) }
        }
        await store.flush()
        #expect(store.statistics.disk?.failures ?? 0 > 0)
        var found = 0
        store.memory.purgeMemoryOnly()
        for number in 0..<400 {
            guard let bytes = try await store.fetch("\(number)") else { continue }
            let length: Int = number % 2 == 0 ? 30_000 : 9_000
            #expect(bytes == Sample.body(length, seed: UInt64(length)))
            found += 1
        }
        #expect(found > 20)
        // A purge holds even there.
        try await store.purgeDurably(.everything, .remove)
        #expect(try await store.fetch("0") == nil)
        await store.close()
    }

    private static func run(_ tool: String, _ arguments: [String]) -> Bool {
        (try? ChildProcess(tool, arguments))?.waitForEnd() == .exit(0)
    }

    private func copy(of stage: DiskStage) throws -> DiskStage {
        let copy = try DiskStage()
        try FileManager.default.copyItem(atPath: stage.path, toPath: copy.path)
        return copy
    }
}

/// Keeps one thread of a pool busy.
final class HeldThread: Sendable {
    private let gate = DispatchSemaphore(value: 0)

    /// Returns when it holds a thread, which may have to end its work first.
    init(_ pool: NIOThreadPool) {
        let gate: DispatchSemaphore = self.gate
        let holds = DispatchSemaphore(value: 0)
        pool.submit { _ in
            holds.signal()
            gate.wait()
        }
        holds.wait()
    }

    func release() {
        self.gate.signal()
    }
}

extension MemoryStore {
    /// Empties memory as an eviction of everything would.
    func purgeMemoryOnly() {
        let entries: [CachedResponse] = self.shards.flatMap { shard in
            shard.state.withLockedValue { $0.all }
        }
        _ = self.apply(.remove, to: entries)
    }
}
