import AuditChain
import Logging
import NIOPosix
import Synchronization

/// The file is one process's at a time: left to another one, and taken up again.
extension AuditLog {
    /// Writes what is waiting, a last line and a checkpoint, and leaves the file to another process: from then on the log is closed.
    ///
    /// - Returns: false: it is this process's as before, since not all could be written, or the log has ended.
    func letGo() async -> Bool {
        guard !self.hasEnded.load(ordering: .relaxed) else { return false }
        self.state.withLock { state in
            Self.collect(&state, now: Clock.monotonic(), time: Clock.wallMilliseconds(), all: true)
            AuditRecord(
                time: Clock.wallMilliseconds(), event: .stop, detail: "another process takes over"
            ).appendBody(to: &state.lines)
            state.waiting += 1
            state.pending += 1
            state.checkpointIsDue = true
        }
        return await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
            self.thread.submit { state in
                guard case .active = state else { return continuation.resume(returning: false) }
                self.writeAll()
                continuation.resume(returning: self.lend())
            }
        }
    }

    /// On the writer's thread.
    private func lend() -> Bool {
        let isLent: Bool = self.journal.withLock { journal in
            guard journal.unwrittenBytes == 0 else { return false }
            self.state.withLock { state in
                state.isLent = true
                state.closedAt = Clock.wallMilliseconds()
            }
            self.closed.store(true, ordering: .releasing)
            journal.close()
            return true
        }
        // The other one goes on from there.
        if isLent { self.head?.finish() }
        return isLent
    }

    /// The file is this process's again, after ``letGo()``. The other process may have written lines: the chain goes on behind them.
    ///
    /// - Throws: the log stays closed; it is tried again at each ``tick(now:time:)``.
    func takeUp() throws(AuditLogError) {
        try self.journal.withLock { (journal) throws(AuditLogError) in
            guard self.isLent, !self.hasEnded.load(ordering: .relaxed) else { return }
            self.state.withLock { $0.isWanted = true }
            let (output, origin) = try Self.open(self.configuration, known: journal.position, self.logger)
            journal = AuditJournal(output, origin)
            Self.begin(&journal, origin, "the other process did not take over")
            let added: Int = journal.unwrittenLines
            self.state.withLock { state in
                state.pending += added
                state.isLent = false
                state.isWanted = false
                state.checkpointIsDue = true
            }
            // Nothing to tell where no request came meanwhile.
            if self.state.withLock({ $0.refused > 0 }) {
                self.open(after: "another process had the log")
            } else {
                self.closed.store(false, ordering: .releasing)
            }
        }
        self.flush()
    }

    /// Another attempt, where one has failed.
    func takeUpLate() {
        guard self.state.withLock({ $0.isWanted }) else { return }
        self.thread.submit { state in
            guard case .active = state else { return }
            // Why it cannot be, the first attempt has told.
            do throws(AuditLogError) { try self.takeUp() } catch { return }
            self.logger.notice("the audit log is this process's again")
        }
    }

    /// Another process has the file.
    var isLent: Bool { self.state.withLock { $0.isLent } }
}
