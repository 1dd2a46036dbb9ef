#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// How many file descriptors this process may have open (RLIMIT_NOFILE).
public enum DescriptorLimit {
    /// What counts now; `Int.max` if there is no limit, or the system does not tell.
    public static var current: Int { Self.limits.map { Self.number($0.rlim_cur) } ?? .max }

    /// Raises the limit as far as this process may: the soft one to the hard one.
    ///
    /// - Returns: the limit from now on.
    @discardableResult
    public static func raise() -> Int {
        guard var limit = Self.limits, limit.rlim_cur != limit.rlim_max else { return Self.current }
        limit.rlim_cur = limit.rlim_max
        _ = Self.set(&limit)
        return Self.current
    }

    private static func number(_ value: rlim_t) -> Int { Int(clamping: value) }

    private static var limits: rlimit? {
        var limit = rlimit()
        #if canImport(Glibc)
            let status = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        #else
            let status = getrlimit(RLIMIT_NOFILE, &limit)
        #endif
        return status == 0 ? limit : nil
    }

    private static func set(_ limit: inout rlimit) -> Int32 {
        #if canImport(Glibc)
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        #else
            setrlimit(RLIMIT_NOFILE, &limit)
        #endif
    }
}

/// How many connections fit the descriptors that a process may have. Pure.
public struct DescriptorBudget: Equatable, Sendable {
    /// What the process may have open.
    public var limit: Int
    /// What it needs beside connections: event loops, listeners, links, files, the admin port.
    public var reserve: Int
    /// For one connection: itself, and the one that is opened for it.
    public var perConnection = 2

    public init(limit: Int, reserve: Int) {
        self.limit = limit
        self.reserve = reserve
    }

    /// At least one, even where nothing fits.
    public var connections: Int {
        // Where the reserve is more than half of all, what there is is shared out.
        let left = max(self.limit - self.reserve, self.limit / 2)
        return max(1, left / self.perConnection)
    }

    /// What the limit would have to be for so many connections.
    public func limit(for connections: Int) -> Int { connections * self.perConnection + self.reserve }
}
