import AuditChain
import Foundation
import Logging
import Telemetry
import Testing

@testable import KeyHolder

@Suite("Outputs of the audit that are full, keep nothing or hang", .timeLimit(.minutes(1)))
struct AuditOutputTests {
    @Test("A line that a full disk took half of is whole in the file that is opened then")
    func halfALine() async throws {
        let folder = try AuditFolder()
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
        let folder = try AuditFolder()
        let path = "\(folder.path)/pipe"
        #expect(mkfifo(path, 0o600) == 0)
        #expect(try AuditTail.lastSigner(of: path) == nil)
        let key = "\(folder.path)/nothing.key"
        #expect(try AuditKeyState.of(key, signing: .file(path)) == .toBeMade(key))
    }

    @Test("A reader that takes nothing ends operations, and does not hold up the end of the key holder")
    func stalledPipe() async throws {
        let folder = try AuditFolder()
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
