import AuditChain
import Crypto
import Foundation
import Logging
import NIOCore
import Telemetry
import Testing

@testable import KeyHolder

@Suite("The audit's chain over files, restarts and crashes", .timeLimit(.minutes(1)))
struct AuditChainFileTests {
    /// A folder of a test's own, which is gone afterwards.
    final class Folder {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("audit-\(UUID().uuidString)").path

        init() throws { try FileManager.default.createDirectory(atPath: self.path, withIntermediateDirectories: true) }

        deinit { try? FileManager.default.removeItem(atPath: self.path) }

        var audit: String { "\(self.path)/audit.jsonl" }

        var configuration: AuditConfiguration {
            AuditConfiguration(
                .file(self.audit), key: "\(self.path)/state/audit.key", head: "\(self.path)/state/audit.head")
        }

        func log() throws -> AuditLog {
            try AuditLog(
                self.configuration, limit: 10_000, start: "test",
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        }

        func bytes(_ name: String = "audit.jsonl") throws -> [UInt8] {
            Array(try Data(contentsOf: URL(fileURLWithPath: "\(self.path)/\(name)")))
        }

        func write(_ bytes: [UInt8], _ name: String = "audit.jsonl") throws {
            try Data(bytes).write(to: URL(fileURLWithPath: "\(self.path)/\(name)"))
        }

        /// In the order in which they were written.
        func verify(_ names: [String] = ["audit.jsonl"]) throws -> (findings: [ChainFinding], summary: ChainSummary) {
            let key = try #require(CheckpointSigner(hex: Self.signer(of: self.configuration.key ?? "")))
            var verifier = ChainVerifier(signers: [key])
            for name in names {
                verifier.begin(file: name)
                let bytes = try self.bytes(name)
                var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
                if lines.last?.isEmpty == true { lines.removeLast() }
                for (index, line) in lines.enumerated() {
                    verifier.line(line, isEnded: index < lines.count - 1 || bytes.last == 0x0A)
                }
            }
            let summary = verifier.finish()
            return (verifier.takeFindings(), summary)
        }

        private static func signer(of path: String) throws -> String {
            let origin = try AuditOrigin(AuditConfiguration(.standardOutput, key: path), file: nil)
            return "\(CheckpointSigner(try #require(origin.key).publicKey))"
        }
    }

    static func use(_ log: AuditLog, _ count: Int) async {
        for _ in 0..<count {
            #expect(log.reserve())
            log.record(AuditTests.record)
            let isWritten = await withCheckedContinuation { done in log.flush { done.resume(returning: $0) } }
            #expect(isWritten)
        }
    }

    static func stop(_ log: AuditLog) async {
        await log.shutDown(AuditRecord(time: Clock.wallMilliseconds(), event: .stop))
    }

    @Test("A chain goes on over a restart, and ends signed")
    func restart() async throws {
        let folder = try Folder()
        for _ in 0..<3 {
            let log = try folder.log()
            await Self.use(log, 5)
            await Self.stop(log)
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
        let folder = try Folder()
        let log = try folder.log()
        await Self.use(log, 5)
        for number in 1...3 {
            try FileManager.default.moveItem(atPath: folder.audit, toPath: "\(folder.audit).\(number)")
            try log.reopen()
            await Self.use(log, 5)
        }
        // Nothing was renamed: nothing is opened again.
        try log.reopen()
        await Self.stop(log)
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
        let folder = try Folder()
        let first = try folder.log()
        await Self.use(first, 5)
        await Self.stop(first)
        try FileManager.default.moveItem(atPath: folder.audit, toPath: "\(folder.audit).1")
        let second = try folder.log()
        await Self.use(second, 5)
        await Self.stop(second)
        #expect(try folder.verify(["audit.jsonl.1", "audit.jsonl"]).findings == [])
    }

    @Test("A crash within a line leaves its rest, which the next run names", arguments: [1, 40, 200])
    func crash(left: Int) async throws {
        let folder = try Folder()
        let first = try folder.log()
        await Self.use(first, 5)
        await Self.stop(first)
        // What the next write would have begun with.
        var bytes = try folder.bytes()
        let rest = Array(bytes.split(separator: 0x0A)[2].prefix(left))
        bytes += rest
        try folder.write(bytes)
        let second = try folder.log()
        await Self.use(second, 5)
        await Self.stop(second)
        let (findings, summary) = try folder.verify()
        #expect(summary.faults == 0, "\(findings)")
        #expect(findings.map(\.kind) == [.note])
        #expect(try folder.bytes().split(separator: 0x0A).contains { Array($0) == rest })
    }

    @Test("A crash right before a line's end loses nothing")
    func crashBeforeLineFeed() async throws {
        let folder = try Folder()
        let first = try folder.log()
        await Self.use(first, 5)
        await Self.stop(first)
        try folder.write(Array(try folder.bytes().dropLast()))
        let second = try folder.log()
        await Self.stop(second)
        #expect(try folder.verify().findings == [])
    }

    @Test("An end that was cut off while the key holder was not running is told at the start, and stays visible")
    func cutWhileStopped() async throws {
        let folder = try Folder()
        let first = try folder.log()
        await Self.use(first, 5)
        await Self.stop(first)
        let lines = try folder.bytes().split(separator: 0x0A)
        try folder.write(Array(lines.dropLast(4).joined(separator: [0x0A])) + [0x0A])
        let second = try folder.log()
        await Self.stop(second)
        let (findings, _) = try folder.verify()
        #expect(findings.map(\.kind) == [.missing])
        #expect(try String(decoding: folder.bytes(), as: UTF8.self).contains("its end was cut off or replaced"))
    }

    @Test("An end that was cut off and prolonged while the key holder was not running is not signed on to")
    func cutAndProlongedWhileStopped() async throws {
        let folder = try Folder()
        let first = try folder.log()
        await Self.use(first, 5)
        await Self.stop(first)
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
        await Self.stop(second)
        let (findings, summary) = try folder.verify()
        #expect(summary.faults > 0, "\(findings)")
        #expect(try String(decoding: folder.bytes(), as: UTF8.self).contains("was replaced"))
        // It goes on from what it remembers, and the next start finds nothing new.
        let third = try folder.log()
        await Self.stop(third)
        #expect(try folder.verify().summary.faults == summary.faults)
    }

    @Test("A start finds the remembered line far before the end, and behind a rest of a line")
    func manyUnsigned() async throws {
        let folder = try Folder()
        await Self.stop(try folder.log())
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
        await Self.stop(try folder.log())
        #expect(try folder.verify().findings == [])
        #expect(try !String(decoding: folder.bytes(), as: UTF8.self).contains("was replaced"))
    }

    @Test("A crash soon after a file was opened anew is no change of the audit")
    func crashAfterRotation() async throws {
        let folder = try Folder()
        let log = try folder.log()
        await Self.use(log, 5)
        try FileManager.default.moveItem(atPath: folder.audit, toPath: "\(folder.audit).1")
        try log.reopen()
        await Self.use(log, 5)
        // As a crash leaves it.
        let crashed = try Folder()
        for name in ["audit.jsonl.1", "audit.jsonl"] { try crashed.write(try folder.bytes(name), name) }
        try FileManager.default.copyItem(atPath: "\(folder.path)/state", toPath: "\(crashed.path)/state")
        await Self.stop(log)
        await Self.stop(try crashed.log())
        #expect(try crashed.verify(["audit.jsonl.1", "audit.jsonl"]).findings == [])
        #expect(try !String(decoding: crashed.bytes(), as: UTF8.self).contains("was replaced"))
    }

    @Test(
        "A file that is copied and truncated in place while it is written says so, and is not taken for a replaced one")
    func truncatedInPlace() async throws {
        let folder = try Folder()
        let log = try folder.log()
        await Self.use(log, 5)
        for number in 1...2 {
            try folder.write(try folder.bytes(), "audit.jsonl.\(number)")
            #expect(truncate(folder.audit, 0) == 0)
            await Self.use(log, 2)
        }
        // As a crash leaves it.
        let crashed = try Folder()
        for name in ["audit.jsonl.1", "audit.jsonl.2", "audit.jsonl"] {
            try crashed.write(try folder.bytes(name), name)
        }
        try FileManager.default.copyItem(atPath: "\(folder.path)/state", toPath: "\(crashed.path)/state")
        await Self.stop(log)
        #expect(log.pendingLines == 0)
        #expect(try folder.verify(["audit.jsonl.1", "audit.jsonl.2", "audit.jsonl"]).findings == [])
        let first = try #require(folder.bytes().split(separator: 0x0A).first)
        #expect(String(decoding: first, as: UTF8.self).contains("truncated in place"))
        await Self.stop(try crashed.log())
        #expect(try crashed.verify(["audit.jsonl.1", "audit.jsonl.2", "audit.jsonl"]).findings == [])
        #expect(try !String(decoding: crashed.bytes(), as: UTF8.self).contains("replaced"))
    }

    @Test("A file that begins behind what is remembered is told from one whose end was replaced")
    func beginsBehind() async throws {
        let folder = try Folder()
        let log = try folder.log()
        await Self.use(log, 9)
        let crashed = try Folder()
        // Lines behind the first checkpoint alone, which is all that is remembered.
        let lines = try folder.bytes().split(separator: 0x0A)
        #expect(lines.count >= 10)
        try crashed.write(Array(lines.suffix(3).joined(separator: [0x0A])) + [0x0A])
        try FileManager.default.copyItem(atPath: "\(folder.path)/state", toPath: "\(crashed.path)/state")
        await Self.stop(log)
        await Self.stop(try crashed.log())
        let text = try String(decoding: crashed.bytes(), as: UTF8.self)
        #expect(text.contains("the file begins with line \(lines.count - 2)"), "\(text)")
        #expect(!text.contains("its end was replaced"))
    }

    @Test("A line whose number is beyond all reason ends no start")
    func beyond() async throws {
        let folder = try Folder()
        await Self.stop(try folder.log())
        let hash = String(repeating: "0", count: 64)
        try folder.write(
            try folder.bytes()
                + Array("{\"seq\":18446744073709551615,\"operation\":\"x\",\"chain\":\"\(hash)\"}\n".utf8))
        await Self.stop(try folder.log())
        let (findings, _) = try folder.verify()
        #expect(!findings.isEmpty)
        #expect(AuditHead.position("latchstring audit head 1\n18446744073709551615 \(hash)\n") == nil)
    }

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
        await Self.stop(log)
        #expect(log.pendingLines == 0)
        #expect(disk.lines.count >= 6)
    }

    @Test("A log that was let go and taken up again goes on, and counts what was refused meanwhile")
    func takenUp() async throws {
        let folder = try Folder()
        let log = try folder.log()
        await Self.use(log, 2)
        #expect(await log.letGo())
        #expect(log.isLent)
        for _ in 0..<3 { #expect(!log.reserve()) }
        try log.takeUp()
        await Self.use(log, 2)
        await Self.stop(log)
        #expect(log.pendingLines == 0)
        #expect(try folder.verify().findings == [])
        let text = try String(decoding: folder.bytes(), as: UTF8.self)
        #expect(
            text.split(separator: "\n").contains { $0.contains(#""operation":"audit""#) && $0.contains(#""count":3"#) })
        // It has ended: nothing is opened again.
        #expect(await !log.letGo())
        try log.takeUp()
        #expect(try folder.bytes().count == text.utf8.count)
        await Self.stop(try folder.log())
    }

    @Test("What cannot be taken up is tried again, and an end that the other process lost is told")
    func takenUpLate() async throws {
        let folder = try Folder()
        let log = try folder.log()
        await Self.use(log, 2)
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
        await Self.use(log, 2)
        await Self.stop(log)
        #expect(try folder.verify().findings.map(\.kind) == [.missing])
        #expect(try String(decoding: folder.bytes(), as: UTF8.self).contains("its end was cut off or replaced"))
    }

    @Test("Lines from before there was a chain stay, and are told apart")
    func older() async throws {
        let folder = try Folder()
        try folder.write(Array(AuditTests.line(AuditTests.record).utf8))
        let log = try folder.log()
        await Self.use(log, 2)
        await Self.stop(log)
        let (findings, summary) = try folder.verify()
        #expect(findings.map(\.kind) == [.note])
        #expect(summary.faults == 0)
    }

    @Test("Two key holders do not write into one file")
    func locked() async throws {
        let folder = try Folder()
        let log = try folder.log()
        #expect(throws: AuditLogError.self) { try folder.log() }
        await Self.stop(log)
        await Self.stop(try folder.log())
    }

    @Test("A head or a key that is none is an error, with what to do")
    func damaged() async throws {
        let folder = try Folder()
        await Self.stop(try folder.log())
        try folder.write(Array("junk".utf8), "state/audit.head")
        #expect { try folder.log() } throws: { "\($0)".contains("remove it") }
        try FileManager.default.removeItem(atPath: "\(folder.path)/state/audit.head")
        try folder.write(Array("junk".utf8), "state/audit.key")
        #expect { try folder.log() } throws: { "\($0)".contains("Ed25519") }
    }

    @Test("A checkpoint is written when it is time, and not while there is nothing to sign")
    func interval() async throws {
        let folder = try Folder()
        let log = try folder.log()
        // The first may be in one batch with the start, and signed with it.
        await Self.use(log, 2)
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
        await Self.use(log, 1)
        #expect(try checkpoints() == before + 1)
        await Self.stop(log)
        #expect(try folder.verify().findings == [])
    }

    @Test("A line that a full disk took half of is whole in the file that is opened then")
    func halfALine() async throws {
        let folder = try Folder()
        let disk = AuditSpaceTests.Disk(room: 1000, canReserve: false)
        var journal = AuditJournal(AuditSpaceTests.Disk.File(disk: disk), AuditOrigin())
        for _ in 0..<10 { journal.add(AuditTests.record) }
        #expect(journal.drain() != nil)
        let fresh = try AuditFile(path: folder.audit)
        _ = journal.turnOver(to: fresh, time: 0)
        #expect(journal.drain() == nil)
        journal.close()
        let broken = disk.lines.joined(separator: "\n")
        try folder.write(Array(broken.utf8), "audit.jsonl.1")
        var verifier = ChainVerifier()
        for name in ["audit.jsonl.1", "audit.jsonl"] {
            verifier.begin(file: name)
            let lines = try folder.bytes(name).split(separator: 0x0A)
            for (index, line) in lines.enumerated() {
                verifier.line(line, isEnded: name == "audit.jsonl" || index < lines.count - 1)
            }
        }
        let summary = verifier.finish()
        #expect(summary.faults == 0)
        #expect(summary.lines == 11)
        #expect(verifier.takeFindings().map(\.kind) == [.note])
    }

    @Test("A line that a full disk took half of is whole in the file after it was truncated in place")
    func halfALineTruncated() throws {
        let disk = AuditSpaceTests.Disk(room: 1000, canReserve: false)
        var journal = AuditJournal(AuditSpaceTests.Disk.File(disk: disk), AuditOrigin())
        for _ in 0..<10 { journal.add(AuditTests.record) }
        #expect(journal.drain() != nil)
        let copied = disk.lines.count - 1
        #expect(copied > 0 && copied < 10)
        #expect(journal.wasTruncated() == false)
        disk.truncate()
        disk.room = 100_000
        #expect(journal.wasTruncated() == true)
        #expect(journal.drain() == nil)
        let numbers = disk.lines.map { SealedLine(Array($0.utf8)[...])?.position.sequence }
        #expect(numbers == (UInt64(copied + 1)...10).map { $0 })
    }

    @Test("A file that keeps no lines has no last signer, and gets no reader")
    func signerOfPipe() throws {
        let folder = try Folder()
        let path = "\(folder.path)/pipe"
        #expect(mkfifo(path, 0o600) == 0)
        #expect(try AuditTail.lastSigner(of: path) == nil)
        let key = "\(folder.path)/nothing.key"
        #expect(try AuditKeyState.of(key, signing: .file(path)) == .toBeMade(key))
    }

    @Test("A reader that takes nothing ends operations, and does not hold up the end of the key holder")
    func stalledPipe() async throws {
        let folder = try Folder()
        let path = "\(folder.path)/pipe"
        #expect(mkfifo(path, 0o600) == 0)
        let reader = open(path, O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        let log = try AuditLog(
            AuditConfiguration(.file(path)), limit: 100_000,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        var written = 0
        let begun = ContinuousClock.now
        while ContinuousClock.now - begun < .seconds(20), let isWritten = await AuditSpaceTests.operation(log),
            isWritten
        {
            written += 1
        }
        #expect(written > 100)
        #expect(log.isClosed)
        #expect(!log.hasRoom)
        // Read again, and it goes on.
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        #expect(
            try await AuditSpaceTests.eventually {
                _ = read(reader, &buffer, buffer.count)
                return await AuditSpaceTests.operation(log) == true
            })
        let end = ContinuousClock.now
        await log.shutDown()
        #expect(ContinuousClock.now - end < .seconds(10))
    }

    @Test("An output that hangs closes the log from outside, and the end does not wait for it")
    func hangingOutput() async throws {
        final class Hanging: AuditOutput {
            func write(_ bytes: ArraySlice<UInt8>) -> Result<Int, AuditOutputError> {
                Thread.sleep(forTimeInterval: 20)
                return .success(bytes.count)
            }
            func reserve(low: Int, high: Int) {}
            func close() {}
        }
        let log = AuditLog(
            .standardOutput, Hanging(), limit: 100, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        #expect(log.reserve())
        log.record(AuditTests.record)
        log.flush()
        #expect(try await AuditSpaceTests.eventually { log.isBusy })
        #expect(!log.isClosed)
        log.tick(now: Clock.monotonic() + AuditLog.patience, time: 0)
        #expect(log.isClosed)
        #expect(!log.reserve())
        let begun = ContinuousClock.now
        await log.shutDown()
        #expect(ContinuousClock.now - begun < .seconds(10))
    }
}
