import EdgeModel
import Foundation
import KeyProtocol
import TLSWire
import TestLogs
import TestSockets
import Testing

@testable import Edge
@testable import KeyHolder

/// Keyless sites and clients without TLS 1.3: the key holder shakes hands with them, under a keyless grant.
@Suite(.serialized, .timeLimit(.minutes(5))) struct KeylessTLS12Tests {
    static func run(
        operations: Set<KeyProtocol.Operation> = KeyProtocol.Operation.keyless,
        adjustKeyHolder: (inout KeyHolderConfiguration) -> Void = { _ in },
        adjustSite: (inout TerminationConfiguration) -> Void = { _ in },
        adjustEdge: (inout EdgeConfiguration) -> Void = { _ in },
        _ test: @escaping @Sendable (HandoffBench) async throws -> Void
    ) async throws {
        try await HandoffBench.run(
            operations: operations, adjustKeyHolder: adjustKeyHolder,
            adjust: { edge in
                adjustEdge(&edge)
                for index in edge.sites.indices {
                    guard var termination = edge.sites[index].mode.termination else { continue }
                    adjustSite(&termination)
                    edge.sites[index].mode = .keyless(termination)
                }
            }, test: test)
    }

    @Test(arguments: HandoffBench.sites) func bothVersions(site: String) async throws {
        try await Self.run { bench in
            for (version, operation) in [("1.2", "handoff"), ("1.3", "sign-tls13")] {
                let before = bench.audit
                let result = try await bench.curl(site, "/5", "--tls-max", version, "--http1.1")
                #expect(result.output == "xxxxx", "\(result.errors)")
                let line = try await bench.newAuditLine(after: before) {
                    $0.contains(site) && $0.contains("\"ok\"") && !$0.contains("\"certificate\"")
                }
                #expect(line.contains("\"operation\":\"\(operation)\""), "\(line)")
                #expect(line.contains("\"client\":\"127.0.0.1\""))
                #expect(line.contains("\"tls_version\":\"TLS 1.2\"") == (version == "1.2"))
            }
        }
    }

    /// Tickets of TLS 1.2 are the key holder's, so each resumption asks it.
    @Test func resumption() async throws {
        try await Self.run { bench in
            let ticket = bench.file("session")
            let first = try await bench.openssl("p256.test", "-tls1_2", "-sess_out", ticket)
            #expect(first.all.contains("New, TLSv1.2") && first.all.contains("HTTP/1.1 200"), "\(first.all)")
            let before = bench.audit
            let second = try await bench.openssl("p256.test", "-tls1_2", "-sess_in", ticket)
            #expect(second.all.contains("Reused, TLSv1.2") && second.all.contains("HTTP/1.1 200"), "\(second.all)")
            let line = try await bench.newAuditLine(after: before) { $0.contains("handoff") }
            #expect(line.contains("\"resumed\":true"))
        }
    }

    /// The groups are those of TLS 1.3 at this edge; the key holder has its own for TLS 1.2.
    @Test func groupsOfASite() async throws {
        try await Self.run(adjustSite: { $0.groups = [TLSGroup.secp384r1] }) { bench in
            let refused = try await bench.openssl("p256.test", "-tls1_3", "-groups", "X25519:P-256")
            #expect(refused.all.contains("alert handshake failure"), "\(refused.all)")
            #expect(!bench.audit.contains("\"sign-tls13\""))
            let line = try await blocking { try bench.log.wait(for: "handshake failed") }
            #expect(line.metadata["error"] == "the handshake was refused: no shared group", "\(line.metadata)")
            let served = try await bench.openssl("p256.test", "-tls1_3", "-groups", "X25519:P-384")
            #expect(served.all.contains("HTTP/1.1 200") && served.all.contains("ECDH, secp384r1"), "\(served.all)")
        }
    }

    @Test func aSiteThatTakesNoTLS12AsksNobody() async throws {
        try await Self.run(adjustSite: { $0.minimumTLSVersion = TLSVersion.tls13 }) { bench in
            let before = bench.audit
            let refused = try await bench.openssl("p256.test", "-tls1_2")
            #expect(refused.all.contains("alert protocol version"), "\(refused.all)")
            let served = try await bench.openssl("p256.test", "-tls1_3")
            #expect(served.all.contains("HTTP/1.1 200"), "\(served.all)")
            _ = try await bench.newAuditLine(after: before) { $0.contains("sign-tls13") }
            #expect(!bench.audit.contains("\"handoff\""))
        }
    }

    /// The site asks for RSA key exchange and the edge has either grant; the site's mode decides.
    @Test func thereIsNoKeyExchangeByRSA() async throws {
        try await Self.run(
            operations: KeyProtocol.Operation.keyless.union(KeyProtocol.Operation.handingOff),
            adjustKeyHolder: { $0.sites[1].handshakes.allowsRSAKeyExchange = true }
        ) { bench in
            let refused = try await bench.openssl("rsa.test", "-tls1_2", "-cipher", "AES128-GCM-SHA256")
            #expect(refused.all.contains("alert handshake failure"), "\(refused.all)")
            #expect(!refused.all.contains("HTTP/1.1 200"))
            let served = try await bench.openssl("rsa.test", "-tls1_2")
            #expect(served.all.contains("Cipher is ECDHE-RSA"), "\(served.all)")
        }
    }

    /// A grant of signatures alone, as a file may have it that names operations one by one.
    @Test func withoutTheGrantThereIsAnAlert() async throws {
        try await Self.run(operations: [.certificate, .signTLS13]) { bench in
            let refused = try await bench.openssl("p256.test", "-tls1_2")
            #expect(refused.all.contains("alert internal error"), "\(refused.all)")
            let served = try await bench.openssl("p256.test", "-tls1_3")
            #expect(served.all.contains("HTTP/1.1 200"), "\(served.all)")
        }
    }
}
