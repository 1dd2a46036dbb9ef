internal import NIOConcurrencyHelpers
public import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Listening sockets that this process was started with: by systemd's socket activation, or by the process that it follows.
///
/// What listens takes them by its address. Each is taken once, and closed by what took it.
public final class InheritedListeners: Sendable {
    public struct Listener: Sendable {
        /// As the parent numbered it, from 0 on.
        public var index: Int
        public var descriptor: CInt
        /// What the parent calls it; `unknown` with systemd where the unit says nothing.
        public var name: String
        public var address: SocketAddress
    }

    private let listeners: NIOLockedValueBox<[Listener]>
    private let count: Int

    /// The first of them: 0, 1 and 2 are the standard streams.
    public static let firstDescriptor: CInt = 3
    /// More than any parent passes.
    public static let maximum = 1024

    /// There are none.
    public init() {
        self.listeners = NIOLockedValueBox([])
        self.count = 0
    }

    /// Takes possession of descriptors, and has them closed in programs that this process starts.
    ///
    /// - Parameters:
    ///   - count: how many there are, from ``firstDescriptor`` on.
    ///   - names: one for each.
    /// - Throws: ``InheritanceError``, if one of them is no listening TCP socket. All stay as they were then.
    public init(count: Int, names: [String]) throws(InheritanceError) {
        guard count >= 0, count <= Self.maximum else { throw .count("\(count)") }
        guard names.count == count else { throw .names(names.count, descriptors: count) }
        var found: [Listener] = []
        for (index, name) in names.enumerated() {
            let descriptor = Self.firstDescriptor + CInt(index)
            found.append(
                Listener(
                    index: index, descriptor: descriptor, name: name, address: try Self.address(of: descriptor, name)))
        }
        for listener in found { _ = fcntl(listener.descriptor, F_SETFD, FD_CLOEXEC) }
        self.listeners = NIOLockedValueBox(found)
        self.count = count
    }

    /// Those that listen at a host and a port as a configuration has them, or are called `HOST:PORT`. They are the caller's from now on.
    public func take(host: String, port: Int) -> [Listener] {
        let name = Self.name(host: host, port: port)
        let host = host.lowercased() == "localhost" ? "127.0.0.1" : host
        let address = port > 0 ? try? SocketAddress(ipAddress: host, port: port) : nil
        return self.listeners.withLockedValue { listeners in
            let taken = listeners.filter { $0.name == name || $0.address == address }
            listeners.removeAll { listener in taken.contains { $0.index == listener.index } }
            return taken
        }
    }

    /// What ``take(host:port:)`` knows a listener by, whatever port the system chose for it.
    public static func name(host: String, port: Int) -> String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// Those that were not taken.
    public var left: [Listener] { self.listeners.withLockedValue { $0 } }

    /// The numbers of those that were. To be asked before ``closeLeft()``.
    public var taken: Set<Int> { Set(0..<self.count).subtracting(self.left.map(\.index)) }

    /// Closes those that were not taken.
    public func closeLeft() {
        let left = self.listeners.withLockedValue { listeners in
            defer { listeners = [] }
            return listeners
        }
        for listener in left { close(listener.descriptor) }
    }

    /// - Throws: ``InheritanceError``, if it is no listening TCP socket.
    private static func address(of descriptor: CInt, _ name: String) throws(InheritanceError) -> SocketAddress {
        func option(_ option: CInt) throws(InheritanceError) -> CInt {
            var value: CInt = 0
            var size = socklen_t(MemoryLayout<CInt>.size)
            guard getsockopt(descriptor, SOL_SOCKET, option, &value, &size) == 0 else {
                throw .descriptor(descriptor, name, errno == EBADF ? "it is not open" : "it is no socket")
            }
            return value
        }
        guard try option(SO_TYPE) == CInt(SOCK_STREAM.rawValue) else {
            throw .descriptor(descriptor, name, "it is no stream socket")
        }
        guard try option(SO_ACCEPTCONN) == 1 else { throw .descriptor(descriptor, name, "it does not listen") }
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let status = withUnsafeMutableBytes(of: &storage) { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) { getsockname(descriptor, $0.baseAddress, &size) }
        }
        guard status == 0, let address = Self.address(storage) else {
            throw .descriptor(descriptor, name, "it is neither an IPv4 nor an IPv6 socket")
        }
        return address
    }

    private static func address(_ storage: sockaddr_storage) -> SocketAddress? {
        withUnsafeBytes(of: storage) { bytes in
            switch CInt(storage.ss_family) {
            case AF_INET: SocketAddress(bytes.loadUnaligned(as: sockaddr_in.self))
            case AF_INET6: SocketAddress(bytes.loadUnaligned(as: sockaddr_in6.self))
            default: nil
            }
        }
    }
}

/// Why descriptors that a process was started with are not used.
public enum InheritanceError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Of descriptors: no number, or too large a one.
    case count(String)
    case names(Int, descriptors: Int)
    case descriptor(CInt, String, String)
    /// What `LISTEN_PID` says.
    case process(String)
    /// The environment of a successor is not as its predecessor sets it.
    case succession

    public var description: String {
        switch self {
        case .count(let text):
            "LISTEN_FDS is \"\(text.prefix(20))\", which is no number from 0 to \(InheritedListeners.maximum); unset it, or let systemd set it"
        case .names(let names, let descriptors):
            "LISTEN_FDNAMES has \(names) names for \(descriptors) descriptors; let systemd set it"
        case .descriptor(let number, let name, let reason):
            "descriptor \(number) (\(name.prefix(100))) was passed as a listening TCP socket, and \(reason); use ListenStream= with an address in the .socket unit"
        case .process(let text):
            "LISTEN_PID is \"\(text.prefix(20))\", which is not this process: a program in between must use exec; or unset LISTEN_PID and LISTEN_FDS"
        case .succession:
            "LATCHSTRING_SUCCESSION is not what a running latchstring sets for its successor; unset it"
        }
    }
}

/// What a process's environment says of the listeners that it was started with, by the rules of sd_listen_fds(3). Pure.
public struct ListenEnvironment: Equatable, Sendable {
    public var count = 0
    public var names: [String] = []

    /// The variables that are read.
    public static let variables = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]

    /// - Parameters:
    ///   - value: of a variable; nil if it is not set.
    ///   - process: the number of this process.
    /// - Throws: ``InheritanceError``. Descriptors for another process are refused too: its clients would wait for it.
    public init(process: Int32, value: (String) -> String?) throws(InheritanceError) {
        guard let text = value("LISTEN_FDS") else { return }
        guard let count = Int(text), count >= 0, count <= InheritedListeners.maximum else { throw .count(text) }
        guard let owner = value("LISTEN_PID"), owner == "\(process)" else {
            throw .process(value("LISTEN_PID") ?? "")
        }
        self.count = count
        guard let names = value("LISTEN_FDNAMES") else {
            self.names = Array(repeating: "unknown", count: count)
            return
        }
        self.names = names.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard self.names.count == count else { throw .names(self.names.count, descriptors: count) }
    }
}

/// A listening socket as it is given to another process.
public struct PassedListener: Sendable {
    public var descriptor: CInt
    /// As ``InheritedListeners/take(host:port:)`` knows it.
    public var name: String

    public init(descriptor: CInt, name: String) {
        self.descriptor = descriptor
        self.name = name
    }
}
