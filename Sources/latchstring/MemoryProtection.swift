import CSystemShims
import Logging

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What a process does at its start so that the secrets in its memory stay there.
enum MemoryProtection {
    /// No core file, nothing for a crash collector, and no reading by other processes of the same user.
    ///
    /// The limit alone does not bind collectors that the kernel pipes core files to; the process being not dumpable does.
    ///
    /// - Parameter inspectable: leave other processes of the same user their access. The demo searches its children's memory.
    /// - Returns: whether the system has done it.
    @discardableResult
    static func forbidDumps(inspectable: Bool = false) -> Bool {
        var limit = rlimit(rlim_cur: 0, rlim_max: 0)
        let isLimited = setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit) == 0
        return (inspectable || latchstring_set_dumpable(0) == 0) && isLimited
    }

    /// ``forbidDumps(inspectable:)``, and says what is not as it should be.
    static func forbidDumps(inspectable: Bool, logger: Logger) {
        let isForbidden = Self.forbidDumps(inspectable: inspectable)
        if inspectable {
            logger.warning("started with --inspectable: other processes of this user may read this process's memory")
        }
        if !isForbidden { logger.warning("core files cannot be forbidden; one would hold the secrets of this process") }
    }

    /// What became of locking the memory.
    enum Lock: Equatable {
        case locked
        /// `errno`: EPERM without the right to.
        case refused(Int32)
    }

    /// Keeps every page that is ever touched from being written to swap, if this process may lock all it wants.
    ///
    /// Where a limit counts, nothing is locked: allocations beyond it would fail later on. With a limit of 0 the system call
    /// needs CAP_IPC_LOCK, with which no limit counts, and does nothing without it; so that decides.
    static func lock() -> Lock {
        let resource = __rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue)
        var before = rlimit()
        guard getrlimit(resource, &before) == 0 else { return .refused(errno) }
        let isLimited = before.rlim_cur != rlim_t.max
        if isLimited {
            var none = rlimit(rlim_cur: 0, rlim_max: before.rlim_max)
            guard setrlimit(resource, &none) == 0 else { return .refused(errno) }
        }
        let status = mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)
        let number = errno
        if isLimited { _ = setrlimit(resource, &before) }
        return status == 0 ? .locked : .refused(number)
    }

    /// ``lock()``, and says what came of it.
    static func keepFromSwap(logger: Logger) {
        switch Self.lock() {
        case .locked: logger.notice("memory is locked: no key can be written to swap")
        case .refused(let number):
            let reason: Logger.Metadata = ["reason": "\(String(cString: strerror(number)))"]
            if Self.hasSwap() {
                logger.warning(
                    """
                    memory is not locked, and this machine has swap, where private keys may be written; set \
                    LimitMEMLOCK=infinity or grant CAP_IPC_LOCK, or turn swap off or encrypt it
                    """, metadata: reason)
            } else {
                logger.notice("memory is not locked; this machine has no swap at the moment", metadata: reason)
            }
        }
    }

    /// The first line of `/proc/swaps` is a heading, each further one an area. True where that cannot be read.
    private static func hasSwap() -> Bool {
        guard let file = fopen("/proc/swaps", "r") else { return true }
        defer { fclose(file) }
        var lines = 0
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while lines < 2, getline(&line, &capacity, file) > 0 { lines += 1 }
        return lines > 1
    }
}
