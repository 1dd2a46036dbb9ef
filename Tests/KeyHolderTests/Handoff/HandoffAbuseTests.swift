import KeyProtocol
import NIOCore
import NIOSSL
import RecordLayer
import Testing

@testable import KeyHolder

@Suite("Handoff among edges and clients that mean ill", .timeLimit(.minutes(2)))
struct HandoffAbuseTests {
    // MARK: Order

    @Test("Ids that are not under way, or not on this connection, are refused; others go on")
    func unknownIDs() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let other = try await holder.edge("paris")
        let (client, hello) = try await HandoffClient.hello()
        let progress = try await edge.begin(hello)
        #expect(progress.handshake == 1)
        let record = ByteBuffer(bytes: [22, 3, 3, 0, 1, 1])
        for id: UInt64 in [0, 1, 2, .max] {
            await #expect(throws: KeyErrorCode.formatError) { try await other.proceed(id, record) }
            await #expect(throws: KeyErrorCode.formatError) { try await other.forget(id) }
        }
        // What is exported has ended here.
        #expect(try await LentSession.finish(client, progress).tickets.readableBytes > 0)
        await #expect(throws: KeyErrorCode.formatError) { try await edge.forget(1) }
        await #expect(throws: KeyErrorCode.formatError) { try await edge.proceed(1, record) }
        #expect(try await edge.servesHandoff())
        await client.end()
        let lines = try await holder.stop()
        #expect(lines.filter { $0["outcome"] == "ok" }.count == 2)
        // None for the one that was: it has its line.
        #expect(lines.contains { $0["detail"] == "no such handshake on this connection" })
        let refused = lines.filter { $0["outcome"] == "format-error" }.map { Int($0["count"] ?? "1") ?? 0 }
        #expect(refused.reduce(0, +) == 8)
    }

    @Test("A client that is gone is forgotten at any point", arguments: [0, 1])
    func forgotten(point: Int) async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let (client, hello) = try await HandoffClient.hello {
            if point == 0 { $0.curves = [.secp521r1, .secp256r1] } else { $0.maximumTLSVersion = .tlsv12 }
        }
        let progress = try await edge.begin(hello)
        #expect(progress.state == .needsMore)
        try await edge.forget(progress.handshake)
        await #expect(throws: KeyErrorCode.formatError) { try await edge.forget(progress.handshake) }
        // The same hello begins another one.
        #expect(try await edge.begin(hello).handshake == progress.handshake + 1)
        await client.end()
        await edge.close()
        let lines = try await holder.stop()
        let first = lines.first { $0["detail"] == "the client is gone" }
        #expect(first?["outcome"] == "abandoned")
        #expect(first?["tls_version"] == ["TLS 1.3", "TLS 1.2"][point])
    }

    // MARK: Bytes

    @Test("Anything but one hello to begin with is refused")
    func badHello() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let (client, hello) = try await HandoffClient.hello()
        let bytes: [UInt8] = Array(hello.readableBytesView)
        for bad in [
            Array(bytes.dropLast()), bytes + [0], bytes + bytes, bytes + [23, 3, 3, 0, 1, 0], [22, 3, 1, 0, 0],
            [23, 3, 3, 0, 1, 0], Array("GET / HTTP/1.1\r\n\r\n".utf8), [UInt8](repeating: 0, count: 60_000),
        ] {
            await #expect(throws: KeyErrorCode.formatError) { try await edge.begin(ByteBuffer(bytes: bad)) }
        }
        #expect(try await edge.servesHandoff())
        await client.end()
        #expect(try await holder.stop().filter { $0["outcome"] == "format-error" }.count == 8)
    }

    @Test("A wrong Finished in TLS 1.2 is an alert and no session")
    func wrongFinishedTLS12() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let (client, hello) = try await HandoffClient.hello { $0.maximumTLSVersion = .tlsv12 }
        let progress = try await edge.begin(hello)
        try await client.take(progress.serverBytes)
        var finished: ByteBuffer = try await client.bytes()
        let last: Int = finished.writerIndex - 1
        finished.setInteger(finished.getInteger(at: last, as: UInt8.self)! ^ 1, at: last)
        let failed = try await edge.proceed(progress.handshake, finished)
        guard case .failed(let reason) = failed.state else { throw HandoffTestError.notExported(failed) }
        #expect(reason.hasPrefix("TLS handshake failed: "))
        #expect(failed.serverBytes.getInteger(at: 0, as: UInt8.self) == 21)
        await client.end()
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["handshake-failed"])
        #expect(lines[0]["tls_version"] == "TLS 1.2" && lines[0]["detail"] == reason)
    }

    @Test("What comes behind the Finished in TLS 1.2 is the session's and not taken here", arguments: [0, 1, 2])
    func behindFinished(kind: Int) async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let (client, hello) = try await HandoffClient.hello { $0.maximumTLSVersion = .tlsv12 }
        let progress = try await edge.begin(hello)
        try await client.take(progress.serverBytes)
        var finished: ByteBuffer = try await client.bytes()
        finished.writeBytes([[22, 3, 3, 0, 1, 1], [21, 3, 3, 0, 2, 1, 0], [23, 3, 3, 0, 1, 1]][kind] as [UInt8])
        let failed = try await edge.proceed(progress.handshake, finished)
        guard case .failed = failed.state else { throw HandoffTestError.notExported(failed) }
        await client.end()
        #expect(try await holder.stop().map { $0["outcome"] } == ["handshake-failed"])
    }

    @Test("Garbage at any turn is answered, and ends the handshake", arguments: [0, 1])
    func garbage(kind: Int) async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let garbage: [[UInt8]] = [
            [22, 3, 3, 0, 4, 1, 0, 0, 0], [20, 3, 3, 0, 1, 2], [21, 3, 3, 0, 2, 2, 40], [21, 3, 3, 0, 2, 1, 0],
            [22, 3, 3, 0, 0], [22, 3, 3, 0x40, 0] + [UInt8](repeating: 0, count: 0x4000),
            [22, 3, 3, 0, 40] + [UInt8](repeating: 0xAB, count: 40),
        ]
        for bytes in garbage {
            let (client, hello) = try await HandoffClient.hello {
                if kind == 0 { $0.curves = [.secp521r1, .secp256r1] } else { $0.maximumTLSVersion = .tlsv12 }
            }
            var progress = try await edge.begin(hello)
            // An empty record or a warning may pass; never for ever.
            for _ in 0..<HandshakeDesk.maximumTurns where progress.state == .needsMore {
                progress = try await edge.proceed(progress.handshake, ByteBuffer(bytes: bytes))
            }
            if progress.state == .needsMore {
                progress = try await edge.proceed(progress.handshake, ByteBuffer(bytes: bytes))
            }
            guard case .failed = progress.state else { throw HandoffTestError.notExported(progress) }
            await #expect(throws: KeyErrorCode.formatError) { try await edge.forget(progress.handshake) }
            await client.end()
        }
        #expect(try await edge.servesHandoff())
        let lines = try await holder.stop()
        #expect(!lines.contains { $0["operation"] == "handoff" && $0["outcome"] == "overloaded" })
    }

    // MARK: Floods

    @Test("Handshakes with one client random are made at once, and each has its own secrets")
    func sameRandom() async throws {
        let holder = try await TestHolder()
        let paris = try await holder.edge("paris")
        let rome = try await holder.edge("rome")
        for version in [NIOSSL.TLSVersion.tlsv12, .tlsv13] {
            let (client, hello) = try await HandoffClient.hello { $0.maximumTLSVersion = version }
            var begun: [(TestEdge, HandshakeProgress)] = []
            for edge in [paris, rome, paris] { begun.append((edge, try await edge.begin(hello))) }
            // The client goes on with the last one; the others' Finished is not its own.
            let (edge, progress) = begun[2]
            try await client.take(progress.serverBytes)
            let answer: ByteBuffer = try await client.bytes()
            for (edge, other) in begun.dropLast() {
                if version == .tlsv12 {
                    let failed = try await edge.proceed(other.handshake, answer)
                    guard case .failed = failed.state else { throw HandoffTestError.notExported(failed) }
                } else {
                    guard case .exported(let lent, _) = other.state else { throw HandoffTestError.notExported(other) }
                    var session = RecordSession(try ExportedSession(decoding: lent))
                    #expect(session.receive(answer).end == .failed(.badRecordMAC))
                }
            }
            if version == .tlsv12 {
                let exported = try await edge.proceed(progress.handshake, answer)
                guard case .exported(let lent, _) = exported.state else {
                    throw HandoffTestError.notExported(exported)
                }
                try await client.take(exported.serverBytes)
                try await client.write("GET /")
                var session = RecordSession(try ExportedSession(decoding: lent))
                #expect(
                    session.receive(try await client.bytes()).applicationData == ByteBuffer(string: "GET /"))
            } else {
                guard case .exported(let lent, let tickets) = progress.state else {
                    throw HandoffTestError.notExported(progress)
                }
                var session = RecordSession(try ExportedSession(decoding: lent))
                #expect(session.receive(answer).handshakeCompleted && tickets.readableBytes > 0)
            }
            await client.end()
        }
        let lines = try await holder.stop()
        #expect(
            lines.map { $0["outcome"] } == ["handshake-failed", "handshake-failed", "ok", "ok", "ok", "ok"])
    }

    @Test("Beyond the limit the oldest handshake gives way, on this connection only")
    func flood() async throws {
        var limits = KeyHolderLimits()
        limits.clientHandshakesPerEdge = 4
        let holder = try await TestHolder(limits: limits)
        let edge = try await holder.edge("paris")
        let sibling = try await holder.edge("paris")
        let rome = try await holder.edge("rome")
        var clients: [(HandoffClient, HandshakeProgress)] = []
        let old: (inout TLSConfiguration) -> Void = { $0.maximumTLSVersion = .tlsv12 }
        for _ in 0..<6 {
            let (client, hello) = try await HandoffClient.hello("p256.test", old)
            clients.append((client, try await edge.begin(hello)))
        }
        // A connection that has none of its own can make none give way.
        let (late, hello) = try await HandoffClient.hello("p256.test", old)
        await #expect(throws: KeyErrorCode.overloaded) { try await sibling.begin(hello) }
        #expect(try await rome.servesHandoff())
        for (index, (client, progress)) in clients.enumerated() {
            try await client.take(progress.serverBytes)
            let finished: ByteBuffer = try await client.bytes()
            if index < 2 {
                await #expect(throws: KeyErrorCode.formatError) {
                    try await edge.proceed(progress.handshake, finished)
                }
            } else {
                let exported = try await edge.proceed(progress.handshake, finished)
                guard case .exported = exported.state else { throw HandoffTestError.notExported(exported) }
            }
            await client.end()
        }
        #expect(try await sibling.servesHandoff())
        await late.end()
        let lines = try await holder.stop()
        #expect(lines.filter { $0["outcome"] == "ok" }.count == 6)
        #expect(lines.filter { $0["outcome"] == "stalled" }.count == 2)
        #expect(lines.filter { $0["outcome"] == "overloaded" }.count == 1)
    }

    @Test("A client that never sends its Finished in TLS 1.3 leaves nothing here")
    func silentClients() async throws {
        var limits = KeyHolderLimits()
        limits.clientHandshakesPerEdge = 2
        let holder = try await TestHolder(limits: limits)
        let edge = try await holder.edge("paris")
        for _ in 0..<6 {
            let (client, hello) = try await HandoffClient.hello()
            let progress = try await edge.begin(hello)
            guard case .exported(_, let tickets) = progress.state else {
                throw HandoffTestError.notExported(progress)
            }
            #expect(tickets.readableBytes > 0)
            await client.end()
        }
        #expect(try await edge.servesHandoff())
        #expect(try await holder.stop().map { $0["outcome"] } == Array(repeating: "ok", count: 7))
    }

    @Test("A handshake that stalls ends, with an audit line")
    func stall() async throws {
        var limits = KeyHolderLimits()
        limits.clientHandshakeTimeout = .seconds(2)
        let holder = try await TestHolder(limits: limits)
        let edge = try await holder.edge("paris")
        let (client, hello) = try await HandoffClient.hello { $0.maximumTLSVersion = .tlsv12 }
        let begun = try await edge.begin(hello)
        try await Task.sleep(for: .seconds(4))
        await #expect(throws: KeyErrorCode.formatError) {
            try await edge.proceed(begun.handshake, ByteBuffer(bytes: [22, 3, 3, 0, 1, 1]))
        }
        await client.end()
        await edge.close()
        let lines = try await holder.stop()
        #expect(lines.contains { $0["outcome"] == "stalled" && $0["tls_version"] == "TLS 1.2" })
    }

    @Test("Begins count against the grant's rate; turns don't")
    func rate() async throws {
        let holder = try await TestHolder()
        var configuration = holder.configuration
        configuration.grants = [
            try PolicyFixtures.grant("paris", "p256.test", operations: KeyProtocol.Operation.handingOff, rate: 1)
        ]
        try holder.server.reload(configuration)
        let edge = try await holder.edge("paris")
        let (client, hello) = try await HandoffClient.hello { $0.curves = [.secp521r1, .secp256r1] }
        let packets: [KeyPacket] = try (0..<20).map { index in
            var bytes: ByteBuffer = hello
            // Each with a random of its own, but for the first: it stands behind headers and version.
            if index > 0 { bytes.setInteger(UInt64(index), at: bytes.readerIndex + 11) }
            let begin = HandshakeBegin(applicationProtocols: ["h2"], clientBytes: bytes)
            return KeyPacket(
                id: UInt32(index), body: TestEdge.message(.handshakeBegin, "p256.test", try begin.encoded()))
        }
        try edge.send(packets)
        let answers: [KeyPacket] = await edge.answers(20)
        // A burst of two, and what comes back in as little time as this takes.
        #expect(answers.filter { $0.body.errorCode == .rateLimited }.count >= 10)
        let first: KeyPacket = try #require(answers.first { $0.id == 0 })
        let progress = try HandshakeProgress(decoding: first.body.payload)
        try await client.take(progress.serverBytes)
        let exported = try await edge.proceed(progress.handshake, try await client.bytes())
        #expect(try await LentSession.finish(client, exported).tickets.readableBytes > 0)
        await client.end()
        #expect(try await holder.stop().filter { $0["outcome"] == "rate-limited" }.count >= 10)
    }
}
