import Channels
import NIOCore
import NIOEmbedded
import NIOSSL
import TLSWire
import TestWire
import Testing

@testable import EdgeTLS
@testable import RecordLayer

/// How a connection of the record layer ends, from either side.
@Suite struct RecordClosingTests {
    @Test func closing() throws {
        let bench = try RecordBench()
        let closed = bench.channel.close()
        #expect(try bench.atClient().1.end == .closed)
        #expect(bench.below.outputClosed)
        #expect(bench.channel.isActive)
        #expect(RecordBench.outcome(bench.write("late")) == "\(ChannelError.ioOnClosedChannel)")
        try bench.channel.writeInbound(try bench.closeNotify())
        #expect(!bench.channel.isActive)
        #expect(RecordBench.outcome(closed) == "done")
        #expect(bench.above.seen.last == "inactive")
    }

    /// One write, one segment.
    @Test func theGoodbyeLeavesWithTheLastWrite() throws {
        let bench = try RecordBench()
        _ = bench.write("all")
        let last = bench.write("")
        bench.endsWithFlush()
        bench.channel.flush()
        let sent: ByteBuffer = try #require(try bench.channel.readOutbound())
        #expect(try bench.channel.readOutbound(as: ByteBuffer.self) == nil)
        #expect(sent.recordTypes == [23, 23])
        #expect(RecordBench.outcome(last) == "done")
        let closed = bench.channel.close()
        #expect(try bench.outbound().readableBytes == 0)
        // It has been said: the socket's end can wait for the client's.
        #expect(!bench.below.outputClosed && bench.channel.isActive)
        try bench.channel.writeInbound(try bench.closeNotify())
        #expect(!bench.channel.isActive)
        #expect(RecordBench.outcome(closed) == "done")
    }

    @Test func aClientThatDoesNotAnswerTheGoodbyeHasItsTime() throws {
        let bench = try RecordBench()
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
        let bench = try RecordBench()
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

    @Test func closingDoesNotWaitForEver() throws {
        let bench = try RecordBench()
        let closed = bench.channel.close()
        bench.channel.embeddedEventLoop.advanceTime(by: .seconds(4))
        #expect(bench.channel.isActive)
        bench.channel.embeddedEventLoop.advanceTime(by: .seconds(2))
        #expect(!bench.channel.isActive)
        #expect(RecordBench.outcome(closed) == "done")
    }

    @Test func closingDropsABoundedAmount() throws {
        let bench = try RecordBench()
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
        let bench = try RecordBench(suite)
        let last = try bench.send("last")
        try bench.channel.writeInbound(last + bench.closeNotify())
        #expect(bench.above.seen == ["data last", "complete", "inactive"])
        #expect(!bench.channel.isActive)
        #expect(try bench.outbound().readableBytes > 0)
    }

    @Test func theClientClosesItsHalf() throws {
        let bench = try RecordBench()
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
        let bench = try RecordBench()
        _ = bench.write("unflushed")
        bench.channel.close(mode: .output, promise: nil)
        let (_, reception) = try bench.atClient()
        #expect(reception.applicationData == ByteBuffer(string: "unflushed"))
        #expect(reception.end == .closed)
        #expect(bench.below.outputClosed)
        #expect(RecordBench.outcome(bench.write("late")) == "\(ChannelError.outputClosed)")
    }

    @Test func truncationIsSeen() throws {
        let bench = try RecordBench()
        let write = bench.write("unflushed")
        bench.channel.pipeline.fireChannelInactive()
        #expect(bench.above.seen.suffix(2) == ["error \(NIOSSLError.uncleanShutdown)", "inactive"])
        #expect(RecordBench.outcome(write) == "\(ChannelError.ioOnClosedChannel)")
        let half = try RecordBench()
        half.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(half.above.seen.suffix(2) == ["error \(NIOSSLError.uncleanShutdown)", "input closed"])
    }

    @Test func anAbruptCloseSaysNothing() throws {
        let bench = try RecordBench()
        AbruptClose.close(try #require(bench.above.context))
        #expect(!bench.channel.isActive)
        #expect(try bench.outbound().readableBytes == 0)
    }
}
