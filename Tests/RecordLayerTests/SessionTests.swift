import NIOCore
import TLSWire
import Testing

@testable import RecordLayer

/// What a session does with a client that keeps to the rules.
@Suite struct SessionTests {
    @Test(arguments: RecordSuite.allCases)
    func roundTrips(suite: RecordSuite) throws {
        var pair = try Pair(suite, clientSequence: 1, serverSequence: 1)
        var random = SplitMix(state: 1)
        for size in [1, 2, 100, 16_383, 16_384, 16_385, 50_000] {
            let data: ByteBuffer = random.bytes(size)
            let sent = try pair.session.send(data)
            let messages = try pair.read(sent)
            #expect(messages.allSatisfy { $0.type == 23 && $0.content.count <= 1 << 14 })
            #expect(messages.count == (size + 16_383) / 16_384)
            #expect(ByteBuffer(bytes: messages.flatMap(\.content)) == data)

            var records = ByteBuffer()
            var rest: ByteBuffer = data
            while let part: ByteBuffer = rest.readSlice(length: min(16_384, rest.readableBytes)),
                part.readableBytes > 0
            {
                try pair.client.seal(.applicationData, part, into: &records)
            }
            let reception = pair.session.receive(records)
            #expect(reception == Reception(applicationData: data))
        }
        let empty = try pair.session.send(ByteBuffer())
        #expect(empty.readableBytes == 0)
    }

    /// The same bytes, whatever buffers they stand in.
    @Test(arguments: RecordSuite.allCases)
    func oneRecordOfSeveralBuffers(suite: RecordSuite) throws {
        var pair = try Pair(suite, clientSequence: 1, serverSequence: 1)
        var random = SplitMix(state: 2)
        for sizes in [
            (9, 16_375, 0), (1, 1, 1), (300, 16_000, 84), (15, 17, 16), (0, 5, 0), (0, 0, 7), (16_384, 0, 0),
            (31, 0, 33),
        ] {
            let parts = [sizes.0, sizes.1, sizes.2].map { random.bytes($0) }
            var sent = ByteBuffer()
            try pair.session.send(parts[0], parts[1], parts[2], into: &sent)
            let messages = try pair.read(sent)
            #expect(messages.map(\.type) == [23])
            #expect(ByteBuffer(bytes: messages.flatMap(\.content)) == .concatenating(parts))
        }
        var sent = ByteBuffer()
        try pair.session.send(ByteBuffer(), ByteBuffer(), ByteBuffer(), into: &sent)
        #expect(sent.readableBytes == 0)
        // More than a record holds.
        let parts = [16_384, 1, 20_000].map { random.bytes($0) }
        try pair.session.send(parts[0], parts[1], parts[2], into: &sent)
        let messages = try pair.read(sent)
        #expect(messages.map(\.content.count) == [16_384, 1, 16_384, 3616])
        #expect(ByteBuffer(bytes: messages.flatMap(\.content)) == .concatenating(parts))
    }

    @Test(arguments: RecordSuite.tls13)
    func finishedIsCheckedThenDataFlows(suite: RecordSuite) throws {
        var pair = try Pair(suite, finishedToCome: true)
        let canSend: Bool = pair.session.canSend
        #expect(!canSend)
        let early = #expect(throws: RecordMisuse.self) {
            var pair = try Pair(suite, finishedToCome: true)
            _ = try pair.session.send(ByteBuffer(string: "x"))
        }
        #expect(early == .handshakeIncomplete)
        // A compatibility ChangeCipherSpec, the Finished in two fragments, and data, all at once.
        var input = ByteBuffer(bytes: [20, 3, 3, 0, 1, 1])
        let finished: [UInt8] = pair.finished
        input.writeImmutableBuffer(try pair.record(.handshake, Array(finished[..<7])))
        input.writeImmutableBuffer(try pair.record(.handshake, Array(finished[7...]), padding: 9))
        pair.client = RecordSealer(suite: suite, secret: pair.clientSecret, sequence: 0)
        input.writeImmutableBuffer(try pair.record(.applicationData, Array("GET".utf8)))
        let reception = pair.session.receive(input)
        #expect(reception == Reception(handshakeCompleted: true, applicationData: ByteBuffer(string: "GET")))
        let canSendNow: Bool = pair.session.canSend
        #expect(canSendNow)
        let ticket: [UInt8] = [4, 0, 0, 3, 1, 2, 3]
        let tickets = try pair.session.sendPostHandshake(ByteBuffer(bytes: ticket + ticket))
        let data = try pair.session.send(ByteBuffer(string: "OK"))
        let read = try pair.read(.concatenating([tickets, data]))
        #expect(
            read == [.init(type: 22, content: ticket + ticket), .init(type: 23, content: Array("OK".utf8))])
    }

    @Test func longTicketsAreFragmented() throws {
        var pair = try Pair(.aes128GCMSHA256)
        let message: [UInt8] = [4, 0, 0x4E, 0x20] + [UInt8](repeating: 7, count: 20_000)
        let output = try pair.session.sendPostHandshake(ByteBuffer(bytes: message))
        let read = try pair.read(output)
        #expect(read.map(\.type) == [22, 22])
        #expect(read.flatMap(\.content) == message)
    }

    @Test(
        arguments: [[UInt8]](arrayLiteral: [4, 0, 0], [4, 0, 0, 2, 1], [8, 0, 0, 0], [4, 0, 0, 0, 24, 0, 0, 1, 0]))
    func onlyTicketsArePassedOn(message: [UInt8]) throws {
        let error = #expect(throws: RecordMisuse.self) {
            var pair = try Pair(.aes128GCMSHA256)
            _ = try pair.session.sendPostHandshake(ByteBuffer(bytes: message))
        }
        #expect(error == .notTickets)
    }

    @Test func misuseIsNamed() throws {
        var pair = try Pair(.ecdheRSAAES128GCMSHA256)
        var errors: [RecordMisuse] = []
        do { _ = try pair.session.sendPostHandshake(ByteBuffer(bytes: [4, 0, 0, 0])) } catch { errors.append(error) }
        let closed = pair.session.close()
        #expect(closed != nil)
        do { _ = try pair.session.send(ByteBuffer(string: "x")) } catch { errors.append(error) }
        #expect(errors == [.noPostHandshakeMessages, .closed])
        let again = pair.session.close()
        #expect(again == nil)
        let aborted = pair.session.abort(.internalError)
        #expect(aborted == nil)
    }

    @Test func abortSendsTheAlertAndReadsNoMore() throws {
        var pair = try Pair(.aes128GCMSHA256, finishedToCome: true)
        let output = pair.session.abort(.internalError)
        let read = try pair.read(output)
        #expect(read == [.fatal(.internalError)])
        let after = try pair.receive(.handshake, pair.finished)
        #expect(after == Reception())
    }

    // MARK: Closing

    @Test func closeNotifyOfTLS13LeavesOurDirectionOpen() throws {
        var pair = try Pair(.aes256GCMSHA384)
        let data: ByteBuffer = try pair.record(.applicationData, [1])
        let close: ByteBuffer = try pair.record(.alert, [1, 0])
        let dropped: ByteBuffer = try pair.record(.applicationData, [2])
        let reception = pair.session.receive(.concatenating([data, close, dropped]))
        #expect(reception == Reception(applicationData: ByteBuffer(bytes: [1]), end: .closed))
        let late = pair.session.receive(ByteBuffer(bytes: [99, 99, 99, 99, 99, 99]))
        #expect(late == Reception())
        let end = pair.session.receiveEndOfInput()
        #expect(end == .closed)
        let answer = try pair.session.send(ByteBuffer(string: "still"))
        let closing = pair.session.close()
        let read = try pair.read(.concatenating([answer, closing ?? ByteBuffer()]))
        #expect(read == [.init(type: 23, content: Array("still".utf8)), .alert(.closeNotify)])
    }

    @Test func closeNotifyOfTLS12IsAnsweredAtOnce() throws {
        var pair = try Pair(.ecdheRSAChaCha20Poly1305SHA256)
        let reception = try pair.receive(.alert, [1, 0])
        #expect(reception.end == .closed)
        let read = try pair.read(reception.reply)
        #expect(read == [.alert(.closeNotify)])
        let canSend: Bool = pair.session.canSend
        #expect(!canSend)
    }

    @Test func endOfInputWithoutCloseNotifyIsTruncation() throws {
        for suite in RecordSuite.allCases {
            var pair = try Pair(suite)
            let partial: ByteBuffer = try pair.record(.applicationData, [1, 2, 3])
            let reception = pair.session.receive(partial.getSlice(at: 0, length: partial.readableBytes - 1)!)
            #expect(reception == Reception())
            let end = pair.session.receiveEndOfInput()
            #expect(end == .truncated)
        }
    }

    @Test(arguments: [UInt8](arrayLiteral: 10, 20, 40, 48, 100, 200))
    func errorAlertsEndTheSession(code: UInt8) throws {
        // Whatever the level says in TLS 1.3.
        var pair = try Pair(.aes128GCMSHA256)
        let reception = try pair.receive(.alert, [1, code])
        #expect(reception == Reception(end: .alert(code)))
        let canSend: Bool = pair.session.canSend
        #expect(!canSend)
        var older = try Pair(.ecdheRSAAES128GCMSHA256)
        let fatal = try older.receive(.alert, [2, code])
        #expect(fatal == Reception(end: .alert(code)))
    }

    // MARK: KeyUpdate

    @Test(arguments: RecordSuite.tls13)
    func keyUpdateOfTheClient(suite: RecordSuite) throws {
        var pair = try Pair(suite)
        for round in 0..<3 {
            let before: ByteBuffer = try pair.record(.applicationData, [1])
            let update: ByteBuffer = try pair.record(.handshake, [24, 0, 0, 1, UInt8(round % 2)])
            pair.client.update()
            let after: ByteBuffer = try pair.record(.applicationData, [2])
            let reception = pair.session.receive(.concatenating([before, update, after]))
            #expect(reception.applicationData == ByteBuffer(bytes: [1, 2]))
            let read = try pair.read(reception.reply)
            #expect(read == (round % 2 == 1 ? [.keyUpdate(0)] : []))
            let sent = try pair.session.send(ByteBuffer(bytes: [3]))
            let data = try pair.read(sent)
            #expect(data == [.init(type: 23, content: [3])])
        }
    }

    @Test func requestsThatComeTogetherAreAnsweredOnce() throws {
        var pair = try Pair(.aes128GCMSHA256)
        var input = ByteBuffer()
        for _ in 0..<5 {
            input.writeImmutableBuffer(try pair.record(.handshake, [24, 0, 0, 1, 1]))
            pair.client.update()
        }
        let reception = pair.session.receive(input)
        let read = try pair.read(reception.reply)
        #expect(read == [.keyUpdate(0)])
    }

    /// The client asks for an update, or replaces its key, just as its key has served long enough.
    @Test func anAnswerNeverAsksForAnUpdate() throws {
        var limits = RecordLimits()
        limits.recordsPerKey = 2
        for (value, expected) in [(UInt8(1), [Pair.Message.keyUpdate(0)]), (0, [])] {
            var pair = try Pair(.aes128GCMSHA256, limits: limits)
            let first: ByteBuffer = try pair.record(.applicationData, [1])
            let second: ByteBuffer = try pair.record(.applicationData, [2])
            let update: ByteBuffer = try pair.record(.handshake, [24, 0, 0, 1, value])
            let reception = pair.session.receive(.concatenating([first, second, update]))
            #expect(reception.applicationData == ByteBuffer(bytes: [1, 2]))
            let read = try pair.read(reception.reply)
            #expect(read == expected)
        }
    }

    @Test func noAnswerAfterCloseNotify() throws {
        var pair = try Pair(.aes128GCMSHA256)
        _ = pair.session.close()
        let reception = try pair.receive(.handshake, [24, 0, 0, 1, 1])
        #expect(reception == Reception())
    }

    @Test func ownKeyUpdateBeforeARecordOfSeveralBuffers() throws {
        var limits = RecordLimits()
        limits.recordsPerKey = 2
        var pair = try Pair(.aes256GCMSHA384, limits: limits)
        var sent = ByteBuffer()
        for number in 0..<5 as Range<UInt8> {
            try pair.session.send(
                ByteBuffer(bytes: [number]), ByteBuffer(bytes: [7]), ByteBuffer(bytes: [8, 9]), into: &sent)
        }
        let read = try pair.read(sent)
        #expect(read.map(\.type) == [23, 23, 22, 23, 23, 22, 23])
        #expect(read.filter { $0.type == 23 }.map(\.content) == (0..<5).map { [$0, 7, 8, 9] })
    }

    /// With TLS 1.2 there is no other key.
    @Test func severalBuffersCountAsOneRecord() throws {
        var limits = RecordLimits()
        limits.recordsPerKey = 2
        var pair = try Pair(.ecdheRSAAES128GCMSHA256, limits: limits)
        var sent = ByteBuffer()
        var errors: [RecordMisuse?] = []
        for _ in 0..<3 {
            do throws(RecordMisuse) {
                try pair.session.send(ByteBuffer(bytes: [1]), ByteBuffer(bytes: [2]), ByteBuffer(), into: &sent)
                errors.append(nil)
            } catch {
                errors.append(error)
            }
        }
        #expect(errors == [nil, nil, .writeKeyExhausted])
        let read = try pair.read(sent)
        #expect(read.map(\.content) == [[1, 2], [1, 2]])
    }

    @Test func ownKeyUpdateBeforeTheLimit() throws {
        var limits = RecordLimits()
        limits.recordsPerKey = 4
        var pair = try Pair(.chaCha20Poly1305SHA256, limits: limits)
        var random = SplitMix(state: 2)
        let data: ByteBuffer = random.bytes(10 * 16_384)
        let sent = try pair.session.send(data)
        let read = try pair.read(sent)
        #expect(read.map(\.type) == [23, 23, 23, 23, 22, 23, 23, 23, 23, 22, 23, 23])
        #expect(ByteBuffer(bytes: read.filter { $0.type == 23 }.flatMap(\.content)) == data)
        // The client's key has a limit as well: it is asked, once.
        var replies: [Pair.Message] = []
        for _ in 0..<8 {
            let reception = try pair.receive(.applicationData, [1])
            replies += try pair.read(reception.reply)
        }
        #expect(replies == [.keyUpdate(1)])
    }

    @Test func aTLS12KeyIsNotUsedBeyondItsLimit() throws {
        var limits = RecordLimits()
        limits.recordsPerKey = 3
        var pair = try Pair(.ecdheECDSAAES256GCMSHA384, limits: limits, serverSequence: 1)
        var error: RecordMisuse?
        do { _ = try pair.session.send(ByteBuffer(repeating: 0, count: 40_000)) } catch let caught { error = caught }
        #expect(error == .writeKeyExhausted)
        let sent = try pair.session.send(ByteBuffer(repeating: 0, count: 20_000))
        let close = pair.session.close()
        let read = try pair.read(.concatenating([sent, close ?? ByteBuffer()]))
        #expect(read.map(\.type) == [23, 23, 21])
    }

    @Test func sequenceNumbersDoNotWrap() throws {
        // TLS 1.3 replaces the key in time; TLS 1.2 stops.
        var pair = try Pair(.aes128GCMSHA256, clientSequence: .max - 1, serverSequence: .max - 9)
        let sent = try pair.session.send(ByteBuffer(repeating: 0, count: 40_000))
        let read = try pair.read(sent)
        #expect(read.map(\.type) == [22, 23, 23, 23])
        let last = try pair.receive(.applicationData, [1])
        #expect(last.applicationData == ByteBuffer(bytes: [1]))
        let beyond = pair.session.receive(ByteBuffer(bytes: [23, 3, 3, 0, 17] + [UInt8](repeating: 0, count: 17)))
        #expect(beyond.end == .failed(.sequenceExhausted))

        var older = try Pair(.ecdheRSAAES128GCMSHA256, serverSequence: .max - 1)
        var error: RecordMisuse?
        do { _ = try older.session.send(ByteBuffer(bytes: [1])) } catch let caught { error = caught }
        #expect(error == .writeKeyExhausted)
    }

    // MARK: Secrets

    @Test func secretsAreNotPrinted() throws {
        let secret = Secret([UInt8](repeating: 0xAB, count: 32))
        var dumped = ""
        dump(secret, to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), dumped, "\(TrafficKeys(key: secret, iv: secret))"] {
            #expect(!text.contains("171") && !text.lowercased().contains("abab"))
        }
        var buffer = ByteBuffer(bytes: [1, 2, 3])
        #expect(Secret(reading: &buffer, length: 4) == nil)
        #expect(Secret(reading: &buffer, length: 3) == Secret([1, 2, 3] as [UInt8]))
        #expect(buffer.readableBytes == 0)
    }

    @Test func exportedSessionsAreChecked() {
        let suite = RecordSuite.aes256GCMSHA384
        func fault(
            _ suite: RecordSuite, _ secrets: ExportedSession.Secrets, protocol name: [UInt8]? = nil,
            sequence: UInt64 = 0
        ) -> ExportedSessionError? {
            do {
                let session = try ExportedSession(
                    suite: suite, applicationProtocol: name, secrets: secrets, clientSequence: sequence)
                #expect(session.suite == suite)
                return nil
            } catch {
                return error
            }
        }
        let right = Secret([UInt8](repeating: 0, count: 48))
        let wrong = Secret([UInt8](repeating: 0, count: 32))
        #expect(fault(suite, .tls13(client: right, server: right, finished: nil), sequence: 5) == nil)
        #expect(fault(suite, .tls13(client: right, server: wrong, finished: nil)) == .secretLength)
        #expect(
            fault(suite, .tls13(client: right, server: right, finished: nil), protocol: [])
                == .applicationProtocolLength)
        let keys: TrafficKeys = Pair.keys(suite, 1)
        #expect(
            fault(suite, .tls13(client: right, server: right, finished: .init(keys: keys, verifyData: wrong)))
                == .verifyDataLength)
        #expect(
            fault(
                suite, .tls13(client: right, server: right, finished: .init(keys: keys, verifyData: right)), sequence: 1
            )
                == .sequenceBeforeFinished)
        #expect(fault(suite, .tls12(client: keys, server: keys)) == .wrongVersion)
        #expect(fault(.rsaAES256GCMSHA384, .tls12(client: keys, server: keys)) == .ivLength)
        #expect(
            fault(.ecdheRSAAES128GCMSHA256, .tls12(client: keys, server: keys)) == .keyLength)
    }
}
