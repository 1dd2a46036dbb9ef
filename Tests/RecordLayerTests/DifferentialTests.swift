import NIOConcurrencyHelpers
import NIOCore
import NIOEmbedded
import NIOSSL
import PrivateAuthority
import TLSWire
import Testing

@testable import RecordLayer

/// Our records against swift-nio-ssl's: its server shakes hands, its client stays, and from then on ours takes the
/// server's place.
@Suite struct DifferentialTests {
    @Test(arguments: 0..<3)
    func tls13(seed: Int) throws {
        var random = SplitMix(state: UInt64(seed))
        let peers = try Peers(version: .tlsv13)
        defer { peers.close() }
        // ClientHello in, the server's flight out; what the client answers is for us.
        let hello: ByteBuffer = try peers.fromClient()
        try peers.server.writeInbound(hello)
        let flight: ByteBuffer = try peers.fromServer()
        try peers.client.writeInbound(flight)
        let answer: ByteBuffer = try peers.fromClient()

        var transcript = HandshakeTranscript()
        try transcript.receive(hello)
        try transcript.send(flight)
        let suite: RecordSuite = try #require(transcript.suite)
        let clientSecret: Secret = try peers.secret("CLIENT_HANDSHAKE_TRAFFIC_SECRET")
        let finishedToCome = try transcript.clientFinished(
            clientSecret: clientSecret, serverSecret: try peers.secret("SERVER_HANDSHAKE_TRAFFIC_SECRET"))
        let exported = try ExportedSession(
            suite: suite, applicationProtocol: Array("h2".utf8),
            secrets: .tls13(
                client: try peers.secret("CLIENT_TRAFFIC_SECRET_0"),
                server: try peers.secret("SERVER_TRAFFIC_SECRET_0"),
                finished: finishedToCome))
        var limits = RecordLimits()
        limits.recordsPerKey = 40
        var session = RecordSession(try Self.overTheWire(exported), limits: limits)
        let finished = session.receive(answer)
        #expect(finished == Reception(handshakeCompleted: true))
        try exchange(&session, peers, &random)
    }

    @Test(arguments: [
        NIOTLSCipher.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, .TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        .TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ])
    func tls12(cipher: NIOTLSCipher) throws {
        var random = SplitMix(state: UInt64(cipher.rawValue))
        let peers = try Peers(version: .tlsv12, cipher: cipher)
        defer { peers.close() }
        let hello: ByteBuffer = try peers.fromClient()
        try peers.server.writeInbound(hello)
        let flight: ByteBuffer = try peers.fromServer()
        try peers.client.writeInbound(flight)
        try peers.server.writeInbound(try peers.fromClient())
        try peers.client.writeInbound(try peers.fromServer())

        let suite: RecordSuite = try #require(RecordSuite(rawValue: cipher.rawValue))
        var transcript = HandshakeTranscript()
        try transcript.receive(hello)
        try transcript.send(flight)
        #expect(transcript.suite == suite)
        let keys = try TLS12KeySchedule.keys(
            suite: suite, masterSecret: try peers.secret("CLIENT_RANDOM"),
            clientRandom: try #require(transcript.clientRandom),
            serverRandom: try #require(transcript.serverHello).random)
        // Each side has sent one protected record, its Finished.
        var session = RecordSession(
            try Self.overTheWire(
                ExportedSession(
                    suite: suite, applicationProtocol: nil, secrets: .tls12(client: keys.client, server: keys.server),
                    clientSequence: 1, serverSequence: 1)))
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

/// A client and a server of swift-nio-ssl whose bytes the test carries.
struct Peers {
    let client = EmbeddedChannel()
    let server = EmbeddedChannel()
    private let log = NIOLockedValueBox("")

    init(version: NIOSSL.TLSVersion, cipher: NIOTLSCipher? = nil, serverCurves: [NIOTLSCurve]? = nil) throws {
        let authority = try TestSiteAuthority(name: "test sites")
        let site = try authority.issueSite(domains: ["www.example.test"], keyType: .p256)
        var serverSettings = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(site.chainPEM.utf8)).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(site.keyPEM.utf8), format: .pem)))
        var clientSettings = TLSConfiguration.makeClientConfiguration()
        clientSettings.trustRoots = .certificates(
            try NIOSSLCertificate.fromPEMBytes(Array(authority.certificatePEM.utf8)))
        clientSettings.minimumTLSVersion = version
        clientSettings.maximumTLSVersion = version
        if let cipher { serverSettings.cipherSuiteValues = [cipher] }
        serverSettings.curves = serverCurves
        let log: NIOLockedValueBox<String> = log
        serverSettings.keyLogCallback = { line in log.withLockedValue { $0 += String(buffer: line) + "\n" } }
        try server.pipeline.syncOperations.addHandler(
            NIOSSLServerHandler(context: try NIOSSLContext(configuration: serverSettings)))
        try client.pipeline.syncOperations.addHandler(
            try NIOSSLClientHandler(
                context: try NIOSSLContext(configuration: clientSettings), serverHostname: "www.example.test"))
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: 1)
        server.connect(to: address, promise: nil)
        client.connect(to: address, promise: nil)
    }

    func close() {
        // `finish()` would wait for the close_notify of a peer that isn't there; this runs into the handler's own limit.
        for channel in [client, server] {
            channel.close(promise: nil)
            channel.embeddedEventLoop.advanceTime(by: .seconds(60))
        }
    }

    func fromClient() throws -> ByteBuffer { try Self.drain(client) }
    func fromServer() throws -> ByteBuffer { try Self.drain(server) }

    private static func drain(_ channel: EmbeddedChannel) throws -> ByteBuffer {
        channel.embeddedEventLoop.run()
        var all = ByteBuffer()
        while let part: ByteBuffer = try channel.readOutbound() { all.writeImmutableBuffer(part) }
        return all
    }

    /// The secret of a line of the key log: label, client random, secret.
    func secret(_ label: String) throws -> Secret {
        let lines: [Substring] = log.withLockedValue { $0 }.split(whereSeparator: \.isNewline)
        let line: Substring = try #require(lines.first { $0.hasPrefix(label + " ") })
        return RecordLayerTests.secret(String(line.split(separator: " ")[2]))
    }
}
