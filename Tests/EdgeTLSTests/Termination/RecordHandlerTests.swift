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
    /// Stands above, where HTTP would.
    private final class Above: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        var seen: [String] = []
        var context: ChannelHandlerContext?

        func handlerAdded(context: ChannelHandlerContext) { self.context = context }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.seen.append("data " + String(buffer: self.unwrapInboundIn(data)))
        }
        func channelReadComplete(context: ChannelHandlerContext) { self.seen.append("complete") }
        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            switch event {
            case ChannelEvent.inputClosed: self.seen.append("input closed")
            default: self.seen.append("\(event)")
            }
        }
        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            self.seen.append("error " + ((error as? TerminationFailure)?.reason ?? "\(error)"))
        }
        func channelInactive(context: ChannelHandlerContext) { self.seen.append("inactive") }
    }

    /// Stands below, where the socket would: counts reads.
    private final class Below: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        var reads = 0
        var outputClosed = false
        func read(context: ChannelHandlerContext) { self.reads += 1 }
        func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
            if mode == .output {
                self.outputClosed = true
                promise?.succeed()
            } else {
                context.close(mode: mode, promise: promise)
            }
        }
    }

    private final class Bench {
        let channel = EmbeddedChannel()
        let above = Above()
        let below = Below()
        let handler: RecordHandler
        private var client: RecordSession

        init(
            _ suite: RecordSuite = .aes128GCMSHA256, received: ByteBuffer = ByteBuffer(),
            tickets: ByteBuffer = ByteBuffer(),
            limits: RecordLimits = RecordLimits()
        ) throws {
            let made = try MadeUpSession(suite, finishedToCome: false)
            self.client = try made.client()
            self.handler = RecordHandler(RecordSession(made.exported, limits: limits))
            try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
            let pipeline = self.channel.pipeline.syncOperations
            try pipeline.addHandler(self.below)
            try pipeline.addHandler(self.handler, name: ServerTLS.handlerName)
            try pipeline.addHandler(self.above)
            self.handler.begin(with: received, tickets: tickets)
        }

        /// What the client sends.
        func send(_ text: String) throws -> ByteBuffer {
            try self.client.send(ByteBuffer(string: text))
        }

        func closeNotify() throws -> ByteBuffer {
            let record = self.client.close()
            return try #require(record)
        }

        func alert() throws -> ByteBuffer {
            let record = self.client.abort(.internalError)
            return try #require(record)
        }

        func outbound() throws -> ByteBuffer {
            var all = ByteBuffer()
            while let part: ByteBuffer = try self.channel.readOutbound() { all.writeImmutableBuffer(part) }
            return all
        }

        /// What the client makes of what was sent to it.
        func atClient() throws -> (records: Int, Reception) {
            let bytes = try self.outbound()
            return (bytes.recordTypes.count, self.client.receive(bytes))
        }

        func endsWithFlush() {
            self.above.context?.triggerUserOutboundEvent(ServerTLS.LastWrite(), promise: nil)
        }

        func write(_ text: String) -> EventLoopFuture<Void> {
            let promise = self.channel.eventLoop.makePromise(of: Void.self)
            self.channel.write(ByteBuffer(string: text), promise: promise)
            return promise.futureResult
        }
    }

    private static func outcome(_ future: EventLoopFuture<Void>) -> String {
        let box = NIOLoopBoundBox("pending", eventLoop: future.eventLoop)
        future.whenComplete {
            switch $0 {
            case .success: box.value = "done"
            case .failure(let error): box.value = "\(error)"
            }
        }
        return box.value
    }

    // MARK: Reading

    @Test func whatCameWithTheFinishedIsReadFirst() throws {
        let made = try MadeUpSession(finishedToCome: false)
        var client = try made.client()
        let bench = try Bench(received: try client.send(ByteBuffer(string: "GET")))
        #expect(bench.above.seen == ["data GET", "complete"])
    }

    @Test(arguments: [RecordSuite.aes256GCMSHA384, .ecdheRSAAES128GCMSHA256, .ecdheRSAChaCha20Poly1305SHA256])
    func dataInAnySplit(suite: RecordSuite) throws {
        let bench = try Bench(suite)
        let records = try bench.send("one")
        for byte in records.readableBytesView { try bench.channel.writeInbound(ByteBuffer(bytes: [byte])) }
        try bench.channel.writeInbound(try bench.send("two"))
        #expect(bench.above.seen == ["data one", "complete", "data two", "complete"])
    }

    @Test func readsOnWhenWhatCameIsNoData() throws {
        let bench = try Bench()
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
        let bench = try Bench()
        let writes = [bench.write("head"), bench.write("body"), bench.write("")]
        #expect(try bench.outbound().readableBytes == 0)
        #expect(writes.map(Self.outcome) == ["pending", "pending", "pending"])
        bench.channel.flush()
        let (records, reception) = try bench.atClient()
        #expect(records == 1)
        #expect(reception.applicationData == ByteBuffer(string: "headbody"))
        #expect(writes.map(Self.outcome) == ["done", "done", "done"])
    }

    @Test func anEmptyWriteIsAnsweredInItsTurn() throws {
        let bench = try Bench()
        let write = bench.write("")
        #expect(Self.outcome(write) == "pending")
        bench.channel.flush()
        #expect(Self.outcome(write) == "done")
        #expect(try bench.outbound().readableBytes == 0)
    }

    @Test func largeWritesAreDivided() throws {
        let bench = try Bench()
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
        let bench = try Bench(tickets: tickets)
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
        let bench = try Bench()
        _ = bench.write("one")
        bench.channel.flush()
        bench.handler.sendTickets(ByteBuffer(bytes: [4, 0, 0, 2, 7, 7]))
        bench.handler.sendTickets(ByteBuffer())
        bench.handler.sendTickets(ByteBuffer(string: "no tickets"))
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
        #expect(contents == ["23 3", "22 6", "23 3"])
    }

    @Test func aKeyThatIsUsedUpClosesInOrder() throws {
        var limits = RecordLimits()
        limits.recordsPerKey = 3
        let bench = try Bench(.ecdheRSAAES128GCMSHA256, limits: limits)
        for _ in 0..<2 {
            _ = bench.write("x")
            bench.channel.flush()
        }
        #expect(try bench.atClient().1.applicationData == ByteBuffer(string: "xx"))
        let write = bench.write("x")
        bench.channel.flush()
        #expect(Self.outcome(write) == "writeKeyExhausted")
        #expect(try bench.atClient().1.end == .closed)
        #expect(bench.above.seen.last == "error write key exhausted")
    }

    // MARK: Key updates

    @Test func repliesAreBoundedWhileTheClientTakesNothing() throws {
        let bench = try Bench()
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
        let bench = try Bench()
        var made = try MadeUpSession(finishedToCome: false)
        for _ in 0..<33 {
            try bench.channel.writeInbound(try made.keyUpdate(requesting: false))
        }
        #expect(bench.above.seen.last == "error too many KeyUpdates")
    }

    // MARK: Closing

    @Test func closing() throws {
        let bench = try Bench()
        let closed = bench.channel.close()
        #expect(try bench.atClient().1.end == .closed)
        #expect(bench.below.outputClosed)
        #expect(bench.channel.isActive)
        #expect(Self.outcome(bench.write("late")) == "\(ChannelError.ioOnClosedChannel)")
        try bench.channel.writeInbound(try bench.closeNotify())
        #expect(!bench.channel.isActive)
        #expect(Self.outcome(closed) == "done")
        #expect(bench.above.seen.last == "inactive")
    }

    /// A client of one request for each connection gets its tickets all the same.
    @Test(arguments: ["tickets", "none", "never"]) func closingWaitsForTicketsThatAreDue(answer: String) throws {
        let bench = try Bench()
        bench.handler.expectTickets()
        _ = bench.write("all")
        bench.channel.flush()
        let closed = bench.channel.close()
        #expect(try bench.outbound().recordTypes == [23])
        #expect(!bench.below.outputClosed)
        #expect(Self.outcome(bench.write("late")) == "\(ChannelError.ioOnClosedChannel)")
        try bench.channel.writeInbound(try bench.send("another request"))
        #expect(!bench.above.seen.contains("data another request"))
        switch answer {
        case "tickets": bench.handler.sendTickets(ByteBuffer(bytes: [4, 0, 0, 2, 7, 7]))
        case "none": bench.handler.sendTickets(ByteBuffer())
        default: bench.channel.embeddedEventLoop.advanceTime(by: .seconds(3))
        }
        #expect(try bench.outbound().recordTypes == (answer == "tickets" ? [23, 23] : [23]))
        #expect(bench.below.outputClosed)
        try bench.channel.writeInbound(try bench.closeNotify())
        #expect(!bench.channel.isActive)
        #expect(Self.outcome(closed) == "done")
    }

    /// One write, one segment.
    @Test func theGoodbyeLeavesWithTheLastWrite() throws {
        let bench = try Bench()
        _ = bench.write("all")
        let last = bench.write("")
        bench.endsWithFlush()
        bench.channel.flush()
        let sent: ByteBuffer = try #require(try bench.channel.readOutbound())
        #expect(try bench.channel.readOutbound(as: ByteBuffer.self) == nil)
        #expect(sent.recordTypes == [23, 23])
        #expect(Self.outcome(last) == "done")
        let closed = bench.channel.close()
        #expect(try bench.outbound().readableBytes == 0)
        // It has been said: the socket's end can wait for the client's.
        #expect(!bench.below.outputClosed && bench.channel.isActive)
        try bench.channel.writeInbound(try bench.closeNotify())
        #expect(!bench.channel.isActive)
        #expect(Self.outcome(closed) == "done")
    }

    @Test func aClientThatDoesNotAnswerTheGoodbyeHasItsTime() throws {
        let bench = try Bench()
        _ = bench.write("all")
        bench.endsWithFlush()
        bench.channel.flush()
        bench.channel.close(promise: nil)
        bench.channel.embeddedEventLoop.advanceTime(by: .seconds(4))
        #expect(bench.channel.isActive)
        bench.channel.embeddedEventLoop.advanceTime(by: .seconds(2))
        #expect(!bench.channel.isActive)
    }

    /// What was said last may still be on its way.
    @Test func aClientThatAnswersTheGoodbyeAtOnceDoesNotCutOffWhatWasSaidLast() throws {
        let bench = try Bench()
        try bench.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        _ = bench.write("all")
        bench.endsWithFlush()
        bench.channel.flush()
        try bench.channel.writeInbound(try bench.closeNotify())
        #expect(bench.channel.isActive)
        #expect(bench.above.seen.last == "input closed")
        bench.channel.close(promise: nil)
        #expect(!bench.channel.isActive)
        #expect(try bench.outbound().recordTypes == [23, 23])
    }

    @Test func theGoodbyeComesBehindTicketsThatAreDue() throws {
        let bench = try Bench()
        bench.handler.expectTickets()
        _ = bench.write("all")
        bench.endsWithFlush()
        bench.channel.flush()
        #expect(try bench.outbound().recordTypes == [23])
        bench.channel.close(promise: nil)
        #expect(!bench.below.outputClosed)
        bench.handler.sendTickets(ByteBuffer(bytes: [4, 0, 0, 2, 7, 7]))
        #expect(try bench.outbound().recordTypes == [23, 23])
        #expect(!bench.below.outputClosed && bench.channel.isActive)
    }

    @Test func aClientThatLeavesDoesNotWaitForItsTickets() throws {
        let bench = try Bench()
        bench.handler.expectTickets()
        bench.channel.close(promise: nil)
        try bench.channel.writeInbound(try bench.closeNotify())
        #expect(!bench.channel.isActive)
        bench.handler.sendTickets(ByteBuffer(bytes: [4, 0, 0, 2, 7, 7]))
        #expect(try bench.atClient().1.end == .closed)
    }

    @Test func closingDoesNotWaitForEver() throws {
        let bench = try Bench()
        let closed = bench.channel.close()
        bench.channel.embeddedEventLoop.advanceTime(by: .seconds(4))
        #expect(bench.channel.isActive)
        bench.channel.embeddedEventLoop.advanceTime(by: .seconds(2))
        #expect(!bench.channel.isActive)
        #expect(Self.outcome(closed) == "done")
    }

    @Test func closingDropsABoundedAmount() throws {
        let bench = try Bench()
        bench.channel.close(promise: nil)
        let text = String(repeating: "x", count: 16_000)
        var sent = 0
        while bench.channel.isActive, sent < 100 {
            try bench.channel.writeInbound(try bench.send(text))
            sent += 1
        }
        #expect(sent == 17)
        #expect(!bench.above.seen.contains { $0.hasPrefix("data") })
    }

    @Test(arguments: [RecordSuite.aes128GCMSHA256, .ecdheRSAAES256GCMSHA384])
    func theClientCloses(suite: RecordSuite) throws {
        let bench = try Bench(suite)
        let last = try bench.send("last")
        try bench.channel.writeInbound(last + bench.closeNotify())
        #expect(bench.above.seen == ["data last", "complete", "inactive"])
        #expect(!bench.channel.isActive)
        #expect(try bench.outbound().readableBytes > 0)
    }

    @Test func theClientClosesItsHalf() throws {
        let bench = try Bench()
        try bench.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        try bench.channel.writeInbound(try bench.closeNotify())
        #expect(bench.above.seen.last == "input closed")
        _ = bench.write("answer")
        bench.channel.flush()
        bench.channel.close(promise: nil)
        #expect(bench.channel.isActive == false)
        // The client reads on: its own half is closed, ours was not.
        #expect(try bench.outbound().recordTypes == [23, 23])
    }

    @Test func closingOurHalf() throws {
        let bench = try Bench()
        _ = bench.write("unflushed")
        bench.channel.close(mode: .output, promise: nil)
        let (_, reception) = try bench.atClient()
        #expect(reception.applicationData == ByteBuffer(string: "unflushed"))
        #expect(reception.end == .closed)
        #expect(bench.below.outputClosed)
        #expect(Self.outcome(bench.write("late")) == "\(ChannelError.outputClosed)")
    }

    @Test func truncationIsSeen() throws {
        let bench = try Bench()
        let write = bench.write("unflushed")
        bench.channel.pipeline.fireChannelInactive()
        #expect(bench.above.seen.suffix(2) == ["error \(NIOSSLError.uncleanShutdown)", "inactive"])
        #expect(Self.outcome(write) == "\(ChannelError.ioOnClosedChannel)")
        let half = try Bench()
        half.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(half.above.seen.suffix(2) == ["error \(NIOSSLError.uncleanShutdown)", "input closed"])
    }

    // MARK: Violations

    @Test func aForgedRecord() throws {
        let bench = try Bench()
        let good = try bench.send("good")
        let write = bench.write("unflushed")
        try bench.channel.writeInbound(good + .record(23, [UInt8](repeating: 0, count: 40)))
        #expect(bench.above.seen == ["data good", "complete", "error bad record MAC"])
        #expect(try bench.atClient().1.end == .alert(Alert.Description.badRecordMAC.rawValue))
        #expect(Self.outcome(write) != "pending")
        #expect(bench.channel.isActive)
        // Whatever follows is dropped.
        try bench.channel.writeInbound(good)
        bench.channel.embeddedEventLoop.advanceTime(by: .seconds(6))
        #expect(!bench.channel.isActive)
        #expect(bench.above.seen.last == "inactive")
    }

    @Test func theClientSendsAnAlert() throws {
        let bench = try Bench()
        try bench.channel.writeInbound(try bench.alert())
        #expect(bench.above.seen.suffix(2) == ["error alert from client", "inactive"])
        #expect(try bench.outbound().readableBytes == 0)
    }

    @Test func theKeyHolderRejectsTheFinished() throws {
        let bench = try Bench()
        bench.handler.fail(.finishRejected)
        #expect(try bench.atClient().1.end == .alert(Alert.Description.decryptError.rawValue))
        #expect(bench.above.seen.last == "error Finished rejected")
        bench.handler.fail(.finishRejected)
        bench.handler.sendTickets(ByteBuffer(bytes: [4, 0, 0, 2, 7, 7]))
        #expect(try bench.outbound().readableBytes == 0)
    }

    @Test func anAbruptCloseSaysNothing() throws {
        let bench = try Bench()
        AbruptClose.close(try #require(bench.above.context))
        #expect(!bench.channel.isActive)
        #expect(try bench.outbound().readableBytes == 0)
    }
}
