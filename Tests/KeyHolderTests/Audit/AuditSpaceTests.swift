import Foundation
import KeyProtocol
import Logging
import Synchronization
import Telemetry
import TestSockets
import Testing

@testable import KeyHolder

@Suite("A disk without room for audit lines", .timeLimit(.minutes(1)))
struct AuditSpaceTests {
    /// A file on a disk whose room the test sets.
    final class Disk: Sendable {
        private struct State {
            var written: [UInt8] = []
            /// Bytes that can be written or set aside.
            var room: Int
            var reserved: Int = 0
            var wasTruncated = false
        }

        private let state: Mutex<State>
        private let canReserve: Bool

        init(room: Int, canReserve: Bool) {
            self.state = Mutex(State(room: room))
            self.canReserve = canReserve
        }

        var room: Int {
            get { self.state.withLock { $0.room } }
            set { self.state.withLock { $0.room = newValue } }
        }

        var lines: [Substring] {
            self.state.withLock { String(decoding: $0.written, as: UTF8.self) }.split(separator: "\n")
        }

        /// What `: >` does to a file.
        func truncate() {
            self.state.withLock { state in
                state.room += state.written.count
                state.written = []
                state.wasTruncated = true
            }
        }

        struct File: AuditOutput {
            let disk: Disk

            func wasTruncated() -> Bool {
                self.disk.state.withLock { state in
                    defer { state.wasTruncated = false }
                    return state.wasTruncated
                }
            }

            func write(_ bytes: ArraySlice<UInt8>) -> Result<Int, AuditOutputError> {
                self.disk.state.withLock { state in
                    let fromReserve: Int = min(bytes.count, state.reserved)
                    let count: Int = fromReserve + min(bytes.count - fromReserve, state.room)
                    guard count > 0 else { return .failure(AuditOutputError(number: ENOSPC)) }
                    state.reserved -= fromReserve
                    state.room -= count - fromReserve
                    state.written += bytes.prefix(count)
                    return .success(count)
                }
            }

            func reserve(low: Int, high: Int) throws(AuditOutputError) {
                let hasRoom: Bool = self.disk.state.withLock { state in
                    guard self.disk.canReserve, state.reserved < low else { return true }
                    guard state.room >= high - state.reserved else { return false }
                    state.room -= high - state.reserved
                    state.reserved = high
                    return true
                }
                if !hasRoom { throw AuditOutputError(number: ENOSPC) }
            }

            func close() {}
        }
    }

    static func log(_ disk: Disk) -> AuditLog {
        AuditLog(
            .standardOutput, Disk.File(disk: disk), limit: 10_000,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// Has a line written, as an operation does. Nil: it could not be begun; false: its result may not leave.
    static func operation(_ log: AuditLog) async -> Bool? {
        guard log.reserve() else { return nil }
        log.record(AuditTests.record)
        return await withCheckedContinuation { continuation in
            log.flush { continuation.resume(returning: $0) }
        }
    }

    static func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
        for _ in 0..<500 {
            if try await condition() { return true }
            try await Task.sleep(for: .milliseconds(20))
        }
        return false
    }

    @Test("At the first write that fails, its result does not leave and no further operation begins")
    func firstFailure() async throws {
        let disk = Disk(room: 1000, canReserve: false)
        let log = Self.log(disk)
        var outcomes: [Bool?] = []
        for _ in 0..<50 { outcomes.append(await Self.operation(log)) }
        let written: Int = outcomes.count { $0 == true }
        #expect((1...8).contains(written))
        #expect(outcomes[written] == false)
        #expect(outcomes[(written + 1)...].allSatisfy { $0 == nil })
        #expect(!log.hasRoom)
        await log.shutDown()
    }

    @Test("With room set aside, operations end before a line is lost")
    func reserved() async throws {
        let disk = Disk(room: 2 * AuditLog.reserve, canReserve: true)
        let log = Self.log(disk)
        #expect(await Self.operation(log) == true)
        // Something else fills the disk.
        disk.room = 0
        var results: Int = 1
        for _ in 0..<40_000 {
            guard let isWritten = await Self.operation(log) else { break }
            #expect(isWritten)
            results += 1
        }
        #expect(log.isClosed)
        #expect(results > 1000)
        #expect(disk.lines.count == results)
        await log.shutDown()
    }

    @Test("With room again, what waited is written, a line says how many were refused, and operations go on")
    func recovery() async throws {
        let disk = Disk(room: 0, canReserve: false)
        let log = Self.log(disk)
        #expect(await Self.operation(log) == false)
        for _ in 0..<3 { #expect(await Self.operation(log) == nil) }
        disk.room = 1_000_000
        #expect(try await Self.eventually { await Self.operation(log) == true })
        await log.shutDown()
        let lines: [Substring] = disk.lines
        #expect(lines.count == 3)
        #expect(lines[0].contains(#""outcome":"ok""#))
        let resumed = try #require(try JSONSerialization.jsonObject(with: Data(lines[1].utf8)) as? [String: Any])
        #expect(resumed["operation"] as? String == "audit")
        #expect(resumed["count"] as? Int ?? 0 >= 3)
    }

    @Test(
        "Room is set aside behind a file's end, and given back when it is closed", .enabled(if: AuditSpaceTests.isLinux)
    )
    func file() async throws {
        let path: String = AuditTests.temporaryFile()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let log = try AuditLog(AuditConfiguration(.file(path)), limit: 100, logger: Logger(label: "test"))
        #expect(await Self.operation(log) == true)
        let before: (size: Int, allocated: Int) = try await Self.space(of: path)
        #expect(before.size < 1000)
        #expect(before.allocated >= AuditLog.reserve)
        await log.shutDown()
        #expect(try AuditTests.lines(path).count == 1)
        #expect(try await Self.space(of: path).allocated < 100_000)
    }

    /// A file's length, and what it takes on the disk; bytes.
    static func space(of path: String) async throws -> (size: Int, allocated: Int) {
        let output = try ChildPipe()
        let process = try ChildProcess("stat", ["--format=%s %b", path], output: output.writing.fileDescriptor)
        try output.writing.close()
        let text = String(decoding: output.reading.readDataToEndOfFile(), as: UTF8.self)
        _ = process.waitForEnd()
        let numbers: [Int] = text.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        try #require(numbers.count == 2)
        return (numbers[0], numbers[1] * 512)
    }

    static var isLinux: Bool {
        #if os(Linux)
            true
        #else
            false
        #endif
    }

    @Test(
        "A key holder with a full disk gives no signature, and goes on when the log is elsewhere",
        .enabled(if: FileManager.default.fileExists(atPath: "/dev/full")))
    func server() async throws {
        let holder = try await TestHolder(auditAt: "/dev/full")
        let edge = try await holder.edge("paris")
        try edge.send((0..<200).map { KeyPacket(id: $0, body: ServerTests.p256Sign) })
        let answers: [KeyPacket] = await edge.answers(200)
        #expect(answers.allSatisfy { $0.body.errorCode == .internalError })
        #expect(!holder.server.canAudit)
        #expect(await edge.ping())
        try holder.linkAudit(to: holder.auditPath + ".other")
        try holder.server.reopenAudit()
        #expect(try await Self.eventually { try await edge.ask(ServerTests.p256Sign)?.opcode == .success })
        let lines = try await holder.stop()
        #expect(lines.contains { $0["operation"] == "audit" })
        let resumed: Int = try #require(lines.firstIndex { $0["operation"] == "audit" })
        #expect(lines[resumed...].contains { $0["outcome"] == "ok" })
    }

    @Test("An edge's refusals leave few lines however many connections it has, and all are counted")
    func refusalFlood() async throws {
        var limits = KeyHolderLimits()
        limits.refusals = 100_000
        let holder = try await TestHolder(limits: limits)
        var edges: [TestEdge] = []
        for _ in 0..<6 { edges.append(try await holder.edge("paris")) }
        let refused: [KeyPacket] = (0..<500).map { KeyPacket(id: $0, body: PolicyFixtures.signRequest("nowhere.test")) }
        for edge in edges { try edge.send(refused, padded: false) }
        for edge in edges { #expect(await edge.answers(500).count == 500) }
        let lines = try await holder.stop().filter { $0["outcome"] == "unknown-site" }
        #expect(lines.count < 40)
        #expect(lines.map { Int($0["count"] ?? "1") ?? 0 }.reduce(0, +) == 3000)
    }
}
