public import HTTPCaching
internal import NIOConcurrencyHelpers
public import NIOCore

/// One response on its way from the origin into the store, and those who read it meanwhile.
///
/// There is at most one per key and variant that newcomers can join. A fill that a purge overtook, or that can't be
/// shared, goes on for those who already read it, and newcomers start another.
public final class Fill: Sendable {
    public let key: CacheKey
    /// What tells fills of one key apart, as the leader gave it.
    public let variant: VariantKey
    /// The purges that had taken place when it began.
    let generation: UInt64
    /// No newcomer ever finds it.
    let isSolo: Bool
    private let state: NIOLockedValueBox<FillState>
    private let store: MemoryStore

    init(key: CacheKey, variant: VariantKey, generation: UInt64, isSolo: Bool = false, store: MemoryStore) {
        self.key = key
        self.variant = variant
        self.generation = generation
        self.isSolo = isSolo
        self.store = store
        self.state = NIOLockedValueBox(FillState(window: store.limits.windowBytes, budget: store.fillBudget))
    }

    deinit {
        self.state.withLockedValue { $0.letGo() }
    }

    /// Readers at this moment, the disk's writer included.
    public var followerCount: Int { self.state.withLockedValue { $0.followers.count } }

    /// Clients' readers at this moment, those that wait for the head included.
    public var clientCount: Int { self.state.withLockedValue { state in state.followers.count { !$0.value.isSpool } } }

    /// Joins: everything from the first byte on can be read. Only right after the store returned this fill.
    ///
    /// - Parameters:
    ///   - eventLoop: where the follower is used and `wake` is run.
    ///   - wake: run once after each `.pending`.
    public func follow(on eventLoop: any EventLoop, wake: @escaping @Sendable () -> Void) -> FillFollower {
        let id: Int = self.state.withLockedValue { $0.join() }
        return FillFollower(FillCursor(fill: self, id: id, waker: FillWaker(eventLoop: eventLoop, callback: wake)))
    }

    /// Joins as the one who fills it: it knows when there is something new, and reads then without being woken.
    public func followUnwoken() -> FillFollower {
        let id: Int = self.state.withLockedValue { $0.join() }
        return FillFollower(FillCursor(fill: self, id: id, waker: nil))
    }

    // MARK: the writer's side, through FillWriter

    /// The response is for the leader alone.
    func beginUnshared() {
        guard !self.state.withLockedValue({ $0.hasBegun }) else { return }
        self.store.detach(self)
        self.wake(self.state.withLockedValue { $0.begin(.unshared, plan: .alone, expected: nil) })
    }

    func begin(_ response: StoredResponse, maximumBytes: Int = .max) -> FillPlan {
        // The writer's events come one after the other.
        if let plan = self.state.withLockedValue({ $0.hasBegun ? $0.plan : nil }) { return plan }
        let length: Int? = response.bodyLength.map { Int(clamping: $0) }
        let plan: FillPlan = self.store.mayHold(bodyLength: length) ? .store : .passThrough
        if plan != .store { self.store.detach(self) }
        let disk: DiskStore? = plan == .passThrough ? self.spoolingDisk(response) : nil
        let (wakers, spool): ([FillWaker], Int?) = self.state.withLockedValue { state in
            let spool: Int? = disk == nil ? nil : state.join(isSpool: true)
            state.maximumBytes = maximumBytes
            return (state.begin(.shared(response), plan: plan, expected: length), spool)
        }
        if let disk, let spool { DiskSpool.start(disk, self, follower: spool, response) }
        self.wake(wakers)
        return plan
    }

    func append(_ bytes: ByteBuffer) -> FillFlow {
        var outgrown = false
        var spool: (disk: DiskStore, follower: Int, response: StoredResponse)?
        let (wakers, flow): ([FillWaker], FillFlow) = self.state.withLockedValue { state in
            let wakers: [FillWaker] = state.append(bytes)
            let isTooLong: Bool = state.chunks.end > state.maximumBytes
            if isTooLong, state.plan == .passThrough { state.cutOffSpool() }
            if state.plan == .store, isTooLong || !self.mayKeepAll(&state) {
                // The disk's writer joins while everything from the first byte on is still held.
                if !isTooLong, case .shared(let response) = state.head, let disk = self.spoolingDisk(response) {
                    spool = (disk, state.join(isSpool: true), response)
                }
                state.passThrough()
                outgrown = true
            }
            return (wakers, state.flow())
        }
        if outgrown { self.store.detach(self) }
        if let spool { DiskSpool.start(spool.disk, self, follower: spool.follower, spool.response) }
        self.wake(wakers)
        return flow
    }

    /// The disk store, if it takes a body that memory doesn't.
    private func spoolingDisk(_ response: StoredResponse) -> DiskStore? {
        guard let disk = self.store.disk, disk.takesSpool(response) else { return nil }
        return disk
    }

    private func mayKeepAll(_ state: inout FillState) -> Bool {
        state.chunks.end <= self.store.limits.memoryObjectBytes && state.reserve()
    }

    func finish() -> FillResult {
        typealias Finished = (wakers: [FillWaker], result: FillResult?, response: StoredResponse?, body: StoredBody?)
        let finished: Finished = self.state.withLockedValue { state in
            if state.isEnded { return ([], .notStored(.ended), nil, nil) }
            let (wakers, failure): ([FillWaker], FillFailure?) = state.complete()
            if let failure { return (wakers, .failed(failure), nil, nil) }
            switch state.plan {
            case .alone: return (wakers, .notStored(.unshared), nil, nil)
            case .passThrough: return (wakers, .notStored(.tooLarge), nil, nil)
            case .store:
                guard case .shared(let response) = state.head else { return (wakers, .notStored(.ended), nil, nil) }
                return (wakers, nil, response, state.storedBody())
            }
        }
        var result: FillResult = finished.result ?? .notStored(.ended)
        if var response = finished.response, let body = finished.body {
            if case .complete(nil) = response.extent { response.extent = .complete(length: Int64(body.length)) }
            let entry = CachedResponse(key: self.key, response: response, body: body)
            // Stored before it leaves the table of fills: in between, a newcomer finds one of the two.
            result = self.store.commit(entry, since: self.generation)
        }
        self.store.detach(self)
        self.wake(finished.wakers)
        return result
    }

    func validated(_ old: CachedResponse, response: StoredResponse, since generation: UInt64) -> CachedResponse {
        let entry: CachedResponse = self.store.update(
            old, with: response, since: min(self.generation, generation))
        self.store.detach(self)
        self.wake(self.state.withLockedValue { $0.validated(entry) })
        return entry
    }

    func fail(_ failure: FillFailure) {
        let wakers: [FillWaker] = self.state.withLockedValue { $0.fail(failure) }
        self.store.detach(self)
        self.wake(wakers)
    }

    /// Memory that it holds, in bytes.
    var heldBytes: Int { self.state.withLockedValue { $0.chunks.footprint } }

    var isEnded: Bool { self.state.withLockedValue { $0.isEnded } }

    /// The tags of the response, once its head is there.
    var tags: [String]? {
        self.state.withLockedValue { state in
            switch state.head {
            case .shared(let response): response.tags
            case .validated(let entry): entry.response.tags
            case .unshared: []
            case .pending, .failed: nil
            }
        }
    }

    func onResume(_ waker: FillWaker) {
        self.state.withLockedValue { $0.onResume(waker) }
    }

    func flow() -> FillFlow {
        self.state.withLockedValue { $0.flow() }
    }

    func cutOffSlowest() {
        self.wake(self.state.withLockedValue { $0.cutOffSlowest() })
    }

    // MARK: followers, through FillCursor

    fileprivate func readHead(_ id: Int, waker: FillWaker?) -> FillHead {
        self.state.withLockedValue { $0.readHead(id, waker: waker) }
    }

    fileprivate func read(_ id: Int, upTo end: Int?, atMost limit: Int, waker: FillWaker?) -> BodyRead {
        let (result, resume): (BodyRead, FillWaker?) = self.state.withLockedValue {
            $0.read(id, upTo: end, atMost: limit, waker: waker)
        }
        resume?.wake()
        return result
    }

    fileprivate func seek(_ id: Int, to position: Int) {
        self.state.withLockedValue { $0.seek(id, to: position) }?.wake()
    }

    fileprivate func leave(_ id: Int) {
        self.state.withLockedValue { $0.leave(id) }?.wake()
    }

    private func wake(_ wakers: [FillWaker]) {
        for waker in wakers { waker.wake() }
    }
}

/// One follower's place in a fill. Belongs to one event loop.
struct FillCursor {
    let fill: Fill
    let id: Int
    /// `nil` for the one who fills: it is not woken.
    let waker: FillWaker?
    var end: Int?

    init(fill: Fill, id: Int, waker: FillWaker?, end: Int? = nil) {
        self.fill = fill
        self.id = id
        self.waker = waker
        self.end = end
    }

    func head() -> FillHead { self.fill.readHead(self.id, waker: self.waker) }

    func read(atMost limit: Int) -> BodyRead {
        self.fill.read(self.id, upTo: self.end, atMost: limit, waker: self.waker)
    }

    func seek(to position: Int) { self.fill.seek(self.id, to: position) }

    func cancel() { self.fill.leave(self.id) }
}

/// A reader that waits for a fill's head and then reads its body, or leaves. Belongs to one event loop.
public final class FillFollower {
    private var cursor: FillCursor?

    init(_ cursor: FillCursor) {
        self.cursor = cursor
    }

    deinit {
        self.cursor?.cancel()
    }

    /// What came from the origin.
    public func head() -> FillHead {
        self.cursor?.head() ?? .failed(.abandoned)
    }

    /// The body, or a part of it. Ends this follower: from now on the reader is used.
    ///
    /// - Parameter range: the bytes wanted; all of them if nil. Clamped to what comes.
    public func body(range: Range<Int>? = nil) -> BodyReader {
        guard var cursor = self.cursor else { return BodyReader(chunks: [], range: 0..<0) }
        self.cursor = nil
        if let range {
            cursor.end = range.upperBound
            cursor.seek(to: range.lowerBound)
        }
        return BodyReader(fill: cursor)
    }

    /// Leaves: nothing is read, `wake` is not run any more, except where it was already on its way.
    public func cancel() {
        self.cursor?.cancel()
        self.cursor = nil
    }
}
