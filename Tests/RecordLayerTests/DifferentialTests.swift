import Crypto
import NIOCore
import NIOEmbedded
import NIOSSL
import PrivateAuthority
import TLSEngine
import TLSWire
import Testing

@testable import RecordLayer

/// Our records against swift-nio-ssl's client: ``TLSEngine`` shakes hands with it, and from then on the session, carried in its
/// encoded form, is all that there is.
@Suite struct DifferentialTests {
    @Test(arguments: 0..<3)
    func tls13(seed: Int) throws {
        var random = SplitMix(state: UInt64(seed))
        let peers = try Peers(version: .tlsv13)
        defer { peers.close() }
        var limits = RecordLimits()
        limits.recordsPerKey = 40
        var session = RecordSession(try Self.overTheWire(try peers.shake()), limits: limits)
        let finished = session.receive(try peers.fromClient())
        #expect(finished == Reception(handshakeCompleted: true))
        try exchange(&session, peers, &random)
    }

    @Test(arguments: [
        RecordSuite.ecdheECDSAAES128GCMSHA256, .ecdheECDSAAES256GCMSHA384, .ecdheECDSAChaCha20Poly1305SHA256,
    ])
    func tls12(suite: RecordSuite) throws {
        var random = SplitMix(state: UInt64(suite.rawValue))
        let peers = try Peers(version: .tlsv12, suite: suite)
        defer { peers.close() }
        let exported: ExportedSession = try peers.shake()
        #expect(exported.suite == suite)
        var session = RecordSession(try Self.overTheWire(exported))
        try exchange(&session, peers, &random)
    }

    /// Random data of random sizes, both ways, in random splits; then both close.
    private func exchange(_ session: inout RecordSession, _ peers: Peers, _ random: inout SplitMix) throws {
        for round in 0..<60 {
            let size = Int.random(in: 1...(round % 10 == 0 ? 100_000 : 2_000), using: &random)
            let request: ByteBuffer = random.bytes(size)
            try peers.client.writeOutbound(request)
            var wire: ByteBuffer = try peers.fromClient()
            var received = ByteBuffer()
            var replies = ByteBuffer()
            while wire.readableBytes > 0 {
                let count: Int = min(wire.readableBytes, Int.random(in: 1...20_000, using: &random))
                let reception = session.receive(wire.readSlice(length: count)!)
                #expect(reception.end == nil)
                if let data = reception.applicationData { received.writeImmutableBuffer(data) }
                if let reply = reception.reply { replies.writeImmutableBuffer(reply) }
            }
            #expect(received == request)

            let response: ByteBuffer = random.bytes(Int.random(in: 1...50_000, using: &random))
            var output: ByteBuffer = replies
            try session.send(response, into: &output)
            while output.readableBytes > 0 {
                let count: Int = min(output.readableBytes, Int.random(in: 1...20_000, using: &random))
                try peers.client.writeInbound(output.readSlice(length: count)!)
            }
            var read = ByteBuffer()
            while let part: ByteBuffer = try peers.client.readInbound() { read.writeImmutableBuffer(part) }
            #expect(read == response)
        }
        peers.client.close(promise: nil)
        let reception = session.receive(try peers.fromClient())
        #expect(reception.end == .closed)
        let close: ByteBuffer? = reception.reply ?? session.close()
        try peers.client.writeInbound(try #require(close))
        peers.client.embeddedEventLoop.run()
        #expect(!peers.client.isActive)
    }

    private static func overTheWire(_ session: ExportedSession) throws -> ExportedSession {
        var bytes = ByteBuffer()
        session.encode(into: &bytes)
        let decoded = try ExportedSession(decoding: bytes)
        #expect(decoded == session)
        return decoded
    }
}

/// A client of swift-nio-ssl and our server, whose bytes the test carries.
final class Peers {
    let client = EmbeddedChannel()
    private var server: ServerHandshake?

    init(version: NIOSSL.TLSVersion, suite: RecordSuite? = nil) throws {
        let authority = try TestSiteAuthority(name: "test sites")
        let site = try authority.issueSite(domains: ["www.example.test"], keyType: .p256)
        var policy = ServerPolicy()
        if let suite { policy.tls12Suites = [suite] }
        let key = try P256.Signing.PrivateKey(pemRepresentation: site.keyPEM).derRepresentation
        let credential = ServerCredential(chain: try site.chainDER, key: .local(pkcs8: Secret(key)))
        self.server = try ServerHandshake(try ServerContext([credential], policy: policy))
        var clientSettings = TLSConfiguration.makeClientConfiguration()
        clientSettings.trustRoots = .certificates(
            try NIOSSLCertificate.fromPEMBytes(Array(authority.certificatePEM.utf8)))
        clientSettings.minimumTLSVersion = version
        clientSettings.maximumTLSVersion = version
        try self.client.pipeline.syncOperations.addHandler(
            try NIOSSLClientHandler(
                context: try NIOSSLContext(configuration: clientSettings), serverHostname: "www.example.test"))
        self.client.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    }

    /// The handshake; in TLS 1.3 what the client answers to the last flight is for the session.
    func shake() throws -> ExportedSession {
        while let server = self.server.take() {
            var input: ByteBuffer = try self.fromClient()
            switch server.receive(&input) {
            case .needsInput(let server, let output):
                self.server = consume server
                try self.client.writeInbound(output)
            case .exported(let session, _, let output):
                try self.client.writeInbound(output)
                return session.session
            case .failed(let end): throw end.failure
            case .needsSignature: break
            }
        }
        throw PeersError.noSession
    }

    private enum PeersError: Error {
        case noSession
    }

    func close() {
        // `finish()` would wait for the close_notify of a peer that isn't there; this runs into the handler's own limit.
        self.client.close(promise: nil)
        self.client.embeddedEventLoop.advanceTime(by: .seconds(60))
    }

    func fromClient() throws -> ByteBuffer {
        self.client.embeddedEventLoop.run()
        var all = ByteBuffer()
        while let part: ByteBuffer = try self.client.readOutbound() { all.writeImmutableBuffer(part) }
        return all
    }
}
