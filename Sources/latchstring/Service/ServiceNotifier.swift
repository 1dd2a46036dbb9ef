import Logging
import NIOCore
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Tells the service manager what this process is doing, by the protocol of sd_notify(3): datagrams of `NAME=value` lines to the Unix
/// socket that `NOTIFY_SOCKET` names. Where there is none, nothing is told.
final class ServiceNotifier: Sendable {
    /// A path, or a name in the abstract namespace with `@` in front.
    let address: String?
    /// How often `WATCHDOG=1` is to be sent at least; nil: no watchdog.
    let watchdog: Duration?
    private let hasFailed = Atomic(false)
    /// Another process is the service.
    private let isReplaced = Atomic(false)

    static let variables = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]

    /// - Parameters:
    ///   - value: of a variable in the environment; nil if it is not set.
    ///   - process: the number of this process.
    init(process: Int32, value: (String) -> String?) {
        self.address = value("NOTIFY_SOCKET").flatMap { $0.isEmpty ? nil : $0 }
        let isMeant = value("WATCHDOG_PID").map { $0 == "\(process)" } ?? true
        self.watchdog = value("WATCHDOG_USEC").flatMap { Int64($0) }.flatMap {
            isMeant && $0 > 0 ? .microseconds($0) : nil
        }
    }

    /// What a successor finds in its environment.
    var environment: [String: String] {
        var variables: [String: String] = [:]
        if let address { variables["NOTIFY_SOCKET"] = address }
        if let watchdog {
            let (seconds, attoseconds) = watchdog.components
            variables["WATCHDOG_USEC"] = "\(seconds * 1_000_000 + attoseconds / 1_000_000_000_000)"
        }
        return variables
    }

    func ready(_ status: String, logger: Logger) {
        self.send("READY=1\nSTATUS=\(Self.line(status))\nMAINPID=\(getpid())", logger: logger)
    }

    /// READY=1 follows, whatever comes of it.
    func reloading(logger: Logger) {
        let now = NIODeadline.now().uptimeNanoseconds / 1000
        self.send("RELOADING=1\nMONOTONIC_USEC=\(now)", logger: logger)
    }

    func stopping(logger: Logger) { self.send("STOPPING=1\nSTATUS=waiting for connections to end", logger: logger) }

    func isAlive(_ status: String, logger: Logger) {
        self.send("WATCHDOG=1\nSTATUS=\(Self.line(status))", logger: logger)
    }

    /// Another process is the service from now on.
    func handOver(to process: Int32, logger: Logger) {
        self.send("MAINPID=\(process)", logger: logger)
        self.isReplaced.store(true, ordering: .relaxed)
    }

    private static func line(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }

    /// Does not wait. What could not be told first is logged, and once.
    private func send(_ text: String, logger: Logger) {
        guard let address, !self.isReplaced.load(ordering: .relaxed) else { return }
        if let reason = Self.send(text, to: address), !self.hasFailed.exchange(true, ordering: .relaxed) {
            logger.warning(
                "the service manager cannot be told anything",
                metadata: ["socket": "\(address)", "reason": "\(reason)"])
        }
    }

    /// Where the path begins in an address.
    private static let pathOffset = MemoryLayout<sockaddr_un>.size - MemoryLayout.size(ofValue: sockaddr_un().sun_path)
    private static let flags = CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT)

    /// - Returns: why it could not be sent.
    private static func send(_ text: String, to address: String) -> String? {
        var target = sockaddr_un()
        var name = Array(address.utf8)
        let isAbstract = name[0] == UInt8(ascii: "@")
        guard isAbstract || name[0] == UInt8(ascii: "/") else { return "NOTIFY_SOCKET is neither a path nor @NAME" }
        if isAbstract { name[0] = 0 }
        guard name.count < MemoryLayout.size(ofValue: target.sun_path) else { return "NOTIFY_SOCKET is too long" }
        target.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &target.sun_path) { $0.copyBytes(from: name) }
        let size = Self.pathOffset + name.count + (isAbstract ? 0 : 1)
        let descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return String(cString: strerror(errno)) }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        let sent = withUnsafePointer(to: &target) { target in
            target.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, bytes, bytes.count, Self.flags, $0, socklen_t(size))
            }
        }
        return sent == bytes.count ? nil : String(cString: strerror(errno))
    }
}
