import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A system call failed, or took longer than a test may wait.
public struct TestSocketError: Error, Equatable, CustomStringConvertible {
    public var call: String
    public var code: Int32

    public var description: String { "\(self.call): \(String(cString: strerror(self.code)))" }

    /// The peer reset the connection.
    public var isReset: Bool { self.code == ECONNRESET || self.code == EPIPE }
    /// Nothing happened for ``TestSocket/patience``.
    public var isTimeout: Bool { self.code == EAGAIN || self.code == EWOULDBLOCK }

    static func last(_ call: String) -> TestSocketError { TestSocketError(call: call, code: errno) }
}

/// Runs something that blocks on a thread of its own, so that it cannot starve the tests' tasks.
public func blocking<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
    }
}

/// A blocking loopback TCP socket that does exactly what a test says: no library between the test and the wire.
///
/// Sends and receives may come from different threads. Use inside ``blocking(_:)``.
public final class TestSocket: Sendable {
    /// A call that takes longer fails instead of hanging the tests. Seconds.
    public static let patience = 20

    private let descriptor: Int32

    init(descriptor: Int32) {
        self.descriptor = descriptor
        var limit = timeval(tv_sec: Self.patience, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    deinit {
        _ = Self.systemClose(self.descriptor)
    }

    private static func systemClose(_ descriptor: Int32) -> Int32 {
        #if canImport(Glibc)
            Glibc.close(descriptor)
        #elseif canImport(Musl)
            Musl.close(descriptor)
        #else
            Darwin.close(descriptor)
        #endif
    }

    /// Connects to a port on 127.0.0.1.
    ///
    /// - Parameter receiveBuffer: Bytes of the system's receive buffer, if not its default.
    public static func connect(port: UInt16, receiveBuffer: Int32? = nil) throws -> TestSocket {
        let descriptor = try makeSocket()
        let socket = TestSocket(descriptor: descriptor)
        if var size = receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        try withLoopback(port: port) { address, length in
            if connectSystem(descriptor, address, length) != 0 { throw TestSocketError.last("connect") }
        }
        return socket
    }

    /// Sends everything.
    public func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count { sent += try self.sendSome(bytes[sent...]) }
    }

    /// Sends what the system takes, at least a byte; waits if it takes none.
    public func sendSome(_ bytes: ArraySlice<UInt8>) throws -> Int {
        let count = bytes.withUnsafeBytes { sendSystem(self.descriptor, $0.baseAddress, $0.count, noSignal) }
        guard count >= 0 else { throw TestSocketError.last("send") }
        return count
    }

    /// Sends what the system takes at once; `nil` if it takes none.
    public func sendNow(_ bytes: ArraySlice<UInt8>) throws -> Int? {
        let flags = noSignal | Int32(MSG_DONTWAIT)
        let count = bytes.withUnsafeBytes { sendSystem(self.descriptor, $0.baseAddress, $0.count, flags) }
        if count >= 0 { return count }
        let error = TestSocketError.last("send")
        guard error.isTimeout else { throw error }
        return nil
    }

    /// Receives at least a byte, at most `maximum`; empty at the end.
    public func receive(_ maximum: Int = 65_536) throws -> [UInt8] {
        var failed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: maximum) { buffer, count in
            let received = recv(self.descriptor, buffer.baseAddress, maximum, 0)
            failed = received < 0
            count = max(0, received)
        }
        if failed { throw TestSocketError.last("recv") }
        return bytes
    }

    /// Receives this many bytes, fewer only at the end.
    public func receive(exactly count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let more = try self.receive(min(65_536, count - bytes.count))
            if more.isEmpty { break }
            bytes += more
        }
        return bytes
    }

    /// Receives everything up to the end.
    public func receiveToEnd() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let more = try self.receive()
            if more.isEmpty { return bytes }
            bytes += more
        }
    }

    /// Whether the other end has reset, rather than ended, the connection. Waits for one of both.
    public func endsWithReset() throws -> Bool {
        do {
            _ = try self.receiveToEnd()
            return false
        } catch let error as TestSocketError where error.isReset {
            return true
        }
    }

    /// Tells the other end that nothing more will be sent.
    public func shutdownOutput() {
        shutdown(self.descriptor, Int32(SHUT_WR))
    }

    /// Ends both directions. The descriptor goes with the object.
    public func close() {
        shutdown(self.descriptor, Int32(SHUT_RDWR))
    }

    /// Breaks the connection with a reset.
    public func reset() {
        // Connecting a TCP socket to "no address" drops its connection with a reset; the descriptor stays valid.
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(self.descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        var nowhere = sockaddr()
        nowhere.sa_family = sa_family_t(AF_UNSPEC)
        _ = connectSystem(self.descriptor, &nowhere, socklen_t(MemoryLayout<sockaddr>.size))
    }

    /// The local port.
    public var port: UInt16 { (try? boundPort(self.descriptor)) ?? 0 }
}

/// A listening loopback socket on a free port.
public final class TestListener: Sendable {
    private let descriptor: Int32
    public let port: UInt16

    /// - Parameters:
    ///   - receiveBuffer: Bytes of the accepted sockets' receive buffers, if not the system's default.
    ///   - backlog: Connections that the system sets up before one is accepted; others have to wait, and try again.
    public init(receiveBuffer: Int32? = nil, backlog: Int32 = 64) throws {
        self.descriptor = try makeSocket()
        if var size = receiveBuffer {
            setsockopt(self.descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var limit = timeval(tv_sec: TestSocket.patience, tv_usec: 0)
        setsockopt(self.descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let descriptor = self.descriptor
        try withLoopback(port: 0) { address, length in
            if bind(descriptor, address, length) != 0 { throw TestSocketError.last("bind") }
        }
        guard listen(descriptor, backlog) == 0 else { throw TestSocketError.last("listen") }
        self.port = try boundPort(descriptor)
    }

    deinit {
        self.close()
    }

    public func accept() throws -> TestSocket {
        let accepted = acceptSystem(self.descriptor)
        guard accepted >= 0 else { throw TestSocketError.last("accept") }
        return TestSocket(descriptor: accepted)
    }

    /// Whether a connection waits to be accepted.
    public var hasPending: Bool {
        var entry = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) > 0
    }

    /// Refuses connections from now on.
    public func close() {
        shutdown(self.descriptor, Int32(SHUT_RDWR))
    }
}

/// Something a test waited for did not come about within ``TestSocket/patience``.
public struct NeverHappened: Error, CustomStringConvertible {
    public var what: String

    public init(what: String) {
        self.what = what
    }

    public var description: String { "waited in vain for \(self.what)" }
}

/// A pause of a millisecond, for loops that wait for something without an event of its own. Blocks.
public func waitBriefly() {
    usleep(1000)
}

/// Asks again and again until there is an answer. Blocks.
///
/// - Parameter seconds: How long it may take, roughly: so many times a thousand short waits.
public func eventually<T>(
    _ what: String, within seconds: Int = TestSocket.patience, _ body: () throws -> T?
) throws -> T {
    for _ in 0..<(seconds * 1000) {
        if let value = try body() { return value }
        waitBriefly()
    }
    throw NeverHappened(what: what)
}
