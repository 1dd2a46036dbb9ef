internal import DequeModule
internal import Foundation
internal import GRDB
internal import HTTPCaching
internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix

extension DiskStore {
    /// Operations and bytes of bodies in one transaction at most.
    static let batchOperations = 256
    static let batchBytes = 8 << 20

    // MARK: what others hand over

    /// Writes a response that has come into the memory store, if it is worth it.
    ///
    /// - Parameter generation: the number of purges that it was compared with when it was stored.
    func offer(_ entry: CachedResponse, since generation: UInt64) {
        guard self.wants(entry.response, length: entry.body.length), entry.body.isInMemory else { return }
        let id: Int64 = self.takeID()
        entry.noteDiskRow(id)
        let accepted: Bool = self.enqueue(.insert(entry, id: id)) {
            self.isTouched(entry, since: generation)
        }
        if !accepted { entry.noteDiskRow(0) }
    }

    /// Whether a response is written: complete, of a length that the disk takes, and of use for a while.
    func wants(_ response: StoredResponse, length: Int?) -> Bool {
        guard case .complete = response.extent, length ?? 0 <= self.limits.objectBytes else { return false }
        let left: Int64 = response.freshness.lifetime - response.freshness.initialAge
        return left >= self.limits.minimumLifetime || response.hasValidator
    }

    /// Writes metadata that a revalidation brought up to date, where the disk has the response.
    func refresh(_ entry: CachedResponse, since generation: UInt64) {
        let id: Int64 = entry.diskRowID
        guard id != 0 else { return }
        self.enqueue(.refresh(entry, id: id)) { self.isTouched(entry, since: generation) }
    }

    /// Removes a response, if the disk has it or is about to.
    func forget(_ entry: CachedResponse) {
        let id: Int64 = entry.diskRowID
        if id != 0 { self.enqueue(.forget(id: id)) }
    }

    /// Whether a purge came since an entry was compared with those before. It may be ahead of the entry in the queue, and
    /// would not find it; so the entry stays out.
    private func isTouched(_ entry: CachedResponse, since generation: UInt64) -> Bool {
        guard let memory = self.memory else { return true }
        return !memory.isUntouched(entry.key, tags: entry.response.tags, since: generation)
    }

    // MARK: the writing job

    /// Works until nothing waits any more. There is one at a time.
    func writeAll() {
        while true {
            let batch: [DiskOperation] = self.state.withLockedValue { state in
                var batch: [DiskOperation] = []
                var bytes = 0
                while batch.count < Self.batchOperations, bytes < Self.batchBytes,
                    let operation = state.queue.popFirst()
                {
                    bytes += operation.weight
                    state.waiting.began(operation)
                    batch.append(operation)
                }
                state.pendingBytes -= bytes
                if batch.isEmpty { state.isWriting = false }
                return batch
            }
            if batch.isEmpty { return }
            self.write(batch)
            // Not before: the filter knows of the rows now.
            let rows: [UInt64] = Self.rows(of: batch)
            self.state.withLockedValue { state in
                for hash in rows { state.waiting.hasWritten(hash) }
            }
        }
    }

    private func write(_ batch: [DiskOperation]) {
        let now: Int64 = self.clock()
        let isPaused: Bool = self.state.withLockedValue { now < $0.pausedUntil }
        for case .check(let reason) in batch { self.check(reason) }
        if self.index == nil, !isPaused { self.reopen() }
        guard let index = self.index else { return self.giveUp(batch, isWiped: true) }

        // A body file is complete, under its name, before any row names it.
        var written: [Int64: NewRow] = [:]
        if !isPaused {
            do {
                for case .insert(let entry, let id) in batch { written[id] = try self.prepare(entry, id: id) }
            } catch {
                self.pause("a body can't be written", error)
            }
        }
        do {
            var purged: [Int] = []
            var inserted: Set<Int64> = []
            let usage: DiskUsage = self.usage.withLockedValue { $0 }
            var limits: DiskLimits = self.limits
            limits.shares = self.shares.withLockedValue { $0 }
            let uses: [Int64] = self.memory?.takeDiskUses() ?? []
            let changes: DiskChanges = try index.write { [limits] database in
                var changes = DiskChanges(limits: limits, usage: usage)
                purged.removeAll()
                inserted.removeAll()
                for id in uses { try changes.noteUse(id, database) }
                for operation in batch {
                    switch operation {
                    case .insert(_, let id):
                        if let row = written[id], try changes.insert(row, database) { inserted.insert(id) }
                    case .adopt(let row):
                        if !isPaused, try changes.insert(row, database) { inserted.insert(row.id) }
                    case .refresh(let entry, let id):
                        guard !isPaused, let metadata = Self.encode(entry.response) else { break }
                        try changes.refresh(
                            id, entry.key, variant: DiskIndex.variant(entry.response.variant), metadata: metadata,
                            tags: entry.response.tags, database)
                    case .forget(let id): try changes.forget(id, database)
                    case .purge(let scope, let kind, _, _): purged.append(try changes.purge(scope, kind, database))
                    case .wipe: _ = try changes.purge(.everything, .remove, database)
                    case .check, .barrier: break
                    }
                }
                return changes
            }
            self.committed(batch, changes, written: written, inserted: inserted, purged: purged)
        } catch {
            for row in written.values where row.body == nil { self.files.remove(self.folder.body(row.id)) }
            self.failed(batch, error)
        }
    }

    /// Encodes a response, makes its checksums, and writes its body file if it gets one.
    private func prepare(_ entry: CachedResponse, id: Int64) throws -> NewRow? {
        guard let metadata = Self.encode(entry.response), let chunks = entry.body.chunks else { return nil }
        var sums = BlockSums.Builder()
        for chunk in chunks { chunk.withUnsafeReadableBytes { sums.update($0) } }
        var row = NewRow(
            id: id, key: entry.key, hash: KeyFilter.hash(entry.key), variant: DiskIndex.variant(entry.response.variant),
            metadata: metadata, sums: sums.finish().bytes, length: entry.body.length, tags: entry.response.tags,
            body: nil)
        if entry.body.length <= DiskLimits.inlineBytes {
            var body = Data(capacity: entry.body.length)
            for chunk in chunks { body.append(contentsOf: chunk.readableBytesView) }
            row.body = body
            return row
        }
        let file = try SpoolFile(id: id, folder: self.folder, files: self.files)
        do {
            for chunk in chunks { try chunk.withUnsafeReadableBytes { try file.append($0) } }
            try file.finish(flushes: self.limits.durability == .power)
        } catch {
            file.discard()
            throw error
        }
        return row
    }

    static func encode(_ response: StoredResponse) -> Data? {
        var buffer = ByteBuffer()
        guard (try? response.encode(into: &buffer)) != nil else { return nil }
        return Data(buffer.readableBytesView)
    }

    private func committed(
        _ batch: [DiskOperation], _ changes: DiskChanges, written: [Int64: NewRow], inserted: Set<Int64>, purged: [Int]
    ) {
        self.usage.withLockedValue { $0 = changes.usage }
        if changes.isWiped {
            self.filter.replace(with: [])
            self.sweep()
        }
        for hash in changes.added { self.filter.add(hash) }
        for hash in changes.removed { self.filter.remove(hash) }
        for id in changes.files { self.files.remove(self.folder.body(id)) }
        self.state.withLockedValue { state in
            state.figures.bytes = changes.usage.whole.bytes
            state.figures.entries = changes.usage.entries
            state.figures.evictions += UInt64(changes.evictions)
            state.figures.writes += UInt64(changes.insertions)
        }
        // Before the barriers: a caller that waits for one finds the end of a pause in the log.
        self.resumed()
        var purges: ArraySlice<Int> = purged[...]
        for operation in batch {
            switch operation {
            case .insert(let entry, let id):
                guard !inserted.contains(id) else { break }
                entry.noteDiskRow(0)
                self.state.withLockedValue { $0.figures.skippedWrites += 1 }
                if let row = written[id], row.body == nil { self.files.remove(self.folder.body(id)) }
            case .adopt(let row):
                if !inserted.contains(row.id) { self.files.remove(self.folder.body(row.id)) }
            case .purge(_, _, let generation, let done):
                self.memory?.purgeIsOnDisk(generation)
                done?(.success(purges.popFirst() ?? 0))
            case .wipe(let replaced): self.giveUp(replaced, isWiped: true)
            case .barrier(let done): done()
            case .refresh, .forget, .check: break
            }
        }
    }

    // MARK: failures

    private func failed(_ batch: [DiskOperation], _ error: any Error) {
        let hasPurge: Bool = batch.contains { operation in
            switch operation {
            case .purge, .wipe: true
            case .insert, .adopt, .refresh, .forget, .check, .barrier: false
            }
        }
        if Self.isCorruption(error) {
            self.rebuild("the index is damaged", error)
        } else if hasPurge {
            // What was purged must not come back: better nothing than that.
            self.rebuild("a purge can't be written to the index", error)
            self.pause("a purge can't be written to the index", error)
        } else {
            self.pause("the index can't be written", error)
        }
        self.giveUp(batch, isWiped: hasPurge || self.index == nil)
    }

    /// Ends operations that were not carried out.
    ///
    /// - Parameter isWiped: whether there is nothing on disk any more, so that purges need not be carried out.
    private func giveUp(_ batch: [DiskOperation], isWiped: Bool) {
        for operation in batch {
            switch operation {
            case .insert(let entry, _):
                entry.noteDiskRow(0)
                self.state.withLockedValue { $0.figures.skippedWrites += 1 }
            case .adopt(let row):
                self.files.remove(self.folder.body(row.id))
            case .purge(_, _, let generation, let done):
                if isWiped { self.memory?.purgeIsOnDisk(generation) }
                let failure = DiskStoreError(path: self.limits.path, reason: "the purge can't be written")
                done?(isWiped ? .success(0) : .failure(failure))
            case .wipe(let replaced): self.giveUp(replaced, isWiped: isWiped)
            case .barrier(let done): done()
            case .refresh, .forget, .check: break
            }
        }
    }

    static func isCorruption(_ error: any Error) -> Bool {
        guard let error = error as? DatabaseError else { return false }
        return [.SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_FORMAT].contains(error.resultCode.primaryResultCode)
    }

    /// Writes nothing for a while. One log line for each time that it begins.
    func pause(_ what: String, _ error: any Error) {
        let now: Int64 = self.clock()
        let isNew: Bool = self.state.withLockedValue { state in
            defer { state.pausedUntil = now + self.limits.pause }
            state.figures.failures += 1
            return state.pausedUntil == 0
        }
        guard isNew else { return }
        self.logger.warning(
            "the cache's disk store fails: nothing is written to it for a while, and what it has is still served",
            metadata: ["path": "\(self.limits.path)", "what": "\(what)", "reason": "\(error)"])
    }

    /// A write has succeeded; if it was the first after a pause, that is worth a line.
    private func resumed() {
        let now: Int64 = self.clock()
        let wasPaused: Bool = self.state.withLockedValue { state in
            guard state.pausedUntil != 0, state.pausedUntil <= now else { return false }
            state.pausedUntil = 0
            return true
        }
        if wasPaused {
            self.logger.notice("the cache's disk store works again", metadata: ["path": "\(self.limits.path)"])
        }
    }
}
