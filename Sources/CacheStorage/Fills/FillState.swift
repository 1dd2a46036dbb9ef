internal import HTTPCaching
internal import NIOCore

/// What a fill knows, and what each event changes. Held under the fill's lock; wake-ups are returned and run outside it.
///
/// Our bug: events of the writer after the end, or two heads; they are ignored. The peer's violation: a length other
/// than announced; it makes the fill fail. Silently dropped: bytes that no reader wants and nothing stores.
struct FillState {
    enum Phase {
        case waiting
        case open
        case complete
        case failed(FillFailure)
    }

    struct Follower {
        var position: Int
        /// Set while it waits for news.
        var wakes: FillWaker?
        var isCutOff = false
        /// The disk's writer, which no reader waits for.
        var isSpool = false
    }

    var phase: Phase = .waiting
    var head: FillHead = .pending
    var plan: FillPlan = .alone
    var expected: Int?
    var chunks = ChunkList()
    /// A longer body is not stored.
    var maximumBytes = Int.max
    var followers: [Int: Follower] = [:]
    private var nextFollower = 0
    private var resume: FillWaker?
    private var isPaused = false
    private let window: Int
    private let budget: FillBudget
    /// Bytes that are booked in the budget for what is held.
    private var booked = 0
    /// What counts the memory instead, once it is that of a stored body.
    private var lease: BodyLease?
    /// Where the slowest of those is that the writer waits for, and how many are there; only kept up to date while there is a
    /// window. Counted, so that a thousand followers in step don't look at each other for every piece.
    private var slowest: (position: Int, count: Int)?
    /// The writer waits for readers, as long as there are any, and for the disk otherwise.
    private var waitsForDisk = false
    /// The disk's writer, if there is one: its number among the followers.
    private var spool: Int?

    /// How far apart readers can be while more memory is held for readers than should be, in bytes.
    static let narrowWindow = 65_536
    /// How far the disk's writer can fall behind the readers at most, in bytes. Beyond that the body is not written.
    static let spoolReach = 64 << 20

    init(window: Int, budget: FillBudget) {
        self.window = window
        self.budget = budget
    }

    var hasBegun: Bool {
        if case .waiting = self.phase { false } else { true }
    }

    var isEnded: Bool {
        switch self.phase {
        case .waiting, .open: false
        case .complete, .failed: true
        }
    }

    // MARK: the writer's events

    mutating func begin(_ head: FillHead, plan: FillPlan, expected: Int?) -> [FillWaker] {
        guard case .waiting = self.phase else { return [] }
        self.phase = .open
        self.head = head
        self.plan = plan
        self.expected = expected
        self.findSlowest()
        return self.takeWakers()
    }

    mutating func append(_ bytes: ByteBuffer) -> [FillWaker] {
        guard case .open = self.phase, bytes.readableBytes > 0 else { return [] }
        let left: Int? = self.expected.map { max($0 - self.chunks.end, 0) }
        self.chunks.append(bytes, expected: left, compactly: self.plan == .store)
        if self.plan != .store {
            self.leaveSpoolBehind()
            self.trim()
        }
        return self.takeWakers()
    }

    /// Gives up keeping everything: from now on only the window is held.
    mutating func passThrough() {
        if self.plan == .store { self.plan = .passThrough }
        self.findSlowest()
        self.trim()
    }

    /// - Returns: what to wake, and the failure if the length is not the announced one.
    mutating func complete() -> (wakers: [FillWaker], failure: FillFailure?) {
        guard case .open = self.phase else { return ([], .abandoned) }
        if let expected = self.expected, expected != self.chunks.end {
            let failure = FillFailure.lengthMismatch(expected: expected, received: self.chunks.end)
            return (self.fail(failure), failure)
        }
        self.phase = .complete
        self.resume = nil
        return (self.takeWakers(), nil)
    }

    mutating func fail(_ failure: FillFailure) -> [FillWaker] {
        guard !self.isEnded else { return [] }
        if case .waiting = self.phase { self.head = .failed(failure) }
        self.phase = .failed(failure)
        self.resume = nil
        // Nothing is stored: what has been read is not needed any more.
        self.passThrough()
        return self.takeWakers()
    }

    /// The origin confirmed a stored response: there are no bytes to come.
    mutating func validated(_ entry: CachedResponse) -> [FillWaker] {
        guard case .waiting = self.phase else { return [] }
        self.head = .validated(entry)
        self.phase = .complete
        return self.takeWakers()
    }

    mutating func onResume(_ waker: FillWaker) {
        self.resume = waker
    }

    /// Whether the writer should go on, noting that it was told to pause.
    mutating func flow() -> FillFlow {
        let flow: FillFlow = self.currentFlow
        self.isPaused = flow == .pause
        return flow
    }

    /// How far apart readers can be now. Those that read are never stopped by it for good: the writer goes on once the
    /// slowest has come nearer, whatever others hold.
    private var reach: Int { self.budget.isExceeded ? min(self.window, Self.narrowWindow) : self.window }

    private var currentFlow: FillFlow {
        guard case .open = self.phase, self.plan != .store else { return .proceed }
        guard let slowest = self.slowest else { return .unwanted }
        return self.chunks.end - slowest.position >= self.reach ? .pause : .proceed
    }

    /// Cuts off those who hold up the others: a whole window behind, while another reader has read all there is.
    mutating func cutOffSlowest() -> [FillWaker] {
        guard case .open = self.phase, self.plan != .store else { return [] }
        let end: Int = self.chunks.end
        guard self.followers.values.contains(where: { $0.position >= end && !$0.isCutOff && !$0.isSpool }) else {
            return []
        }
        var wakers: [FillWaker] = []
        let reach: Int = self.reach
        for (id, follower) in self.followers where !follower.isSpool && end - follower.position >= reach {
            self.followers[id]?.isCutOff = true
            self.followers[id]?.wakes = nil
            if let waker = follower.wakes { wakers.append(waker) }
        }
        self.findSlowest()
        self.trim()
        if let waker = self.resumeIfDrained() { wakers.append(waker) }
        return wakers
    }

    /// The disk's writer gets no more: what it has is dropped.
    mutating func cutOffSpool() {
        guard let spool = self.spool else { return }
        self.spool = nil
        self.followers[spool]?.isCutOff = true
        self.findSlowest()
        self.trim()
    }

    /// A disk that is slower than the readers falls behind them, and gives up where that takes too much memory. They never
    /// wait for it.
    private mutating func leaveSpoolBehind() {
        guard !self.waitsForDisk, let spool = self.spool, let writer = self.followers[spool] else { return }
        let most: Int =
            self.budget.isExceeded ? self.reach : max(min(self.budget.limit / 4, Self.spoolReach), self.reach)
        if self.chunks.end - writer.position > most { self.cutOffSpool() }
    }

    // MARK: followers

    mutating func join(at position: Int = 0, isSpool: Bool = false) -> Int {
        defer { self.nextFollower += 1 }
        // Between finding this fill and joining it, its beginning may have gone.
        let isTooLate: Bool = position < self.chunks.start
        self.followers[self.nextFollower] = Follower(position: position, isCutOff: isTooLate, isSpool: isSpool)
        if isSpool, !isTooLate { self.spool = self.nextFollower }
        if self.plan != .store { self.findSlowest() }
        return self.nextFollower
    }

    mutating func leave(_ id: Int) -> FillWaker? {
        guard let follower = self.followers.removeValue(forKey: id) else { return nil }
        if self.spool == id { self.spool = nil }
        if self.plan != .store, !follower.isCutOff {
            self.hasLeft(follower.position, isSpool: follower.isSpool)
            self.trim()
        }
        return self.resumeIfDrained()
    }

    mutating func seek(_ id: Int, to position: Int) -> FillWaker? {
        self.followers[id]?.position = position
        guard self.plan != .store else { return nil }
        self.findSlowest()
        self.trim()
        return self.resumeIfDrained()
    }

    mutating func readHead(_ id: Int, waker: FillWaker?) -> FillHead {
        guard let follower = self.followers[id] else { return self.head }
        switch self.head {
        case .pending: self.followers[id]?.wakes = waker
        // Nothing of it has been sent: a reader that can't have it any more can still go on its own.
        case .shared where follower.isCutOff: return .unshared
        case .shared, .unshared, .validated, .failed: break
        }
        return self.head
    }

    mutating func read(_ id: Int, upTo end: Int?, atMost limit: Int, waker: FillWaker?) -> (BodyRead, FillWaker?) {
        guard var follower = self.followers[id] else { return (.end, nil) }
        if follower.isCutOff { return (.truncated(.cutOff), nil) }
        let available: Int = end.map { $0 - follower.position } ?? Int.max
        if available <= 0 { return (.end, nil) }
        if let bytes = self.chunks.read(at: follower.position, atMost: min(limit, available)) {
            let before: Int = follower.position
            follower.position += bytes.readableBytes
            follower.wakes = nil
            self.followers[id] = follower
            guard self.plan != .store else { return (.bytes(bytes), nil) }
            self.hasLeft(before, isSpool: follower.isSpool)
            self.trim()
            return (.bytes(bytes), self.resumeIfDrained())
        }
        switch self.phase {
        case .complete: return (.end, nil)
        case .failed(let failure): return (.truncated(failure), nil)
        case .waiting, .open:
            self.followers[id]?.wakes = waker
            return (.pending, nil)
        }
    }

    // MARK: the window

    /// A follower is not at this position any more.
    private mutating func hasLeft(_ position: Int, isSpool: Bool) {
        guard isSpool == self.waitsForDisk, let slowest = self.slowest, slowest.position == position else { return }
        if slowest.count > 1 {
            self.slowest = (position, slowest.count - 1)
        } else {
            self.findSlowest()
        }
    }

    private mutating func findSlowest() {
        self.slowest = nil
        self.waitsForDisk = false
        for follower in self.followers.values where !follower.isCutOff && !follower.isSpool {
            guard let slowest = self.slowest, slowest.position <= follower.position else {
                self.slowest = (follower.position, 1)
                continue
            }
            if slowest.position == follower.position { self.slowest = (slowest.position, slowest.count + 1) }
        }
        guard self.slowest == nil, let spool = self.spool, let writer = self.followers[spool] else { return }
        self.waitsForDisk = true
        self.slowest = (writer.position, 1)
    }

    private mutating func trim() {
        guard self.plan != .store else { return }
        let read: Int = self.slowest?.position ?? self.chunks.end
        let written: Int = self.spool.flatMap { self.followers[$0]?.position } ?? read
        self.chunks.drop(before: min(read, written))
        self.book()
    }

    // MARK: the budget

    /// Books what has come to be held, where all of it is to be kept.
    ///
    /// - Returns: false if there is no room for it.
    mutating func reserve() -> Bool {
        let more: Int = self.chunks.footprint - self.booked
        guard more > 0 else { return true }
        guard self.budget.reserve(more, isSmall: self.chunks.end <= Self.narrowWindow) else { return false }
        self.booked += more
        return true
    }

    /// Books what is held, no more and no less.
    private mutating func book() {
        guard self.lease == nil else { return }
        let more: Int = self.chunks.footprint - self.booked
        self.budget.take(more)
        self.budget.release(-more)
        self.booked += more
    }

    /// The whole body, to be stored. Its memory is counted by its lease from now on, until the last reader is gone.
    mutating func storedBody() -> StoredBody {
        let chunks: [ByteBuffer] = self.chunks.compact()
        self.book()
        if self.chunks.footprint >= BodyLease.leastBytes {
            self.lease = BodyLease(booked: self.booked, in: self.budget)
        } else {
            self.budget.release(self.booked)
        }
        self.booked = 0
        return StoredBody(chunks: chunks, lease: self.lease)
    }

    /// The last one lets go of the fill.
    mutating func letGo() {
        self.budget.release(self.booked)
        self.booked = 0
    }

    /// The writer's waker, if it was told to pause and need not any more.
    private mutating func resumeIfDrained() -> FillWaker? {
        guard self.isPaused, let resume = self.resume else { return nil }
        if let slowest = self.slowest, self.chunks.end - slowest.position > self.reach / 2 { return nil }
        self.isPaused = false
        return resume
    }

    private mutating func takeWakers() -> [FillWaker] {
        var wakers: [FillWaker] = []
        for (id, follower) in self.followers {
            guard let waker = follower.wakes else { continue }
            wakers.append(waker)
            self.followers[id]?.wakes = nil
        }
        return wakers
    }
}

/// Runs something on an event loop, once it is told to.
struct FillWaker: Sendable {
    let eventLoop: any EventLoop
    let callback: @Sendable () -> Void

    func wake() {
        self.eventLoop.execute(self.callback)
    }
}
