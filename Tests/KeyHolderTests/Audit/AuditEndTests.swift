import AuditChain
import Foundation
import NIOCore
import Testing

@testable import KeyHolder

@Suite("What is remembered of an audit's end, beside the file", .timeLimit(.minutes(1)))
struct AuditEndTests {
    @Test("An end that was cut off while the key holder was not running is told at the start, and stays visible")
    func cutWhileStopped() async throws {
        let folder = try AuditFolder()
        let first = try folder.log()
        await first.use(5)
        await first.stop()
        let lines = try folder.bytes().split(separator: 0x0A)
        try folder.write(Array(lines.dropLast(4).joined(separator: [0x0A])) + [0x0A])
        let second = try folder.log()
        await second.stop()
        let (findings, _) = try folder.verify()
        #expect(findings.map(\.kind) == [.missing])
        #expect(try String(decoding: folder.bytes(), as: UTF8.self).contains("its end was cut off or replaced"))
    }

    @Test("An end that was cut off and prolonged while the key holder was not running is not signed on to")
    func cutAndProlongedWhileStopped() async throws {
        let folder = try AuditFolder()
        let first = try folder.log()
        await first.use(5)
        await first.stop()
        let lines = try folder.bytes().split(separator: 0x0A)
        let kept = Array(lines.dropLast(4).joined(separator: [0x0A])) + [0x0A]
        let end = try #require(lines.dropLast(4).last.flatMap { SealedLine($0) })
        let disk = AuditSpaceTests.Disk(room: 1 << 20, canReserve: false)
        var origin = AuditOrigin()
        origin.position = end.position
        var forged = AuditJournal(AuditSpaceTests.Disk.File(disk: disk), origin)
        for _ in 0..<20 { forged.add(AuditTests.record) }
        #expect(forged.drain() == nil)
        try folder.write(kept + Array((disk.lines.joined(separator: "\n") + "\n").utf8))
        let second = try folder.log()
        await second.stop()
        let (findings, summary) = try folder.verify()
        #expect(summary.faults > 0, "\(findings)")
        #expect(try String(decoding: folder.bytes(), as: UTF8.self).contains("was replaced"))
        // It goes on from what it remembers, and the next start finds nothing new.
        let third = try folder.log()
        await third.stop()
        #expect(try folder.verify().summary.faults == summary.faults)
    }

    @Test("A start finds the remembered line far before the end, and behind a rest of a line")
    func manyUnsigned() async throws {
        let folder = try AuditFolder()
        try await folder.log().stop()
        let end = try #require(folder.bytes().split(separator: 0x0A).last.flatMap { SealedLine($0) })
        let disk = AuditSpaceTests.Disk(room: 1 << 30, canReserve: false)
        var origin = AuditOrigin()
        origin.position = end.position
        var unsigned = AuditJournal(AuditSpaceTests.Disk.File(disk: disk), origin)
        for _ in 0..<12_000 { unsigned.add(AuditTests.record) }
        #expect(unsigned.drain() == nil)
        let added = Array((disk.lines.joined(separator: "\n") + "\n").utf8)
        #expect(added.count > 2 << 20)
        try folder.write(try folder.bytes() + added)
        try await folder.log().stop()
        #expect(try folder.verify().findings == [])
        #expect(try !String(decoding: folder.bytes(), as: UTF8.self).contains("was replaced"))
    }

    @Test("A file that begins behind what is remembered is told from one whose end was replaced")
    func beginsBehind() async throws {
        let folder = try AuditFolder()
        let log = try folder.log()
        await log.use(9)
        let crashed = try AuditFolder()
        // Lines behind the first checkpoint alone, which is all that is remembered.
        let lines = try folder.bytes().split(separator: 0x0A)
        #expect(lines.count >= 10)
        try crashed.write(Array(lines.suffix(3).joined(separator: [0x0A])) + [0x0A])
        try FileManager.default.copyItem(atPath: "\(folder.path)/state", toPath: "\(crashed.path)/state")
        await log.stop()
        try await crashed.log().stop()
        let text = try String(decoding: crashed.bytes(), as: UTF8.self)
        #expect(text.contains("the file begins with line \(lines.count - 2)"), "\(text)")
        #expect(!text.contains("its end was replaced"))
    }

    @Test("A line whose number is beyond all reason ends no start")
    func beyond() async throws {
        let folder = try AuditFolder()
        try await folder.log().stop()
        let hash = String(repeating: "0", count: 64)
        try folder.write(
            try folder.bytes()
                + Array("{\"seq\":18446744073709551615,\"operation\":\"x\",\"chain\":\"\(hash)\"}\n".utf8))
        try await folder.log().stop()
        let (findings, _) = try folder.verify()
        #expect(!findings.isEmpty)
        #expect(AuditHead.position("latchstring audit head 1\n18446744073709551615 \(hash)\n") == nil)
    }
}
