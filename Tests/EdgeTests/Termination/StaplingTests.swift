import EdgeModel
import Foundation
import KeyHolder
import KeyProtocol
import TestLogs
import TestSockets
import Testing

@testable import Edge

/// OCSP responses that clients are shown, by both parties that make handshakes.
@Suite(.serialized, .timeLimit(.minutes(5))) struct StaplingTests {
    private static let good = "OCSP Response Status: successful"
    private static let none = "OCSP response: no response sent"

    /// Asks until the answer has this in it: files are read now and then.
    private static func status(
        _ bench: HandoffBench, _ site: String, _ version: String, has wanted: String
    ) async throws -> Bool {
        for _ in 0..<60 {
            if try await bench.openssl(site, "-status", version).all.contains(wanted) { return true }
            try await Task.sleep(for: .milliseconds(500))
        }
        return false
    }

    private static func withFile(_ test: (URL) async throws -> Void) async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "staple-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        try HandoffBench.ocspResponse(for: "p256.test").write(to: file)
        try await test(file)
    }

    @Test func keylessSitesHaveThemFromTheEdge() async throws {
        try await Self.withFile { file in
            let path = file.path
            try await KeylessTLS12Tests.run(
                operations: KeyProtocol.Operation.keyless, adjustSite: { $0.ocspResponses = [path] }
            ) { bench in
                // It is there for the first client.
                let first = try await bench.openssl("p256.test", "-status", "-tls1_3")
                #expect(first.all.contains(Self.good) && first.all.contains("Cert Status: good"), "\(first.all)")
                // Not for a client that does not ask, and not beside another certificate.
                let unasked = try await bench.openssl("p256.test", "-tls1_3")
                #expect(!unasked.all.contains(Self.good))
                #expect(try await bench.openssl("rsa.test", "-status", "-tls1_3").all.contains(Self.none))
                let line = try await blocking { try bench.log.wait(for: "no OCSP response is shown") }
                #expect(line.metadata["reason"]?.description.contains("says nothing of the site's certificate") == true)
                // One that says "revoked" would turn clients away.
                try HandoffBench.ocspResponse(for: "p256.test", .revoked).write(to: URL(filePath: path))
                #expect(try await Self.status(bench, "p256.test", "-tls1_3", has: Self.none))
                try HandoffBench.ocspResponse(for: "p256.test").write(to: URL(filePath: path))
                #expect(try await Self.status(bench, "p256.test", "-tls1_3", has: Self.good))
            }
        }
    }

    @Test(arguments: ["-tls1_2", "-tls1_3"]) func handoffSitesHaveThemFromTheKeyHolder(version: String) async throws {
        try await Self.withFile { file in
            let path = file.path
            try await HandoffBench.run(adjustKeyHolder: { home in
                for index in home.sites.indices { home.sites[index].handshakes.ocspResponses = [path] }
            }) { bench in
                #expect(try await Self.status(bench, "p256.test", version, has: Self.good))
                #expect(try await bench.openssl("rsa.test", "-status", version).all.contains(Self.none))
                try FileManager.default.removeItem(atPath: path)
                #expect(try await Self.status(bench, "p256.test", version, has: Self.none))
            }
        }
    }
}
