#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// An open descriptor that takes lines. Used by one thread.
final class AccessSink {
    /// What is written with one call, at most, where lines are not datagrams.
    private static let batch = 65_536

    private let target: LogTarget
    /// nil: lines are no datagrams.
    private let syslog: SyslogSocket?
    private var descriptor: Int32 = -1
    private var pending: [UInt8] = []
    /// A write broke off within a line.
    private var isMidLine = false
    private let put: Put

    /// write(2).
    typealias Put = (_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int

    /// Lines that were lost, and why; the first reason.
    private(set) var lost = 0
    private(set) var problem: String?

    init(opening target: LogTarget, put: @escaping Put = system.write) throws(AccessLogError) {
        self.target = target
        self.put = put
        if case .syslog(let syslog) = target {
            do throws(SyslogError) { self.syslog = try SyslogSocket(syslog, messageID: "access") } catch {
                throw AccessLogError(description: error.description)
            }
        } else {
            self.syslog = nil
            self.descriptor = try Self.open(target)
        }
    }

    deinit {
        if self.descriptor >= 0, self.target != .standardOutput { close(self.descriptor) }
    }

    // MARK: Lines

    func write(_ record: AccessRecord, by layout: AccessLayout) {
        self.syslog?.writeHeader(record.time, to: &self.pending)
        layout.write(record, to: &self.pending)
        if let syslog = self.syslog {
            self.sendPending(to: syslog)
        } else if self.pending.count >= Self.batch {
            self.flush()
        }
    }

    /// Writes what is there. Blocks as long as the reader takes nothing.
    func flush() {
        guard !self.pending.isEmpty, self.syslog == nil else { return }
        let wasMidLine = self.isMidLine
        // What follows is not to look like the rest of the broken line.
        if wasMidLine { self.pending.insert(0x0A, at: 0) }
        self.isMidLine = false
        var start = 0
        while start < self.pending.count {
            let count = self.pending[start...].withUnsafeBytes { self.put(self.descriptor, $0) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let problem = SystemError.words(errno)
                let ends = self.pending[start...].count { $0 == 0x0A }
                // The broken line was counted when it broke off.
                self.lose(wasMidLine && start == 0 ? ends - 1 : ends, problem)
                self.isMidLine = start > 0 ? self.pending[start - 1] != 0x0A : wasMidLine
                break
            }
            start += count
        }
        self.forgetPending()
    }

    private func sendPending(to syslog: SyslogSocket) {
        defer { self.forgetPending() }
        // The line feed.
        self.pending.removeLast()
        switch syslog.send(self.pending) {
        case .sent: break
        case .sentAfterLoss(let problem): self.lose(1, problem)
        case .failed(let problem, let lost): self.lose(lost, problem)
        }
    }

    private func forgetPending() {
        self.pending.removeAll(keepingCapacity: true)
    }

    private func lose(_ lines: Int, _ problem: String) {
        self.lost += lines
        if self.problem == nil { self.problem = problem }
    }

    /// What was lost since the last call.
    func takeLost() -> (lines: Int, problem: String?) {
        defer { (self.lost, self.problem) = (0, nil) }
        return (self.lost, self.problem)
    }

    // MARK: Opening

    /// Opens the file of this name again: what was moved away keeps the lines so far. If that fails, the old one stays.
    func reopen() throws(AccessLogError) {
        guard case .file = self.target else { return }
        let fresh = try Self.open(self.target)
        self.flush()
        close(self.descriptor)
        self.descriptor = fresh
        self.isMidLine = false
    }

    private static func open(_ target: LogTarget) throws(AccessLogError) -> Int32 {
        guard case .file(let path) = target else { return STDOUT_FILENO }
        let descriptor = system.open(path)
        guard descriptor >= 0 else {
            throw AccessLogError(description: "cannot write the access log \"\(path)\": \(SystemError.words(errno))")
        }
        return descriptor
    }
}

/// The C library's calls, whose names are those of methods here.
private enum system {
    static func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        #if canImport(Glibc)
            Glibc.write(descriptor, bytes.baseAddress, bytes.count)
        #else
            Musl.write(descriptor, bytes.baseAddress, bytes.count)
        #endif
    }

    static func open(_ path: String) -> Int32 {
        let flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC
        #if canImport(Glibc)
            return Glibc.open(path, flags, 0o640)
        #else
            return Musl.open(path, flags, 0o640)
        #endif
    }
}
