internal import Foundation
internal import GRDB
internal import HTTPCaching
internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix

extension DiskStore {
    /// Whether the disk may hold more variants of a key than those that are known.
    func mayHold(_ key: CacheKey, besides known: Int) -> Bool {
        guard self.filter.count(KeyFilter.hash(key)) > known else { return false }
        let silentUntil: Int64 = self.state.withLockedValue { $0.silentUntil }
        return silentUntil == 0 || silentUntil <= self.clock()
    }

    /// A look-up took too long: nothing is looked up for a while.
    func noteSilence() {
        let now: Int64 = self.clock()
        let isNew: Bool = self.state.withLockedValue { state in
            state.figures.failures += 1
            defer { state.silentUntil = now + self.limits.pause }
            return state.silentUntil <= now
        }
        guard isNew else { return }
        self.logger.warning(
            "the cache's disk store does not answer in time: nothing is looked up in it for a while",
            metadata: ["path": "\(self.limits.path)", "deadline": "\(self.limits.deadline) ms"])
    }

    /// Loads the variants of a key; what fits into memory is taken in there. Look-ups of one key at the same time share
    /// one reading.
    ///
    /// - Parameter completion: run on a reader's thread.
    func load(_ key: CacheKey, completion: @escaping @Sendable ([CachedResponse]) -> Void) {
        let hash: UInt64 = KeyFilter.hash(key)
        let isFirst: Bool = self.state.withLockedValue { state in
            state.loads[hash, default: []].append(completion)
            return state.loads[hash]?.count == 1
        }
        guard isFirst else { return }
        self.readers.submit { state in
            let entries: [CachedResponse] = state == .active ? self.loadNow(key, hash: hash) : []
            let waiting: [@Sendable ([CachedResponse]) -> Void] = self.state.withLockedValue { state in
                if entries.isEmpty { state.figures.misses += 1 } else { state.figures.hits += 1 }
                return state.loads.removeValue(forKey: hash) ?? []
            }
            for completion in waiting { completion(entries.filter { $0.key == key }) }
        }
    }

    private func loadNow(_ key: CacheKey, hash: UInt64) -> [CachedResponse] {
        guard let memory = self.memory else { return [] }
        // Noted before the index is read: later purges are looked up in the log.
        let generation: UInt64 = memory.purgesOnDisk
        var loaded: [CachedResponse] = []
        // The oldest first, so that the newest ends up in front in memory, too.
        for row in self.rows(of: key, hash: hash).reversed() {
            guard let entry = self.open(row, since: generation) else { continue }
            if let current = memory.promote(entry, since: generation) {
                loaded.insert(current, at: 0)
                memory.noteDiskUse(row: row.id)
            }
        }
        return loaded
    }

    private func rows(of key: CacheKey, hash: UInt64) -> [DiskIndex.StoredRow] {
        guard let index = self.index else { return [] }
        do {
            return try index.read { try DiskIndex.rows(of: key, hash: hash, $0) }
        } catch {
            self.state.withLockedValue { $0.figures.failures += 1 }
            if Self.isCorruption(error) { self.reportCorruption(error) }
            self.logger.debug("the cache's index on disk can't be read", metadata: ["reason": "\(error)"])
            return []
        }
    }

    /// Judges a row and the beginning of its body. What is damaged or gone is removed; what can't be read at the moment,
    /// for want of descriptors or because the disk fails, stays, and may be read another time.
    private func open(_ row: DiskIndex.StoredRow, since generation: UInt64) -> CachedResponse? {
        do {
            let response: StoredResponse = try row.response()
            let body: StoredBody = try self.body(of: row)
            let entry = CachedResponse(key: row.key, response: response, body: body)
            entry.noteDiskRow(row.id)
            if case .disk(let source) = body.place, let body = source as? DiskBody {
                self.promoteOnceRead(body, key: row.key, response: response, row: row.id, since: generation)
            }
            return entry
        } catch let error as DiskFileError where !error.isAbsence {
            self.state.withLockedValue { $0.figures.failures += 1 }
            self.logger.debug(
                "a body on disk can't be read",
                metadata: ["path": "\(self.folder.body(row.id))", "reason": "\(error)"])
            return nil
        } catch {
            self.damaged(row.id, "\(error)")
            return nil
        }
    }

    private func body(of row: DiskIndex.StoredRow) throws -> StoredBody {
        let sums = BlockSums(stored: row.sums)
        guard sums.count == BlockSums.blocks(in: row.length) else {
            throw DiskBody.Damage(description: "the row has too few checksums")
        }
        if !row.isFile {
            guard let body = row.body, body.count == row.length,
                row.length == 0 || body.withUnsafeBytes({ sums.matches(0, $0) })
            else { throw DiskBody.Damage(description: "the body in the index does not have its checksum") }
            return StoredBody(chunks: [ByteBuffer(bytes: body)])
        }
        let descriptor: CInt = try self.files.open(self.folder.body(row.id))
        var isHandedOver = false
        defer { if !isHandedOver { self.files.close(descriptor) } }
        guard try self.files.size(descriptor) == row.length else {
            throw DiskBody.Damage(description: "the file does not have its length")
        }
        let beginning: ByteBuffer = try DiskBody.block(0, row.length, sums, descriptor, self.files)
        if row.length <= BlockSums.blockBytes { return StoredBody(chunks: [beginning]) }
        isHandedOver = true
        let id: Int64 = row.id
        return StoredBody(
            onDisk: DiskBody(
                length: row.length, beginning: beginning, sums: sums, descriptor: descriptor, files: self.files,
                threads: self.readers, budget: self.memory?.fillBudget,
                onDamage: { [weak self] reason in self?.damaged(id, reason) }))
    }

    /// Once a reader has had the whole of it, memory gets it, too.
    private func promoteOnceRead(
        _ body: DiskBody, key: CacheKey, response: StoredResponse, row: Int64, since generation: UInt64
    ) {
        guard let memory = self.memory, body.length <= memory.limits.memoryObjectBytes else { return }
        let owner = WeakMemory(memory)
        body.onWhole.withLockedValue { told in
            told = { body in
                let entry = CachedResponse(key: key, response: response, body: body)
                entry.noteDiskRow(row)
                _ = owner.value?.promote(entry, since: generation)
            }
        }
    }

    /// Takes a row that is not what was written out of the store.
    private func damaged(_ id: Int64, _ reason: String) {
        self.state.withLockedValue { $0.figures.damages += 1 }
        self.logger.info(
            "a response on disk is damaged or gone, and is fetched again",
            metadata: ["path": "\(self.folder.body(id))", "reason": "\(reason)"])
        self.enqueue(.forget(id: id))
    }

    /// What the disk has for a key, without opening it.
    func describe(_ key: CacheKey, completion: @escaping @Sendable ([EntryDescription]) -> Void) {
        self.readers.submit { state in
            guard state == .active, let memory = self.memory else { return completion([]) }
            let generation: UInt64 = memory.purgesOnDisk
            let found: [EntryDescription] = self.rows(of: key, hash: KeyFilter.hash(key)).compactMap { row in
                guard let response = try? row.response() else { return nil }
                let entry = CachedResponse(key: key, response: response, body: StoredBody(chunks: []))
                entry.noteDiskRow(row.id)
                guard memory.isUntouched(key, tags: response.tags, since: generation) else { return nil }
                return EntryDescription(
                    entry: entry, place: .disk, cost: row.cost, isInMainQueue: row.isMain, uses: row.uses)
            }
            completion(found)
        }
    }
}

/// The memory store, as long as it is there: bodies outlive it.
struct WeakMemory: Sendable {
    private final class Box: Sendable {
        weak let value: MemoryStore?

        init(_ value: MemoryStore?) {
            self.value = value
        }
    }

    private let box: Box

    init(_ value: MemoryStore?) {
        self.box = Box(value)
    }

    var value: MemoryStore? { self.box.value }
}
