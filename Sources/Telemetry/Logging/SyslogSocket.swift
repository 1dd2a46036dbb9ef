import NIOCore

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A log daemon that takes each message as a datagram (RFC 5424).
public struct SyslogTarget: Hashable, Sendable {
    public enum Place: Hashable, Sendable {
        /// A datagram socket of this machine's log daemon: `/dev/log`.
        case local(path: String)
        /// RFC 5426.
        case udp(host: String, port: Int)
    }

    public var place: Place
    /// 0...23, RFC 5424 §6.2.1.
    public var facility: Int

    public init(_ place: Place, facility: Int = 23) {
        self.place = place
        self.facility = facility
    }
}

/// Why a log daemon cannot be reached.
public struct SyslogError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
}

/// A socket to a log daemon, with the header that its messages have. Used by one thread.
public final class SyslogSocket {
    /// What became of a message.
    public enum Outcome: Equatable, Sendable {
        case sent
        /// It was sent, and an earlier one that had been was not taken: why.
        case sentAfterLoss(String)
        /// Why not; and how many messages are lost: over UDP an earlier one may be, too.
        case failed(String, lost: Int)
    }

    /// Longer messages are cut: no datagram over UDP is longer, and log daemons take less.
    public static let longest = 8192

    private let target: SyslogTarget
    private let header: SyslogHeader
    private let patience: Int?
    private var descriptor: Int32
    private var nextAttempt = NIODeadline.uptimeNanoseconds(0)
    /// Of the last attempt to reach it.
    private var problem: String?

    /// - Parameters:
    ///   - messageID: Of all messages; RFC 5424 §6.2.7.
    ///   - patience: Seconds for which a message waits for a daemon that takes nothing; nil: for ever.
    public init(_ target: SyslogTarget, messageID: String, patience: Int? = nil) throws(SyslogError) {
        self.target = target
        self.patience = patience
        self.header = SyslogHeader(
            facility: target.facility, host: Self.hostName, process: getpid(), messageID: messageID)
        self.descriptor = try Self.open(target, patience)
    }

    deinit {
        if self.descriptor >= 0 { close(self.descriptor) }
    }

    /// What stands before a message.
    ///
    /// - Parameter milliseconds: since 1970 UTC.
    public func writeHeader(milliseconds: Int64, to message: inout [UInt8]) {
        self.writeHeader(LogTimestamp(milliseconds: milliseconds), to: &message)
    }

    func writeHeader(_ time: LogTimestamp, to message: inout [UInt8]) { self.header.write(time, to: &message) }

    /// Sends a message. One daemon in the place of another is found once a second.
    public func send(_ message: [UInt8]) -> Outcome {
        guard self.isConnected() else { return .failed(self.problem ?? "the log daemon is away", lost: 1) }
        guard let problem = self.transmit(message) else { return .sent }
        guard problem == ECONNREFUSED || problem == ENOTCONN || problem == EPIPE else {
            return .failed(SystemError.words(problem), lost: 1)
        }
        // Over UDP that is the answer to an earlier one, and this one was not sent yet; a local daemon was started anew.
        let isTime = NIODeadline.now() >= self.nextAttempt
        if isTime { self.reconnect() }
        let lost = self.isOverUDP ? 2 : 1
        guard self.descriptor >= 0, isTime || self.isOverUDP else {
            return .failed(SystemError.words(problem), lost: lost)
        }
        if let again = self.transmit(message) { return .failed(SystemError.words(again), lost: lost) }
        return self.isOverUDP ? .sentAfterLoss(SystemError.words(problem)) : .sent
    }

    private var isOverUDP: Bool {
        if case .udp = self.target.place { true } else { false }
    }

    /// - Returns: the system's error, or nil if there was none.
    private func transmit(_ message: [UInt8]) -> Int32? {
        while true {
            let result = message.prefix(Self.longest).withUnsafeBytes { sendDatagram(self.descriptor, $0) }
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
        do throws(SyslogError) {
            self.descriptor = try Self.open(self.target, self.patience)
            self.problem = nil
        } catch {
            self.problem = error.description
        }
    }

    private static func open(_ target: SyslogTarget, _ patience: Int?) throws(SyslogError) -> Int32 {
        let address: SocketAddress
        do {
            switch target.place {
            case .local(let path): address = try SocketAddress(unixDomainSocketPath: path)
            case .udp(let host, let port): address = try SocketAddress.makeAddressResolvingHost(host, port: port)
            }
        } catch {
            throw SyslogError(description: "cannot find the log daemon \(target.place.text): \(error)")
        }
        let descriptor = socket(
            address.protocol == .unix ? AF_UNIX : address.protocol == .inet6 ? AF_INET6 : AF_INET,
            Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else {
            throw SyslogError(description: "cannot write to syslog: \(SystemError.words(errno))")
        }
        if let patience {
            var time = timeval(tv_sec: patience, tv_usec: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        }
        let result = address.withSockAddr { connect(descriptor, $0, socklen_t($1)) }
        guard result == 0 else {
            let number = errno
            close(descriptor)
            throw SyslogError(
                description: "cannot reach the log daemon at \(target.place.text): \(SystemError.words(number))")
        }
        return descriptor
    }

    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "-" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension SyslogTarget.Place {
    fileprivate var text: String {
        switch self {
        case .local(let path): path
        case .udp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        }
    }
}

private func sendDatagram(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
}
