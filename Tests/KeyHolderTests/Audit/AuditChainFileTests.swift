import AuditChain
import Foundation
import Telemetry
import Testing

@testable import KeyHolder

@Suite("The audit's chain over files, restarts and crashes", .timeLimit(.minutes(1)))
struct AuditChainFileTests {
    @Test("A chain goes on over a restart, and ends signed")
    func restart() async throws {
        let folder = try AuditFolder()
        for _ in 0..<3 {
            let log = try folder.log()
            await log.use(5)
            await log.stop()
        }
        let (findings, summary) = try folder.verify()
        #expect(findings == [])
        // Each run: start, five lines, stop, and the checkpoints.
        #expect(summary.lines >= 24)
        #expect(summary.last == UInt64(summary.lines))
        #expect(summary.signed == summary.last)
        #expect(summary.hasEnded)
        let mode =
            try FileManager.default.attributesOfItem(atPath: "\(folder.path)/state/audit.key")[.posixPermissions]
            as? Int
        #expect(mode == 0o600)
    }

    @Test("A chain goes on over files, each of which can be verified by itself")
    func rotation() async throws {
        let folder = try AuditFolder()
        let log = try folder.log()
        await log.use(5)
        for number in 1...3 {
            try FileManager.default.moveItem(atPath: folder.audit, toPath: "\(folder.audit).\(number)")
            try log.reopen()
            await log.use(5)
        }
        // Nothing was renamed: nothing is opened again.
        try log.reopen()
        await log.stop()
        let all = try folder.verify(["audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3", "audit.jsonl"])
        #expect(all.findings == [])
        for name in ["audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3", "audit.jsonl"] {
            let one = try folder.verify([name])
            #expect(one.summary.faults == 0, "\(one.findings)")
            #expect(one.summary.signed == one.summary.last)
        }
        let missing = try folder.verify(["audit.jsonl.1", "audit.jsonl.3", "audit.jsonl"])
        #expect(missing.findings.map(\.kind) == [.missing])
    }

    @Test("A file that was moved away while the key holder was not running is gone on from")
    func movedWhileStopped() async throws {
        let folder = try AuditFolder()
        let first = try folder.log()
        await first.use(5)
        await first.stop()
        try FileManager.default.moveItem(atPath: folder.audit, toPath: "\(folder.audit).1")
        let second = try folder.log()
        await second.use(5)
        await second.stop()
        #expect(try folder.verify(["audit.jsonl.1", "audit.jsonl"]).findings == [])
    }

    @Test("A crash within a line leaves its rest, which the next run names", arguments: [1, 40, 200])
    func crash(left: Int) async throws {
        let folder = try AuditFolder()
        let first = try folder.log()
        await first.use(5)
        await first.stop()
        // What the next write would have begun with.
        var bytes = try folder.bytes()
        let rest = Array(bytes.split(separator: 0x0A)[2].prefix(left))
        bytes += rest
        try folder.write(bytes)
        let second = try folder.log()
        await second.use(5)
        await second.stop()
        let (findings, summary) = try folder.verify()
        #expect(summary.faults == 0, "\(findings)")
        #expect(findings.map(\.kind) == [.note])
        #expect(try folder.bytes().split(separator: 0x0A).contains { Array($0) == rest })
    }

    @Test("A crash right before a line's end loses nothing")
    func crashBeforeLineFeed() async throws {
        let folder = try AuditFolder()
        let first = try folder.log()
        await first.use(5)
        await first.stop()
        try folder.write(Array(try folder.bytes().dropLast()))
        let second = try folder.log()
        await second.stop()
        #expect(try folder.verify().findings == [])
    }

    @Test("A crash soon after a file was opened anew is no change of the audit")
    func crashAfterRotation() async throws {
        let folder = try AuditFolder()
        let log = try folder.log()
        await log.use(5)
        try FileManager.default.moveItem(atPath: folder.audit, toPath: "\(folder.audit).1")
        try log.reopen()
        await log.use(5)
        // As a crash leaves it.
        let crashed = try AuditFolder()
        for name in ["audit.jsonl.1", "audit.jsonl"] { try crashed.write(try folder.bytes(name), name) }
        try FileManager.default.copyItem(atPath: "\(folder.path)/state", toPath: "\(crashed.path)/state")
        await log.stop()
        try await crashed.log().stop()
        #expect(try crashed.verify(["audit.jsonl.1", "audit.jsonl"]).findings == [])
        #expect(try !String(decoding: crashed.bytes(), as: UTF8.self).contains("was replaced"))
    }

    @Test(
        "A file that is copied and truncated in place while it is written says so, and is not taken for a replaced one")
    func truncatedInPlace() async throws {
        let folder = try AuditFolder()
        let log = try folder.log()
        await log.use(5)
        for number in 1...2 {
            try folder.write(try folder.bytes(), "audit.jsonl.\(number)")
            #expect(truncate(folder.audit, 0) == 0)
            await log.use(2)
        }
        // As a crash leaves it.
        let crashed = try AuditFolder()
        for name in ["audit.jsonl.1", "audit.jsonl.2", "audit.jsonl"] {
            try crashed.write(try folder.bytes(name), name)
        }
        try FileManager.default.copyItem(atPath: "\(folder.path)/state", toPath: "\(crashed.path)/state")
        await log.stop()
        #expect(log.pendingLines == 0)
        #expect(try folder.verify(["audit.jsonl.1", "audit.jsonl.2", "audit.jsonl"]).findings == [])
        let first = try #require(folder.bytes().split(separator: 0x0A).first)
        #expect(String(decoding: first, as: UTF8.self).contains("truncated in place"))
        try await crashed.log().stop()
        #expect(try crashed.verify(["audit.jsonl.1", "audit.jsonl.2", "audit.jsonl"]).findings == [])
        #expect(try !String(decoding: crashed.bytes(), as: UTF8.self).contains("replaced"))
    }

    @Test("Lines from before there was a chain stay, and are told apart")
    func older() async throws {
        let folder = try AuditFolder()
        try folder.write(Array(AuditTests.line(AuditTests.record).utf8))
        let log = try folder.log()
        await log.use(2)
        await log.stop()
        let (findings, summary) = try folder.verify()
        #expect(findings.map(\.kind) == [.note])
        #expect(summary.faults == 0)
    }

    @Test("Two key holders do not write into one file")
    func locked() async throws {
        let folder = try AuditFolder()
        let log = try folder.log()
        #expect(throws: AuditLogError.self) { try folder.log() }
        await log.stop()
        try await folder.log().stop()
    }

    @Test("A head or a key that is none is an error, with what to do")
    func damaged() async throws {
        let folder = try AuditFolder()
        try await folder.log().stop()
        try folder.write(Array("junk".utf8), "state/audit.head")
        #expect { try folder.log() } throws: { "\($0)".contains("remove it") }
        try FileManager.default.removeItem(atPath: "\(folder.path)/state/audit.head")
        try folder.write(Array("junk".utf8), "state/audit.key")
        #expect { try folder.log() } throws: { "\($0)".contains("Ed25519") }
    }

    @Test("A checkpoint is written when it is time, and not while there is nothing to sign")
    func interval() async throws {
        let folder = try AuditFolder()
        let log = try folder.log()
        // The first may be in one batch with the start, and signed with it.
        await log.use(2)
        func checkpoints() throws -> Int {
            try String(decoding: folder.bytes(), as: UTF8.self).split(separator: "\n").count {
                $0.contains(#""operation":"checkpoint""#)
            }
        }
        #expect(try await AuditSpaceTests.eventually { !log.isBusy })
        let before = try checkpoints()
        log.tick(now: Clock.monotonic() + 61_000_000_000, time: 0)
        #expect(try await AuditSpaceTests.eventually { try checkpoints() == before + 1 })
        log.tick(now: Clock.monotonic() + 122_000_000_000, time: 0)
        #expect(try await AuditSpaceTests.eventually { !log.isBusy })
        await log.use(1)
        #expect(try checkpoints() == before + 1)
        await log.stop()
        #expect(try folder.verify().findings == [])
    }
}
