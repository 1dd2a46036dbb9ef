import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Waits for processes of one token that were killed. One that is stuck in a driver does not end for a while: it is looked for again
/// later, and holds nothing up.
final class ProcessReaper: Sendable {
    /// Of tokens that are not used any more.
    private static let orphans = Mutex<[pid_t]>([])

    private let left = Mutex<[pid_t]>([])

    deinit {
        let left = self.left.withLock { $0 }
        Self.orphans.withLock { $0 += left }
    }

    /// Those that were killed and have not ended.
    var stuck: Int {
        self.left.withLock { processes in
            processes.removeAll { Self.hasEnded($0) }
            return processes.count
        }
    }

    func reap(_ process: pid_t) {
        Self.orphans.withLock { $0.removeAll { Self.hasEnded($0) } }
        for _ in 0..<20 {
            if Self.hasEnded(process) { return }
            usleep(2000)
        }
        self.left.withLock { $0.append(process) }
    }

    private static func hasEnded(_ process: pid_t) -> Bool {
        var status: Int32 = 0
        let result = waitpid(process, &status, WNOHANG)
        return result == process || result < 0 && errno == ECHILD
    }
}
