public import Foundation
import Synchronization
import TestSockets

/// A `redis-server` (or another that takes its options, such as `valkey-server`) of a test's own, on a loopback port.
///
/// Methods block. It is killed, and its folder removed, when the last reference goes.
public final class RedisServer: Sendable {
    public let port: UInt16
    public let folder: URL
    /// The port for TLS, where it has one.
    public let tlsPort: UInt16?
    private let arguments: [String]
    private let process = Mutex<ChildProcess?>(nil)

    /// Starts it.
    ///
    /// - Parameters:
    ///   - options: as in its configuration file, `["maxmemory 2mb"]`.
    ///   - tls: paths of certificate and key, if it is to speak TLS too.
    ///   - isDurable: whether it still knows, after it was killed, all that it has confirmed.
    public init(
        _ options: [String] = [], tls: (certificate: String, key: String)? = nil, isDurable: Bool = false,
        program: String? = nil, mode: [String] = []
    ) throws {
        self.folder = FileManager.default.temporaryDirectory.appending(path: "latchstring-bus-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        let program = program ?? Self.program
        // Its ports can't be 0: one that was free a moment ago may be taken, so several are tried.
        var last: any Error = NeverHappened(what: "a server")
        for _ in 0..<5 {
            let port = try TestListener().port
            let tlsPort = try tls.map { _ in try TestListener().port }
            var lines = options
            lines.append("port \(port)")
            lines.append("bind 127.0.0.1")
            lines.append("dir \(self.folder.path)")
            if mode.isEmpty {
                lines.append("save \"\"")
                lines.append("appendonly \(isDurable ? "yes" : "no")")
                lines.append("appendfsync always")
            }
            if let tls, let tlsPort {
                lines += [
                    "tls-port \(tlsPort)", "tls-cert-file \(tls.certificate)", "tls-key-file \(tls.key)",
                    "tls-ca-cert-file \(tls.certificate)", "tls-auth-clients no",
                ]
            }
            let file = self.folder.appending(path: "server.conf")
            try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
            do {
                let child = try Self.start([program, file.path] + mode, port: port)
                self.process.withLock { $0 = child }
                self.arguments = [program, file.path] + mode
                self.port = port
                self.tlsPort = tlsPort
                return
            } catch {
                last = error
            }
        }
        throw last
    }

    /// Redis, unless `LATCHSTRING_TEST_BUS` names another program.
    public static var program: String {
        ProcessInfo.processInfo.environment["LATCHSTRING_TEST_BUS"] ?? "redis-server"
    }

    private static func start(_ arguments: [String], port: UInt16) throws -> ChildProcess {
        let child = try ChildProcess(arguments[0], Array(arguments.dropFirst()))
        _ = try eventually("a server on port \(port)") {
            guard child.isRunning else { throw NeverHappened(what: "\(arguments[0]): it ended") }
            return try? TestSocket.connect(port: port)
        }
        return child
    }

    deinit {
        self.process.withLock { $0?.send(SIGCONT) }
        try? FileManager.default.removeItem(at: self.folder)
    }

    public var pid: Int32 { self.process.withLock { $0?.pid ?? 0 } }

    /// As a crash would.
    public func kill() {
        self.process.withLock { child in
            child?.send(SIGKILL)
            _ = child?.waitForEnd()
        }
    }

    public func restart() throws {
        let child = try Self.start(self.arguments, port: self.port)
        self.process.withLock { $0 = child }
    }

    /// It answers nothing any more, and its connections stay.
    public func hang() { self.process.withLock { $0?.send(SIGSTOP) } }

    public func wake() { self.process.withLock { $0?.send(SIGCONT) } }

    /// Runs one command over a connection of its own, in RESP2; the reply as it came.
    ///
    /// - Parameter login: `["user", "password"]`.
    @discardableResult
    public func run(_ words: [String], login: [String] = []) throws -> String {
        String(decoding: try self.run(words.map { Array($0.utf8) }, login: login), as: UTF8.self)
    }

    @discardableResult
    public func run(_ words: [[UInt8]], login: [String] = []) throws -> [UInt8] {
        let socket = try TestSocket.connect(port: self.port)
        if !login.isEmpty {
            try socket.send(Self.encode((["AUTH"] + login).map { Array($0.utf8) }))
            _ = try socket.receive(exactly: 5)
        }
        try socket.send(Self.encode(words))
        // A sentinel knows no QUIT; the end of what is sent ends the connection at either.
        socket.shutdownOutput()
        return try socket.receiveToEnd()
    }

    private static func encode(_ words: [[UInt8]]) -> [UInt8] {
        var bytes = Array("*\(words.count)\r\n".utf8)
        for word in words { bytes += Array("$\(word.count)\r\n".utf8) + word + [13, 10] }
        return bytes
    }
}
