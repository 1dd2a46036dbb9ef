import CRelaySockets
import Channels
import NIOCore
import NIOPosix
import Synchronization

/// Carries relayed connections of one event loop, on a thread of its own: their sockets are nothing that swift-nio knows.
///
/// An event loop hands a client over once, and hears of its end once; between the two there is no lock and no other thread.
final class RelayReactor: Sendable {
    private struct Intake {
        var orders: [RelayOrder] = []
        /// It waits for its sockets, and has to be woken.
        var sleeps = false
        var isStopped = false
    }

    private let eventLoop: any EventLoop
    private let intake = Mutex(Intake())
    private let poller: Descriptor
    private let bell: Descriptor
    private let pipes: Int
    private let pool = NIOThreadPool(numberOfThreads: 1)

    /// Starts the thread. Call ``stop()`` when done.
    ///
    /// - Parameter pipes: how many it may have, of two descriptors each.
    init(eventLoop: any EventLoop, pipes: Int) throws(DescriptorError) {
        self.eventLoop = eventLoop
        self.pipes = pipes
        self.poller = try Descriptor(owning: latchstring_poller_open())
        self.bell = try Descriptor(owning: latchstring_bell_open())
        let status = latchstring_poller_add(self.poller.number, self.bell.number, RelayTools.bell)
        guard status == 0 else { throw DescriptorError(code: -status) }
        self.pool.start()
        self.pool.submit { _ in self.run() }
    }

    /// Takes an order. On any thread; returns at once.
    ///
    /// - Returns: false if it has been stopped.
    @discardableResult
    func submit(_ order: RelayOrder) -> Bool {
        let (isTaken, wakes) = self.intake.withLock { intake -> (Bool, Bool) in
            guard !intake.isStopped else { return (false, false) }
            intake.orders.append(order)
            if case .stop = order { intake.isStopped = true }
            defer { intake.sleeps = false }
            return (true, intake.sleeps)
        }
        if wakes { latchstring_bell_ring(self.bell.number) }
        return isTaken
    }

    /// Closes all connections, and ends the thread. Blocks until it has ended.
    func stop() {
        self.submit(.stop)
        try? self.pool.syncShutdownGracefully()
    }

    private func run() {
        latchstring_ignore_broken_pipes()
        let tools = RelayTools(poller: self.poller, pipes: self.pipes, now: .now())
        let worker = RelayWorker(tools)
        while true {
            let orders = self.intake.withLock { intake -> [RelayOrder] in
                defer { (intake.orders, intake.sleeps) = ([], false) }
                return intake.orders
            }
            // Nothing is taken behind the order to stop.
            for order in orders where !worker.follow(order) { return self.report(tools) }
            self.report(tools)
            let mayRest = self.intake.withLock { intake -> Bool in
                intake.sleeps = intake.orders.isEmpty
                return intake.sleeps
            }
            worker.poll(mayRest: mayRest)
            self.report(tools)
        }
    }

    /// All that its event loop has to hear, at once.
    private func report(_ tools: RelayTools) {
        guard !tools.notices.isEmpty else { return }
        let notices = tools.notices
        tools.notices = []
        self.eventLoop.execute { for notice in notices { notice.value() } }
    }
}

/// What the connections of one reactor share. Lives on its thread.
final class RelayTools {
    /// Of one read, in bytes.
    static let bufferSize = 65_536
    fileprivate static let bell = UInt64.max

    let buffer: UnsafeMutableRawBufferPointer
    var pipes: PipePool
    var deadlines = DeadlineHeap()
    /// The time of the last look at the poller.
    fileprivate(set) var now: NIODeadline
    fileprivate var notices: [NIOLoopBound<() -> Void>] = []
    fileprivate var again: [RelaySession] = []
    private let poller: Descriptor

    init(poller: Descriptor, pipes: Int, now: NIODeadline) {
        self.poller = poller
        self.pipes = PipePool(limit: pipes)
        self.now = now
        self.buffer = .allocate(byteCount: Self.bufferSize, alignment: 16)
    }

    deinit { self.buffer.deallocate() }

    /// Has the poller tell of a socket.
    func watch(_ end: RelayEnd, _ session: RelaySession, _ side: PumpSide) throws(DescriptorError) {
        guard let socket = end.descriptor else { return }
        let token = session.id << 1 | (side == .client ? 0 : 1)
        let status = latchstring_poller_add(self.poller.number, socket.number, token)
        guard status == 0 else { throw DescriptorError(code: -status) }
    }

    /// The connection is to be run once more when the others had their turn.
    func runAgain(_ session: RelaySession) {
        guard !session.waitsForTurn else { return }
        session.waitsForTurn = true
        self.again.append(session)
    }

    func tell(_ notice: NIOLoopBound<() -> Void>?) {
        if let notice { self.notices.append(notice) }
    }

    fileprivate func wait(_ ready: UnsafeMutableBufferPointer<latchstring_ready>, _ milliseconds: Int32) -> Int {
        Int(latchstring_poller_wait(self.poller.number, ready.baseAddress, Int32(ready.count), milliseconds))
    }
}

/// The connections of one reactor, by their numbers.
private final class RelayWorker {
    private let tools: RelayTools
    private var sessions: [UInt64: RelaySession] = [:]
    private let ready = UnsafeMutableBufferPointer<latchstring_ready>.allocate(capacity: 128)

    init(_ tools: RelayTools) { self.tools = tools }

    deinit { self.ready.deallocate() }

    /// - Returns: false if it is to end.
    func follow(_ order: RelayOrder) -> Bool {
        switch order {
        case .take(let client):
            let session = RelaySession(client, now: self.tools.now)
            self.sessions[client.id] = session
            session.begin(client.goal, self.tools)
            self.look(at: session)
        case .found(let id, let goal): self.with(id) { $0.found(goal, self.tools) }
        case .close(let id): self.with(id) { $0.close(self.tools) }
        case .stop:
            for session in self.sessions.values { session.stop(self.tools) }
            self.sessions = [:]
            return false
        }
        return true
    }

    /// Does what sockets and deadlines are for, and waits for them if it may.
    func poll(mayRest: Bool) {
        var milliseconds: Int32 = -1
        if !mayRest || !self.tools.again.isEmpty {
            milliseconds = 0
        } else if let next = self.tools.deadlines.next, next != .distantFuture {
            // Never too early, which would be a loop without rest.
            milliseconds = Int32(clamping: max(0, ((next - .now()).nanoseconds + 999_999) / 1_000_000))
        }
        let count = self.tools.wait(self.ready, milliseconds)
        self.tools.now = .now()
        // Those that had a turn for an event of now have the next one later.
        let again = self.tools.again
        self.tools.again = []
        for event in self.ready.prefix(max(0, count)) where event.token != RelayTools.bell {
            self.with(event.token >> 1) {
                $0.became(event.what, event.token & 1 == 0 ? .client : .origin, self.tools)
            }
        }
        for session in again {
            session.waitsForTurn = false
            session.run(self.tools)
            self.look(at: session)
        }
        while let entry = self.tools.deadlines.removeFirst(due: self.tools.now) {
            self.with(entry.id) { $0.expire(self.tools) }
        }
    }

    private func with(_ id: UInt64, _ action: (RelaySession) -> Void) {
        guard let session = self.sessions[id] else { return }
        action(session)
        self.look(at: session)
    }

    private func look(at session: RelaySession) {
        if session.isOver { self.sessions[session.id] = nil }
    }
}
