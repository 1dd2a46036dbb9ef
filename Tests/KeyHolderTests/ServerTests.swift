import Crypto
import CryptoExtras
import Foundation
import KeyProtocol
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import PeerLink
import PrivateAuthority
import TLSWire
import Testing
import X509

@testable import KeyHolder

@Suite("Key holder over mutual TLS", .timeLimit(.minutes(2)))
struct ServerTests {
    static let rsaSign = PolicyFixtures.signRequest("rsa.test", .rsaPSSSHA256)
    static let p256Sign = PolicyFixtures.signRequest("p256.test", .ecdsaP256SHA256)
    static let content: [UInt8] = TLS13ServerSignature.content(
        transcriptHash: [UInt8](repeating: 0xAB, count: 32))

    @Test("Certificate and signatures of every key type belong together")
    func signatures() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        for (issued, name, scheme) in [
            (try TestHolder.p256.get(), "www.p256.test", SignatureScheme.ecdsaP256SHA256),
            (try TestHolder.rsa.get(), "rsa.test", .rsaPSSSHA256), (try TestHolder.ed25519.get(), "ed.test", .ed25519),
        ] {
            let certificate = try #require(try await edge.ask(PolicyFixtures.certificateRequest(name)))
            let answer = try CertificateAnswer(decoding: certificate.payload)
            #expect(answer.rate == 1_000_000)
            let chain = try #require(answer.chains.first)
            #expect(answer.chains.count == 1)
            #expect(chain.certificates == (try issued.chainDER))
            #expect(chain.ski == issued.subjectKeyIdentifier)
            #expect(chain.schemes.contains(scheme))
            let tls13 = try #require(try await edge.ask(PolicyFixtures.signRequest(name, scheme)))
            #expect(tls13.opcode == .success)
            #expect(Self.isValid(tls13.payload, over: Self.content, scheme, issued.certificate.publicKey))
        }
        await edge.close()
        let lines = try await holder.stop()
        #expect(lines.count == 6)
        #expect(lines.allSatisfy { $0["outcome"] == "ok" && $0["edge"] == "paris" })
        #expect(lines.map { $0["operation"] }.prefix(2) == ["certificate", "sign-tls13"])
        #expect(lines[0]["site"] == "p256.test" && lines[0]["name"] == "www.p256.test")
    }

    static func isValid(
        _ signature: ByteBuffer, over content: [UInt8], _ scheme: SignatureScheme, _ key: Certificate.PublicKey
    ) -> Bool {
        let bytes = Array(signature.readableBytesView)
        switch scheme {
        case .ecdsaP256SHA256:
            guard let key = P256.Signing.PublicKey(key),
                let signature = try? P256.Signing.ECDSASignature(derRepresentation: bytes)
            else { return false }
            return key.isValidSignature(signature, for: content)
        case .rsaPSSSHA256:
            guard let key = _RSA.Signing.PublicKey(key) else { return false }
            return key.isValidSignature(
                .init(rawRepresentation: bytes), for: SHA256.hash(data: content), padding: .PSS)
        case .ed25519:
            return Curve25519.Signing.PublicKey(key)?.isValidSignature(bytes, for: content) ?? false
        default:
            return false
        }
    }

    @Test("A site or operation that was not granted is not found, and audited as denied")
    func denied() async throws {
        let holder = try await TestHolder()
        var configuration = holder.configuration
        configuration.grants = [
            try PolicyFixtures.grant("paris", "p256.test", operations: [.certificate]),
            try PolicyFixtures.grant("rome", "rsa.test"),
        ]
        try holder.server.reload(configuration)
        let edge = try await holder.edge("paris")
        #expect(try await edge.ask(Self.p256Sign)?.errorCode == .keyNotFound)
        #expect(try await edge.ask(Self.rsaSign)?.errorCode == .keyNotFound)
        #expect(try await edge.ask(PolicyFixtures.signRequest("nowhere.test"))?.errorCode == .keyNotFound)
        #expect(try await edge.ask(PolicyFixtures.certificateRequest("p256.test"))?.opcode == .success)
        await edge.close()
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["denied", "denied", "unknown-site", "ok"])
        #expect(lines[0]["site"] == "p256.test" && lines[1]["operation"] == "sign-tls13")
    }

    /// How a connection attempt with these credentials ends.
    static func isServed(_ credentials: PeerCredentials, _ holder: TestHolder) async throws -> Bool {
        guard let edge = try? await TestEdge(credentials, holder.address) else { return false }
        let served: Bool = await edge.ping()
        await edge.close()
        return served
    }

    @Test("Who is not an edge of the fleet with a grant is refused, with an audit line")
    func refusedPeers() async throws {
        let holder = try await TestHolder()
        let fleet = holder.authority
        let stranger = try FleetAuthority(name: "Other fleet")
        #expect(try await Self.isServed(try TestHolder.credentials(fleet, .edge, "paris"), holder))
        // An authority of the same kind, but not ours; the client accepts our key holder all the same.
        let foreign = try TestHolder.credentials(stranger, .edge, "paris", trusting: fleet)
        #expect(try await Self.isServed(foreign, holder) == false)
        let wrongRole = try TestHolder.credentials(fleet, .keyholder, "paris")
        #expect(try await Self.isServed(wrongRole, holder) == false)
        let ungranted = try TestHolder.credentials(fleet, .edge, "berlin")
        #expect(try await Self.isServed(ungranted, holder) == false)
        let now = Date()
        let old = try fleet.issueIdentity(
            role: .edge, name: "paris", notBefore: now.addingTimeInterval(-7200), notAfter: now.addingTimeInterval(-60))
        let expired = try PeerCredentials(
            chainPEM: old.chainPEM, keyPEM: old.keyPEM, authorityPEM: fleet.certificatePEM)
        #expect(try await Self.isServed(expired, holder) == false)
        #expect(try await Self.isServed(try TestHolder.credentials(fleet, .edge, "rome"), holder))
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["refused", "refused", "refused", "refused"])
        #expect(lines.allSatisfy { $0["operation"] == "connection" && $0["address"]?.contains("127.0.0.1") == true })
        #expect(lines[2]["edge"] == "berlin" && lines[2]["detail"] == "the edge has no grant")
    }

    @Test("A connection ends when the identity that opened it expires")
    func expiringIdentity() async throws {
        let holder = try await TestHolder()
        let now = Date()
        let issued = try holder.authority.issueIdentity(
            role: .edge, name: "paris", notBefore: now.addingTimeInterval(-60), notAfter: now.addingTimeInterval(6))
        let credentials = try PeerCredentials(
            chainPEM: issued.chainPEM, keyPEM: issued.keyPEM, authorityPEM: holder.authority.certificatePEM)
        let edge = try await TestEdge(credentials, holder.address)
        #expect(await edge.ping())
        #expect(await edge.next() == nil)
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["cut-off"])
    }

    @Test("Malformed bodies and odd opcodes are answered; the connection and its neighbour go on")
    func hostileBodies() async throws {
        let holder = try await TestHolder()
        let hostile = try await holder.edge("paris")
        let neighbour = try await holder.edge("rome")
        let bodies: [([UInt8], KeyErrorCode)] = [
            ([], .formatError), ([0x12, 0xFF, 0xFF, 1], .formatError), ([0x11, 0, 1, 0xF0], .unexpectedOpcode),
            ([0x11, 0, 1, 0x99], .badOpcode), ([0x11, 0, 1, 0x24], .badOpcode),
            ([0x11, 0, 1, 0x05, 0x04, 0, 1, 9], .formatError), ([0x11, 0, 1, 0x05], .keyNotFound),
            ([UInt8](repeating: 0x99, count: 60_000), .formatError),
        ]
        for (index, (body, code)) in bodies.enumerated() {
            var bytes = ByteBuffer()
            bytes.writeMultipleIntegers(UInt8(1), UInt8(0), UInt16(body.count), UInt32(index))
            bytes.writeBytes(body)
            // One byte at a time for the small ones.
            if body.count < 100 {
                for byte in bytes.readableBytesView { hostile.send(ByteBuffer(integer: byte)) }
            } else {
                hostile.send(bytes)
            }
            #expect(await hostile.next() == .packet(.failure(id: UInt32(index), code)))
            #expect(try await neighbour.ask(Self.p256Sign)?.opcode == .success)
        }
        #expect(await hostile.ping())
        let lines = try await holder.stop()
        let refused = lines.filter { $0["edge"] == "paris" }
        #expect(
            refused.map { $0["outcome"] } == [
                "format-error", "format-error", "unexpected-opcode", "bad-opcode", "bad-opcode", "format-error",
                "unknown-site", "format-error",
            ])
    }

    @Test("A stock peer: TLS 1.2 with ECDHE and AES-256-GCM, digests by key identifier")
    func stockPeer() async throws {
        let holder = try await TestHolder()
        let issued = try holder.authority.issueIdentity(role: .edge, name: "paris")
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.maximumTLSVersion = .tlsv12
        tls.cipherSuiteValues = [.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]
        tls.certificateChain = try NIOSSLCertificate.fromPEMBytes(Array(issued.chainPEM.utf8)).map { .certificate($0) }
        tls.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: Array(issued.keyPEM.utf8), format: .pem))
        tls.trustRoots = .certificates(
            try NIOSSLCertificate.fromPEMBytes(Array(holder.authority.certificatePEM.utf8)))
        tls.certificateVerification = .noHostnameVerification
        let edge = try await TestEdge(try NIOSSLContext(configuration: tls), holder.address)
        #expect(await edge.ping())
        let digest = SHA256.hash(data: Self.content)
        let site = try TestHolder.rsa.get()
        let key = try #require(_RSA.Signing.PublicKey(site.certificate.publicKey))
        for (opcode, padding) in [
            (Opcode.rsaSignSHA256, _RSA.Signing.Padding.insecurePKCS1v1_5), (.rsaPSSSignSHA256, .PSS),
        ] {
            let request = KeyMessage(
                opcode: opcode, payload: ByteBuffer(bytes: digest), clientIP: [192, 0, 2, 7],
                ski: site.subjectKeyIdentifier, certificateDigest: Array(SHA256.hash(data: try site.chainDER[0])))
            let answer = try #require(try await edge.ask(request))
            #expect(
                key.isValidSignature(
                    .init(rawRepresentation: Array(answer.payload.readableBytesView)), for: digest, padding: padding))
        }
        let wrong = KeyMessage(
            opcode: .ecdsaSignSHA256, payload: ByteBuffer(bytes: digest), ski: site.subjectKeyIdentifier)
        #expect(try await edge.ask(wrong)?.errorCode == .badOpcode)
        #expect(await edge.ping())
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["ok", "ok", "wrong-key-type"])
        #expect(lines[0]["operation"] == "rsa-sign" && lines[0]["client"] == "192.0.2.7")
    }

    @Test("Another major version is answered by id, then the connection ends; its neighbour goes on")
    func hostileFraming() async throws {
        let holder = try await TestHolder()
        let hostile = try await holder.edge("paris")
        let neighbour = try await holder.edge("rome")
        hostile.send(ByteBuffer(bytes: [2, 0, 0, 0, 0, 0, 0, 42]))
        #expect(await hostile.next() == .packet(.failure(id: 42, .versionMismatch)))
        #expect(await hostile.next() == nil)
        #expect(await neighbour.ping())
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["version-mismatch"])
    }

    @Test("Bytes that are no TLS end the connection, not the key holder")
    func noTLS() async throws {
        let holder = try await TestHolder()
        for bytes in [
            Array("GET / HTTP/1.1\r\n\r\n".utf8), [UInt8](repeating: 0, count: 3000), [0x16, 3, 1, 0xFF, 0xFF],
        ] {
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connect(to: holder.address).get()
            try? await channel.writeAndFlush(ByteBuffer(bytes: bytes))
            try? await channel.close().get()
        }
        let edge = try await holder.edge("paris")
        #expect(await edge.ping())
        let lines = try await holder.stop()
        #expect(lines.count == 3)
        #expect(lines.allSatisfy { $0["outcome"] == "refused" && $0["edge"] == "<null>" })
    }

    @Test("A handshake that does not come in time ends")
    func handshakeTimeout() async throws {
        var limits = KeyHolderLimits()
        limits.handshakeTimeout = .milliseconds(50)
        let holder = try await TestHolder(limits: limits)
        let silent = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(to: holder.address).get()
        try await silent.closeFuture.get()
        let lines = try await holder.stop()
        #expect(lines.map { $0["detail"] } == ["no TLS handshake in time"])
    }
}
