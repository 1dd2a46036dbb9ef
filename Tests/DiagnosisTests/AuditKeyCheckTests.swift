import Crypto
import Foundation
import Logging
import SecretFiles
import Telemetry
import Testing

@testable import Diagnosis
@testable import KeyHolder
@testable import Settings

@Suite("What check says of the key that signs an audit", .timeLimit(.minutes(1)))
struct AuditKeyCheckTests {
    private final class Folder {
        let path = FileManager.default.temporaryDirectory.appending(path: "audit-key-\(UUID().uuidString)").path

        init() throws { try SecretFile.makeFolder(self.path) }

        deinit { try? FileManager.default.removeItem(atPath: self.path) }

        var audit: String { "\(self.path)/audit.jsonl" }
        var key: String { "\(self.path)/state/audit.key" }

        /// A key holder's life, as far as its audit goes.
        func run() async throws {
            let log = try AuditLog(
                AuditConfiguration(.file(self.audit), key: self.key, head: "\(self.path)/state/audit.head"),
                limit: 100, start: "test", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            await log.shutDown(AuditRecord(time: 0, event: .stop))
        }

        func check(hasKey: Bool = true) -> CheckLine? {
            let report = CheckReport(colours: false) { _ in }
            AuditKeyCheck(
                settings: .init(
                    target: .file(self.audit), key: hasKey ? self.key : nil, head: nil, checkpoint: .seconds(60)),
                report: report
            ).run()
            return report.lines.count == 1 ? report.lines.first : nil
        }
    }

    @Test("Before the first start it is made, and afterwards it is named")
    func good() async throws {
        let folder = try Folder()
        let before = try #require(folder.check())
        #expect(before.outcome == .ok && before.text.contains("is made at the first start"))
        #expect(!FileManager.default.fileExists(atPath: folder.key))
        try await folder.run()
        let after = try #require(folder.check())
        let signer = try SigningKeyFile.read(folder.key).publicKey.rawRepresentation
        let hex = signer.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(after.outcome == .ok && after.text.contains("signs as \(hex), as it did before"), "\(after.text)")
        #expect(folder.check(hasKey: false)?.text.contains("nothing signs it") == true)
    }

    @Test("One that is gone, and one that is not the file's, are warnings with both names")
    func others() async throws {
        let folder = try Folder()
        try await folder.run()
        let first = try #require(folder.check()).text
        try FileManager.default.removeItem(atPath: folder.key)
        let gone = try #require(folder.check())
        #expect(gone.outcome == .warn && gone.text.contains("is not there, and the audit was signed by"))
        _ = try SigningKeyFile.make(folder.key)
        let other = try #require(folder.check())
        #expect(other.outcome == .warn && other.text.contains(", and the audit was signed by "), "\(other.text)")
        #expect(other.text.contains(try #require(first.split(separator: " ").first { $0.count == 65 }).dropLast()))
    }

    /// As in the package, where the service made both.
    @Test(
        "Root may look at a service's key, which is in order where it belongs to the audit's user",
        .enabled(if: geteuid() == 0))
    func ofService() async throws {
        let folder = try Folder()
        try await folder.run()
        #expect(chown(folder.key, 65534, 65534) == 0)
        #expect(folder.check()?.outcome == .fail)
        #expect(chown(folder.audit, 65534, 65534) == 0)
        let line = try #require(folder.check())
        #expect(line.outcome == .ok && line.text.contains("run check as that user"), "\(line.text)")
        #expect(chmod(folder.key, 0o640) == 0)
        #expect(folder.check()?.outcome == .fail)
    }

    @Test("One that other users can read, and one that is no key, are faults: the key holder does not start with them")
    func unusable() async throws {
        let folder = try Folder()
        try await folder.run()
        #expect(chmod(folder.key, 0o644) == 0)
        let open = try #require(folder.check())
        #expect(open.outcome == .fail && open.text.contains("other users can read"), "\(open.text)")
        #expect(chmod(folder.key, 0o600) == 0)
        try SecretFile.write("nonsense\n", to: folder.key)
        let nonsense = try #require(folder.check())
        #expect(nonsense.outcome == .fail && nonsense.text.contains("holds no Ed25519 private key"))
    }
}
