import AuditChain
import Crypto
import Foundation
import Logging
import Telemetry
import Testing

@testable import KeyHolder

/// A folder for one test's audit, which is gone afterwards.
final class AuditFolder {
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

extension AuditLog {
    /// Operations, each with a line that is written.
    func use(_ count: Int) async {
        for _ in 0..<count {
            #expect(self.reserve())
            self.record(AuditTests.record)
            let isWritten = await withCheckedContinuation { done in self.flush { done.resume(returning: $0) } }
            #expect(isWritten)
        }
    }

    /// The end of the key holder.
    func stop() async {
        await self.shutDown(AuditRecord(time: Clock.wallMilliseconds(), event: .stop))
    }
}
