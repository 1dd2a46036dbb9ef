import AuditChain
import Logging
import NIOPosix
import Synchronization

/// On the writer's thread.
extension AuditLog {
    func retry() {
        let start: Bool = self.state.withLock { state in
            guard !state.writing, !state.isLent, Clock.monotonic() >= state.tried + Self.retryInterval else {
                return false
            }
            state.writing = true
            return true
        }
        if start { self.startWriting() }
    }

    func startWriting() {
        self.thread.submit { state in
            guard case .active = state else { return }
            self.writeAll()
        }
    }

    /// Bodies that wait, how many, and what is to be told.
    private struct Batch {
        var bodies: [UInt8]
        var count: Int
        var waiters: [@Sendable (Bool) -> Void]
        var checkpointIsDue: Bool
    }

    /// On the writer's thread. Goes on until nothing waits, or a write fails. `writing` is true.
    func writeAll() {
        self.journal.withLock { journal in
            var isFirst: Bool = true
            while let batch = self.state.withLock({ Self.take(&$0, isFirst: isFirst) }) {
                isFirst = false
                let isWritten: Bool = self.write(batch, &journal)
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

    private static func take(_ state: inout State, isFirst: Bool) -> Batch? {
        guard isFirst || state.waiting > 0 || !state.waiters.isEmpty || state.checkpointIsDue else {
            state.writing = false
            return nil
        }
        state.tried = Clock.monotonic()
        defer {
            state.lines = []
            state.waiting = 0
            state.waiters = []
            if state.checkpointIsDue { state.signed = state.tried }
            state.checkpointIsDue = false
        }
        return Batch(
            bodies: state.lines, count: state.waiting, waiters: state.waiters,
            checkpointIsDue: state.checkpointIsDue)
    }

    /// Writes lines, behind those that are left over. False: not all of them.
    private func write(_ batch: Batch, _ journal: inout AuditJournal) -> Bool {
        guard !self.isLent else {
            // Of what was not done in time: its results do not leave either.
            self.state.withLock { $0.pending -= batch.count }
            if batch.count > 0 {
                self.logger.error(
                    "audit lines lost: another process has taken over", metadata: ["lines": "\(batch.count)"])
            }
            return false
        }
        let isTruncated: Bool = journal.wasTruncated()
        if isTruncated { self.noteTruncation(&journal) }
        journal.add(batch.bodies, count: batch.count)
        // At once after a truncation: what is remembered is not in the file any more.
        let isSigned: Bool = self.sign(&journal, isDue: batch.checkpointIsDue || isTruncated)
        let shortage: AuditOutputError? = journal.reserve(low: Self.reserve / 2, high: Self.reserve)
        // Before the write: from here on no key is used.
        if let shortage { self.close(shortage) }
        let lines: Int = journal.unwrittenLines
        if let error = journal.drain() {
            self.close(error)
            return false
        }
        self.state.withLock { $0.pending -= lines }
        self.written.store(journal.position.sequence, ordering: .relaxed)
        if isSigned { self.head?.note(journal.position) }
        if shortage == nil, self.isClosed { self.open(after: "the log could not be written") }
        return true
    }

    /// The file begins with this line from now on, or with those that were not written whole before.
    private func noteTruncation(_ journal: inout AuditJournal) {
        journal.add(
            AuditRecord(
                time: Clock.wallMilliseconds(), event: .audit, outcome: .failed,
                detail: "the file was truncated in place: lines that were not copied before are lost"))
        self.state.withLock { $0.pending += 1 }
        self.logger.warning(
            "the audit file was truncated in place: lines that were not copied before are lost",
            metadata: ["remedy": "rename it, and run latchstring reload (of logrotate: create, not copytruncate)"])
    }

    /// Adds a checkpoint if it is time for one.
    private func sign(_ journal: inout AuditJournal, isDue: Bool) -> Bool {
        guard isDue && journal.unsigned > 0 || journal.unsigned >= Self.linesPerCheckpoint,
            journal.addCheckpoint(time: Clock.wallMilliseconds())
        else { return false }
        self.state.withLock { $0.pending += 1 }
        return true
    }

    func close(_ error: AuditOutputError) {
        guard !self.closed.exchange(true, ordering: .acquiringAndReleasing) else { return }
        self.state.withLock { $0.closedAt = Clock.wallMilliseconds() }
        self.logger.critical(
            "cannot write the audit log; operations are refused until it can be written again",
            metadata: ["reason": "\(error)"])
    }

    /// All is written, and there is room. A line that says so is the next one.
    func open(after reason: String) {
        let refused: Int = self.state.withLock { state in
            var record = AuditRecord(
                time: Clock.wallMilliseconds(), event: .audit, outcome: .overloaded,
                detail: reason)
            record.repeats = .init(count: state.refused, since: state.closedAt)
            record.appendBody(to: &state.lines)
            state.waiting += 1
            state.pending += 1
            defer { state.refused = 0 }
            return state.refused
        }
        self.closed.store(false, ordering: .releasing)
        self.logger.notice("the audit log can be written again", metadata: ["refused": "\(refused)"])
    }
}
