import Foundation
import NIOCore
import NIOSSL
import TLSWire
import Testing

@testable import KeyHolder

@Suite("What a site's handshakes allow", .timeLimit(.minutes(2)))
struct HandshakePolicyTests {
    private static func holder(_ adjust: (inout HandshakeSettings) -> Void) async throws -> TestHolder {
        let holder = try await TestHolder()
        var configuration = holder.configuration
        adjust(&configuration.sites[0].handshakes)
        try holder.server.reload(configuration)
        return holder
    }

    /// Whether openssl's client is served with these arguments, and all that it says.
    private static func client(_ arguments: String, _ holder: TestHolder) async throws -> (isServed: Bool, text: String)
    {
        let edge = try await holder.edge("paris")
        let text: String = try await EdgeStandIn.client(arguments, through: edge, name: "p256.test")
        await edge.close()
        return (text.contains(OpenSSLHandoffTests.served), text)
    }

    @Test("The highest version")
    func maximumVersion() async throws {
        let holder = try await Self.holder { $0.maximumVersion = TLSVersion.tls12 }
        let both = try await Self.client("", holder)
        #expect(both.isServed && both.text.contains("New, TLSv1.2"))
        let latest = try await Self.client("-tls1_3", holder)
        #expect(!latest.isServed && latest.text.contains("alert protocol version"), "\(latest.text)")
        _ = try await holder.stop()
    }

    @Test("Suites of TLS 1.2, and groups")
    func suitesAndGroups() async throws {
        let holder = try await Self.holder {
            $0.tls12Suites = [0xC02C]
            $0.groups = [TLSGroup.secp384r1]
        }
        let allowed = try await Self.client("-tls1_2", holder)
        #expect(allowed.isServed && allowed.text.contains("Cipher is ECDHE-ECDSA-AES256-GCM-SHA384"))
        #expect(allowed.text.contains("ECDH, secp384r1") || allowed.text.contains("ECDH, P-384"), "\(allowed.text)")
        #expect(try await !Self.client("-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256", holder).isServed)
        #expect(try await !Self.client("-tls1_3 -groups X25519", holder).isServed)
        // With a HelloRetryRequest.
        #expect(try await Self.client("-tls1_3 -groups X25519:P-384", holder).isServed)
        _ = try await holder.stop()
    }

    @Test("Without a ticket's lifetime there are no tickets", arguments: [2, 3])
    func noTickets(version: Int) async throws {
        let ticket: String = AuditTests.temporaryFile()
        defer { try? FileManager.default.removeItem(atPath: ticket) }
        let holder = try await Self.holder { _ in }
        #expect(try await Self.client("-tls1_\(version) -sess_out \(ticket)", holder).isServed)
        // The same tickets are good for nothing, and none are made.
        var configuration = holder.configuration
        configuration.sites[0].handshakes.ticketLifetime = 0
        try holder.server.reload(configuration)
        let full = try await Self.client("-tls1_\(version) -sess_in \(ticket)", holder)
        #expect(full.isServed && full.text.contains("New, TLSv1.\(version)"))
        let edge = try await holder.edge("paris")
        let client = try await HandoffClient("p256.test") { if version == 2 { $0.maximumTLSVersion = .tlsv12 } }
        let lent = try await LentSession.shake(client, edge)
        #expect(lent.tickets.readableBytes == 0)
        try await lent.exchange(client)
        await client.end()
        await edge.close()
        _ = try await holder.stop()
    }

    @Test("What leaves nothing is refused when it is loaded, and what is left out is told")
    func problems() throws {
        var settings = HandshakeSettings()
        #expect(settings.problem(with: [.p256]) == nil && settings.exclusions == [])
        settings.tls12Suites = [0xC02F]
        #expect(settings.problem(with: [.rsa(bits: 2048)]) == nil)
        #expect(
            settings.problem(with: [.ed25519]) == "none of its suites of TLS 1.2 goes with a key of the type Ed25519")
        #expect(settings.exclusions.count == 5)
        settings.minimumVersion = TLSVersion.tls13
        #expect(settings.problem(with: [.p256]) == nil)
        settings.groups = [TLSGroup.x25519]
        settings.ticketLifetime = 0
        #expect(
            settings.exclusions == ["clients without TLS 1.3", "X25519MLKEM768", "P-256", "P-384", "resumption"])
        settings.maximumVersion = TLSVersion.tls12
        #expect(settings.problem(with: [.p256]) == "its highest TLS version is below its lowest")
    }

    @Test("A site whose policy leaves nothing does not start")
    func refused() async throws {
        let holder = try await TestHolder()
        var configuration = holder.configuration
        configuration.sites[0].handshakes.tls12Suites = [0xC02F]
        #expect(throws: SiteLoadError.self) { try holder.server.reload(configuration) }
        _ = try await holder.stop()
    }
}
