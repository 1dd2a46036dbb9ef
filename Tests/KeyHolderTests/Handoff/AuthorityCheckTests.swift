import Crypto
import KeyProtocol
import NIOCore
import NIOSSL
import PrivateAuthority
import RecordLayer
import Synchronization
import TLSWire
import Testing

@testable import KeyHolder

/// An authority's check of a name (RFC 8737), brought by edges that keep to the protocol and by others.
@Suite("An authority's check gets a certificate made for it, and nothing else", .timeLimit(.minutes(2)))
struct AuthorityCheckTests {
    private static func authority(_ protocols: [String] = ["acme-tls/1"], tls13Only: Bool = false) async throws
        -> HandoffClient
    {
        try await HandoffClient("p256.test") { configuration in
            configuration.applicationProtocols = protocols
            if tls13Only { configuration.minimumTLSVersion = .tlsv13 }
        }
    }

    private static func show(_ holder: TestHolder, _ name: String = "p256.test") throws {
        let issued = try TestHolder.siteAuthority.get().issueSite(domains: [name], keyType: .p256)
        let leaf = try NIOSSLCertificate(bytes: Array(issued.chainPEM.utf8), format: .pem)
        let key = try P256.Signing.PrivateKey(pemRepresentation: issued.keyPEM)
        try holder.server.showChallenge(
            try leaf.toDERBytes(), key: [UInt8](key.derRepresentation), for: try ServerName(name))
    }

    @Test("Whatever the edge says that it speaks, there is no session, and no use of the site's key")
    func noSession() async throws {
        let store = RecordingKeyStore()
        let holder = try await TestHolder(keyStore: store)
        let edge = try await holder.edge("paris")
        for protocols in [["h2", "http/1.1"], ["http/1.1"]] {
            let client = try await Self.authority()
            await #expect(throws: KeyErrorCode.certificateNotFound) {
                try await edge.begin(try await client.bytes(), protocols: protocols)
            }
        }
        try Self.show(holder)
        for protocols in [["h2", "http/1.1"], ["http/1.1"]] {
            let client = try await Self.authority()
            var progress = try await edge.begin(try await client.bytes(), protocols: protocols)
            guard case .needsMore = progress.state else {
                Issue.record("\(progress.state)")
                return
            }
            try await client.take(progress.serverBytes)
            progress = try await edge.proceed(progress.handshake, try await client.bytes())
            #expect(progress.state == .failed(reason: "an authority's check was answered"))
            try await client.take(progress.serverBytes)
            #expect(client.isActive)
            // It is over: nothing more can be asked of it.
            let handshake = progress.handshake
            await #expect(throws: KeyErrorCode.formatError) {
                try await edge.proceed(handshake, ByteBuffer(bytes: [0x15, 3, 3, 0, 2, 1, 0]))
            }
            await client.end()
        }
        // TLS 1.3 alone is refused by the library, and other names have no order.
        let modern = try await Self.authority(tls13Only: true)
        let progress = try await edge.begin(try await modern.bytes())
        guard case .failed = progress.state else {
            Issue.record("\(progress.state)")
            return
        }
        #expect(store.operations.withLock { $0.isEmpty })
        holder.server.withdrawChallenge(for: try ServerName("p256.test"))
        let late = try await Self.authority()
        await #expect(throws: KeyErrorCode.certificateNotFound) { try await edge.begin(try await late.bytes()) }
        await edge.close()
        let lines = try await holder.stop()
        #expect(
            lines.map { $0["outcome"] } == [
                "handshake-failed", "handshake-failed", "ok", "ok", "handshake-failed", "handshake-failed",
            ])
        #expect(lines[2]["detail"] == "an authority's check was answered")
        #expect(lines[2]["tls_version"] == "TLS 1.2")
    }

    @Test("A client that offers HTTP beside it is a client of the site")
    func beside() async throws {
        let holder = try await TestHolder()
        try Self.show(holder)
        let edge = try await holder.edge("paris")
        let client = try await Self.authority(["acme-tls/1", "http/1.1"])
        let lent = try await LentSession.shake(client, edge)
        #expect(lent.exported.applicationProtocol.map { String(decoding: $0, as: UTF8.self) } == "http/1.1")
        await edge.close()
        _ = try await holder.stop()
    }
}
