import NIOCore
import TLSCrypto
import TLSWire
import Testing

@testable import RecordLayer

/// What a session does with a client that breaks the rules: the alert that the RFC names, and nothing delivered.
@Suite struct MalformedTests {
    /// Expects that the input ends the session with this error, after its alert and no data.
    func expect(
        _ error: RecordError, _ pair: inout Pair, _ input: ByteBuffer, data: ByteBuffer? = nil,
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        let reception = pair.session.receive(input)
        #expect(reception.end == .failed(error), sourceLocation: location)
        #expect(reception.applicationData == data, sourceLocation: location)
        let read = try pair.read(reception.reply)
        #expect(read.last == .fatal(error.alert), sourceLocation: location)
        let canSend: Bool = pair.session.canSend
        #expect(!canSend, sourceLocation: location)
        let after = pair.session.receive(input)
        #expect(after == Reception(), sourceLocation: location)
        let end = pair.session.receiveEndOfInput()
        #expect(end == .closed, sourceLocation: location)
    }

    @Test(arguments: [RecordSuite.aes128GCMSHA256, .chaCha20Poly1305SHA256])
    func everyAlteredByteOfTLS13(suite: RecordSuite) throws {
        var template = try Pair(suite)
        let record: ByteBuffer = try template.record(.applicationData, Array("secret".utf8), padding: 3)
        for index in 0..<record.readableBytes where index != 3 && index != 4 {
            for bit: UInt8 in [1, 0x80] {
                var pair = try Pair(suite)
                var altered: ByteBuffer = record
                altered.setInteger(record.getInteger(at: index, as: UInt8.self)! ^ bit, at: index)
                let type: UInt8 = altered.getInteger(at: 0)!
                try expect(
                    index > 0 ? .badRecordMAC : type == 20 ? .changeCipherSpec : .unexpectedContentType(type), &pair,
                    altered)
            }
        }
    }

    @Test(arguments: [RecordSuite.ecdheRSAAES256GCMSHA384, .ecdheRSAChaCha20Poly1305SHA256])
    func everyAlteredByteOfTLS12(suite: RecordSuite) throws {
        var template = try Pair(suite, clientSequence: 1)
        let record: ByteBuffer = try template.record(.applicationData, Array("secret".utf8))
        for index in 5..<record.readableBytes {
            var pair = try Pair(suite, clientSequence: 1)
            var altered: ByteBuffer = record
            altered.setInteger(record.getInteger(at: index, as: UInt8.self)! ^ 0x10, at: index)
            try expect(.badRecordMAC, &pair, altered)
        }
        // The type and the length are authenticated as well.
        var pair = try Pair(suite, clientSequence: 1)
        var altered: ByteBuffer = record
        altered.setInteger(UInt8(22), at: 0)
        try expect(.badRecordMAC, &pair, altered)
        pair = try Pair(suite, clientSequence: 1)
        altered = record.getSlice(at: 0, length: record.readableBytes - 1)!
        altered.setInteger(UInt16(record.readableBytes - 6), at: 3)
        try expect(.badRecordMAC, &pair, altered)
        pair = try Pair(suite, clientSequence: 1)
        altered = record
        altered.setInteger(UInt16(0x0301), at: 1)
        try expect(.wrongRecordVersion(0x0301), &pair, altered)
        pair = try Pair(suite, clientSequence: 1)
        altered = record
        altered.setInteger(UInt8(25), at: 0)
        try expect(.unexpectedContentType(25), &pair, altered)
    }

    @Test(arguments: RecordSuite.allCases)
    func replayedReorderedAndShortRecords(suite: RecordSuite) throws {
        var pair = try Pair(suite)
        let first: ByteBuffer = try pair.record(.applicationData, [1])
        let second: ByteBuffer = try pair.record(.applicationData, [2])
        try expect(.badRecordMAC, &pair, .concatenating([first, first]), data: ByteBuffer(bytes: [1]))
        pair = try Pair(suite)
        try expect(.badRecordMAC, &pair, .concatenating([second, first]))
        for length: UInt8 in 0..<24 {
            pair = try Pair(suite)
            let record: [UInt8] = [23, 3, 3, 0, length] + [UInt8](repeating: 0, count: Int(length))
            try expect(.badRecordMAC, &pair, ByteBuffer(bytes: record))
        }
    }

    /// Refused on the header alone: nothing is kept for a record that is too long.
    @Test(arguments: RecordSuite.allCases)
    func recordsTooLong(suite: RecordSuite) throws {
        let overhead: Int = suite.version == .tls13 ? 256 : suite.ivLength == 4 ? 24 : 16
        var pair = try Pair(suite)
        let length = UInt16((1 << 14) + overhead)
        let fits = pair.session.receive(ByteBuffer(bytes: [23, 3, 3, UInt8(length >> 8), UInt8(length & 0xFF)]))
        #expect(fits == Reception())
        pair = try Pair(suite)
        let more: UInt16 = length + 1
        try expect(.recordOverflow, &pair, ByteBuffer(bytes: [23, 3, 3, UInt8(more >> 8), UInt8(more & 0xFF)]))
    }

    @Test func paddingAndContentTogetherAreBounded() throws {
        var pair = try Pair(.aes128GCMSHA256)
        let content = [UInt8](repeating: 7, count: 1 << 14)
        let full = try pair.receive(.applicationData, content)
        #expect(full.applicationData?.readableBytes == 1 << 14)
        let padded = try pair.receive(.applicationData, [7], padding: (1 << 14) - 1)
        #expect(padded.applicationData == ByteBuffer(bytes: [7]))
        try expect(.recordOverflow, &pair, try pair.record(.applicationData, content, padding: 1))
    }

    @Test func tls13RecordsWithoutOrWithWrongType() throws {
        var pair = try Pair(.aes128GCMSHA256)
        try expect(.changeCipherSpec, &pair, try pair.record(.changeCipherSpec, [1]))
        for outer: UInt8 in [0, 21, 22, 24, 255] {
            pair = try Pair(.aes128GCMSHA256)
            var record: ByteBuffer = try pair.record(.applicationData, [1])
            record.setInteger(outer, at: 0)
            try expect(.unexpectedContentType(outer), &pair, record)
        }
        // After the Finished not even the compatibility one.
        pair = try Pair(.aes128GCMSHA256)
        try expect(.changeCipherSpec, &pair, ByteBuffer(bytes: [20, 3, 3, 0, 1, 1]))
        pair = try Pair(.aes128GCMSHA256)
        try expect(.emptyMessage(.handshake), &pair, try pair.record(.handshake, []))
        pair = try Pair(.aes128GCMSHA256)
        try expect(.emptyMessage(.alert), &pair, try pair.record(.alert, [], padding: 4))
        for alert: [UInt8] in [[1], [1, 0, 1]] {
            pair = try Pair(.aes128GCMSHA256)
            try expect(.malformedAlert, &pair, try pair.record(.alert, alert))
        }
    }

    /// Nothing but zeros, or nothing at all, under the tag.
    @Test func tls13RecordsOfPaddingOnly() throws {
        for count in [0, 1, 100] {
            var pair = try Pair(.aes128GCMSHA256)
            let suite = RecordSuite.aes128GCMSHA256
            let keys: TrafficKeys = TLS13KeySchedule(suite).trafficKeys(suite.cipher, secret: pair.clientSecret)
            let header: [UInt8] = [23, 3, 3, 0, UInt8(count + 16)]
            var sealed = [UInt8](repeating: 0, count: count + 16)
            let key = AEADKey(suite.cipher, key: keys.key)
            let succeeded: Bool = sealed.withUnsafeMutableBytes { output in
                keys.iv.withUnsafeBytes { nonce in
                    header.withUnsafeBytes {
                        key.seal(
                            UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(output)[..<count]), into: output,
                            nonce: nonce, authenticating: $0)
                    }
                }
            }
            #expect(succeeded)
            try expect(.missingContentType, &pair, ByteBuffer(bytes: header + sealed))
        }
    }

    @Test func emptyRecordsAreBounded() throws {
        for suite in RecordSuite.allCases {
            var pair = try Pair(suite)
            for _ in 0..<2 {
                for _ in 0..<32 {
                    let reception = try pair.receive(.applicationData, [])
                    #expect(reception == Reception())
                }
                let reception = try pair.receive(.applicationData, [1])
                #expect(reception.applicationData == ByteBuffer(bytes: [1]))
            }
            for _ in 0..<32 { _ = try pair.receive(.applicationData, []) }
            try expect(.tooManyEmptyRecords, &pair, try pair.record(.applicationData, []))
        }
    }

    // MARK: Handshake messages

    @Test func keyUpdateFlood() throws {
        var pair = try Pair(.aes128GCMSHA256)
        for _ in 0..<32 {
            let reception = try pair.receive(.handshake, [24, 0, 0, 1, 1])
            pair.client.update()
            let read = try pair.read(reception.reply)
            #expect(read == [.keyUpdate(0)])
        }
        try expect(.tooManyKeyUpdates, &pair, try pair.record(.handshake, [24, 0, 0, 1, 0]))
    }

    @Test func malformedKeyUpdates() throws {
        let cases: [([UInt8], RecordError)] = [
            ([24, 0, 0, 1, 2], .keyUpdateRequest(2)),
            ([24, 0, 0, 0], .handshakeLength(24)),
            ([24, 0, 0, 2], .handshakeLength(24)),
            ([24, 0xFF, 0xFF, 0xFF], .handshakeLength(24)),
            ([24, 0, 0, 1, 0, 24], .messageAcrossKeyChange),
            ([24, 0, 0, 1, 0, 24, 0, 0, 1, 0], .messageAcrossKeyChange),
            ([1, 0, 0, 0], .unexpectedHandshakeMessage(1)),
            ([4, 0, 0, 0], .unexpectedHandshakeMessage(4)),
            ([5, 0, 0, 0], .unexpectedHandshakeMessage(5)),
            ([20, 0, 0, 32], .unexpectedHandshakeMessage(20)),
        ]
        for (content, error) in cases {
            var pair = try Pair(.chaCha20Poly1305SHA256)
            try expect(error, &pair, try pair.record(.handshake, content))
            guard content.count > 1, error != .messageAcrossKeyChange else { continue }
            // Byte for byte: the same, as soon as it can be told.
            pair = try Pair(.chaCha20Poly1305SHA256)
            var input = ByteBuffer()
            for byte in content { input.writeImmutableBuffer(try pair.record(.handshake, [byte])) }
            try expect(error, &pair, input)
        }
    }

    @Test func nothingComesBetweenFragments() throws {
        for type: ContentType in [.applicationData, .alert, .changeCipherSpec] {
            for count in 1...4 {
                var pair = try Pair(.aes128GCMSHA256)
                let fragment = try pair.receive(.handshake, Array([24, 0, 0, 1, 0][..<count]))
                #expect(fragment == Reception())
                try expect(.interleavedHandshake, &pair, try pair.record(type, [1, 0]))
            }
        }
    }

    // MARK: Before the Finished

    @Test(arguments: RecordSuite.tls13)
    func wrongFinished(suite: RecordSuite) throws {
        for index in 4..<(4 + suite.hash.length) {
            var pair = try Pair(suite, finishedToCome: true)
            var finished: [UInt8] = pair.finished
            finished[index] ^= 1
            try expect(.finishedMismatch, &pair, try pair.record(.handshake, finished))
        }
        let length = UInt8(suite.hash.length)
        let cases: [([UInt8], RecordError)] = [
            ([20, 0, 0, length - 1], .handshakeLength(20)), ([20, 0, 0, length + 1], .handshakeLength(20)),
            ([5, 0, 0, 0], .unexpectedHandshakeMessage(5)), ([24, 0, 0, 1, 0], .unexpectedHandshakeMessage(24)),
            ([11, 0, 0, 4, 0, 0, 0, 0], .unexpectedHandshakeMessage(11)),
        ]
        for (content, error) in cases {
            var pair = try Pair(suite, finishedToCome: true)
            try expect(error, &pair, try pair.record(.handshake, content))
        }
        var pair = try Pair(suite, finishedToCome: true)
        try expect(.messageAcrossKeyChange, &pair, try pair.record(.handshake, pair.finished + [24]))
        pair = try Pair(suite, finishedToCome: true)
        try expect(.unexpectedContentType(23), &pair, try pair.record(.applicationData, [1]))
        // With keys that are not in force yet.
        pair = try Pair(suite, finishedToCome: true)
        pair.client = RecordSealer(suite: suite, secret: pair.clientSecret, sequence: 0)
        try expect(.badRecordMAC, &pair, try pair.record(.applicationData, [1]))
    }

    @Test func changeCipherSpecBeforeTheFinished() throws {
        let good = ByteBuffer(bytes: [20, 3, 3, 0, 1, 1])
        var pair = try Pair(.aes128GCMSHA256, finishedToCome: true)
        for _ in 0..<4 {
            let reception = pair.session.receive(good)
            #expect(reception == Reception())
        }
        try expect(.changeCipherSpec, &pair, good)
        let wrong: [[UInt8]] = [[20, 3, 3, 0, 1, 2], [20, 3, 3, 0, 2, 1, 1], [20, 3, 3, 0, 0]]
        for bytes in wrong {
            pair = try Pair(.aes128GCMSHA256, finishedToCome: true)
            try expect(.changeCipherSpec, &pair, ByteBuffer(bytes: bytes))
        }
        pair = try Pair(.aes128GCMSHA256, finishedToCome: true)
        let fragment: ByteBuffer = try pair.record(.handshake, [20])
        try expect(.changeCipherSpec, &pair, .concatenating([fragment, good]))
    }

    /// The key holder's TLS library, or the one here, reads the same records and takes no other.
    @Test(arguments: RecordSuite.tls13)
    func anotherRecordVersionBeforeTheFinished(suite: RecordSuite) throws {
        for version: UInt16 in [0x0301, 0x0302, 0x0304, 0x0003] {
            var pair = try Pair(suite, finishedToCome: true)
            var altered: ByteBuffer = try pair.record(.handshake, pair.finished)
            altered.setInteger(version, at: 1)
            try expect(.wrongRecordVersion(version), &pair, altered)
            pair = try Pair(suite, finishedToCome: true)
            var change = ByteBuffer(bytes: [20, 3, 3, 0, 1, 1])
            change.setInteger(version, at: 1)
            try expect(.wrongRecordVersion(version), &pair, change)
            // An alert in the clear keeps its reason.
            pair = try Pair(suite, finishedToCome: true)
            var alert = ByteBuffer(bytes: [21, 3, 3, 0, 2, 2, 47])
            alert.setInteger(version, at: 1)
            let reception = pair.session.receive(alert)
            #expect(reception == Reception(end: .alert(47)))
        }
    }

    @Test func unprotectedAlertBeforeTheFinished() throws {
        var pair = try Pair(.aes128GCMSHA256, finishedToCome: true)
        let reception = pair.session.receive(ByteBuffer(bytes: [21, 3, 3, 0, 2, 2, 47]))
        #expect(reception == Reception(end: .alert(47)))
        pair = try Pair(.aes128GCMSHA256, finishedToCome: true)
        let protected = try pair.receive(.alert, [2, 48])
        #expect(protected == Reception(end: .alert(48)))
        // Once the client has shown that it has keys, not any more.
        pair = try Pair(.aes128GCMSHA256, finishedToCome: true)
        let fragment: ByteBuffer = try pair.record(.handshake, [20])
        try expect(
            .unexpectedContentType(21), &pair, .concatenating([fragment, ByteBuffer(bytes: [21, 3, 3, 0, 2, 2, 47])]))
        pair = try Pair(.aes128GCMSHA256, finishedToCome: true)
        try expect(.malformedAlert, &pair, ByteBuffer(bytes: [21, 3, 3, 0, 3]))
    }

    /// However reading ends before the Finished, nothing may be sent but an alert.
    @Test func nothingIsSentToAClientThatLeftBeforeItsFinished() throws {
        for way in 0..<3 {
            var pair = try Pair(.aes128GCMSHA256, finishedToCome: true)
            switch way {
            case 0:
                let reception = pair.session.receive(ByteBuffer(bytes: [21, 3, 3, 0, 2, 1, 0]))
                #expect(reception == Reception(end: .closed))
            case 1:
                let reception = try pair.receive(.alert, [1, 0])
                #expect(reception == Reception(end: .closed))
            default:
                let end = pair.session.receiveEndOfInput()
                #expect(end == .truncated)
            }
            let canSend: Bool = pair.session.canSend
            #expect(!canSend)
            var error: RecordMisuse?
            do { _ = try pair.session.send(ByteBuffer(bytes: [1])) } catch let caught { error = caught }
            #expect(error == .handshakeIncomplete)
            let close = try pair.read(pair.session.close())
            #expect(close == [.alert(.closeNotify)])
        }
    }

    @Test func refusedEarlyDataIsSkippedUpToABound() throws {
        let unreadable = ByteBuffer(bytes: [23, 3, 3, 0, 100] + [UInt8](repeating: 9, count: 100))
        var pair = try Pair(.aes128GCMSHA256, finishedToCome: true, earlyDataOffered: true)
        let skipped = pair.session.receive(.concatenating([unreadable, unreadable]))
        #expect(skipped == Reception(skippedEarlyData: true))
        let finished = try pair.receive(.handshake, pair.finished)
        #expect(finished == Reception(handshakeCompleted: true))
        try expect(.badRecordMAC, &pair, unreadable)

        pair = try Pair(.aes128GCMSHA256, finishedToCome: true, earlyDataOffered: true)
        for _ in 0..<((2 * (16_384 + 261)) / 105) {
            let reception = pair.session.receive(unreadable)
            #expect(reception == Reception(skippedEarlyData: true))
        }
        try expect(.tooMuchEarlyData, &pair, unreadable)

        pair = try Pair(.aes128GCMSHA256, finishedToCome: true)
        try expect(.badRecordMAC, &pair, unreadable)
    }

    // MARK: TLS 1.2

    @Test func renegotiationIsRefusedWithAWarningOnce() throws {
        var pair = try Pair(.ecdheRSAAES128GCMSHA256)
        let hello: [UInt8] = [1, 0, 1, 0] + [UInt8](repeating: 5, count: 256)
        let part = try pair.receive(.handshake, Array(hello[..<100]))
        let warning = try pair.read(part.reply)
        #expect(warning == [.alert(.noRenegotiation)])
        #expect(part.end == nil)
        let rest = try pair.receive(.handshake, Array(hello[100...]))
        #expect(rest == Reception())
        let data = try pair.receive(.applicationData, [1])
        #expect(data.applicationData == ByteBuffer(bytes: [1]))
        try expect(.renegotiation, &pair, try pair.record(.handshake, hello))

        pair = try Pair(.ecdheRSAAES128GCMSHA256)
        let refused = try pair.receive(.handshake, Array(hello[..<100]))
        _ = try pair.read(refused.reply)
        try expect(.interleavedHandshake, &pair, try pair.record(.applicationData, [1]))
        pair = try Pair(.ecdheRSAAES128GCMSHA256)
        try expect(.renegotiation, &pair, try pair.record(.handshake, [1, 1, 0, 0]))
    }

    @Test func otherMessagesOfTLS12() throws {
        for type: UInt8 in [0, 4, 11, 16, 20, 24] {
            var pair = try Pair(.ecdheECDSAChaCha20Poly1305SHA256)
            try expect(.unexpectedHandshakeMessage(type), &pair, try pair.record(.handshake, [type, 0, 0, 0]))
        }
        var pair = try Pair(.ecdheECDSAChaCha20Poly1305SHA256)
        try expect(.changeCipherSpec, &pair, try pair.record(.changeCipherSpec, [1]))
        pair = try Pair(.ecdheECDSAChaCha20Poly1305SHA256)
        try expect(.malformedAlert, &pair, try pair.record(.alert, [3, 0x28]))
        pair = try Pair(.ecdheECDSAChaCha20Poly1305SHA256)
        for _ in 0..<4 {
            let reception = try pair.receive(.alert, [1, 90])
            #expect(reception == Reception())
        }
        try expect(.tooManyWarnings, &pair, try pair.record(.alert, [1, 90]))
    }

    /// Whole conversations with one byte altered somewhere: what is delivered is a prefix of what was sent.
    @Test func randomDamage() throws {
        var random = SplitMix(state: 3)
        for round in 0..<400 {
            let suite: RecordSuite = RecordSuite.allCases[round % RecordSuite.allCases.count]
            var pair = try Pair(suite)
            var sent = ByteBuffer()
            var wire = ByteBuffer()
            for _ in 0..<4 {
                let data: ByteBuffer = random.bytes(Int.random(in: 0..<300, using: &random))
                sent.writeImmutableBuffer(data)
                try pair.client.seal(.applicationData, data, into: &wire)
            }
            let index = Int.random(in: 0..<wire.readableBytes, using: &random)
            let damage = UInt8.random(in: 1...255, using: &random)
            wire.setInteger(wire.getInteger(at: index, as: UInt8.self)! ^ damage, at: index)
            var received = ByteBuffer()
            while wire.readableBytes > 0 {
                let count: Int = min(wire.readableBytes, Int.random(in: 1..<200, using: &random))
                let reception = pair.session.receive(wire.readSlice(length: count)!)
                if let data = reception.applicationData { received.writeImmutableBuffer(data) }
            }
            let end = pair.session.receiveEndOfInput()
            // Either the damage was seen, or it made a length larger than what came.
            #expect(sent.readableBytesView.starts(with: received.readableBytesView))
            #expect(received.readableBytes < sent.readableBytes || end == .closed)
        }
    }
}
