import EdgeModel
import KeyProtocol
import NIOConcurrencyHelpers
import NIOCore
import NIOEmbedded
import NIOSSL
import NIOTLS
import PrivateAuthority
import RecordLayer
import TLSWire
import TestWire
import Testing

/// A client of swift-nio-ssl, and a server of it that plays the key holder, without sockets: the test carries the bytes.
final class HandoffPeers {
    let client = EmbeddedChannel()
    private let server = EmbeddedChannel()
    private let log = NIOLockedValueBox("")
    private var transcript = HandshakeTranscript()

    init(
        version: NIOSSL.TLSVersion = .tlsv13, serverCurves: [NIOTLSCurve]? = nil,
        cipher: NIOTLSCipher = .TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    ) throws {
        let authority = try TestSiteAuthority(name: "test sites")
        let site = try authority.issueSite(domains: ["www.example.test"], keyType: .p256)
        var serverSettings = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(site.chainPEM.utf8)).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(site.keyPEM.utf8), format: .pem)))
        serverSettings.cipherSuiteValues = [cipher]
        serverSettings.applicationProtocols = ["http/1.1"]
        serverSettings.curves = serverCurves
        let log = self.log
        serverSettings.keyLogCallback = { line in log.withLockedValue { $0 += String(buffer: line) + "\n" } }
        var clientSettings = TLSConfiguration.makeClientConfiguration()
        clientSettings.trustRoots = .certificates(
            try NIOSSLCertificate.fromPEMBytes(Array(authority.certificatePEM.utf8)))
        clientSettings.minimumTLSVersion = version
        clientSettings.maximumTLSVersion = version
        clientSettings.applicationProtocols = ["http/1.1"]
        try self.server.pipeline.syncOperations.addHandler(
            NIOSSLServerHandler(context: try NIOSSLContext(configuration: serverSettings)))
        try self.client.pipeline.syncOperations.addHandler(
            try NIOSSLClientHandler(
                context: try NIOSSLContext(configuration: clientSettings), serverHostname: "www.example.test"))
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: 1)
        self.server.connect(to: address, promise: nil)
        self.client.connect(to: address, promise: nil)
    }

    func close() {
        // `finish()` would wait for the close_notify of a peer that isn't there; this runs into the handler's own limit.
        for channel in [self.client, self.server] {
            channel.close(promise: nil)
            channel.embeddedEventLoop.advanceTime(by: .seconds(60))
        }
    }

    func fromClient() throws -> ByteBuffer { try Self.drain(self.client) }

    /// Gives the client what the server sent; returns what it answers.
    func answer(to bytes: ByteBuffer?) throws -> ByteBuffer {
        if let bytes { try self.client.writeInbound(bytes) }
        return try self.fromClient()
    }

    private static func drain(_ channel: EmbeddedChannel) throws -> ByteBuffer {
        channel.embeddedEventLoop.run()
        var all = ByteBuffer()
        while let part: ByteBuffer = try channel.readOutbound() { all.writeImmutableBuffer(part) }
        return all
    }

    // MARK: The key holder

    /// What the key holder answers to begin, or to continue, with these bytes.
    func progress(_ clientBytes: ByteBuffer) throws -> HandshakeProgress {
        try self.transcript.receive(clientBytes)
        try self.server.writeInbound(clientBytes)
        let flight = try Self.drain(self.server)
        try self.transcript.send(flight)
        guard let suite = self.transcript.suite, let hello = self.transcript.serverHello else {
            return HandshakeProgress(handshake: 7, state: .needsMore, serverBytes: flight)
        }
        var session = ByteBuffer()
        if suite.version == .tls13 {
            let finished = try self.transcript.clientFinished(
                clientSecret: try self.secret("CLIENT_HANDSHAKE_TRAFFIC_SECRET"),
                serverSecret: try self.secret("SERVER_HANDSHAKE_TRAFFIC_SECRET"))
            try ExportedSession(
                suite: suite, applicationProtocol: Array("http/1.1".utf8),
                secrets: .tls13(
                    client: try self.secret("CLIENT_TRAFFIC_SECRET_0"),
                    server: try self.secret("SERVER_TRAFFIC_SECRET_0"), finished: finished)
            ).encode(into: &session)
            return HandshakeProgress(
                handshake: 7, state: .exported(session: session, expectsFinish: true), serverBytes: flight)
        }
        // Logged when the client's key exchange has come.
        guard let master = self.loggedSecret("CLIENT_RANDOM") else {
            return HandshakeProgress(handshake: 7, state: .needsMore, serverBytes: flight)
        }
        let keys = try TLS12KeySchedule.keys(
            suite: suite, masterSecret: master, clientRandom: try #require(self.transcript.clientRandom),
            serverRandom: hello.random)
        try ExportedSession(
            suite: suite, applicationProtocol: Array("http/1.1".utf8),
            secrets: .tls12(client: keys.client, server: keys.server), clientSequence: 1, serverSequence: 1
        ).encode(into: &session)
        return HandshakeProgress(
            handshake: 7, state: .exported(session: session, expectsFinish: false), serverBytes: flight)
    }

    /// The secret of a line of the key log: label, client random, secret.
    private func loggedSecret(_ label: String) -> Secret? {
        let lines = self.log.withLockedValue { $0 }.split(whereSeparator: \.isNewline)
        guard let line = lines.first(where: { $0.hasPrefix(label + " ") }) else { return nil }
        let digits = line.split(separator: " ")[2].compactMap { $0.hexDigitValue.map(UInt8.init) }
        return Secret(stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] })
    }

    private func secret(_ label: String) throws -> Secret { try #require(self.loggedSecret(label)) }
}

/// Bytes that a test puts together.
extension ByteBuffer {
    static func record(_ type: UInt8, _ payload: [UInt8], version: UInt16 = 0x0303) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger(type)
        buffer.writeInteger(version)
        buffer.writeInteger(UInt16(payload.count))
        buffer.writeBytes(payload)
        return buffer
    }

    static func + (a: ByteBuffer, b: ByteBuffer) -> ByteBuffer {
        var sum: ByteBuffer = a
        sum.writeImmutableBuffer(b)
        return sum
    }

    func prefix(_ count: Int) -> ByteBuffer { self.getSlice(at: self.readerIndex, length: count) ?? self }
    func dropFirst(_ count: Int) -> ByteBuffer {
        self.getSlice(at: self.readerIndex + count, length: self.readableBytes - count) ?? ByteBuffer()
    }

    /// The types of the records in it.
    var recordTypes: [UInt8] {
        var types: [UInt8] = []
        var index = self.readerIndex
        while let header = RecordHeader(in: self, at: index) {
            types.append(header.contentType)
            index += RecordHeader.length + header.payloadLength
        }
        return types
    }
}
