import Channels

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What a long-running process is given by what started it: listening sockets, a link to the process before, a service manager that
/// wants to hear from it. Read once, at the start, and removed from the environment: programs that are started get none of it.
struct ServiceEnvironment: Sendable {
    let inherited: InheritedListeners
    /// The end of a Unix socket's pair, whose other end the process before has. nil: there is no such process.
    let link: CInt?
    let notifier: ServiceNotifier

    /// `PARENT NAME NAME …`: the number of the process before, and the names of listeners from descriptor 3 on. The link is behind them.
    static let succession = "LATCHSTRING_SUCCESSION"

    static func take() throws(InheritanceError) -> ServiceEnvironment {
        func value(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        defer {
            for name in ListenEnvironment.variables + ServiceNotifier.variables + [Self.succession] { unsetenv(name) }
        }
        let notifier = ServiceNotifier(process: getpid(), value: value)
        guard let text = value(Self.succession) else {
            let passed = try ListenEnvironment(process: getpid(), value: value)
            return ServiceEnvironment(
                inherited: try InheritedListeners(count: passed.count, names: passed.names), link: nil,
                notifier: notifier)
        }
        let words = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard value("LISTEN_FDS") == nil, let parent = words.first, parent == "\(getppid())" else { throw .succession }
        let names = Array(words.dropFirst())
        guard names.count <= InheritedListeners.maximum else { throw .succession }
        let link = InheritedListeners.firstDescriptor + CInt(names.count)
        guard Self.isUnixStream(link) else { throw .succession }
        let inherited = try InheritedListeners(count: names.count, names: names)
        _ = fcntl(link, F_SETFD, FD_CLOEXEC)
        return ServiceEnvironment(inherited: inherited, link: link, notifier: notifier)
    }

    private static func isUnixStream(_ descriptor: CInt) -> Bool {
        func option(_ option: CInt) -> CInt? {
            var value: CInt = 0
            var size = socklen_t(MemoryLayout<CInt>.size)
            return getsockopt(descriptor, SOL_SOCKET, option, &value, &size) == 0 ? value : nil
        }
        return option(SO_DOMAIN) == AF_UNIX && option(SO_TYPE) == CInt(SOCK_STREAM.rawValue)
    }
}
