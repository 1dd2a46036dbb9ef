import Crypto
import Foundation
import TestSockets
import Testing

@testable import DemoKit

/// What is in the edge's memory while a handoff session is open.
@Suite(.serialized, .timeLimit(.minutes(3))) struct HandoffMemoryTests {
    /// OpenSSL as the client tells all its secrets: by its key log, and by the session that it would resume with.
    @Test(.enabled(if: getuid() == 0))
    func theEdgeHoldsTheSessionsTrafficSecretsAndNothingAboveThem() async throws {
        let stage = try await HandoffStage()
        let log = stage.workspace.path("keylog")
        let session = stage.workspace.path("session")
        let client = try InteractiveTool(
            "openssl",
            [
                "s_client", "-connect", "127.0.0.1:\(stage.edge.port)", "-CAfile", stage.workspace.path("roots.pem"),
                "-servername", "www.test", "-tls1_3", "-keylogfile", log, "-sess_out", session,
            ], in: stage.workspace)
        try client.wait(for: "Verify return code: 0 (ok)")
        try client.send("GET / HTTP/1.1\r\nHost: www.test\r\n\r\n")
        try client.wait(for: "from the origin")

        var secrets: [String: [UInt8]] = [:]
        for line in try stage.workspace.read("keylog").split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 3, let bytes = Self.bytes(hex: words[2]) { secrets[String(words[0])] = bytes }
        }
        // s_client writes the session when its ticket comes.
        let digits: String = try eventually("a session ticket") {
            let description = try Tool.run("openssl", ["sess_id", "-in", session, "-noout", "-text"]).output
            let master = description.split(separator: "\n").first { $0.contains("Resumption PSK") }
            return master?.split(separator: " ").last.map(String.init)
        }
        let resumption: [UInt8] = try #require(Self.bytes(hex: digits[...]))
        secrets["resumption"] = resumption

        let names = secrets.keys.sorted()
        #expect(
            names == [
                "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "EXPORTER_SECRET",
                "SERVER_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0", "resumption",
            ])
        let key = try SiteSecrets(pkcs8PEM: try stage.workspace.read("www.test.key"))
        let subjects = names.map { SiteSecrets(parts: [.init(name: $0, bytes: secrets[$0] ?? [])]) } + [key]
        var search = MemorySearch(keys: subjects)
        _ = try ProcessMemory.search(pid: stage.edge.process.pid, with: &search)
        for (index, name) in (names + ["the site's key"]).enumerated() {
            let isLent = name.hasPrefix("CLIENT_TRAFFIC") || name.hasPrefix("SERVER_TRAFFIC")
            #expect((search.count(key: index) > 0) == isLent, "\(name): \(search.count(key: index)) hits at the edge")
        }
        var home = MemorySearch(keys: [key])
        _ = try ProcessMemory.search(pid: stage.keyHolder.process.pid, with: &home)
        #expect(home.count(key: 0) > 0)
        try client.finish()
        try await stage.stop()
    }

    private static func bytes(hex: Substring) -> [UInt8]? {
        let digits: [UInt8] = hex.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue.map(UInt8.init) }
        guard digits.count == hex.utf8.count, digits.count.isMultiple(of: 2), !digits.isEmpty else { return nil }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}
