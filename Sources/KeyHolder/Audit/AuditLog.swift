import AuditChain
import Dispatch
import Logging
import NIOCore
import NIOPosix
import SecretFiles
import Synchronization
import Telemetry

/// Writes audit lines without ever blocking the caller.
///
/// Lines wait in memory, up to a bound, for a thread of their own, which chains them (``AuditJournal``). Every operation reserves its
/// line beforehand, and its result waits for the line to be written (``flush(then:)``). Lines of the log's own (counts, checkpoints) have
/// no reservation: there are few, and their number does not depend on what peers do.
///
/// When a write fails or takes long, or there is no room left that can be set aside for lines, the log is *closed*: there are no more
/// reservations, so that no operation begins, and results whose lines are not written do not leave. Lines that could not
/// be written are kept. They are tried again, at most once a second; when all are written and there is room again, the log is open, and
/// a line says how many requests were refused meanwhile.
final class AuditLog: Sendable {
    struct State {
        /// Lines not handed to the writer yet.
        var lines: [UInt8] = []
        /// Lines reserved or waiting or being written.
        var pending: Int = 0
        /// Lines within `lines`.
        var waiting: Int = 0
        /// Who waits for them.
        var waiters: [@Sendable (Bool) -> Void] = []
        var writing: Bool = false
        /// Requests that got no reservation since the log was closed.
        var refused: Int = 0
        /// When the log was closed, milliseconds since 1970 UTC.
        var closedAt: Int64 = 0
        /// When writing was tried last, monotonic nanoseconds.
        var tried: UInt64 = 0
        var digest = RefusalDigest()
        /// When the last checkpoint was asked for, monotonic nanoseconds.
        var signed: UInt64 = 0
        var checkpointIsDue: Bool = false
        /// Another process has the file, from ``letGo()`` to ``takeUp()``: it is closed here.
        var isLent: Bool = false
        /// It is to be taken up, and could not be yet.
        var isWanted: Bool = false
    }

    /// Set aside on disk, so that there is room for the lines of operations that are under way when a disk is full. Renewed when half
    /// of it is used.
    static let reserve: Int = 4 * 1024 * 1024
    /// Nanoseconds between attempts at a log that is closed.
    static let retryInterval: UInt64 = 1_000_000_000
    /// Nanoseconds after which one write counts as failed, though it may come about.
    static let patience: UInt64 = 5_000_000_000
    /// Lines after which a checkpoint is due whatever the time.
    static let linesPerCheckpoint: Int = 10_000

    let configuration: AuditConfiguration
    private let limit: Int
    private let checkpoint: UInt64
    let state: Mutex<State>
    let journal: Mutex<AuditJournal>
    let closed = Atomic<Bool>(false)
    let hasEnded = Atomic<Bool>(false)
    /// Of the last line that was written.
    let written: Atomic<UInt64>
    let thread: NIOThreadPool
    let head: HeadFile?
    let logger: Logger

    /// Opens the log, and goes on with the chain that is there. Blocks.
    ///
    /// - Parameters:
    ///   - limit: How many lines may be reserved or waiting at once.
    ///   - start: The detail of the first line; nil: there is none.
    /// - Throws: ``AuditLogError``.
    convenience init(
        _ configuration: AuditConfiguration, limit: Int, start: String? = nil, logger: Logger
    ) throws(AuditLogError) {
        let (output, origin) = try Self.open(configuration, logger)
        if origin.key == nil {
            logger.notice(
                "the audit is chained, and nothing signs it",
                metadata: ["remedy": "write state: FOLDER, or audit: {to: …, key: FILE}"])
        }
        self.init(configuration, output, origin, limit: limit, start: start, logger: logger)
    }

    static func open(
        _ configuration: AuditConfiguration, known: ChainPosition? = nil, _ logger: Logger
    ) throws(AuditLogError) -> (any AuditOutput, AuditOrigin) {
        let (output, origin) = try self.output(configuration, known, logger)
        if let problem = origin.problem {
            logger.critical(
                "the audit was changed while the key holder was not running", metadata: ["reason": "\(problem)"])
        }
        return (output, origin)
    }

    private static func output(
        _ configuration: AuditConfiguration, _ known: ChainPosition?, _ logger: Logger
    ) throws(AuditLogError) -> (any AuditOutput, AuditOrigin) {
        switch configuration.target {
        case .standardOutput:
            return (AuditFile.standardOutput, try AuditOrigin(configuration, file: nil, known: known))
        case .syslog(let target):
            let output = try AuditSyslog(target) { problem in
                logger.error(
                    "audit lines did not arrive at the log daemon; the chain shows what is missing",
                    metadata: ["reason": "\(problem)"])
            }
            return (output, try AuditOrigin(configuration, file: nil, known: known))
        case .file(let path):
            var file = try AuditFile(path: path)
            do throws(AuditLogError) {
                guard file.lock() else {
                    throw AuditLogError(
                        place: path, reason: "another process writes there",
                        remedy: "give each key holder a file of its own")
                }
                let isRead: Bool = file.identity != nil
                return (file, try AuditOrigin(configuration, file: isRead ? path : nil, known: known))
            } catch {
                file.close()
                throw error
            }
        }
    }

    /// Writes to `output`, where tests stand.
    convenience init(
        _ target: LogTarget, _ output: any AuditOutput, _ origin: AuditOrigin = AuditOrigin(), limit: Int,
        start: String? = nil, logger: Logger
    ) {
        self.init(AuditConfiguration(target), output, origin, limit: limit, start: start, logger: logger)
    }

    private init(
        _ configuration: AuditConfiguration, _ output: any AuditOutput, _ origin: AuditOrigin, limit: Int,
        start: String?, logger: Logger
    ) {
        self.configuration = configuration
        self.limit = limit
        self.logger = logger
        self.checkpoint = UInt64(origin.checkpoint.nanoseconds)
        self.head = origin.head.map { HeadFile(path: $0, logger: logger) }
        self.written = Atomic(origin.position.sequence)
        var journal = AuditJournal(output, origin)
        Self.begin(&journal, origin, start)
        var state = State(writing: true, signed: Clock.monotonic(), checkpointIsDue: start != nil)
        state.pending = journal.unwrittenLines
        self.state = Mutex(state)
        self.journal = Mutex(journal)
        self.thread = NIOThreadPool(numberOfThreads: 1)
        self.thread.start()
        self.startWriting()
    }

    static func begin(_ journal: inout AuditJournal, _ origin: AuditOrigin, _ start: String?) {
        let time: Int64 = Clock.wallMilliseconds()
        if let rest = origin.rest {
            var record = AuditRecord(time: time, event: .auditContinued)
            record.members = .broken(rest)
            journal.add(record)
        }
        guard let start else { return }
        var record = AuditRecord(
            time: time, event: .start, detail: ([start] + [origin.problem].compactMap { $0 }).joined(separator: "; "))
        record.members = .after(journal.position.hex)
        journal.add(record)
    }

    /// A line cannot be written now: no private key is to be used.
    var isClosed: Bool { self.closed.load(ordering: .acquiring) }

    /// Makes room for one line. False: the log cannot keep up, or is closed, so the operation must not happen.
    func reserve() -> Bool {
        guard !self.isClosed else {
            self.state.withLock { $0.refused += 1 }
            self.retry()
            return false
        }
        return self.state.withLock { state in
            guard state.pending < self.limit else { return false }
            state.pending += 1
            return true
        }
    }

    /// Takes in a line that was reserved before. ``flush()`` has it written.
    func record(_ record: AuditRecord) {
        self.state.withLock { state in
            record.appendBody(to: &state.lines)
            state.waiting += 1
        }
    }

    /// Takes in a line that nothing is reserved for: of those that peers have no hand in.
    func record(own record: AuditRecord) {
        self.state.withLock { state in
            record.appendBody(to: &state.lines)
            state.waiting += 1
            state.pending += 1
        }
    }

    /// Takes in a line that was reserved before, about something that was refused and for which no key was used: repeats are
    /// counted.
    ///
    /// - Returns: Whether it has a line of its own.
    @discardableResult
    func refused(_ record: AuditRecord, now: UInt64) -> Bool {
        self.state.withLock { state in
            guard state.digest.note(record, now: now) else {
                state.pending -= 1
                return false
            }
            record.appendBody(to: &state.lines)
            state.waiting += 1
            return true
        }
    }

    /// Starts the writer if lines wait and it isn't writing. Called once for the requests of one read, since waking a
    /// thread costs more than a line.
    func flush() {
        let start: Bool = self.state.withLock { Self.start(&$0) }
        if start { self.startWriting() }
    }

    /// The same, and tells whether all lines up to now are written. `then` is called once, on the writer's thread.
    func flush(then: @escaping @Sendable (Bool) -> Void) {
        let start: Bool = self.state.withLock { state in
            state.waiters.append(then)
            return Self.start(&state)
        }
        if start { self.startWriting() }
    }

    private static func start(_ state: inout State) -> Bool {
        guard state.waiting > 0 || !state.waiters.isEmpty || state.checkpointIsDue, !state.writing else { return false }
        state.writing = true
        return true
    }

    /// Once a second: lines for what was counted, checkpoints, and another attempt if the log is closed.
    func tick(now: UInt64, time: Int64) {
        let isStalled: Bool = self.state.withLock { state in
            Self.collect(&state, now: now, time: time)
            if now >= state.signed + self.checkpoint { state.checkpointIsDue = true }
            return state.writing && state.tried > 0 && now >= state.tried + Self.patience
        }
        if isStalled { self.close(.stalled) }
        self.takeUpLate()
        if self.isClosed { self.retry() }
        self.flush()
    }

    /// The number of the last line that was written.
    var sequence: UInt64 { self.written.load(ordering: .relaxed) }

    static func collect(_ state: inout State, now: UInt64, time: Int64, all: Bool = false) {
        for record in state.digest.collect(now: now, time: time, all: all) {
            record.appendBody(to: &state.lines)
            state.waiting += 1
            state.pending += 1
        }
    }

    /// Lines are being written at this moment.
    var isBusy: Bool { self.state.withLock { $0.writing && $0.tried > 0 } }

    /// Lines reserved or not written yet.
    var pendingLines: Int {
        self.state.withLock { $0.pending }
    }

    var hasRoom: Bool {
        !self.isClosed && self.pendingLines < self.limit
    }

    /// Gives back a reservation that no line came of.
    func cancel() {
        self.state.withLock { $0.pending -= 1 }
    }

    /// Opens the file again, after something else has renamed it. Keeps the old one if that fails.
    func reopen() throws(AuditLogError) {
        guard case .file(let path) = self.configuration.target, !self.isLent else { return }
        let fresh = try AuditFile(path: path)
        self.thread.submit { state in
            // Lent meanwhile: taken up again, it is opened anew.
            guard case .active = state, !self.isLent else {
                var fresh: AuditFile = fresh
                return fresh.close()
            }
            let (added, isWhole): (Int, Bool) = self.journal.withLock { journal in
                let isWhole: Bool = journal.unwrittenBytes == 0
                return (self.turnOver(&journal, to: fresh), isWhole)
            }
            self.state.withLock { state in
                state.pending += added
                // What is remembered is not where the new file begins.
                if !isWhole { state.checkpointIsDue = true }
            }
        }
        // A file elsewhere may have room; and the new one has nothing set aside yet.
        let start: Bool = self.state.withLock { state in
            defer { state.writing = true }
            return !state.writing
        }
        if start { self.startWriting() }
    }

    private func turnOver(_ journal: inout AuditJournal, to fresh: AuditFile) -> Int {
        var fresh: AuditFile = fresh
        // Nothing has renamed it.
        if let identity = fresh.identity, journal.isWritten(to: identity) {
            fresh.close()
            return 0
        }
        guard fresh.lock() else {
            self.logger.error("the audit stays in the old file: another process writes to the new one")
            fresh.close()
            return 0
        }
        return journal.turnOver(to: fresh, time: Clock.wallMilliseconds()) { position in
            guard let head = self.head else { return }
            // The new file's first line follows from it, and would be taken for a stranger's after a crash.
            head.note(position)
            head.finish()
        }
    }

    /// Writes what is waiting, then closes the file. Call it when nothing records any more; a second call does nothing. Takes no longer
    /// than ``patience`` where what takes the lines does not.
    ///
    /// - Parameter last: The last line, before a checkpoint.
    func shutDown(_ last: AuditRecord? = nil) async {
        guard !self.hasEnded.exchange(true, ordering: .relaxed) else { return }
        // The other process writes by now.
        guard !self.isLent else { return await self.end() }
        self.state.withLock { state in
            Self.collect(&state, now: Clock.monotonic(), time: Clock.wallMilliseconds(), all: true)
            if let last {
                last.appendBody(to: &state.lines)
                state.waiting += 1
                state.pending += 1
            }
            state.checkpointIsDue = true
        }
        let isDone: Bool = await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
            let answer = OneAnswer(continuation)
            self.thread.submit { _ in
                self.writeAll()
                answer.give(true)
            }
            DispatchQueue.global().asyncAfter(deadline: .now() + .nanoseconds(Int(Self.patience))) {
                answer.give(false)
            }
        }
        guard isDone else {
            // Its thread ends when it can.
            self.thread.shutdownGracefully { _ in }
            return self.logger.error(
                "audit lines lost: what takes the audit's lines takes none",
                metadata: ["lines": "\(self.pendingLines)"])
        }
        await self.end()
        self.journal.withLock { journal in
            journal.close()
            if journal.unwrittenLines > 0 {
                self.logger.error(
                    "audit lines lost: the audit log could not be written",
                    metadata: ["lines": "\(journal.unwrittenLines)"])
            }
        }
        self.head?.finish()
    }

    /// Fails only where it has ended already.
    private func end() async { try? await self.thread.shutdownGracefully() }
}
