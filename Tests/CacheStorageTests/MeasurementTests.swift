import Foundation
import HTTPCaching
import NIOCore
import NIOPosix
import Testing

@testable import CacheStorage

/// Figures for docs/cache-storage.md. Only run when asked: `LATCHSTRING_MEASURE=1`.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["LATCHSTRING_MEASURE"] != nil), .serialized)
struct MeasurementTests {
    /// A response as origins send them, with a body of 1 KiB.
    private static func response(_ number: Int) -> StoredResponse {
        StoredResponse(
            head: Sample.head([
                ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Server", "origin"),
                ("Content-Type", "text/html; charset=utf-8"), ("Last-Modified", "Sun, 06 Nov 1994 08:00:00 GMT"),
                ("ETag", "\"5f3c-\(number)\""), ("Cache-Control", "public, max-age=3600"),
            ]), requestTime: 1_000, responseTime: 1_000, variant: .invariant, extent: .complete(length: 1_024),
            freshness: Freshness(initialAge: 0, lifetime: 3_600_000, source: .maxAge), tags: [])
    }

    private static func fill(_ store: ResponseStore, _ number: Int, body: ByteBuffer) {
        let key = CacheKey(site: "www.example.test", uri: "https://www.example.test/objects/\(number).html")
        guard case .lead(let writer) = store.flight(for: key, now: 0) else { return }
        writer.begin(Self.response(number))
        _ = writer.append(body)
        writer.finish()
    }

    /// Resident memory, in bytes.
    private static func resident() throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4_096
    }

    @Test func memoryOfAHundredThousandObjects() throws {
        let count = 100_000
        let body: ByteBuffer = Sample.body(1_024, seed: 1)
        let store = ResponseStore(limits: StoreLimits(memoryBytes: 1 << 30))
        for number in 0..<1_000 { Self.fill(store, count + number, body: body) }
        let before: Int = try Self.resident()
        let countedBefore: Int = store.statistics.memoryBytes
        for number in 0..<count { Self.fill(store, number, body: body) }
        let taken: Int = try Self.resident() - before
        let counted: Int = store.statistics.memoryBytes - countedBefore
        print("memory: \(count) objects of 1 KiB: resident \(taken >> 20) MiB, counted \(counted >> 20) MiB")
        #expect(store.statistics.memoryEntries == count + 1_000)
        #expect(counted >= taken)
    }

    /// The time of a hit without anything around it.
    @Test func timeOfALookUp() throws {
        let store = ResponseStore(limits: StoreLimits(memoryBytes: 1 << 30))
        let body: ByteBuffer = Sample.body(1_024, seed: 1)
        let keys: [CacheKey] = (0..<10_000).map {
            CacheKey(site: "www.example.test", uri: "https://www.example.test/objects/\($0).html")
        }
        for number in 0..<10_000 { Self.fill(store, number, body: body) }
        var found = 0
        let start: UInt64 = Self.processorTime()
        for round in 0..<1_000_000 {
            if let entry = store.lookup(keys[round % 10_000]).first {
                entry.recordUse()
                found += 1
            }
        }
        let hit: UInt64 = (Self.processorTime() - start) / 1_000_000
        #expect(found == 1_000_000)
        let startOfFills: UInt64 = Self.processorTime()
        for number in 0..<50_000 { Self.fill(store, 20_000 + number, body: body) }
        let fill: UInt64 = (Self.processorTime() - startOfFills) / 50_000
        let startOfPurge: UInt64 = Self.processorTime()
        store.purge(.prefix(site: "www.example.test", uri: "https://www.example.test/none"), .remove)
        let purge: UInt64 = (Self.processorTime() - startOfPurge) / 60_000
        print("time: hit \(hit) ns, fill of 1 KiB \(fill) ns, prefix purge \(purge) ns for each entry visited")
    }

    /// What the disk store holds in memory, whatever is on disk, and how long it takes to open.
    @Test func diskStoreOfAHundredThousandObjects() async throws {
        let count = 100_000
        let stage = try DiskStage()
        let memory = StoreLimits(memoryBytes: 4 << 20)
        var store: ResponseStore = try stage.open(memory: memory) { $0.bytes = 1 << 30 }
        let body: ByteBuffer = Sample.body(1_024, seed: 1)
        let startOfWrites: UInt64 = Self.processorTime()
        for number in 0..<count {
            Self.fill(store, number, body: body)
            if number % 1_000 == 0 { await store.flush() }
        }
        await store.flush()
        let write: UInt64 = (Self.processorTime() - startOfWrites) / UInt64(count) / 1_000
        #expect(store.statistics.disk?.entries == count)
        let counted: Int = store.statistics.disk?.bytes ?? 0
        await store.close()
        let onDisk: Int =
            (try FileManager.default.attributesOfItem(atPath: stage.path + "/index.sqlite"))[.size] as? Int ?? 0
        let before: Int = try Self.resident()
        let start = Date()
        store = try stage.open(memory: memory) { $0.bytes = 1 << 30 }
        let opened: Double = Date().timeIntervalSince(start)
        let taken: Int = try Self.resident() - before
        let startOfReads: UInt64 = Self.processorTime()
        var found = 0
        for number in stride(from: 0, to: count, by: 37) {
            let key = CacheKey(site: "www.example.test", uri: "https://www.example.test/objects/\(number).html")
            found += try await store.load(key, on: InertLoop.loop).get().count
        }
        let read: UInt64 = (Self.processorTime() - startOfReads) / UInt64(max(found, 1)) / 1_000
        print(
            """
            disk: \(count) objects of 1 KiB: \(write) µs of processor time to fill and write one, \(read) µs to load one, \
            counted \(counted >> 20) MiB, file \(onDisk >> 20) MiB, opened in \(Int(opened * 1000)) ms with \(taken >> 10) KiB more memory
            """)
        await store.close()
    }

    /// Nanoseconds of processor time of this process.
    private static func processorTime() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
