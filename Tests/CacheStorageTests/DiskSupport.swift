import Foundation
import HTTPCaching
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

@testable import CacheStorage

/// A store with a disk in a temporary folder, which can be closed and opened again.
final class DiskStage: Sendable {
    let folder: TemporaryFolder
    let path: String
    let log = LogLines()

    init() throws {
        self.folder = try TemporaryFolder()
        self.path = self.folder.path("store")
    }

    func open(
        memory: StoreLimits = StoreLimits(), disk: (inout DiskLimits) -> Void = { _ in },
        files: any DiskFiles = SystemFiles(), clock: ManualClock = ManualClock()
    ) throws -> ResponseStore {
        var limits = DiskLimits(path: self.path, bytes: 64 << 20)
        disk(&limits)
        let store = try DiskStore(
            limits: limits, eventLoops: MultiThreadedEventLoopGroup.singleton, logger: self.log.logger,
            firstID: Int64(Date().timeIntervalSince1970 * 1_000_000), files: files, clock: { clock.now })
        return ResponseStore(limits: memory, disk: store)
    }

    /// The body files, in the order of their names.
    var bodyFiles: [String] {
        let names: [String] = FileManager.default.subpaths(atPath: self.path + "/bodies") ?? []
        return names.filter { $0.contains("/") }.sorted().map { "\(self.path)/bodies/\($0)" }
    }
}

final class ManualClock: Sendable {
    private let time = NIOLockedValueBox<Int64>(1_000_000)

    var now: Int64 { self.time.withLockedValue { $0 } }

    func advance(by milliseconds: Int64) {
        self.time.withLockedValue { $0 += milliseconds }
    }
}

extension ResponseStore {
    /// Waits until everything handed over so far has been written or given up.
    func flush() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            guard let disk = self.disk, disk.enqueue(.barrier { continuation.resume() }) else {
                return continuation.resume()
            }
        }
    }

    /// What disk and memory have for a path, with its whole body; nil if there is none, or if it can't be read to its end.
    func fetch(_ path: String, site: String = "example") async throws -> ByteBuffer? {
        let key: CacheKey = Sample.key(path, site: site)
        let loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.any()
        guard let entry = try await self.load(key, on: loop).get().first else { return nil }
        let got: Collected = try await Collector.read(entry.body, on: loop).get()
        return got.failure == nil ? got.bytes : nil
    }

    func mayBeOnDisk(_ path: String) -> Bool { self.mayBeOnDisk(Sample.key(path), besides: StoredVariants()) }
}

/// Log lines, kept.
final class LogLines: Sendable {
    private let lines = NIOLockedValueBox<[String]>([])

    var all: [String] { self.lines.withLockedValue { $0 } }

    /// Lines at warning level and above.
    var warnings: [String] { self.all.filter { $0.hasPrefix("warning") || $0.hasPrefix("error") } }

    var logger: Logger {
        Logger(label: "test") { _ in Handler(lines: self) }
    }

    private struct Handler: LogHandler {
        let lines: LogLines
        var metadata: Logger.Metadata = [:]
        var logLevel: Logger.Level = .debug

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let text = "\(event.level) \(event.message) \(event.metadata ?? [:])"
            self.lines.lines.withLockedValue { $0.append(text) }
        }
    }
}

/// Files on a disk that is full, or fails to read, while told so.
final class FaultyFiles: DiskFiles {
    struct Faults: Sendable {
        /// Bytes that may still be written; nil without bound.
        var room: Int?
        var failsReads = false
        var failsRenames = false
        /// Writing takes as long as this stays set.
        var isStalled = false
        /// What opening a file fails with.
        var openError: CInt?
    }

    private let system = SystemFiles()
    let faults = NIOLockedValueBox(Faults())

    func create(_ path: String) throws -> CInt { try self.system.create(path) }

    func write(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) throws {
        while self.faults.withLockedValue({ $0.isStalled }) { usleep(2_000) }
        let allowed: Int = self.faults.withLockedValue { faults in
            guard let room = faults.room else { return bytes.count }
            faults.room = max(room - bytes.count, 0)
            return min(room, bytes.count)
        }
        // A full disk takes what it can.
        try self.system.write(descriptor, UnsafeRawBufferPointer(rebasing: bytes.prefix(allowed)))
        if allowed < bytes.count { throw DiskFileError(operation: "write", code: ENOSPC) }
    }

    func flush(_ descriptor: CInt) throws { try self.system.flush(descriptor) }

    func rename(_ path: String, to target: String) throws {
        if self.faults.withLockedValue({ $0.failsRenames }) { throw DiskFileError(operation: "rename", code: EIO) }
        try self.system.rename(path, to: target)
    }

    func remove(_ path: String) { self.system.remove(path) }

    func open(_ path: String) throws -> CInt {
        if let code = self.faults.withLockedValue({ $0.openError }) {
            throw DiskFileError(operation: "open", code: code)
        }
        return try self.system.open(path)
    }

    func size(_ descriptor: CInt) throws -> Int { try self.system.size(descriptor) }

    func read(_ descriptor: CInt, into buffer: UnsafeMutableRawBufferPointer, at position: Int) throws -> Int {
        if self.faults.withLockedValue({ $0.failsReads }) { throw DiskFileError(operation: "read", code: EIO) }
        return try self.system.read(descriptor, into: buffer, at: position)
    }

    func close(_ descriptor: CInt) { self.system.close(descriptor) }
}

/// Waits until something that happens in the background has happened, for up to 20 seconds.
func eventually(_ condition: () throws -> Bool) async throws -> Bool {
    for _ in 0..<4_000 {
        if try condition() { return true }
        try await Task.sleep(nanoseconds: 5_000_000)
    }
    return false
}
