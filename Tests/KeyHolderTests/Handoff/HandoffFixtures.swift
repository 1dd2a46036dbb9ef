import KeyProtocol
import NIOCore
import NIOEmbedded
import NIOSSL
import RecordLayer
import TLSWire
import Testing

@testable import KeyHolder

/// A TLS client whose bytes the test carries.
final class HandoffClient: Sendable {
    let channel: NIOAsyncTestingChannel

    /// - Parameter name: For SNI; nil sends none.
    init(_ name: String?, _ configure: (inout TLSConfiguration) -> Void = { _ in }) async throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        configuration.applicationProtocols = ["h2", "http/1.1"]
        configuration.verifySignatureAlgorithms = [
            .ecdsaSecp256R1Sha256, .rsaPssRsaeSha256, .ed25519, .rsaPkcs1Sha256,
        ]
        configure(&configuration)
        let context = try NIOSSLContext(configuration: configuration)
        let channel = NIOAsyncTestingChannel()
        self.channel = channel
        try await channel.testingEventLoop.executeInContext {
            let handler = try NIOSSLClientHandler(context: context, serverHostname: name)
            try channel.pipeline.syncOperations.addHandler(handler)
            try channel.pipeline.syncOperations.addHandler(ErrorSink())
        }
        try await channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).get()
    }

    /// A client, and the hello that it begins with.
    static func hello(
        _ name: String = "p256.test", _ configure: (inout TLSConfiguration) -> Void = { _ in }
    ) async throws -> (HandoffClient, ByteBuffer) {
        let client = try await HandoffClient(name, configure)
        return (client, try await client.bytes())
    }

    /// Handshake errors show as a closed channel.
    private final class ErrorSink: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        func errorCaught(context: ChannelHandlerContext, error: any Error) {}
    }

    /// All that it has to say by now.
    func bytes() async throws -> ByteBuffer {
        var bytes = ByteBuffer()
        while let part = try await self.channel.readOutbound(as: ByteBuffer.self) { bytes.writeImmutableBuffer(part) }
        return bytes
    }

    func take(_ bytes: ByteBuffer) async throws {
        guard bytes.readableBytes > 0 else { return }
        try await self.channel.writeInbound(bytes)
    }

    func write(_ text: String) async throws {
        try await self.channel.writeOutbound(ByteBuffer(string: text))
    }

    func read() async throws -> String {
        var bytes = ByteBuffer()
        while let part = try await self.channel.readInbound(as: ByteBuffer.self) { bytes.writeImmutableBuffer(part) }
        return String(buffer: bytes)
    }

    var isActive: Bool { self.channel.isActive }

    /// Takes the next whole record, header included, off the front.
    static func nextRecord(_ bytes: inout ByteBuffer) -> ByteBuffer? {
        guard let header = RecordHeader(in: bytes, at: bytes.readerIndex) else { return nil }
        return bytes.readSlice(length: RecordHeader.length + header.payloadLength)
    }

    /// Its close_notify goes nowhere, and its wait for an answer ends at once.
    func end() async {
        self.channel.close(promise: nil)
        await self.channel.testingEventLoop.advanceTime(by: .seconds(60))
    }
}

extension TestEdge {
    func begin(
        _ bytes: ByteBuffer, name: String = "p256.test", protocols: [String] = ["h2", "http/1.1"]
    ) async throws -> HandshakeProgress {
        let begin = HandshakeBegin(applicationProtocols: protocols, clientBytes: bytes)
        return try await self.progress(.handshakeBegin, name, try begin.encoded())
    }

    func proceed(_ handshake: UInt64, _ bytes: ByteBuffer) async throws -> HandshakeProgress {
        let request = HandshakeContinue(handshake: handshake, clientBytes: bytes)
        return try await self.progress(.handshakeContinue, nil, try request.encoded())
    }

    func forget(_ handshake: UInt64) async throws {
        let answer = try await self.call(.handshakeForget, nil, HandshakeForget(handshake: handshake).encoded())
        #expect(answer.readableBytes == 0)
    }

    private func progress(
        _ function: KeyFunction, _ name: String?, _ payload: ByteBuffer
    ) async throws -> HandshakeProgress {
        try HandshakeProgress(decoding: try await self.call(function, name, payload))
    }

    private func call(_ function: KeyFunction, _ name: String?, _ payload: ByteBuffer) async throws -> ByteBuffer {
        let message = Self.message(function, name, payload)
        let answer: KeyMessage = try #require(try await self.ask(message, id: 77))
        if let code = answer.errorCode { throw code }
        return answer.payload
    }

    /// A handshake with data both ways, from beginning to end.
    func servesHandoff() async throws -> Bool {
        let client = try await HandoffClient("p256.test")
        let lent = try await LentSession.shake(client, self)
        try await lent.exchange(client)
        await client.end()
        return true
    }

    static func message(_ function: KeyFunction, _ name: String?, _ payload: ByteBuffer) -> KeyMessage {
        KeyMessage(
            opcode: .custom, payload: payload, function: function.rawValue, serverName: name,
            clientIP: [192, 0, 2, 7])
    }
}

/// A session that an edge was lent.
final class LentSession {
    let exported: ExportedSession
    var session: RecordSession
    let tickets: ByteBuffer

    init(_ exported: ExportedSession, _ session: consuming RecordSession, _ tickets: ByteBuffer) {
        self.exported = exported
        self.session = session
        self.tickets = tickets
    }

    /// The whole handshake between a client and the edge, as an edge has to do it.
    static func shake(
        _ client: HandoffClient, _ edge: TestEdge, name: String = "p256.test",
        protocols: [String] = ["h2", "http/1.1"]
    ) async throws -> LentSession {
        var progress = try await edge.begin(try await client.bytes(), name: name, protocols: protocols)
        while case .needsMore = progress.state {
            try await client.take(progress.serverBytes)
            progress = try await edge.proceed(progress.handshake, try await client.bytes())
        }
        return try await Self.finish(client, progress)
    }

    /// The end of it: the client's Finished in TLS 1.3, and the tickets behind it.
    static func finish(_ client: HandoffClient, _ progress: HandshakeProgress) async throws -> LentSession {
        guard case .exported(let bytes, let tickets) = progress.state else {
            throw HandoffTestError.notExported(progress)
        }
        let exported = try ExportedSession(decoding: bytes)
        var session = RecordSession(exported)
        try await client.take(progress.serverBytes)
        guard exported.suite.version == .tls13 else { return LentSession(exported, session, tickets) }
        let reception: Reception = session.receive(try await client.bytes())
        #expect(reception.handshakeCompleted && reception.end == nil)
        if tickets.readableBytes > 0 { try await client.take(try session.sendPostHandshake(tickets)) }
        return LentSession(exported, session, tickets)
    }

    /// Data both ways.
    func exchange(_ client: HandoffClient) async throws {
        for text in ["GET /", String(repeating: "x", count: 40_000)] {
            try await client.write(text)
            #expect(self.session.receive(try await client.bytes()).applicationData == ByteBuffer(string: text))
            try await client.take(try self.session.send(ByteBuffer(string: "answer to " + text)))
            #expect(try await client.read() == "answer to " + text)
        }
    }
}

enum HandoffTestError: Error {
    case notExported(HandshakeProgress)
}
