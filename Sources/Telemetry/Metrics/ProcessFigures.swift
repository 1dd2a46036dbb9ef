#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// What the process takes of its machine, by the names that Prometheus' client libraries have for it. Read when it is asked for.
struct ProcessFigures: Equatable {
    /// Seconds, user and system.
    var cpu: Double?
    var residentBytes: Int?
    var virtualBytes: Int?
    var threads: Int?
    /// Unix time.
    var start: Double?
    var openDescriptors: Int?
    var maximumDescriptors: Int?

    /// - Parameters:
    ///   - stat: `/proc/self/stat`.
    ///   - ticks: clock ticks in a second.
    ///   - boot: when the machine started, Unix time.
    init(stat: String, ticks: Double, page: Int, boot: Double?) {
        // The second field is the program's name in parentheses, with whatever stands in it.
        guard let end = stat.lastIndex(of: ")") else { return }
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        func number(_ position: Int) -> Int? { fields.count > position - 3 ? Int(fields[position - 3]) : nil }
        if let user = number(14), let system = number(15) { self.cpu = Double(user + system) / ticks }
        self.threads = number(20)
        if let boot, let start = number(22) { self.start = boot + Double(start) / ticks }
        self.virtualBytes = number(23)
        self.residentBytes = number(24).map { $0 * page }
    }

    /// This process's; nothing where there is no `/proc`.
    static func current() -> ProcessFigures {
        var figures = ProcessFigures(
            stat: Self.text("/proc/self/stat"), ticks: Double(max(1, sysconf(Int32(_SC_CLK_TCK)))),
            page: max(1, sysconf(Int32(_SC_PAGESIZE))), boot: Self.boot(Self.text("/proc/stat")))
        figures.openDescriptors = Self.openDescriptors()
        var limit = rlimit()
        #if canImport(Glibc)
            let result = getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
        #else
            let result = getrlimit(RLIMIT_NOFILE, &limit)
        #endif
        if result == 0 { figures.maximumDescriptors = Int(clamping: limit.rlim_cur) }
        return figures
    }

    /// `btime` of `/proc/stat`.
    static func boot(_ text: String) -> Double? {
        text.split(separator: "\n").first { $0.hasPrefix("btime ") }.flatMap { Double($0.dropFirst(6)) }
    }

    private static func openDescriptors() -> Int? {
        guard let folder = opendir("/proc/self/fd") else { return nil }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        // `.`, `..` and the folder itself.
        return max(0, count - 3)
    }

    private static func text(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 16_384)
        while bytes.count < 1 << 20 {
            let count = read(descriptor, &part, part.count)
            guard count > 0 else { break }
            bytes.append(contentsOf: part.prefix(count))
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// In Prometheus' text format.
    func write(help: [String: String], into text: inout String) {
        func add(_ name: String, _ kind: String, _ value: Double?) {
            guard let value else { return }
            if let line = help[name] { text += "# HELP \(name) \(line)\n" }
            text += "# TYPE \(name) \(kind)\n\(name) \(MetricNames.number(value))\n"
        }
        add("process_cpu_seconds_total", "counter", self.cpu)
        add("process_max_fds", "gauge", self.maximumDescriptors.map { Double($0) })
        add("process_open_fds", "gauge", self.openDescriptors.map { Double($0) })
        add("process_resident_memory_bytes", "gauge", self.residentBytes.map { Double($0) })
        add("process_start_time_seconds", "gauge", self.start)
        add("process_threads", "gauge", self.threads.map { Double($0) })
        add("process_virtual_memory_bytes", "gauge", self.virtualBytes.map { Double($0) })
    }
}
