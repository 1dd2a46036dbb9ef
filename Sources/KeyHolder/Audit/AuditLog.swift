import Logging
import NIOPosix
import Synchronization

/// Where audit lines go.
public enum AuditDestination: Hashable, Sendable {
    /// Appended to; made with mode 0600 if it is not there.
    case file(String)
    case standardOutput
}

/// Why the audit log could not be opened.
public struct AuditLogError: Error, Equatable, Sendable, CustomStringConvertible {
    public var path: String
    public var reason: String

    public var description: String {
        "cannot open the audit log \(self.path): \(self.reason); check the directory and that this user may write there"
    }
}

/// Writes audit lines without ever blocking the caller.
///
/// Lines wait in memory, up to a bound, for a thread of their own. Every operation reserves its line beforehand, and its result
/// waits for the line to be written (``flush(then:)``).
///
/// When a write fails, or there is no room left that can be set aside for lines, the log is *closed*: there are no more
/// reservations, so that no operation begins, and results whose lines are not written do not leave. Lines that could not
/// be written are kept. They are tried again, at most once a second; when all are written and there is room again, a line
/// says how many requests were refused meanwhile, and the log is open.
final class AuditLog: Sendable {
    private struct State {
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
    }

    /// The writer's own; only touched on its one thread.
    private struct Output {
        var file: any AuditOutput & Sendable
        /// What a failed write left over.
        var unwritten: ArraySlice<UInt8> = []
        var unwrittenLines: Int = 0
        /// Another process has the file, from ``letGo()`` to ``takeUp()``: it is closed here.
        var isLent: Bool = false
    }

    /// Set aside on disk, so that there is room for the lines of operations that are under way when a disk is full. Renewed when half
    /// of it is used.
    static let reserve: Int = 4 * 1024 * 1024
    /// Nanoseconds between attempts at a log that is closed.
    private static let retryInterval: UInt64 = 1_000_000_000

    private let destination: AuditDestination
    private let limit: Int
    private let state = Mutex(State())
    private let output: Mutex<Output>
    private let closed = Atomic<Bool>(false)
    private let thread: NIOThreadPool
    private let logger: Logger

    /// - Parameter limit: How many lines may be reserved or waiting at once.
    /// - Throws: ``AuditLogError``.
    convenience init(_ destination: AuditDestination, limit: Int, logger: Logger) throws(AuditLogError) {
        self.init(destination, try AuditFile(destination), limit: limit, logger: logger)
    }

    /// Writes to `output`, where tests stand.
    init(_ destination: AuditDestination, _ output: any AuditOutput & Sendable, limit: Int, logger: Logger) {
        self.destination = destination
        self.limit = limit
        self.logger = logger
        self.output = Mutex(Output(file: output))
        self.thread = NIOThreadPool(numberOfThreads: 1)
        self.thread.start()
        self.state.withLock { $0.writing = true }
        self.startWriting()
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
            record.appendLine(to: &state.lines)
            state.waiting += 1
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
            record.appendLine(to: &state.lines)
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
        guard state.waiting > 0 || !state.waiters.isEmpty, !state.writing else { return false }
        state.writing = true
        return true
    }

    /// Once a second: lines for what was counted, and another attempt if the log is closed.
    func tick(now: UInt64, time: Int64) {
        self.state.withLock { Self.collect(&$0, now: now, time: time) }
        if self.isClosed { self.retry() }
        self.flush()
    }

    private static func collect(_ state: inout State, now: UInt64, time: Int64, all: Bool = false) {
        for record in state.digest.collect(now: now, time: time, all: all) {
            record.appendLine(to: &state.lines)
            state.waiting += 1
            state.pending += 1
        }
    }

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
        guard case .file = self.destination, !self.output.withLock({ $0.isLent }) else { return }
        let fresh = try AuditFile(self.destination)
        self.thread.submit { _ in
            self.output.withLock { output in
                // Lent meanwhile: taken up again, it is opened anew.
                guard !output.isLent else {
                    var fresh = fresh
                    return fresh.close()
                }
                output.file.close()
                output.file = fresh
            }
        }
        // A file elsewhere may have room; and the new one has nothing set aside yet.
        let start: Bool = self.state.withLock { state in
            defer { state.writing = true }
            return !state.writing
        }
        if start { self.startWriting() }
    }

    /// Writes what is waiting, and leaves the file to another process: from then on the log is closed.
    func letGo() async {
        self.state.withLock { Self.collect(&$0, now: Clock.monotonic(), time: Clock.wallMilliseconds(), all: true) }
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            self.thread.submit { _ in
                self.writeAll()
                self.output.withLock { output in
                    output.file.close()
                    output.isLent = true
                }
                self.closed.store(true, ordering: .releasing)
                continuation.resume()
            }
        }
    }

    /// The file is this process's again, after ``letGo()``.
    ///
    /// - Throws: the log stays closed.
    func takeUp() throws(AuditLogError) {
        let fresh = try AuditFile(self.destination)
        self.output.withLock { output in
            output.file = fresh
            output.isLent = false
        }
        self.closed.store(false, ordering: .releasing)
        self.flush()
    }

    /// Writes what is waiting, then closes the file. Call it when nothing records any more.
    func shutDown() async {
        self.state.withLock { Self.collect(&$0, now: Clock.monotonic(), time: Clock.wallMilliseconds(), all: true) }
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            self.thread.submit { _ in
                self.writeAll()
                continuation.resume()
            }
        }
        try? await self.thread.shutdownGracefully()
        self.output.withLock { output in
            if !output.isLent { output.file.close() }
            if output.unwrittenLines > 0 {
                self.logger.error(
                    "audit lines lost: the audit log could not be written",
                    metadata: ["lines": "\(output.unwrittenLines)"])
            }
        }
    }

    // MARK: Writing

    private func retry() {
        let start: Bool = self.state.withLock { state in
            guard !state.writing, Clock.monotonic() >= state.tried + Self.retryInterval else { return false }
            state.writing = true
            return true
        }
        if start { self.startWriting() }
    }

    private func startWriting() {
        self.thread.submit { state in
            guard case .active = state else { return }
            self.writeAll()
        }
    }

    /// On the writer's thread. Goes on until nothing waits, or a write fails. `writing` is true.
    private func writeAll() {
        self.output.withLock { output in
            var isFirst: Bool = true
            while true {
                let batch: (lines: [UInt8], count: Int, waiters: [@Sendable (Bool) -> Void])? = self.state.withLock {
                    state in
                    guard isFirst || state.waiting > 0 || !state.waiters.isEmpty else {
                        state.writing = false
                        return nil
                    }
                    state.tried = Clock.monotonic()
                    defer {
                        state.lines = []
                        state.waiting = 0
                        state.waiters = []
                    }
                    return (state.lines, state.waiting, state.waiters)
                }
                guard let batch else { return }
                isFirst = false
                let isWritten: Bool = self.write(batch.lines, batch.count, &output)
                for waiter in batch.waiters { waiter(isWritten) }
                guard isWritten else {
                    // What has come meanwhile is not written either.
                    let waiters = self.state.withLock { state in
                        defer { state.waiters = [] }
                        state.writing = false
                        return state.waiters
                    }
                    for waiter in waiters { waiter(false) }
                    return
                }
            }
        }
    }

    /// Writes lines, behind those that are left over. False: not all of them.
    private func write(_ lines: [UInt8], _ count: Int, _ output: inout Output) -> Bool {
        output.unwritten += lines
        output.unwrittenLines += count
        guard !output.isLent else { return false }
        let shortage: AuditOutputError? = Self.reserve(for: output.unwritten.count, &output)
        // Before the write: from here on no key is used.
        if let shortage { self.close(shortage) }
        guard self.drain(&output) else { return false }
        if shortage == nil, self.isClosed { self.open(&output) }
        return true
    }

    private static func reserve(for count: Int, _ output: inout Output) -> AuditOutputError? {
        do throws(AuditOutputError) {
            try output.file.reserve(low: count + Self.reserve / 2, high: count + Self.reserve)
            return nil
        } catch {
            return error
        }
    }

    private func drain(_ output: inout Output) -> Bool {
        while !output.unwritten.isEmpty {
            switch output.file.write(output.unwritten) {
            case .success(let count): output.unwritten = output.unwritten.dropFirst(count)
            case .failure(let error):
                self.close(error)
                return false
            }
        }
        output.unwritten = []
        let written: Int = output.unwrittenLines
        output.unwrittenLines = 0
        self.state.withLock { $0.pending -= written }
        return true
    }

    private func close(_ error: AuditOutputError) {
        guard !self.closed.exchange(true, ordering: .acquiringAndReleasing) else { return }
        self.state.withLock { $0.closedAt = Clock.wallMilliseconds() }
        self.logger.critical(
            "cannot write the audit log; operations are refused until it can be written again",
            metadata: ["reason": "\(error)"])
    }

    /// All is written, and there is room.
    private func open(_ output: inout Output) {
        let record: AuditRecord = self.state.withLock { state in
            defer { state.refused = 0 }
            state.pending += 1
            return AuditRecord(
                time: Clock.wallMilliseconds(), operation: "audit", outcome: .overloaded, duration: 0,
                detail: "the log could not be written", repeats: .init(count: state.refused, since: state.closedAt))
        }
        var line: [UInt8] = []
        record.appendLine(to: &line)
        output.unwritten = line[...]
        output.unwrittenLines = 1
        guard self.drain(&output) else { return }
        self.closed.store(false, ordering: .releasing)
        self.logger.notice("the audit log can be written again", metadata: ["refused": "\(record.repeats?.count ?? 0)"])
    }
}
