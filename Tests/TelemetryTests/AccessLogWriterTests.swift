import Foundation
import Glibc
import Logging
import NIOCore
import Synchronization
import TestLogs
import Testing

@testable import Telemetry

@Suite("The access log's writer")
struct AccessLogWriterTests {
    private let folder: URL

    init() throws {
        self.folder = FileManager.default.temporaryDirectory.appendingPathComponent("access-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
    }

    private func path(_ name: String) -> String { self.folder.appendingPathComponent(name).path }

    private func lines(_ name: String) throws -> [Substring] {
        try String(contentsOfFile: self.path(name), encoding: .utf8).split(separator: "\n")
    }

    private static let template = "{number} {connection}"

    private func open(_ name: String = "access.log") throws -> OpenAccessLog {
        try OpenAccessLog(.file(self.path(name)), layout: try AccessLayout(template: Self.template))
    }

    private static func record(_ number: Int, _ connection: UInt64 = 1, text: Int = 0) -> AccessRecord {
        var record = AccessRecord(site: "a.test", status: 200, bytes: 0, duration: .zero, outcome: "complete")
        record.number = number
        record.connection = connection
        if text > 0 {
            record.take(
                ByteBuffer(repeating: UInt8(ascii: "x"), count: text), nil, for: AccessLayout(.json))
        }
        return record
    }

    private static func leftOut(_ logs: LogRecorder) -> Int {
        logs.lines("lines of the access log left out").compactMap { $0.metadata["left_out"].flatMap(Int.init) }
            .reduce(0, +)
    }

    @Test("Nothing is made of a request where there is no log")
    func off() async throws {
        let writer = AccessLogWriter(logger: Logger(label: "test"))
        #expect(!writer.isOn)
        writer.record { _ in
            Issue.record("a record was made")
            return Self.record(1)
        }
        try await writer.use(try self.open())
        #expect(writer.isOn)
        writer.record { _ in Self.record(2) }
        try await writer.use(nil)
        #expect(try self.lines("access.log") == ["2 1"])
        #expect(!writer.isOn)
    }

    @Test("Files that are moved away under load: no line is lost, none is there twice", .timeLimit(.minutes(1)))
    func rotation() async throws {
        let writer = AccessLogWriter(logger: Logger(label: "test"))
        try await writer.use(try self.open())
        let (loops, each, rotations) = (4, 20_000, 20)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for loop in 1...loops {
                group.addTask {
                    for number in 1...each {
                        writer.record { _ in Self.record(number, UInt64(loop)) }
                        if number.isMultiple(of: 200) { try await Task.sleep(for: .milliseconds(5)) }
                    }
                }
            }
            group.addTask {
                for rotation in 1...rotations {
                    try FileManager.default.moveItem(
                        atPath: self.path("access.log"), toPath: self.path("access.log.\(rotation)"))
                    if rotation.isMultiple(of: 2) {
                        try await writer.reopen()
                    } else {
                        try await writer.use(try self.open())
                    }
                    try await Task.sleep(for: .milliseconds(15))
                }
            }
            try await group.waitForAll()
        }
        try await writer.use(nil)
        var all: [Substring] = try self.lines("access.log")
        for rotation in 1...rotations { all += try self.lines("access.log.\(rotation)") }
        #expect(all.count == loops * each)
        #expect(Set(all).count == all.count)
    }

    @Test("A folder that is gone: the old file goes on, and the reason is told")
    func reopenFails() async throws {
        let writer = AccessLogWriter(logger: Logger(label: "test"))
        try FileManager.default.createDirectory(atPath: self.path("logs"), withIntermediateDirectories: true)
        try await writer.use(try self.open("logs/access.log"))
        try FileManager.default.moveItem(atPath: self.path("logs"), toPath: self.path("old"))
        let path = self.path("logs/access.log")
        await #expect(
            throws: AccessLogError(description: "cannot write the access log \"\(path)\": no such file or directory")
        ) { try await writer.reopen() }
        writer.record { _ in Self.record(1) }
        try await writer.use(nil)
        #expect(try self.lines("old/access.log") == ["1 1"])
    }

    @Test("A reader that does not read holds up nothing; what it misses is counted", .timeLimit(.minutes(1)))
    func blockedReader() async throws {
        let pipe = self.path("pipe")
        #expect(mkfifo(pipe, 0o600) == 0)
        // Opened both ways, so that opening does not wait.
        let reader = Glibc.open(pipe, O_RDWR)
        defer { Glibc.close(reader) }
        let logs = LogRecorder()
        let writer = AccessLogWriter(logger: Logger(label: "test") { _ in logs.handler })
        try await writer.use(try OpenAccessLog(.file(pipe), layout: AccessLayout(.json)))
        let count = 4 * AccessLogWriter.capacity / 8192
        let begun = ContinuousClock.now
        for number in 1...count {
            writer.record { _ in Self.record(number, text: 8000) }
            // The writer stands still from here on: what is left out is told with one line.
            if number == 20 { usleep(500_000) }
        }
        #expect(ContinuousClock.now - begun < .seconds(10))
        let seen = Reading(reader)
        writer.flush(milliseconds: 30_000)
        // Everything that was taken is there; the rest is in the log.
        let missed = Self.leftOut(logs)
        #expect(missed > 0)
        seen.wait(for: count - missed)
        try await writer.use(nil)
        seen.stop()
        #expect(seen.count == count - missed)
    }

    @Test(
        "A reader that stands still holds up no change of logs; it is made when the reader goes on",
        .timeLimit(.minutes(1)))
    func stalledChange() async throws {
        let pipe = self.path("pipe")
        #expect(mkfifo(pipe, 0o600) == 0)
        let reader = Glibc.open(pipe, O_RDWR)
        defer { Glibc.close(reader) }
        let writer = AccessLogWriter(logger: Logger(label: "test"))
        try await writer.use(try OpenAccessLog(.file(pipe), layout: AccessLayout(.json)))
        for number in 1...50 { writer.record { _ in Self.record(number, text: 8000) } }
        let begun = ContinuousClock.now
        await #expect(throws: AccessLogError.self) { try await writer.reopen() }
        let fresh = try self.open()
        await #expect(throws: AccessLogError.self) { try await writer.use(fresh) }
        #expect(ContinuousClock.now - begun < .seconds(15))
        writer.record { _ in Self.record(51) }
        let seen = Reading(reader)
        seen.wait(for: 50)
        writer.flush(milliseconds: 10_000)
        try await writer.use(nil)
        seen.stop()
        #expect(seen.count == 50)
        #expect(try self.lines("access.log") == ["51 1"])
    }

    @Test("A full disk is told of, and no line is mended out of two", .enabled(if: access("/dev/full", W_OK) == 0))
    func fullDisk() async throws {
        let logs = LogRecorder()
        let writer = AccessLogWriter(logger: Logger(label: "test") { _ in logs.handler })
        try await writer.use(try OpenAccessLog(.file("/dev/full"), layout: AccessLayout(.json)))
        for number in 1...10 { writer.record { _ in Self.record(number) } }
        writer.flush(milliseconds: 5000)
        #expect(Self.leftOut(logs) >= 1)
        #expect(logs.all.first?.metadata["reason"] == "no space left on device")
    }

    @Test("A line that broke off on a full disk has an end before the next one, however long the disk was full")
    func brokenLine() throws {
        let room = Mutex(Int.max)
        let sink = try AccessSink(opening: .file(self.path("access.log"))) { descriptor, bytes in
            let count = room.withLock { room in
                defer { room -= min(room, bytes.count) }
                return min(room, bytes.count)
            }
            guard count > 0 else {
                errno = ENOSPC
                return -1
            }
            return Glibc.write(descriptor, bytes.baseAddress, count)
        }
        let layout = try AccessLayout(template: Self.template)
        // Lines of four bytes.
        for (number, left) in [(1, Int.max), (2, 2), (3, 0), (4, 0), (5, 1), (6, Int.max), (7, 0), (8, Int.max)] {
            room.withLock { $0 = left }
            sink.write(Self.record(number), by: layout)
            sink.flush()
        }
        #expect(try String(contentsOfFile: self.path("access.log"), encoding: .utf8) == "1 1\n2 \n6 1\n8 1\n")
        let (lost, problem) = sink.takeLost()
        #expect(lost == 5 && problem == "no space left on device")
    }

    @Test("syslog: RFC 5424, one datagram a line, and a daemon that comes back is found again", .timeLimit(.minutes(1)))
    func syslog() async throws {
        let path = self.path("log")
        var daemon = try Datagrams(path)
        let writer = AccessLogWriter(logger: Logger(label: "test"))
        try await writer.use(
            try OpenAccessLog(
                .syslog(.init(.local(path: path), facility: 23)), layout: try AccessLayout(template: Self.template)))
        writer.record { _ in Self.record(1) }
        let pattern = #/<190>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ latchstring \d+ access - 1 1/#
        let first = try daemon.next()
        #expect(first.wholeMatch(of: pattern) != nil, "\(first)")
        daemon.close()
        unlink(path)
        daemon = try Datagrams(path)
        writer.record { _ in Self.record(2) }
        #expect(try daemon.next().hasSuffix(" access - 2 1"))
        try await writer.use(nil)
        daemon.close()
    }

    @Test(
        "syslog over UDP: what is refused is counted, and the daemon is found when it is there", .timeLimit(.minutes(1))
    )
    func refusedDatagrams() throws {
        let port: Int
        do {
            let daemon = try Datagrams(port: 0)
            port = daemon.port
            daemon.close()
        }
        let sink = try AccessSink(opening: .syslog(.init(.udp(host: "127.0.0.1", port: port))))
        let layout = try AccessLayout(template: Self.template)
        for number in 1...10 {
            sink.write(Self.record(number), by: layout)
            usleep(1000)
        }
        // The system refuses each with the next one.
        let lost = sink.takeLost()
        #expect(lost.lines == 9)
        #expect(lost.problem == "connection refused")
        let daemon = try Datagrams(port: port)
        sink.write(Self.record(11), by: layout)
        #expect(try daemon.next().hasSuffix(" access - 11 1"))
        #expect(sink.takeLost().lines == 1)
        daemon.close()
    }

    @Test("Losses are told at once, then every ten seconds")
    func losses() {
        var report = LossReport()
        let start = NIODeadline.uptimeNanoseconds(1)
        #expect(report.add(3, now: start) == 3)
        #expect(report.add(4, now: start + .seconds(9)) == nil)
        #expect(report.add(5, now: start + .seconds(10)) == 9)
    }
}

/// A log daemon's socket.
private struct Datagrams {
    private let descriptor: Int32

    init(_ path: String) throws { try self.init(SocketAddress(unixDomainSocketPath: path), AF_UNIX) }

    /// Over UDP.
    init(port: Int) throws { try self.init(SocketAddress(ipAddress: "127.0.0.1", port: port), AF_INET) }

    private init(_ address: SocketAddress, _ domain: Int32) throws {
        self.descriptor = socket(domain, Int32(SOCK_DGRAM.rawValue), 0)
        let result = address.withSockAddr { bind(self.descriptor, $0, socklen_t($1)) }
        #expect(result == 0)
        var patience = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(self.descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    func next() throws -> String {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = recv(self.descriptor, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }

    var port: Int {
        var address = [UInt8](repeating: 0, count: 16)
        var size = socklen_t(address.count)
        _ = address.withUnsafeMutableBytes { bytes in
            getsockname(self.descriptor, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), &size)
        }
        // Behind the family, in the network's order.
        return Int(address[2]) << 8 | Int(address[3])
    }

    func close() { Glibc.close(self.descriptor) }
}

/// Counts the lines that come through a pipe.
private final class Reading: Sendable {
    private let state = Mutex((lines: 0, stopped: false))

    init(_ descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        Thread.detachNewThread {
            var bytes = [UInt8](repeating: 0, count: 65_536)
            while !self.state.withLock({ $0.stopped }) {
                let count = read(descriptor, &bytes, bytes.count)
                guard count > 0 else {
                    usleep(1000)
                    continue
                }
                let lines = bytes.prefix(count).count { $0 == 0x0A }
                self.state.withLock { $0.lines += lines }
            }
        }
    }

    var count: Int { self.state.withLock { $0.lines } }
    func stop() { self.state.withLock { $0.stopped = true } }

    func wait(for count: Int) {
        for _ in 0..<20_000 where self.count < count { usleep(1000) }
    }
}
