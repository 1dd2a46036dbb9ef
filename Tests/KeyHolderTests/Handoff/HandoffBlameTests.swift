import KeyProtocol
import NIOCore
import NIOSSL
import Testing

@testable import KeyHolder

/// An edge's connection is read more slowly for what the edge does wrong, never for what clients do: here one counted refusal
/// stops it for good.
@Suite("Handoff: what clients do is not counted against their edge", .timeLimit(.minutes(1)))
struct HandoffBlameTests {
    private static func holder(_ change: (inout KeyHolderLimits) -> Void = { _ in }) async throws -> TestHolder {
        var limits = KeyHolderLimits()
        limits.refusals = 0
        limits.longestPause = .hours(1)
        change(&limits)
        return try await TestHolder(limits: limits)
    }

    /// A handshake that waits for its client: in TLS 1.2, or behind a HelloRetryRequest.
    private static func waiting(_ edge: TestEdge, isTLS12: Bool) async throws -> (HandoffClient, HandshakeProgress) {
        let client = try await HandoffClient("p256.test") {
            if isTLS12 { $0.maximumTLSVersion = .tlsv12 } else { $0.curves = [.secp521r1, .secp256r1] }
        }
        let progress = try await edge.begin(try await client.bytes())
        #expect(progress.state == .needsMore)
        return (client, progress)
    }

    /// Expects a fatal alert in the clear, and no more.
    private static func expectAlert(_ progress: HandshakeProgress, _ code: UInt8) {
        guard case .failed(let reason) = progress.state else {
            Issue.record("\(progress)")
            return
        }
        #expect(progress.serverBytes == ByteBuffer(bytes: [21, 3, 3, 0, 2, 2, code]), "\(reason)")
    }

    @Test("Records in the wrong order in TLS 1.2 are answered with unexpected_message", arguments: 0..<6)
    func wrongOrder(kind: Int) async throws {
        let holder = try await Self.holder()
        let edge = try await holder.edge("paris")
        for _ in 0..<3 {
            let (client, progress) = try await Self.waiting(edge, isTLS12: true)
            try await client.take(progress.serverBytes)
            var flight: ByteBuffer = try await client.bytes()
            var records: [[UInt8]] = []
            while let record = HandoffClient.nextRecord(&flight) { records.append(Array(record.readableBytesView)) }
            // ClientKeyExchange, ChangeCipherSpec, Finished.
            #expect(records.map { $0[0] } == [22, 20, 22])
            let turn: [[UInt8]] =
                switch kind {
                case 0: [records[0], records[1], records[1], records[2]]
                case 1: [records[0], records[1], records[1]]
                case 2: [records[0], records[1], [21, 3, 3, 0, 2, 1, 90], records[2]]
                case 3: [records[0], [23, 3, 3, 0, 1, 0]]
                case 4: [[99, 3, 3, 0, 1, 0]]
                default: records + [records[2]]
                }
            Self.expectAlert(
                try await edge.proceed(progress.handshake, ByteBuffer(bytes: turn.flatMap { $0 })), 10)
            await client.end()
        }
        #expect(try await edge.servesHandoff())
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == Array(repeating: "handshake-failed", count: 3) + ["ok"])
        #expect(lines[0]["tls_version"] == "TLS 1.2" && lines[0]["detail"]?.contains("client bytes") == true)
    }

    @Test("So are data and unknown records behind a HelloRetryRequest, and a long record with record_overflow")
    func behindRetryRequest() async throws {
        let holder = try await Self.holder()
        let edge = try await holder.edge("paris")
        for (bytes, alert) in [
            ([23, 3, 3, 0, 1, 0], 10), ([0, 3, 3, 0, 0], 10), ([22, 3, 3, 0x48, 1, 0], 22),
        ] as [([UInt8], UInt8)] {
            let (client, progress) = try await Self.waiting(edge, isTLS12: false)
            Self.expectAlert(try await edge.proceed(progress.handshake, ByteBuffer(bytes: bytes)), alert)
            await client.end()
        }
        #expect(try await edge.servesHandoff())
        _ = try await holder.stop()
    }

    @Test("Too many turns or bytes are answered with decode_error", arguments: [false, true])
    func tooMuch(isTLS12: Bool) async throws {
        let holder = try await Self.holder()
        let edge = try await holder.edge("paris")
        let (client, progress) = try await Self.waiting(edge, isTLS12: isTLS12)
        // A message that never ends.
        for index in 0...HandshakeDesk.maximumTurns {
            let part: [UInt8] = index == 0 ? [isTLS12 ? 16 : 1, 0, 0, 100] : [1]
            let answer = try await edge.proceed(
                progress.handshake, ByteBuffer(bytes: [22, 3, 3, 0, UInt8(part.count)] + part))
            if index < HandshakeDesk.maximumTurns {
                #expect(answer.state == .needsMore)
            } else {
                Self.expectAlert(answer, 50)
            }
        }
        let (second, other) = try await Self.waiting(edge, isTLS12: isTLS12)
        Self.expectAlert(try await Self.overflow(edge, other.handshake), 50)
        #expect(try await edge.servesHandoff())
        await client.end()
        await second.end()
        #expect(try await holder.stop().map { $0["outcome"] } == ["handshake-failed", "handshake-failed", "ok"])
    }

    /// Whole records, as many as fit into a packet: with the hello they are too many bytes.
    private static func overflow(_ edge: TestEdge, _ handshake: UInt64) async throws -> HandshakeProgress {
        var bytes = ByteBuffer()
        for _ in 0..<4 {
            bytes.writeBytes([22, 3, 3, 0x3F, 0xE0])
            bytes.writeRepeatingByte(0, count: 0x3FE0)
        }
        return try await edge.proceed(handshake, bytes)
    }

    @Test("user_canceled behind a HelloRetryRequest ends nothing, and is no fault of the key holder's")
    func alertBehindRetryRequest() async throws {
        let holder = try await Self.holder()
        let edge = try await holder.edge("paris")
        for isAlone in [false, true] {
            let (client, asked) = try await Self.waiting(edge, isTLS12: false)
            try await client.take(asked.serverBytes)
            let alert = ByteBuffer(bytes: [21, 3, 3, 0, 2, 1, 90])
            var hello: ByteBuffer = try await client.bytes()
            if isAlone {
                #expect(try await edge.proceed(asked.handshake, alert).state == .needsMore)
            } else {
                hello = ByteBuffer(bytes: alert.readableBytesView + hello.readableBytesView)
            }
            let progress = try await edge.proceed(asked.handshake, hello)
            #expect(try await LentSession.finish(client, progress).tickets.readableBytes > 0)
            await client.end()
        }
        // Any other alert ends it, with the library's answer or without one.
        for alert: [UInt8] in [[2, 40], [1, 0], [1, 100]] {
            let (client, asked) = try await Self.waiting(edge, isTLS12: false)
            let progress = try await edge.proceed(asked.handshake, ByteBuffer(bytes: [21, 3, 3, 0, 2] + alert))
            guard case .failed = progress.state else { throw HandoffTestError.notExported(progress) }
            await client.end()
        }
        #expect(try await edge.servesHandoff())
        _ = try await holder.stop()
    }

    /// An edge does not hand it over again, so the session would miss it.
    @Test("What comes behind the second hello in one turn is answered with unexpected_message, and nothing is lent")
    func behindSecondHello() async throws {
        let holder = try await Self.holder()
        let edge = try await holder.edge("paris")
        for record: [UInt8] in [[21, 3, 3, 0, 2, 1, 0], [20, 3, 3, 0, 1, 1], [22, 3, 3, 0, 1, 1]] {
            let (client, asked) = try await Self.waiting(edge, isTLS12: false)
            try await client.take(asked.serverBytes)
            var hello: ByteBuffer = try await client.bytes()
            hello.writeBytes(record)
            Self.expectAlert(try await edge.proceed(asked.handshake, hello), 10)
            await client.end()
        }
        #expect(try await edge.servesHandoff())
        _ = try await holder.stop()
    }

    @Test("Turns of a handshake that gave way are refused, without a line of their own")
    func late() async throws {
        let holder = try await Self.holder { $0.clientHandshakesPerEdge = 1 }
        let edge = try await holder.edge("paris")
        let record = ByteBuffer(bytes: [22, 3, 3, 0, 1, 1])
        for _ in 0..<3 {
            let (client, progress) = try await Self.waiting(edge, isTLS12: true)
            let (other, _) = try await Self.waiting(edge, isTLS12: true)
            await #expect(throws: KeyErrorCode.formatError) { try await edge.proceed(progress.handshake, record) }
            await #expect(throws: KeyErrorCode.formatError) { try await edge.forget(progress.handshake) }
            await client.end()
            await other.end()
        }
        #expect(try await edge.servesHandoff())
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == Array(repeating: "stalled", count: 6) + ["ok"])
    }

    @Test("Clients over one site's rate leave the connection to the other sites, and few audit lines")
    func rate() async throws {
        let holder = try await Self.holder()
        var configuration = holder.configuration
        configuration.grants = [
            try PolicyFixtures.grant("paris", "rsa.test", operations: KeyProtocol.Operation.handingOff, rate: 1),
            try PolicyFixtures.grant("paris", "p256.test", operations: KeyProtocol.Operation.handingOff, rate: 1000),
        ]
        try holder.server.reload(configuration)
        let edge = try await holder.edge("paris")
        let client = try await HandoffClient("rsa.test")
        let hello: ByteBuffer = try await client.bytes()
        let packets: [KeyPacket] = try (0..<40).map { index in
            let begin = HandshakeBegin(applicationProtocols: ["h2"], clientBytes: hello)
            return KeyPacket(
                id: UInt32(index), body: TestEdge.message(.handshakeBegin, "rsa.test", try begin.encoded()))
        }
        try edge.send(packets)
        let refused: Int = await edge.answers(40).filter { $0.body.errorCode == .rateLimited }.count
        #expect(refused >= 30)
        #expect(try await edge.servesHandoff())
        await client.end()
        let lines = try await holder.stop().filter { $0["outcome"] == "rate-limited" }
        #expect(lines.count == RefusalDigest.linesPerKind + 1)
        #expect(lines.map { Int($0["count"] ?? "1") ?? 0 }.reduce(0, +) >= 30)
    }

    @Test("What only an edge can do wrong is counted", arguments: 0..<4)
    func counted(kind: Int) async throws {
        let holder = try await Self.holder()
        let edge = try await holder.edge("paris")
        let neighbour = try await holder.edge("rome")
        let (other, waiting) = try await Self.waiting(edge, isTLS12: true)
        let record = ByteBuffer(bytes: [22, 3, 3, 0, 1, 1])
        await #expect(throws: KeyErrorCode.formatError) {
            switch kind {
            case 0: _ = try await edge.proceed(waiting.handshake + 1, record)
            case 1: try await edge.forget(waiting.handshake + 1)
            case 2:
                var forget: ByteBuffer = HandshakeForget(handshake: waiting.handshake).encoded()
                forget.writeImmutableBuffer(record)
                let message = TestEdge.message(.handshakeForget, nil, forget)
                if let code = try await edge.ask(message, id: 78)?.errorCode { throw code }
            default: _ = try await edge.proceed(waiting.handshake, ByteBuffer(bytes: [22, 3, 3, 0, 2, 1]))
            }
        }
        try edge.send([KeyPacket(id: 5, body: KeyMessage(opcode: .ping))])
        for _ in 0..<3 { #expect(try await neighbour.servesHandoff()) }
        await other.end()
        _ = try await holder.stop()
        #expect(await edge.answers(1).isEmpty)
    }
}
