import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Waits for processes that were killed. One that is stuck in a driver does not end for a while: it is looked for again later, and
/// holds nothing up.
final class ProcessReaper: Sendable {
    static let shared = ProcessReaper()

    private let left = Mutex<[pid_t]>([])

    /// Those that were killed and have not ended.
    var stuck: Int {
        self.left.withLock { processes in
            processes.removeAll { Self.hasEnded($0) }
            return processes.count
        }
    }

    func reap(_ process: pid_t) {
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
