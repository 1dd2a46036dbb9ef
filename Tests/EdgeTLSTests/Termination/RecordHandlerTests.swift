import Channels
import NIOCore
import NIOEmbedded
import NIOSSL
import TLSWire
import TestWire
import Testing

@testable import EdgeTLS
@testable import RecordLayer

/// The record layer as a channel handler: what the handlers above and the client see.
@Suite struct RecordHandlerTests {
    // MARK: Reading

    @Test func whatCameWithTheFinishedIsReadFirst() throws {
        let made = try MadeUpSession(finishedToCome: false)
        var client = try made.client()
        let bench = try RecordBench(received: try client.send(ByteBuffer(string: "GET")))
        #expect(bench.above.seen == ["data GET", "complete"])
    }

    @Test(arguments: [RecordSuite.aes256GCMSHA384, .ecdheRSAAES128GCMSHA256, .ecdheRSAChaCha20Poly1305SHA256])
    func dataInAnySplit(suite: RecordSuite) throws {
        let bench = try RecordBench(suite)
        let records = try bench.send("one")
        for byte in records.readableBytesView { try bench.channel.writeInbound(ByteBuffer(bytes: [byte])) }
        try bench.channel.writeInbound(try bench.send("two"))
        #expect(bench.above.seen == ["data one", "complete", "data two", "complete"])
    }

    @Test func readsOnWhenWhatCameIsNoData() throws {
        let bench = try RecordBench()
        bench.channel.read()
        #expect(bench.below.reads == 1)
        let record = try bench.send("one")
        try bench.channel.writeInbound(record.prefix(10))
        #expect(bench.below.reads == 2)
        try bench.channel.writeInbound(record.dropFirst(10))
        #expect(bench.below.reads == 2)
    }

    // MARK: Writing

    @Test func smallWritesShareARecord() throws {
        let bench = try RecordBench()
        let writes = [bench.write("head"), bench.write("body"), bench.write("")]
        #expect(try bench.outbound().readableBytes == 0)
        #expect(writes.map(RecordBench.outcome) == ["pending", "pending", "pending"])
        bench.channel.flush()
        let (records, reception) = try bench.atClient()
        #expect(records == 1)
        #expect(reception.applicationData == ByteBuffer(string: "headbody"))
        #expect(writes.map(RecordBench.outcome) == ["done", "done", "done"])
    }

    /// What comes past the pipeline keeps its place among what comes through it.
    @Test func whatIsHandedOverAtOnceComesInItsTurn() throws {
        let bench = try RecordBench()
        bench.handler.writeAndFlush(ByteBuffer(string: "one "))
        let (records, first) = try bench.atClient()
        #expect(records == 1 && first.applicationData == ByteBuffer(string: "one "))
        let earlier = bench.write("two ")
        bench.handler.writeAndFlush(ByteBuffer(string: "three "))
        #expect(RecordBench.outcome(earlier) == "done")
        _ = bench.write("four")
        bench.channel.flush()
        #expect(try bench.atClient().1.applicationData == ByteBuffer(string: "two three four"))
        bench.handler.writeAndFlush(ByteBuffer())
        #expect(try bench.outbound().readableBytes == 0)
    }

    @Test(arguments: ["close", "end of ours", "alert"]) func nothingIsHandedOverBehindAnEnd(of kind: String) throws {
        let bench = try RecordBench()
        switch kind {
        case "close": bench.channel.close(promise: nil)
        case "alert": try bench.channel.writeInbound(ByteBuffer.record(23, [UInt8](repeating: 0, count: 40)))
        default: bench.channel.close(mode: .output, promise: nil)
        }
        #expect(try bench.outbound().recordTypes == [23])
        bench.handler.writeAndFlush(ByteBuffer(string: "late"))
        #expect(try bench.outbound().readableBytes == 0)
    }

    @Test func whatIsHandedOverLastTakesTheGoodbyeAlong() throws {
        let bench = try RecordBench()
        bench.endsWithFlush()
        bench.handler.writeAndFlush(ByteBuffer(string: "all"))
        #expect(try bench.outbound().recordTypes == [23, 23])
    }

    @Test func anEmptyWriteIsAnsweredInItsTurn() throws {
        let bench = try RecordBench()
        let write = bench.write("")
        #expect(RecordBench.outcome(write) == "pending")
        bench.channel.flush()
        #expect(RecordBench.outcome(write) == "done")
        #expect(try bench.outbound().readableBytes == 0)
    }

    @Test func largeWritesAreDivided() throws {
        let bench = try RecordBench()
        let large = String(repeating: "x", count: 100_000)
        _ = bench.write("head")
        _ = bench.write(large)
        _ = bench.write("tail")
        bench.channel.flush()
        let reception = try bench.atClient().1
        #expect(reception.applicationData == ByteBuffer(string: "head" + large + "tail"))
    }

    /// They are no reason for a segment of their own.
    @Test(arguments: ["answer", "close", "goodbye"]) func ticketsOfTheBeginningLeaveWithWhatComesNext(next: String)
        throws
    {
        let tickets = ByteBuffer(bytes: [4, 0, 0, 2, 7, 7])
        let bench = try RecordBench(tickets: tickets)
        #expect(try bench.outbound().readableBytes == 0)
        switch next {
        case "answer":
            _ = bench.write("answer")
            bench.channel.flush()
        case "close": bench.channel.close(promise: nil)
        default: try bench.channel.writeInbound(try bench.closeNotify())
        }
        #expect(try bench.outbound().recordTypes == [23, 23])
    }

    @Test func ticketsKeepTheirPlace() throws {
        let bench = try RecordBench(tickets: ByteBuffer(bytes: [4, 0, 0, 2, 7, 7]))
        _ = bench.write("one")
        bench.channel.flush()
        _ = bench.write("two")
        bench.channel.flush()
        var bytes = try bench.outbound()
        #expect(bytes.recordTypes == [23, 23, 23])
        // To a session a ticket is an unexpected message; a client reads records.
        var opener = RecordOpener(
            suite: .aes128GCMSHA256, secret: Secret([UInt8](repeating: 2, count: 32)), sequence: 0)
        var contents: [String] = []
        while let header = RecordHeader(in: bytes, at: bytes.readerIndex) {
            var content = ByteBuffer()
            let record = try opener.open(bytes, at: bytes.readerIndex, header: header, into: &content)
            contents.append("\(record.type) \(record.length)")
            bytes.moveReaderIndex(forwardBy: RecordHeader.length + header.payloadLength)
        }
        #expect(contents == ["22 6", "23 3", "23 3"])
    }

    /// A client can do without tickets.
    @Test func whatIsNoTicketIsNotSent() throws {
        let bench = try RecordBench(tickets: ByteBuffer(string: "no tickets"))
        _ = bench.write("one")
        bench.channel.flush()
        #expect(try bench.outbound().recordTypes == [23])
    }

    @Test func aKeyThatIsUsedUpClosesInOrder() throws {
        var limits = RecordLimits()
        limits.recordsPerKey = 3
        let bench = try RecordBench(.ecdheRSAAES128GCMSHA256, limits: limits)
        for _ in 0..<2 {
            _ = bench.write("x")
            bench.channel.flush()
        }
        #expect(try bench.atClient().1.applicationData == ByteBuffer(string: "xx"))
        let write = bench.write("x")
        bench.channel.flush()
        #expect(RecordBench.outcome(write) == "writeKeyExhausted")
        #expect(try bench.atClient().1.end == .closed)
        #expect(bench.above.seen.last == "error write key exhausted")
    }

    @Test func aKeyThatIsUsedUpByWhatIsHandedOverClosesInOrder() throws {
        var limits = RecordLimits()
        limits.recordsPerKey = 3
        let bench = try RecordBench(.ecdheRSAAES128GCMSHA256, limits: limits)
        for _ in 0..<3 { bench.handler.writeAndFlush(ByteBuffer(string: "x")) }
        let reception = try bench.atClient().1
        #expect(reception.applicationData == ByteBuffer(string: "xx"))
        #expect(reception.end == .closed)
        #expect(bench.above.seen.last == "error write key exhausted")
    }

    // MARK: Key updates

    @Test func repliesAreBoundedWhileTheClientTakesNothing() throws {
        let bench = try RecordBench()
        var made = try MadeUpSession(finishedToCome: false)
        bench.channel.isWritable = false
        bench.channel.read()
        var passed = 0
        for _ in 0..<200 {
            // A KeyUpdate that asks for one in turn, then data, so that no limit of the session's is met.
            let update = try made.keyUpdate(requesting: true)
            let reads = bench.below.reads
            try bench.channel.writeInbound(update + made.record(.applicationData, [1]))
            bench.channel.read()
            if bench.below.reads > reads { passed += 1 }
        }
        #expect(passed < 60)
        let reads = bench.below.reads
        bench.channel.isWritable = true
        bench.channel.pipeline.fireChannelWritabilityChanged()
        #expect(bench.below.reads == reads + 1)
    }

    @Test func aFloodOfKeyUpdatesEndsTheSession() throws {
        let bench = try RecordBench()
        var made = try MadeUpSession(finishedToCome: false)
        for _ in 0..<33 {
            try bench.channel.writeInbound(try made.keyUpdate(requesting: false))
        }
        #expect(bench.above.seen.last == "error too many KeyUpdates")
    }

    // MARK: Violations

    @Test func aForgedRecord() throws {
        let bench = try RecordBench()
        let good = try bench.send("good")
        let write = bench.write("unflushed")
        try bench.channel.writeInbound(good + .record(23, [UInt8](repeating: 0, count: 40)))
        #expect(bench.above.seen == ["data good", "complete", "error bad record MAC"])
        #expect(try bench.atClient().1.end == .alert(Alert.Description.badRecordMAC.rawValue))
        #expect(RecordBench.outcome(write) != "pending")
        #expect(bench.channel.isActive)
        // Whatever follows is dropped.
        try bench.channel.writeInbound(good)
        bench.channel.embeddedEventLoop.advanceTime(by: .seconds(6))
        #expect(!bench.channel.isActive)
        #expect(bench.above.seen.last == "inactive")
    }

    @Test func theClientSendsAnAlert() throws {
        let bench = try RecordBench()
        try bench.channel.writeInbound(try bench.alert())
        #expect(bench.above.seen.suffix(2) == ["error alert from client", "inactive"])
        #expect(try bench.outbound().readableBytes == 0)
    }
}
