internal import DequeModule
internal import Foundation
internal import GRDB
internal import HTTPCaching
internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix

/// Responses on disk: an index in SQLite, which holds the small bodies too, and a file for each larger body.
///
/// All of it happens on threads of its own: one job writes, in batches, whatever waits by then; others read. A response
/// exists once the index names it; bodies are judged by their checksums whenever they are read. If the disk fails,
/// nothing is written for a while; if the index is damaged, it is made anew, empty.
final class DiskStore: Sendable {
    struct State {
        var index: DatabasePool?
        var queue: Deque<DiskOperation> = []
        var pendingBytes = 0
        var waiting = WaitingWork()
        var isWriting = false
        var nextID: Int64
        /// Milliseconds until which nothing is written, or 0.
        var pausedUntil: Int64 = 0
        var loads: [UInt64: [@Sendable ([CachedResponse]) -> Void]] = [:]
        var spools = 0
        var isCheckPending = false
        /// Milliseconds until which nothing is looked up, because the disk did not answer in time; or 0.
        var silentUntil: Int64 = 0
        var figures = DiskStatistics()
        var isClosed = false
    }

    /// The memory store, which holds this one.
    private struct Owner {
        weak var memory: MemoryStore?
    }

    let limits: DiskLimits
    let folder: DiskFolder
    let files: any DiskFiles
    let filter = KeyFilter()
    let readers: NIOThreadPool
    let writers: NIOThreadPool
    let eventLoops: any EventLoopGroup
    let logger: Logger
    let state: NIOLockedValueBox<State>
    /// Only used by the writing job.
    let usage: NIOLockedValueBox<DiskUsage>
    let shares: NIOLockedValueBox<SiteShares>
    /// Milliseconds on a clock that only goes forward.
    let clock: @Sendable () -> Int64
    private let owner = NIOLockedValueBox(Owner())

    /// Bodies spooled at once, and the part of the disk that they may take before the index knows of them.
    static let spoolLimit = 16

    /// Opens the store. Blocks: reads the index, but no body.
    ///
    /// - Parameter firstID: numbers of body files begin here at least, so that they differ from those of earlier runs.
    /// - Throws: `DiskStoreError`, if the folder is used by another process or can't be written to. A damaged index is
    ///   no reason: it is made anew.
    init(
        limits: DiskLimits, eventLoops: any EventLoopGroup, logger: Logger, firstID: Int64,
        files: any DiskFiles = SystemFiles(),
        clock: @escaping @Sendable () -> Int64 = { Int64(NIODeadline.now().uptimeNanoseconds / 1_000_000) }
    ) throws {
        self.limits = limits
        self.files = files
        self.eventLoops = eventLoops
        self.logger = logger
        self.clock = clock
        self.folder = try DiskFolder(limits.path)
        self.readers = NIOThreadPool(numberOfThreads: limits.readers)
        self.writers = NIOThreadPool(numberOfThreads: 2)
        self.usage = NIOLockedValueBox(DiskUsage())
        self.shares = NIOLockedValueBox(limits.shares)
        self.state = NIOLockedValueBox(State(nextID: firstID))
        do {
            try self.openIndex()
        } catch {
            logger.warning(
                "the cache's index on disk can't be used and is made anew: what was on disk is fetched again",
                metadata: ["path": "\(limits.path)", "reason": "\(error)"])
            self.state.withLockedValue { $0.figures.rebuilds += 1 }
            self.folder.removeIndex()
            do {
                try self.openIndex()
            } catch {
                throw DiskStoreError(path: limits.path, reason: "the index can't be made: \(error)")
            }
        }
        self.readers.start()
        self.writers.start()
        self.sweep(partials: true)
    }

    func attach(_ memory: MemoryStore) {
        self.owner.withLockedValue { $0.memory = memory }
    }

    var memory: MemoryStore? { self.owner.withLockedValue { $0.memory } }

    var index: DatabasePool? { self.state.withLockedValue { $0.index } }

    /// Opens the index, or makes it, and takes stock.
    func openIndex() throws {
        try self.folder.prepareIndex()
        let pool: DatabasePool = try DiskIndex.open(self.folder.index, readers: self.limits.readers)
        let (hashes, usage): ([UInt64], DiskUsage) = try pool.read { try DiskIndex.inventory($0) }
        self.filter.replace(with: hashes)
        self.usage.withLockedValue { $0 = usage }
        self.state.withLockedValue { state in
            state.index = pool
            state.nextID = max(state.nextID, usage.largestID + 1)
            state.figures.bytes = usage.whole.bytes
            state.figures.entries = usage.entries
        }
    }

    var statistics: DiskStatistics {
        let now: Int64 = self.clock()
        return self.state.withLockedValue { state in
            var figures: DiskStatistics = state.figures
            figures.isWritable = state.index != nil && state.pausedUntil <= now
            figures.pendingOperations = state.queue.count
            figures.pendingBytes = state.pendingBytes
            return figures
        }
    }

    /// Puts an operation at the end of the queue, and sees that a thread works on it.
    ///
    /// - Parameters:
    ///   - judge: asked under the queue's lock whether it is no longer wanted, so that a purge is either known to it or
    ///     comes behind the operation.
    ///   - isLast: whether nothing is accepted after it.
    /// - Returns: false if too much is waiting.
    @discardableResult
    func enqueue(_ operation: DiskOperation, isLast: Bool = false, unless judge: () -> Bool = { false }) -> Bool {
        let row: (key: CacheKey, hash: UInt64)? = operation.rowKey.map { ($0, KeyFilter.hash($0)) }
        let (accepted, starts): (Bool, Bool) = self.state.withLockedValue { state in
            guard !state.isClosed else { return (false, false) }
            state.isClosed = isLast
            if !operation.isVital {
                guard !state.waiting.isWiping, state.pendingBytes + operation.weight <= self.limits.pendingBytes,
                    state.queue.count < 65_536,
                    !judge()
                else {
                    state.figures.skippedWrites += 1
                    return (false, false)
                }
            }
            state.queue.append(operation)
            state.pendingBytes += operation.weight
            if let row { state.waiting.willWrite(row.key, row.hash) }
            let starts: Bool = !state.isWriting
            state.isWriting = true
            return (true, starts)
        }
        if starts { self.startWriting() }
        return accepted
    }

    func startWriting() {
        self.writers.submit { _ in self.writeAll() }
    }

    func takeID() -> Int64 {
        self.state.withLockedValue { state in
            defer { state.nextID += 1 }
            return state.nextID
        }
    }

    /// Waits until what has been handed over is on disk, and closes. Further operations are dropped.
    func close() async {
        let index: DatabasePool? = await self.detachIndex()
        try? await self.writers.shutdownGracefully()
        try? await self.readers.shutdownGracefully()
        await self.close(index)
        self.folder.release()
    }

    /// Lets another process have the folder. Bodies that are being read are read to their end; nothing else is found any more, and
    /// nothing written, until ``takeBack()``.
    func letGo() async {
        let index: DatabasePool? = await self.detachIndex()
        self.filter.replace(with: [])
        await self.close(index)
        self.folder.release()
    }

    /// After ``letGo()``: no other process has come.
    ///
    /// - Throws: `DiskStoreError`, if one has, or the index can't be opened.
    func takeBack() async throws {
        try await self.writers.runIfActive {
            try self.folder.acquire()
            do {
                try self.openIndex()
            } catch {
                self.folder.release()
                throw DiskStoreError(path: self.limits.path, reason: "the index can't be opened: \(error)")
            }
            self.state.withLockedValue { $0.isClosed = false }
        }
    }

    private func detachIndex() async -> DatabasePool? {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            if !self.enqueue(.barrier { continuation.resume() }, isLast: true) { continuation.resume() }
        }
        return self.state.withLockedValue { state in
            defer { state.index = nil }
            return state.index
        }
    }

    private func close(_ index: DatabasePool?) async {
        do {
            // The last connection to close may be a reader's, which can't do this.
            try await index?.writeWithoutTransaction { _ = try $0.checkpoint(.truncate) }
            try index?.close()
        } catch {
            self.logger.warning("the cache's index on disk did not close", metadata: ["reason": "\(error)"])
        }
    }
}
