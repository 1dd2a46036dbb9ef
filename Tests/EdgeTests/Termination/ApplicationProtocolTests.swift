import Crypto
import EdgeModel
import Foundation
import KeyHolder
import KeyProtocol
import NIOCore
import NIOSSL
import PrivateAuthority
import TLSWire
import TestLogs
import TestSockets
import Testing

@testable import Edge
@testable import EdgeTLS

/// Clients that name the protocols they want (ALPN), with the real key holder, in both modes in which TLS ends here.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ApplicationProtocolTests {
    /// The first site hands off, the second one is keyless, the third hands off without HTTP/2.
    private static func run(_ test: @escaping @Sendable (HandoffBench) async throws -> Void) async throws {
        try await HandoffBench.run(
            operations: KeyProtocol.Operation.handingOff.union(KeyProtocol.Operation.keyless),
            adjust: { edge in
                for index in edge.sites.indices {
                    guard var termination = edge.sites[index].mode.termination else { continue }
                    termination.http2 = index != 2
                    edge.sites[index].mode = index == 1 ? .keyless(termination) : .handoff(termination)
                }
            }, test: test)
    }

    private static let refusal = "alert number 120"

    private static func operations(_ bench: HandoffBench) -> Int {
        bench.audit.split(separator: "\n").count { $0.contains("\"handoff\"") || $0.contains("\"sign-") }
    }

    @Test(arguments: ["p256.test", "rsa.test"], ["1_2", "1_3"])
    func onlyOtherProtocols(site: String, version: String) async throws {
        try await Self.run { bench in
            for offered in ["imap", "ftp,xmpp-client", "http/1.0", "h2c", "acme-tls/1,imap"] {
                let result = try await bench.openssl(site, "-tls\(version)", "-alpn", offered)
                #expect(result.all.contains(Self.refusal), "\(offered): \(result.all)")
            }
            // The key holder was asked for nothing.
            #expect(Self.operations(bench) == 0, "\(bench.audit)")
            let line = try await blocking { try bench.log.wait(for: "client hello refused") }
            #expect(line.metadata["reason"] == "no application protocol")
            let input = "GET /5 HTTP/1.1\r\nHost: \(site)\r\nConnection: close\r\n\r\n"
            for offered in ["http/1.1", "imap,http/1.1"] {
                let result = try await bench.openssl(site, "-tls\(version)", "-alpn", offered, input: input)
                #expect(result.all.contains("ALPN protocol: http/1.1"), "\(result.all)")
                #expect(result.all.contains("HTTP/1.1 200"))
            }
            // None at all stands for HTTP/1.1.
            let none = try await bench.openssl(site, "-tls\(version)", input: input)
            #expect(none.all.contains("No ALPN negotiated") && none.all.contains("HTTP/1.1 200"), "\(none.all)")
            let curl = try await bench.curl(site, "/5", "--no-alpn", "--tls-max", version.replacing("_", with: "."))
            #expect(curl.output == "xxxxx", "\(curl.errors)")
        }
    }

    @Test func aSiteWithoutHTTP2IsNotForClientsOfNothingElse() async throws {
        try await Self.run { bench in
            let refused = try await bench.openssl("ed.test", "-alpn", "h2")
            #expect(refused.all.contains(Self.refusal), "\(refused.all)")
            #expect(Self.operations(bench) == 0)
            let curl = try await bench.curl("p256.test", "/5", "--http2-prior-knowledge")
            #expect(curl.output == "xxxxx", "\(curl.errors)")
        }
    }

    /// An authority's check goes to the key holder in handoff mode, which has nothing to say to it without an order; never is
    /// there HTTP.
    @Test(arguments: ["1_2", "1_3"]) func acme(version: String) async throws {
        try await Self.run { bench in
            let handoff = try await bench.openssl("p256.test", "-tls\(version)", "-alpn", "acme-tls/1")
            #expect(handoff.all.contains(Self.refusal), "\(handoff.all)")
            #expect(!handoff.all.contains("HTTP/1.1"))
            let line = try await bench.newAuditLine(after: "") { $0.contains("\"handoff\"") }
            #expect(line.contains("\"outcome\":\"handshake-failed\""))
            #expect(line.contains("an authority's check, and no order is open"))
            let keyless = try await bench.openssl("rsa.test", "-tls\(version)", "-alpn", "acme-tls/1")
            #expect(keyless.all.contains(Self.refusal), "\(keyless.all)")
            #expect(Self.operations(bench) == 2)
            #expect(!bench.audit.contains("\"sign-"))
        }
    }

    /// With an order open, the authority gets its certificate in both modes, and the connection ends: no HTTP, no session, no use
    /// of the site's key. Clients of the site notice nothing.
    @Test(arguments: ["p256.test", "rsa.test"]) func acmeWithAnOrder(site: String) async throws {
        try await Self.run { bench in
            let challenge = try TestSiteAuthority(name: "challenges").issueSite(domains: [site], keyType: .p256)
            let leaf = try NIOSSLCertificate.fromPEMBytes(Array(challenge.chainPEM.utf8))[0]
            let key = try P256.Signing.PrivateKey(pemRepresentation: challenge.keyPEM)
            try bench.keyHolder.showChallenge(
                try leaf.toDERBytes(), key: [UInt8](key.derRepresentation), for: try ServerName(site))
            let input = "GET /5 HTTP/1.1\r\nHost: \(site)\r\nConnection: close\r\n\r\n"
            // The client has to believe the certificate for the check, or it ends the handshake.
            let roots = bench.file("challenge.pem")
            try Data(challenge.chainPEM.utf8).write(to: URL(filePath: roots))
            let check = try await bench.openssl(
                site, "-alpn", "acme-tls/1", "-showcerts", "-partial_chain", "-CAfile", roots, input: input)
            #expect(check.all.contains("ALPN protocol: acme-tls/1"), "\(check.all)")
            #expect(check.all.contains("Protocol  : TLSv1.2") || check.all.contains("New, TLSv1.2"), "\(check.all)")
            #expect(check.all.contains("challenges"), "\(check.all)")
            #expect(!check.all.contains("HTTP/1.1"))
            let line = try await bench.newAuditLine(after: "") { $0.contains("authority's check was answered") }
            #expect(line.contains("\"outcome\":\"ok\"") && line.contains("\"site\":\"\(site)\""))
            // A client that offers HTTP as well is no authority.
            for offered in ["http/1.1", "acme-tls/1,http/1.1"] {
                let client = try await bench.openssl(site, "-alpn", offered, input: input)
                #expect(client.all.contains("HTTP/1.1 200") && !client.all.contains("challenges"), "\(client.all)")
            }
            // Another name has no order.
            let other = try await bench.openssl("ed.test", "-alpn", "acme-tls/1")
            #expect(other.all.contains(Self.refusal), "\(other.all)")
            bench.keyHolder.withdrawChallenge(for: try ServerName(site))
            let late = try await bench.openssl(site, "-alpn", "acme-tls/1")
            #expect(late.all.contains(Self.refusal), "\(late.all)")
        }
    }

    @Test func whereAHelloGoes() throws {
        func route(_ mode: SiteMode, _ protocols: String...) throws -> String {
            let table = try SiteTable(sites: [Site(domains: [try ServerNamePattern("www.example.test")], mode: mode)])
            var hello = try ClientHello(parsing: ByteBuffer(bytes: TestHello().message))
            hello.applicationProtocols = protocols.map { Array($0.utf8) }
            switch table.route(hello) {
            case .site(let site): return site.name
            case .reject(let alert, let reason): return "\(alert.name), \(reason.rawValue)"
            }
        }
        let served = "www.example.test"
        let refused = "no_application_protocol, no application protocol"
        let termination = TerminationConfiguration(
            keyHolder: "home", origin: OriginConfiguration(scheme: .http, host: "127.0.0.1"))
        var http1 = termination
        http1.http2 = false
        for mode in [SiteMode.handoff(termination), .keyless(termination)] {
            #expect(try route(mode) == served)
            #expect(try route(mode, "h2") == served)
            #expect(try route(mode, "imap", "http/1.1") == served)
            #expect(try route(mode, "imap") == refused)
            #expect(try route(mode, "H2") == refused)
            #expect(try route(mode, "acme-tls/1", "imap") == refused)
            #expect(try route(mode, "acme-tls/1", "h2") == served)
        }
        #expect(try route(.handoff(http1), "h2") == refused)
        // The key holder's answer, in both modes.
        #expect(try route(.handoff(termination), "acme-tls/1") == served)
        #expect(try route(.keyless(termination), "acme-tls/1") == served)
        #expect(try route(.relay(RelayConfiguration(origin: .fixed(host: "127.0.0.1", port: 1))), "imap") == served)
    }
}
