import NIOCore

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
    /// Longer messages are cut: no datagram over UDP is longer, and log daemons take less.
    private static let datagram = 8192

    private let target: AccessTarget
    private let header: SyslogHeader?
    private var descriptor: Int32 = -1
    private var pending: [UInt8] = []
    /// A write broke off within a line.
    private var isMidLine = false
    private var nextAttempt = NIODeadline.uptimeNanoseconds(0)

    /// Lines that were lost, and why; the first reason.
    private(set) var lost = 0
    private(set) var problem: String?

    init(opening target: AccessTarget) throws(AccessLogError) {
        self.target = target
        if case .syslog(let syslog) = target {
            self.header = SyslogHeader(facility: syslog.facility, host: Self.hostName, process: getpid())
        } else {
            self.header = nil
        }
        self.descriptor = try Self.open(target)
    }

    deinit {
        if self.descriptor >= 0, self.target != .standardOutput { close(self.descriptor) }
    }

    private var isDatagram: Bool { self.header != nil }

    // MARK: Lines

    func write(_ record: AccessRecord, by layout: AccessLayout) {
        self.header?.write(record.time, to: &self.pending)
        layout.write(record, to: &self.pending)
        if self.isDatagram {
            self.sendPending()
        } else if self.pending.count >= Self.batch {
            self.flush()
        }
    }

    /// Writes what is there. Blocks as long as the reader takes nothing.
    func flush() {
        guard !self.pending.isEmpty, !self.isDatagram else { return }
        if self.isMidLine { self.pending.insert(0x0A, at: 0) }
        self.isMidLine = false
        var start = 0
        while start < self.pending.count {
            let count = self.pending[start...].withUnsafeBytes { system.write(self.descriptor, $0) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let rest = self.pending[start...]
                self.lose(rest.count { $0 == 0x0A }, SystemError.words(errno))
                self.isMidLine = start > 0 && self.pending[start - 1] != 0x0A
                break
            }
            start += count
        }
        self.forgetPending()
    }

    private func sendPending() {
        defer { self.forgetPending() }
        // The line feed.
        self.pending.removeLast()
        guard self.isConnected() else { return self.lose(1, self.problem ?? "the log daemon is away") }
        guard var problem = self.send() else { return }
        if problem == ECONNREFUSED || problem == ENOTCONN || problem == EPIPE {
            // Over UDP that is the answer to an earlier one, and this one was not sent yet; a local daemon was started anew.
            if self.isOverUDP { self.lose(1, SystemError.words(problem)) }
            let isTime = NIODeadline.now() >= self.nextAttempt
            if isTime { self.reconnect() }
            guard self.descriptor >= 0 else { return self.lose(1, SystemError.words(problem)) }
            if isTime || self.isOverUDP {
                guard let again = self.send() else { return }
                problem = again
            }
        }
        self.lose(1, SystemError.words(problem))
    }

    private var isOverUDP: Bool {
        if case .syslog(let syslog) = self.target, case .udp = syslog.place { true } else { false }
    }

    /// - Returns: the system's error, or nil if there was none.
    private func send() -> Int32? {
        while true {
            let result = self.pending.prefix(Self.datagram).withUnsafeBytes {
                system.send(self.descriptor, $0)
            }
            guard result < 0 else { return nil }
            if errno != EINTR { return errno }
        }
    }

    private func isConnected() -> Bool {
        if self.descriptor < 0, NIODeadline.now() >= self.nextAttempt { self.reconnect() }
        return self.descriptor >= 0
    }

    /// Once a second at most.
    private func reconnect() {
        if self.descriptor >= 0 { close(self.descriptor) }
        self.descriptor = -1
        self.nextAttempt = .now() + .seconds(1)
        do throws(AccessLogError) { self.descriptor = try Self.open(self.target) } catch {
            self.problem = error.description
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

    private static func open(_ target: AccessTarget) throws(AccessLogError) -> Int32 {
        switch target {
        case .standardOutput: return STDOUT_FILENO
        case .file(let path):

            let descriptor = system.open(path)
            guard descriptor >= 0 else {
                throw AccessLogError(
                    description: "cannot write the access log \"\(path)\": \(SystemError.words(errno))")
            }
            return descriptor
        case .syslog(let syslog):
            let address: SocketAddress
            do {
                switch syslog.place {
                case .local(let path): address = try SocketAddress(unixDomainSocketPath: path)
                case .udp(let host, let port):
                    address = try SocketAddress.makeAddressResolvingHost(host, port: port)
                }
            } catch {
                throw AccessLogError(description: "cannot find the log daemon \(syslog.place.text): \(error)")
            }
            let descriptor = socket(
                address.protocol == .unix ? AF_UNIX : address.protocol == .inet6 ? AF_INET6 : AF_INET,
                Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else {
                throw AccessLogError(description: "cannot write to syslog: \(SystemError.words(errno))")
            }
            let result = address.withSockAddr { connect(descriptor, $0, socklen_t($1)) }
            guard result == 0 else {
                let number = errno
                close(descriptor)
                throw AccessLogError(
                    description:
                        "cannot reach the log daemon at \(syslog.place.text): \(SystemError.words(number))")
            }
            return descriptor
        }
    }

    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "-" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension AccessTarget.Syslog.Place {
    fileprivate var text: String {
        switch self {
        case .local(let path): path
        case .udp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        }
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

    static func send(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        #if canImport(Glibc)
            Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        #else
            Musl.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
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
