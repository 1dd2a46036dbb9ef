import NIOCore
import NIOEmbedded
import NIOSSL
import TLSWire
import Testing

@testable import RecordLayer

/// The expected Finished, worked out from the server's own bytes, against the Finished of swift-nio-ssl's client.
@Suite struct HandshakeTranscriptTests {
    /// A handshake up to the client's Finished.
    struct Handshake {
        var clientBytes: [ByteBuffer] = []
        var serverBytes: [ByteBuffer] = []
        /// The client's records after the server's flight.
        var answer: ByteBuffer
        var clientSecret: Secret
        var serverSecret: Secret

        init(serverCurves: [NIOTLSCurve]? = nil) throws {
            let peers = try Peers(version: .tlsv13, serverCurves: serverCurves)
            defer { peers.close() }
            for _ in 0..<(serverCurves == nil ? 1 : 2) {
                clientBytes.append(try peers.fromClient())
                try peers.server.writeInbound(clientBytes[clientBytes.count - 1])
                serverBytes.append(try peers.fromServer())
                try peers.client.writeInbound(serverBytes[serverBytes.count - 1])
            }
            answer = try peers.fromClient()
            clientSecret = try peers.secret("CLIENT_HANDSHAKE_TRAFFIC_SECRET")
            serverSecret = try peers.secret("SERVER_HANDSHAKE_TRAFFIC_SECRET")
        }

        /// Feeds everything, in pieces of a size.
        func transcript(piece: Int = .max) throws -> HandshakeTranscript {
            var transcript = HandshakeTranscript()
            for (client, server) in zip(clientBytes, serverBytes) {
                for part in client.pieces(piece) { try transcript.receive(part) }
                for part in server.pieces(piece) { try transcript.send(part) }
            }
            return transcript
        }

        /// Whether the client's real Finished passes for the expected one.
        func accepts(_ finished: ExportedSession.ClientFinished, suite: RecordSuite) throws -> Bool {
            var session = RecordSession(
                try ExportedSession(
                    suite: suite, applicationProtocol: nil,
                    secrets: .tls13(client: clientSecret, server: serverSecret, finished: finished)))
            return session.receive(answer).handshakeCompleted
        }
    }

    @Test(arguments: [1, 7, 1000, Int.max])
    func oneRoundTrip(piece: Int) throws {
        let handshake = try Handshake()
        let transcript: HandshakeTranscript = try handshake.transcript(piece: piece)
        #expect(!transcript.hasHelloRetryRequest)
        #expect(transcript.clientRandom == Array(handshake.clientBytes[0].readableBytesView.dropFirst(11).prefix(32)))
        let finished = try transcript.clientFinished(
            clientSecret: handshake.clientSecret, serverSecret: handshake.serverSecret)
        #expect(try handshake.accepts(finished, suite: #require(transcript.suite)))
    }

    @Test func helloRetryRequest() throws {
        let handshake = try Handshake(serverCurves: [.secp384r1])
        let transcript: HandshakeTranscript = try handshake.transcript(piece: 100)
        #expect(transcript.hasHelloRetryRequest)
        #expect(transcript.serverHello?.group == TLSGroup.secp384r1)
        let finished = try transcript.clientFinished(
            clientSecret: handshake.clientSecret, serverSecret: handshake.serverSecret)
        #expect(try handshake.accepts(finished, suite: #require(transcript.suite)))
    }

    /// Alerts of the client's have no part in the transcript, whole or in pieces; the TLS library says what they end.
    @Test(arguments: [1, Int.max])
    func alertsBetweenTheHellos(piece: Int) throws {
        let handshake = try Handshake(serverCurves: [.secp384r1])
        var transcript = HandshakeTranscript()
        try transcript.receive(handshake.clientBytes[0])
        try transcript.send(handshake.serverBytes[0])
        for part in ByteBuffer(bytes: [21, 3, 3, 0, 2, 1, 90]).pieces(piece) { try transcript.receive(part) }
        try transcript.receive(handshake.clientBytes[1])
        try transcript.send(handshake.serverBytes[1])
        let finished = try transcript.clientFinished(
            clientSecret: handshake.clientSecret, serverSecret: handshake.serverSecret)
        #expect(try handshake.accepts(finished, suite: #require(transcript.suite)))
    }

    @Test func beforeTheFlight() throws {
        let handshake = try Handshake(serverCurves: [.secp384r1])
        var transcript = HandshakeTranscript()
        try transcript.receive(handshake.clientBytes[0])
        try transcript.send(handshake.serverBytes[0])
        #expect(transcript.hasHelloRetryRequest)
        #expect(transcript.serverHello == nil)
        #expect(throws: HandshakeTranscriptError.noServerHello) {
            try transcript.clientFinished(clientSecret: handshake.clientSecret, serverSecret: handshake.serverSecret)
        }
    }

    /// A secret of another handshake, swapped secrets, and a flight that lacks its end must not give an expectation.
    @Test func wrongSecretsAndMissingBytes() throws {
        let handshake = try Handshake()
        let other = try Handshake()
        let transcript: HandshakeTranscript = try handshake.transcript()
        for secret in [other.serverSecret, handshake.clientSecret, Secret([1, 2, 3])] {
            #expect(throws: HandshakeTranscriptError.wrongSecrets) {
                try transcript.clientFinished(clientSecret: handshake.clientSecret, serverSecret: secret)
            }
        }
        #expect(throws: HandshakeTranscriptError.wrongSecrets) {
            try transcript.clientFinished(clientSecret: Secret([1]), serverSecret: handshake.serverSecret)
        }
        var short = HandshakeTranscript()
        try short.receive(handshake.clientBytes[0])
        let flight: ByteBuffer = handshake.serverBytes[0]
        try short.send(try #require(flight.getSlice(at: flight.readerIndex, length: flight.readableBytes - 1)))
        #expect(throws: HandshakeTranscriptError.incompleteFlight) {
            try short.clientFinished(clientSecret: handshake.clientSecret, serverSecret: handshake.serverSecret)
        }
        // The flight is whole, but the ClientHello is another client's: the server's own Finished tells.
        var foreign = HandshakeTranscript()
        try foreign.receive(other.clientBytes[0])
        try foreign.send(flight)
        #expect(throws: HandshakeTranscriptError.wrongSecrets) {
            try foreign.clientFinished(clientSecret: handshake.clientSecret, serverSecret: handshake.serverSecret)
        }
    }

    @Test func whatIsNotAHandshake() throws {
        let handshake = try Handshake()
        var transcript = HandshakeTranscript()
        #expect(throws: HandshakeTranscriptError.notClientHello) {
            try transcript.receive(ByteBuffer(bytes: [22, 3, 3, 0, 5, 2, 0, 0, 1, 0]))
        }
        transcript = HandshakeTranscript()
        #expect(throws: HandshakeTranscriptError.notClientHello) { try transcript.send(handshake.serverBytes[0]) }
        transcript = HandshakeTranscript()
        #expect(throws: HandshakeTranscriptError.notServerHello) { try transcript.send(handshake.clientBytes[0]) }
        transcript = HandshakeTranscript()
        try transcript.receive(handshake.clientBytes[0])
        #expect(throws: HandshakeTranscriptError.unexpectedRecord) {
            try transcript.send(ByteBuffer(bytes: [21, 3, 3, 0, 2, 2, 40]))
        }
        transcript = HandshakeTranscript(maximumBytes: 10)
        #expect(throws: HandshakeTranscriptError.tooLong) { try transcript.receive(handshake.clientBytes[0]) }
    }

    /// TLS 1.2 with a CBC suite cannot be exported.
    @Test func suiteWithoutAEAD() throws {
        var transcript = HandshakeTranscript()
        try transcript.receive(try Handshake().clientBytes[0])
        var hello = ByteBuffer(bytes: [2, 0, 0, 38, 3, 3])
        hello.writeRepeatingByte(7, count: 32)
        hello.writeBytes([0, 0xC0, 0x13, 0])
        var record = ByteBuffer(bytes: [22, 3, 3, 0, UInt8(hello.readableBytes)])
        record.writeBuffer(&hello)
        #expect(throws: HandshakeTranscriptError.unsupportedSuite(0xC013)) { try transcript.send(record) }
    }
}

extension ByteBuffer {
    func pieces(_ size: Int) -> [ByteBuffer] {
        var rest: ByteBuffer = self
        var parts: [ByteBuffer] = []
        while let part = rest.readSlice(length: min(size, rest.readableBytes)), part.readableBytes > 0 {
            parts.append(part)
        }
        return parts
    }
}
