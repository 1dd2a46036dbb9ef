import Foundation
import NIOCore
import NIOEmbedded
import Testing

@testable import Channels

/// Two embedded channels with a pump between them.
@Suite("A pump between two connections") struct PumpTests {
    private final class Owner: PumpOwner {
        var leaves = 0
        var moves = 0
        var end: (end: PumpEnd, fromClient: Int, fromOrigin: Int)?

        func clientLeft() { self.leaves += 1 }
        func moved(at now: NIODeadline) { self.moves += 1 }
        func ended(_ end: PumpEnd, fromClient: Int, fromOrigin: Int) { self.end = (end, fromClient, fromOrigin) }
    }

    /// Stands where a socket is: counts reads, and takes an end of output, which an embedded channel knows nothing of.
    private final class Socket: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer

        var reads = 0
        var outputEnds = 0
        var closes = 0

        func read(context: ChannelHandlerContext) { self.reads += 1 }

        func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
            guard mode == .output else {
                self.closes += 1
                return context.close(mode: mode, promise: promise)
            }
            self.outputEnds += 1
            promise?.succeed()
        }
    }

    private final class Stage {
        let loop = EmbeddedEventLoop()
        let client: EmbeddedChannel
        let origin: EmbeddedChannel
        let clientSocket = Socket()
        let originSocket = Socket()
        let owner = Owner()
        let pump: Pump

        init(_ adjust: (inout PumpTraits) -> Void = { _ in }) throws {
            var origin = PumpTraits()
            origin.mayLeave = true
            adjust(&origin)
            self.client = EmbeddedChannel(handler: self.clientSocket, loop: self.loop)
            self.origin = EmbeddedChannel(handler: self.originSocket, loop: self.loop)
            self.pump = Pump(
                client: PumpTraits(), origin: origin, idle: .minutes(1), lifetime: .hours(1),
                drop: DropTime(patience: .seconds(60), linger: .seconds(5)), on: self.loop, owner: self.owner)
            for channel in [self.client, self.origin] {
                try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
            }
            try self.pump.take(client: self.client)
        }

        func start() throws {
            try self.pump.take(origin: self.origin)
            self.pump.start()
        }

        static func text(_ channel: EmbeddedChannel) throws -> String {
            var text = ""
            while let bytes = try channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: bytes) }
            return text
        }

        /// As sockets do it.
        func endInput(_ channel: EmbeddedChannel) {
            channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
            self.loop.run()
        }
    }

    @Test("What the client sent before there was an origin goes first, and each byte is counted")
    func bothWays() throws {
        let stage = try Stage()
        try stage.client.writeInbound(ByteBuffer(string: "early "))
        try stage.start()
        try stage.client.writeInbound(ByteBuffer(string: "late"))
        try stage.origin.writeInbound(ByteBuffer(string: "answer"))
        #expect(try Stage.text(stage.origin) == "early late")
        #expect(try Stage.text(stage.client) == "answer")
        #expect(stage.owner.moves > 0)
        stage.endInput(stage.client)
        #expect(stage.originSocket.outputEnds == 1 && stage.owner.end == nil)
        stage.endInput(stage.origin)
        // Both directions have ended: the client is closed, and the origin closes by itself.
        #expect(!stage.client.isActive)
        try stage.origin.close().wait()
        stage.loop.run()
        let end = try #require(stage.owner.end)
        #expect(end.end == .closed && end.fromClient == 10 && end.fromOrigin == 6)
    }

    @Test("One read ahead of an origin is asked for, and no more")
    func readsAhead() throws {
        let stage = try Stage()
        stage.pump.readAhead()
        #expect(stage.clientSocket.reads == 1)
        try stage.client.writeInbound(ByteBuffer(string: "early"))
        #expect(stage.clientSocket.reads == 1, "there is no other side yet")
        try stage.start()
        #expect(stage.clientSocket.reads == 2)
        #expect(try Stage.text(stage.origin) == "early")
    }

    @Test("A side is read only while the other takes what is written to it", arguments: [PumpSide.client, .origin])
    func backPressure(side: PumpSide) throws {
        let stage = try Stage()
        try stage.start()
        let (fast, slow, reads) =
            side == .client
            ? (stage.client, stage.origin, stage.clientSocket) : (stage.origin, stage.client, stage.originSocket)
        slow.isWritable = false
        slow.pipeline.fireChannelWritabilityChanged()
        let before = reads.reads
        try fast.writeInbound(ByteBuffer(string: "more"))
        #expect(reads.reads == before, "the other side takes nothing")
        slow.isWritable = true
        slow.pipeline.fireChannelWritabilityChanged()
        #expect(reads.reads == before + 1)
    }

    @Test("An end of input that came before there was an origin travels on")
    func earlyEnd() throws {
        let stage = try Stage()
        try stage.client.writeInbound(ByteBuffer(string: "all"))
        stage.endInput(stage.client)
        try stage.start()
        stage.loop.run()
        #expect(try Stage.text(stage.origin) == "all")
        #expect(stage.originSocket.outputEnds == 1)
    }

    @Test("A client that leaves before there is an origin is told of, once")
    func clientLeaves() throws {
        let stage = try Stage()
        try stage.client.close().wait()
        stage.loop.run()
        #expect(stage.owner.leaves == 1)
        try stage.start()
        #expect(!stage.origin.isActive && stage.owner.end == nil)
    }

    @Test("A client that is given back gets an answer from others")
    func abandoned() throws {
        let stage = try Stage()
        stage.pump.abandonClient()
        stage.loop.run()
        #expect(stage.client.isActive)
        try stage.client.close().wait()
        #expect(stage.owner.leaves == 0)
    }

    @Test("A side that breaks takes the other with it", arguments: [PumpSide.client, .origin])
    func breaks(side: PumpSide) throws {
        let stage = try Stage()
        try stage.start()
        let (broken, other) = side == .client ? (stage.client, stage.origin) : (stage.origin, stage.client)
        broken.pipeline.fireErrorCaught(IOError(errnoCode: ECONNRESET, reason: "read"))
        stage.loop.run()
        #expect(!broken.isActive && !other.isActive)
        #expect(stage.owner.end?.end == .reset)
    }

    @Test("An origin that has said everything and goes leaves the client time; what it still sends is dropped")
    func left() throws {
        let stage = try Stage { $0.closeEndsInput = true }
        try stage.start()
        try stage.origin.writeInbound(ByteBuffer(string: "alert"))
        try stage.origin.close().wait()
        stage.loop.run()
        #expect(try Stage.text(stage.client) == "alert")
        #expect(stage.clientSocket.outputEnds == 1 && stage.client.isActive)
        let reads = stage.clientSocket.reads
        try stage.client.writeInbound(ByteBuffer(string: "too late"))
        #expect(stage.clientSocket.reads == reads + 1 && stage.owner.end == nil)
        stage.loop.advanceTime(by: .seconds(5))
        #expect(!stage.client.isActive)
        #expect(stage.owner.end?.end == .closed)
    }

    @Test("What a client left is delivered without it, with its end")
    func delivered() throws {
        let stage = try Stage()
        try Pump.deliver(
            ByteBuffer(string: "all of it"), to: stage.origin,
            within: DropTime(patience: .seconds(60), linger: .seconds(5)))
        stage.loop.run()
        #expect(try Stage.text(stage.origin) == "all of it")
        #expect(stage.originSocket.outputEnds == 1 && stage.origin.isActive)
        stage.loop.advanceTime(by: .seconds(5))
        #expect(!stage.origin.isActive)
    }
}
