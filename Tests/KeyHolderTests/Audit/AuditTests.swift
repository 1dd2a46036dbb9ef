import Foundation
import Logging
import Telemetry
import Testing

@testable import KeyHolder

@Suite("Audit log")
struct AuditTests {
    static func line(_ record: AuditRecord) -> String {
        var bytes: [UInt8] = []
        record.appendBody(to: &bytes)
        return "{" + String(decoding: bytes.dropLast(), as: UTF8.self) + "}\n"
    }

    static let record = AuditRecord(
        time: 1_764_000_000_123, edge: "paris", site: "www.example.test", serverName: "www.example.test",
        clientIP: [192, 0, 2, 1], operation: "sign-tls13", outcome: .ok, duration: 37)

    @Test("One line of JSON with every field")
    func format() {
        #expect(
            Self.line(Self.record)
                == #"{"time":"2025-11-24T16:00:00.123Z","edge":"paris","site":"www.example.test","name":"www.example.test","client":"192.0.2.1","operation":"sign-tls13","outcome":"ok","us":37}"#
                + "\n")
    }

    @Test("Whatever an edge sends stays one JSON line")
    func escaping() throws {
        var record = Self.record
        record.serverName = "a\"b\\c\n\u{1}"
        record.edge = nil
        record.clientIP = nil
        record.detail = "\u{7F}"
        let line = Self.line(record)
        #expect(line.filter { $0 == "\n" }.count == 1)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        #expect(object["name"] as? String == "a\"b\\c\n\u{1}")
        #expect(object["edge"] is NSNull)
    }

    @Test(
        "Timestamps",
        arguments: [
            (Int64(0), "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"), (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (4_107_542_400_001, "2100-03-01T00:00:00.001Z"), (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
        ])
    func timestamps(milliseconds: Int64, text: String) {
        var bytes: [UInt8] = []
        Timestamp.append(milliseconds, to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == text)
    }

    @Test(
        "Addresses",
        arguments: [
            ([UInt8](repeating: 0, count: 16), "::"), ([UInt8](repeating: 0, count: 15) + [1], "::1"),
            ([0x20, 1, 0x0D, 0xB8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1], "2001:db8:0:1::1"),
            ([0x20, 1, 0x0D, 0xB8, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0], "2001:db8:1:1:1:1:1:0"),
            ([10, 0, 0, 255], "10.0.0.255"), ([255, 200, 199, 100], "255.200.199.100"), ([99, 9, 0, 1], "99.9.0.1"),
        ] as [([UInt8], String)])
    func addresses(bytes: [UInt8], text: String) {
        #expect(IPText.text(bytes) == text)
    }

    static func temporaryFile() -> String {
        FileManager.default.temporaryDirectory.appendingPathComponent("audit-\(UUID().uuidString).jsonl").path
    }

    static func lines(_ path: String) throws -> [Substring] {
        try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
    }

    @Test("Lines reach the file, which only its owner can read, and go on in a new one after a rotation")
    func rotation() async throws {
        let path = Self.temporaryFile()
        let rotated = path + ".1"
        defer {
            try? FileManager.default.removeItem(atPath: path)
            try? FileManager.default.removeItem(atPath: rotated)
        }
        let log = try AuditLog(AuditConfiguration(.file(path)), limit: 10_000, logger: Logger(label: "test"))
        func write(_ count: Int) {
            for _ in 0..<count {
                #expect(log.reserve())
                log.record(Self.record)
                log.flush()
            }
        }
        write(500)
        // A reopening waits behind what is being written, so wait for that before renaming.
        while log.pendingLines > 0 { await Task.yield() }
        try FileManager.default.moveItem(atPath: path, toPath: rotated)
        try log.reopen()
        write(500)
        await log.shutDown()
        // The second file begins with a line that says what it follows from.
        #expect(try Self.lines(rotated).count + Self.lines(path).count == 1001)
        #expect(try Self.lines(path).first?.contains(#""operation":"audit-file""#) == true)
        #expect(try Self.lines(rotated).count >= 500)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    @Test("A log that cannot be opened says so")
    func unwritable() {
        #expect(throws: AuditLogError.self) {
            try AuditLog(AuditConfiguration(.file("/nonexistent/audit.jsonl")), limit: 1, logger: Logger(label: "test"))
        }
    }

    @Test("Reservations end at the limit")
    func limit() async throws {
        let path = Self.temporaryFile()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let log = try AuditLog(AuditConfiguration(.file(path)), limit: 20, logger: Logger(label: "test"))
        let granted: Int = (0..<100).filter { _ in log.reserve() }.count
        #expect(granted == 20)
        await log.shutDown()
    }

    @Test("A reservation that is given back makes room")
    func cancel() async throws {
        let path = Self.temporaryFile()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let log = try AuditLog(AuditConfiguration(.file(path)), limit: 1, logger: Logger(label: "test"))
        #expect(log.reserve())
        #expect(!log.reserve())
        log.cancel()
        #expect(log.reserve())
        log.record(Self.record)
        await log.shutDown()
        #expect(try Self.lines(path).count == 1)
    }
}
