import AuditChain
import Foundation
import Telemetry
import Testing

@testable import KeyHolder

@Suite("An audit that another process goes on with", .timeLimit(.minutes(1)))
struct AuditLendingTests {
    @Test("Lines that cannot be written keep a log from being let go, and are written later")
    func notLetGo() async throws {
        let disk = AuditSpaceTests.Disk(room: 300, canReserve: false)
        let log = AuditSpaceTests.log(disk)
        for _ in 0..<4 where log.reserve() { log.record(AuditTests.record) }
        #expect(await !log.letGo())
        #expect(!log.isLent)
        #expect(log.pendingLines > 0)
        disk.room = 1 << 20
        log.tick(now: Clock.monotonic() + 2_000_000_000, time: 0)
        #expect(
            try await AuditSpaceTests.eventually {
                log.tick(now: Clock.monotonic(), time: 0); return !log.isClosed
            })
        await log.stop()
        #expect(log.pendingLines == 0)
        #expect(disk.lines.count >= 6)
    }

    @Test("A log that was let go and taken up again goes on, and counts what was refused meanwhile")
    func takenUp() async throws {
        let folder = try AuditFolder()
        let log = try folder.log()
        await log.use(2)
        #expect(await log.letGo())
        #expect(log.isLent)
        for _ in 0..<3 { #expect(!log.reserve()) }
        try log.takeUp()
        await log.use(2)
        await log.stop()
        #expect(log.pendingLines == 0)
        #expect(try folder.verify().findings == [])
        let text = try String(decoding: folder.bytes(), as: UTF8.self)
        #expect(
            text.split(separator: "\n").contains { $0.contains(#""operation":"audit""#) && $0.contains(#""count":3"#) })
        // It has ended: nothing is opened again.
        #expect(await !log.letGo())
        try log.takeUp()
        #expect(try folder.bytes().count == text.utf8.count)
        try await folder.log().stop()
    }

    @Test("What cannot be taken up is tried again, and an end that the other process lost is told")
    func takenUpLate() async throws {
        let folder = try AuditFolder()
        let log = try folder.log()
        await log.use(2)
        #expect(await log.letGo())
        let lines = try folder.bytes().split(separator: 0x0A)
        try folder.write(Array(lines.dropLast(2).joined(separator: [0x0A])) + [0x0A])
        try FileManager.default.removeItem(atPath: "\(folder.path)/state/audit.head")
        do {
            let other = try AuditFile(path: folder.audit)
            #expect(other.lock())
            #expect(throws: AuditLogError.self) { try log.takeUp() }
            var file = other
            file.close()
            file.close()
        }
        log.tick(now: Clock.monotonic(), time: 0)
        #expect(try await AuditSpaceTests.eventually { !log.isLent && !log.isClosed })
        await log.use(2)
        await log.stop()
        #expect(try folder.verify().findings.map(\.kind) == [.missing])
        #expect(try String(decoding: folder.bytes(), as: UTF8.self).contains("its end was cut off or replaced"))
    }
}
