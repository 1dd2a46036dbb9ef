import Crypto
import NIOCore
import Testing

@testable import NativeHandshake

@Suite struct StreamTests {
    private func pair() throws -> (client: NativeSession, origin: NativeSession) {
        let outcome = try Wire().run()
        return (try #require(outcome.clientSession), try #require(outcome.originSession))
    }

    @Test func largeDataIsCutIntoRecords() throws {
        var (client, origin) = try self.pair()
        let output: ByteBuffer = try client.send(ByteBuffer(repeating: 1, count: 2 * 16_384 + 1))
        let records: [NativeFrame] = try frames(output, from: .client)
        #expect(records.map(\.record.readableBytes) == [16_384 + 21, 16_384 + 21, 1 + 21])
        for record in records { _ = try origin.receive(record) }
        #expect(try client.send(ByteBuffer()).readableBytes == 0)
    }

    @Test func afterABadRecordTheInputIsTruncatedWhateverComes() throws {
        var (client, origin) = try self.pair()
        var bad: NativeFrame = try firstFrame(try client.send(ByteBuffer(string: "one")))
        bad.record.setInteger(UInt8(0), at: bad.record.writerIndex - 1)
        bad.record.setInteger(UInt8(0), at: bad.record.writerIndex - 2)
        #expect(throws: NativeError.badRecord) { try origin.receive(bad) }
        #expect(throws: NativeError.truncated) { try origin.inputEnded() }
        let end: ByteBuffer = try #require(try client.end())
        #expect(throws: NativeError.self) { try origin.receive(try firstFrame(end)) }
        #expect(throws: NativeError.truncated) { try origin.inputEnded() }
    }

    @Test func replayedReorderedDroppedOrAlteredRecordsDoNotOpen() throws {
        let (client, origin) = try self.pair()
        var sender: NativeSession = client
        let one: NativeFrame = try firstFrame(try sender.send(ByteBuffer(string: "one")))
        let two: NativeFrame = try firstFrame(try sender.send(ByteBuffer(string: "two")))
        var receiver: NativeSession = origin
        #expect(throws: NativeError.badRecord) { try receiver.receive(two) }
        receiver = origin
        #expect(try receiver.receive(one) == .data(ByteBuffer(string: "one")))
        #expect(throws: NativeError.badRecord) { try receiver.receive(one) }
        for index in 4..<one.record.readableBytes {
            receiver = origin
            var changed: NativeFrame = one
            let byte: UInt8 = try #require(changed.record.getInteger(at: index))
            changed.record.setInteger(byte ^ 0x80, at: index)
            #expect(throws: NativeError.badRecord) { try receiver.receive(changed) }
            // Nothing opens after that.
            #expect(throws: NativeError.self) { try receiver.receive(one) }
        }
    }

    @Test func theEndIsTheEnd() throws {
        var (client, origin) = try self.pair()
        let end: NativeFrame = try firstFrame(try client.end() ?? ByteBuffer())
        #expect(try client.end() == nil)
        #expect(throws: NativeError.internalFailure("data after the end")) { try client.send(ByteBuffer(string: "x")) }
        #expect(throws: NativeError.truncated) { try origin.inputEnded() }
        #expect(try origin.receive(end) == .end)
        try origin.inputEnded()
        #expect(throws: NativeError.afterEnd) { try origin.receive(end) }
    }

    @Test func alertsEndTheStreamForBoth() throws {
        var (client, origin) = try self.pair()
        let alert: NativeFrame = try firstFrame(origin.fail(.unavailable) ?? ByteBuffer())
        #expect(origin.fail(.busy) == nil)
        #expect(throws: NativeError.alert(.unavailable)) { try client.receive(alert) }
        #expect(throws: NativeError.internalFailure("data after the end")) { try origin.send(ByteBuffer(string: "x")) }
        // In the clear it ends the stream too, and never as if all data had come.
        var (other, _) = try self.pair()
        let clear: NativeFrame = try firstFrame(NativeAlert.badFinished.record)
        #expect(throws: NativeError.alert(.badFinished)) { try other.receive(clear) }
    }

    @Test func handshakeMessagesHaveNoPlaceInTheStream() throws {
        var (client, _) = try self.pair()
        let frame: NativeFrame = try firstFrame(Finished(mac: [UInt8](repeating: 0, count: 32)).record())
        #expect(throws: NativeError.unexpectedMessage) { try client.receive(frame) }
    }

    @Test(arguments: NativeSuite.allCases)
    func keysChangeAfterTheirNumberOfRecords(_ suite: NativeSuite) throws {
        let schedule = NativeKeySchedule(suite)
        let secret = SymmetricKey(data: [UInt8](repeating: 3, count: suite.hashLength))
        var sealer = NativeSealer(schedule, secret: secret, recordsPerKey: 4)
        var opener = NativeOpener(schedule, secret: secret, recordsPerKey: 4)
        var unchanging = NativeOpener(schedule, secret: secret)
        for number in 0..<13 {
            var output = ByteBuffer()
            try sealer.seal(.data, ByteBuffer(string: "record \(number)").readableBytesView, into: &output)
            let frame: NativeFrame = try firstFrame(output)
            #expect(try opener.open(frame).1 == ByteBuffer(string: "record \(number)"))
            if number < 4 {
                _ = try unchanging.open(frame)
            } else {
                #expect(throws: NativeError.badRecord) { try unchanging.open(frame) }
            }
        }
    }

    @Test func recordsWithoutDataAndUnknownKindsAreRefused() throws {
        let schedule = NativeKeySchedule(.aes128GCMSHA256)
        let secret = SymmetricKey(size: .bits256)
        for (content, bytes) in [(NativeContent.data, ""), (.end, "x"), (.alert, "")] {
            var sealer = NativeSealer(schedule, secret: secret)
            var session = NativeSession(
                sealer: NativeSealer(schedule, secret: secret), opener: NativeOpener(schedule, secret: secret))
            var output = ByteBuffer()
            try sealer.seal(content, ByteBuffer(string: bytes).readableBytesView, into: &output)
            let frame: NativeFrame = try firstFrame(output)
            let error = #expect(throws: NativeError.self) { try session.receive(frame) }
            #expect(error?.alert == .decodeError)
        }
    }
}
