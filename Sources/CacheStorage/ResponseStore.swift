public import HTTPCaching
public import Logging
internal import NIOConcurrencyHelpers
public import NIOCore
internal import NIOPosix
internal import Synchronization

/// What a request that found nothing stored does.
public enum Flight: Sendable {
    /// It goes to the origin and fills the store: requests for the same meanwhile join.
    case lead(FillWriter)
    /// Another request is at the origin for it.
    case join(Fill)
    /// Responses under this key have lately been for one request only: it goes to the origin for itself.
    case alone
}

/// Where responses are stored: in memory, and on disk if there is one. Shared by all event loops.
///
/// A request looks up its key and lets HTTPCaching choose among the variants; if none will do, it asks whether the disk
/// may hold others, and loads them; else it takes off for the origin, or joins the fetch that is on the way.
public final class ResponseStore: Sendable {
    let memory: MemoryStore
    let disk: DiskStore?
    /// Another process that serves what it stored when it was alone.
    private let elsewhere = NIOLockedValueBox<(@Sendable () async -> Void)?>(nil)

    /// A store in memory only.
    public init(limits: StoreLimits = StoreLimits()) {
        self.memory = MemoryStore(limits: limits)
        self.disk = nil
    }

    init(limits: StoreLimits, disk: DiskStore) {
        self.memory = MemoryStore(limits: limits, disk: disk)
        self.disk = disk
    }

    /// A store in memory and, if `disk` says where, on disk. Reads the disk's index, but no body.
    ///
    /// - Parameters:
    ///   - eventLoops: where bodies too large for memory are followed on their way to the disk.
    ///   - now: milliseconds since 1970. Body files of this run are numbered from it.
    /// - Throws: `DiskStoreError`, if the folder can't be used or another process uses it.
    public static func open(
        limits: StoreLimits, disk: DiskLimits?, eventLoops: any EventLoopGroup, logger: Logger, now: Int64
    ) async throws -> ResponseStore {
        guard let disk else { return ResponseStore(limits: limits) }
        let threads = NIOThreadPool(numberOfThreads: 1)
        threads.start()
        let opened: Result<DiskStore, any Error>
        do {
            opened = .success(
                try await threads.runIfActive {
                    try DiskStore(limits: disk, eventLoops: eventLoops, logger: logger, firstID: max(now, 1) << 10)
                })
        } catch {
            opened = .failure(error)
        }
        try await threads.shutdownGracefully()
        return ResponseStore(limits: limits, disk: try opened.get())
    }

    /// Waits until what is on its way to the disk is there, and closes the disk store. The memory store goes on.
    public func close() async {
        await self.disk?.close()
    }

    /// Lets another process have the disk store: what is in memory is served on, and bodies that are being read from disk are read to
    /// their end.
    public func letGoOfDisk() async { await self.disk?.letGo() }

    /// Takes the disk store again, where no other process has it.
    ///
    /// - Throws: `DiskStoreError`.
    public func takeDiskBack() async throws { try await self.disk?.takeBack() }

    /// Has `purgeDurably` wait for something else too: a process that is about to end, and still serves what it stored.
    public func purgeElsewhere(_ purge: (@Sendable () async -> Void)?) {
        self.elsewhere.withLockedValue { $0 = purge }
    }

    // MARK: reading

    /// The stored variants that are in memory, newest first; empty if there are none. Never waits: one short lock.
    /// The caller that serves one of them calls `recordUse()` on it.
    public func lookup(_ key: CacheKey) -> StoredVariants {
        self.memory.find(key)
    }

    /// The same for a request, whose key need not be put together for it.
    public func lookup(_ key: RequestKey) -> StoredVariants {
        self.memory.find(key)
    }

    /// Whether the disk store may hold variants for this key besides those that `lookup` found. Never waits, and is
    /// wrong only in saying yes.
    public func mayBeOnDisk(_ key: CacheKey, besides variants: StoredVariants) -> Bool {
        guard let disk = self.disk else { return false }
        return disk.mayHold(key, besides: variants.count { $0.isOnDisk })
    }

    /// All stored variants, those in memory first, then those that only the disk holds. Bodies stay on disk until they
    /// are read.
    public func load(_ key: CacheKey, on eventLoop: any EventLoop) -> EventLoopFuture<[CachedResponse]> {
        guard let disk = self.disk else {
            return eventLoop.makeSucceededFuture(Array(self.memory.find(key, counts: false)))
        }
        let answer: EventLoopPromise<[CachedResponse]> = eventLoop.makePromise()
        let isAnswered = NIOLockedValueBox(false)
        @Sendable func isFirst() -> Bool {
            isAnswered.withLockedValue { answered in
                defer { answered = true }
                return !answered
            }
        }
        let deadline: Scheduled<Void> = eventLoop.scheduleTask(in: .milliseconds(disk.limits.deadline)) {
            guard isFirst() else { return }
            disk.noteSilence()
            answer.succeed(Array(self.memory.find(key, counts: false)))
        }
        disk.load(key) { loaded in
            guard isFirst() else { return }
            deadline.cancel()
            let present = Array(self.memory.find(key, counts: false))
            answer.succeed(
                present + loaded.filter { one in !present.contains { $0.response.variant == one.response.variant } })
        }
        return answer.futureResult
    }

    // MARK: filling

    /// Joins the fill under way for a key, or starts one.
    ///
    /// - Parameters:
    ///   - variant: what tells requests apart that can't share a response, as far as it is known before the origin has
    ///     answered: the request's values for the names that a stored variant has (`VariantKey.key(of:)`). Requests with
    ///     different ones don't wait for each other.
    ///   - now: milliseconds since 1970.
    public func flight(for key: CacheKey, variant: VariantKey = .invariant, now: Int64) -> Flight {
        self.memory.flight(for: key, variant: variant, now: now)
    }

    /// A fill that no request joins: for those that must go to the origin by themselves, but may store what comes. It may be made when
    /// that is known.
    ///
    /// - Parameter generation: `generation` from before the request was sent; nil: as it is now.
    public func soloFill(for key: CacheKey, since generation: UInt64? = nil) -> FillWriter {
        self.memory.soloFill(for: key, since: generation ?? self.generation)
    }

    /// Remembers that responses under this key are for one request only, so that requests don't queue up behind one
    /// another to find out: `flight` answers `.alone` until then, or until something is stored or purged there. A hint:
    /// it may be forgotten.
    ///
    /// - Parameter until: milliseconds since 1970.
    public func markUnshared(_ key: CacheKey, until: Int64) {
        self.memory.markUnshared(key, until: until)
    }

    /// The number of purges so far: a caller that asks the origin without a fill notes it before, for `update`.
    public var generation: UInt64 { self.memory.generation.load(ordering: .acquiring) }

    /// Puts metadata that were brought up to date (304, or a HEAD response) in the place of the stored ones, without a
    /// fill. The body stays.
    ///
    /// - Parameter generation: `generation` from before the request was sent.
    /// - Returns: the entry as it is now.
    @discardableResult
    public func update(
        _ entry: CachedResponse, with response: StoredResponse, since generation: UInt64
    ) -> CachedResponse {
        self.memory.update(entry, with: response, since: generation)
    }

    /// What the purges after the first `generation` have left of an entry that was looked up before them: itself, the same
    /// with their marks, or nil. For those who keep an entry while they wait.
    public func current(_ entry: CachedResponse, since generation: UInt64) -> CachedResponse? {
        self.memory.current(entry, since: generation)
    }

    /// Whether no purge after the first `generation` means a response.
    public func isUntouched(_ key: CacheKey, tags: [String], since generation: UInt64) -> Bool {
        self.memory.isUntouched(key, tags: tags, since: generation)
    }

    /// Forgets one entry, and nothing else of its key. Not a purge: fills under way are not affected.
    public func remove(_ entry: CachedResponse) {
        // It may stand there under marks of a purge by now.
        let present: [CachedResponse] = self.memory.find(entry.key, counts: false).filter {
            $0.response.variant == entry.response.variant && $0.response.responseTime <= entry.response.responseTime
        }
        _ = self.memory.apply(.remove, to: present)
        self.disk?.forget(entry)
    }

    // MARK: purging

    /// Purges: from memory, from fills under way and from disk, for all event loops before it returns. `prefix`, `host`,
    /// `site` and `everything` visit all entries in memory. The disk's own index follows soon after; until then nothing
    /// that is read from there gets past the purge, unless this process dies first: see `purgeDurably`.
    @discardableResult
    public func purge(_ scope: PurgeScope, _ kind: PurgeKind) -> PurgeResult {
        let (result, generation): (PurgeResult, UInt64) = self.memory.purge(scope, kind)
        self.disk?.purge(scope, kind, generation: generation)
        return result
    }

    /// The same, but does not return before the disk's index has it too, so that a restart doesn't bring back what was
    /// purged. What an administrator's purge does.
    @discardableResult
    public func purgeDurably(_ scope: PurgeScope, _ kind: PurgeKind) async throws -> PurgeResult {
        var (result, generation): (PurgeResult, UInt64) = self.memory.purge(scope, kind)
        if let elsewhere = self.elsewhere.withLockedValue({ $0 }) { await elsewhere() }
        guard let disk = self.disk else { return result }
        result.diskEntries = try await withCheckedThrowingContinuation { continuation in
            disk.purge(scope, kind, generation: generation) { continuation.resume(with: $0) }
        }
        return result
    }

    // MARK: inspection

    /// What is stored for a key, without counting as a look-up.
    public func describe(_ key: CacheKey) async -> [EntryDescription] {
        let inMemory: [EntryDescription] = self.memory.describe(key)
        guard let disk = self.disk else { return inMemory }
        return await inMemory
            + withCheckedContinuation { continuation in
                disk.describe(key) { continuation.resume(returning: $0) }
            }
    }

    public var statistics: StoreStatistics { self.memory.statistics }

    /// What each site takes of the memory store. Sites without entries are not in it.
    public var siteUsage: [String: SiteUsage] { self.memory.ledger.withLockedValue { $0.usage } }

    /// Sets the sites' shares of the stores, and cuts sites in memory back to them. A site that has too much on disk is
    /// cut back when it stores something.
    public func apply(_ shares: SiteShares) {
        self.memory.apply(shares)
        self.disk?.shares.withLockedValue { $0 = shares }
    }
}
