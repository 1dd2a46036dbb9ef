internal import HTTPCaching
internal import NIOCore

/// What a fill knows, and what each event changes. Held under the fill's lock; wake-ups are returned and run outside it.
///
/// Our bug: events of the writer after the end, or two heads; they are ignored. The peer's violation: a length other
/// than announced; it makes the fill fail. Silently dropped: bytes that nobody reads and nothing stores.
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
        /// The disk's writer, for whose sake no reader is cut off.
        var isSpool = false
    }

    var phase: Phase = .waiting
    var head: FillHead = .pending
    var plan: FillPlan = .alone
    var expected: Int?
    var chunks = ChunkList()
    /// A longer body is not stored.
    var maximumBytes = Int.max
    /// Bytes of the budget for fills that are reserved for this one.
    var reserved = 0
    var followers: [Int: Follower] = [:]
    private var nextFollower = 0
    private var resume: FillWaker?
    private var isPaused = false
    let window: Int
    /// Where the slowest follower is, and how many are there; only kept up to date while there is a window. Counted, so
    /// that a thousand followers in step don't look at each other for every piece.
    private var slowest: (position: Int, count: Int)?

    init(window: Int) {
        self.window = window
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
        self.chunks.append(bytes, expected: left)
        if self.plan != .store { self.trim() }
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

    private var currentFlow: FillFlow {
        guard case .open = self.phase, self.plan != .store else { return .proceed }
        guard let slowest = self.slowest else { return .unwanted }
        return self.chunks.end - slowest.position >= self.window ? .pause : .proceed
    }

    /// Cuts off those who hold up the others: a whole window behind, while someone else has read all there is.
    mutating func cutOffSlowest() -> [FillWaker] {
        guard case .open = self.phase, self.plan != .store else { return [] }
        let end: Int = self.chunks.end
        guard self.followers.values.contains(where: { $0.position >= end && !$0.isCutOff && !$0.isSpool }) else {
            return []
        }
        var wakers: [FillWaker] = []
        for (id, follower) in self.followers where end - follower.position >= self.window {
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
    mutating func cutOffSpools() {
        for (id, follower) in self.followers where follower.isSpool { self.followers[id]?.isCutOff = true }
        self.trim()
    }

    // MARK: followers

    mutating func join(at position: Int = 0, isSpool: Bool = false) -> Int {
        defer { self.nextFollower += 1 }
        self.followers[self.nextFollower] = Follower(position: position, wakes: nil, isSpool: isSpool)
        if self.plan != .store { self.findSlowest() }
        return self.nextFollower
    }

    mutating func leave(_ id: Int) -> FillWaker? {
        guard let follower = self.followers.removeValue(forKey: id) else { return nil }
        if self.plan != .store, !follower.isCutOff {
            self.hasLeft(follower.position)
            self.trim()
        }
        return self.resumeIfDrained()
    }

    mutating func seek(_ id: Int, to position: Int) {
        self.followers[id]?.position = position
        if self.plan != .store { self.findSlowest() }
    }

    mutating func readHead(_ id: Int, waker: FillWaker) -> FillHead {
        if case .pending = self.head { self.followers[id]?.wakes = waker }
        return self.head
    }

    mutating func read(_ id: Int, upTo end: Int?, atMost limit: Int, waker: FillWaker) -> (BodyRead, FillWaker?) {
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
            self.hasLeft(before)
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
    private mutating func hasLeft(_ position: Int) {
        guard let slowest = self.slowest, slowest.position == position else { return }
        if slowest.count > 1 {
            self.slowest = (position, slowest.count - 1)
        } else {
            self.findSlowest()
        }
    }

    private mutating func findSlowest() {
        self.slowest = nil
        for follower in self.followers.values where !follower.isCutOff {
            guard let slowest = self.slowest, slowest.position <= follower.position else {
                self.slowest = (follower.position, 1)
                continue
            }
            if slowest.position == follower.position { self.slowest = (slowest.position, slowest.count + 1) }
        }
    }

    private mutating func trim() {
        guard self.plan != .store else { return }
        self.chunks.drop(before: self.slowest?.position ?? self.chunks.end)
    }

    /// The writer's waker, if it was told to pause and need not any more.
    private mutating func resumeIfDrained() -> FillWaker? {
        guard self.isPaused, let resume = self.resume else { return nil }
        if let slowest = self.slowest, self.chunks.end - slowest.position > self.window / 2 { return nil }
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
