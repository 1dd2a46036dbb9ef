import NIOCore
import NIOEmbedded
import Testing

@testable import PeerLink
@testable import StreamWire

/// The accepter's end of a link, on a channel whose bytes, writability and time are the test's.
@Suite struct StreamLinkHandlerTests {
    /// What became of a link.
    private final class Owner {
        var streams: [StreamChannel] = []
        var ends: [String] = []
        var charged: [Int] = []
        var pause = TimeAmount.zero
    }

    private struct Link {
        let channel = EmbeddedChannel()
        let handler: StreamLinkHandler
        let owner: Owner

        /// - Parameter reads: whether streams that are opened are read.
        init(reads: Bool = true) throws {
            let owner = Owner()
            self.owner = owner
            let box = Box()
            self.handler = StreamLinkHandler(
                role: .accepter,
                events: .init(
                    opened: { offered in
                        guard let stream = offered.take(), let handler = box.handler else { return }
                        try? stream.setOptionNow(reads)
                        owner.streams.append(stream)
                        handler.accept(stream)
                    },
                    charged: {
                        owner.charged.append($0)
                        return owner.pause
                    },
                    ended: { owner.ends.append($0) }))
            box.handler = self.handler
            try self.channel.pipeline.syncOperations.addHandler(self.handler)
            try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        }

        private final class Box { weak var handler: StreamLinkHandler? }

        /// Each frame in a read of its own, of so many bytes.
        func receive(_ frames: [StreamFrame], reads: Int = 0) throws {
            for frame in frames {
                var bytes = ByteBuffer()
                bytes.reserveCapacity(reads)
                frame.write(into: &bytes)
                try self.channel.writeInbound(bytes)
            }
            self.channel.embeddedEventLoop.run()
        }

        func sent() throws -> [StreamFrame] {
            var reader = StreamFrameReader()
            var frames: [StreamFrame] = []
            while let bytes = try self.channel.readOutbound(as: ByteBuffer.self) {
                reader.receive(bytes)
                while let frame = try reader.next() { frames.append(frame) }
            }
            return frames
        }
    }

    private static func open(_ id: StreamFrame.ID) -> StreamFrame {
        .open(id, window: 65_536, introduction: ByteBuffer(string: "client"))
    }

    /// The first stream of a link, and what reads it.
    private static func stream(of link: Link) throws -> (StreamChannel, Reader) {
        try link.receive([Self.open(1)])
        let stream = try #require(link.owner.streams.first)
        let reader = Reader()
        try stream.pipeline.syncOperations.addHandler(reader)
        return (stream, reader)
    }

    @Test func singleBytesInReadsOfTheirOwnDoNotKeepTheReads() throws {
        let link = try Link(reads: false)
        try link.receive([Self.open(1)])
        let stream = try #require(link.owner.streams.first)
        let count = 5000
        try link.receive(
            (0..<count).map { _ in .data(1, ByteBuffer(bytes: [7])) }, reads: 16_384)
        #expect(stream.inbound.readableBytes == count)
        #expect(stream.inbound.keptBytes <= 4 * count + 16_384)
        stream.close(promise: nil)
        link.channel.embeddedEventLoop.run()
    }

    @Test func whatAReaderKeepsDoesNotKeepTheReads() throws {
        let link = try Link()
        try link.receive([Self.open(1)])
        let stream = try #require(link.owner.streams.first)
        let keeper = Keeper()
        try stream.pipeline.syncOperations.addHandler(keeper)
        let count = 2000
        try link.receive(
            (0..<count).map { _ in .data(1, ByteBuffer(bytes: [7])) }, reads: 65_536)
        // Several of one read, and one that is large by itself.
        var read = ByteBuffer()
        read.reserveCapacity(262_144)
        for _ in 0..<100 { StreamFrame.data(1, ByteBuffer(repeating: 7, count: 100)).write(into: &read) }
        StreamFrame.data(1, ByteBuffer(repeating: 7, count: 16_384)).write(into: &read)
        try link.channel.writeInbound(read)
        link.channel.embeddedEventLoop.run()
        #expect(keeper.bytes == count + 10_000 + 16_384)
        #expect(keeper.kept <= 32 * keeper.bytes, "\(keeper.kept)")
        stream.close(promise: nil)
        link.channel.embeddedEventLoop.run()
    }

    /// What a slow client's connection has waiting.
    private final class Keeper: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private var pieces: [ByteBuffer] = []

        var bytes: Int { self.pieces.reduce(0) { $0 + $1.readableBytes } }
        var kept: Int { self.pieces.reduce(0) { $0 + $1.storageCapacity } }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.pieces.append(self.unwrapInboundIn(data))
        }
    }

    @Test func whatThePeerSaidBeforeItClosedIsReadAlsoByAnEndThatWrites() throws {
        let link = try Link(reads: false)
        let (stream, reader) = try Self.stream(of: link)
        // More than the peer takes, so that it waits.
        var outcomes: [Bool] = []
        stream.writeAndFlush(ByteBuffer(repeating: 1, count: 200_000)).assumeIsolated().whenComplete {
            outcomes.append((try? $0.get()) != nil)
        }
        link.channel.embeddedEventLoop.run()
        #expect(!stream.isWritable)
        try link.receive([.data(1, ByteBuffer(string: "answer")), .close(1)])
        #expect(outcomes == [true] && stream.isWritable && stream.isActive)
        // The other side of a pump sends more, and ends.
        stream.writeAndFlush(ByteBuffer(string: "late")).assumeIsolated().whenComplete {
            outcomes.append((try? $0.get()) != nil)
        }
        stream.close(mode: .output).assumeIsolated().whenComplete { outcomes.append((try? $0.get()) != nil) }
        link.channel.embeddedEventLoop.run()
        #expect(outcomes == [true, true, true] && stream.isActive)
        stream.pipeline.syncOperations.read()
        link.channel.embeddedEventLoop.run()
        #expect(reader.text == "answer")
        #expect(!stream.isActive)
    }

    @Test func whatWaitsIsNotDeliveredWithinTheCallThatAsksForIt() throws {
        let link = try Link(reads: false)
        let (stream, reader) = try Self.stream(of: link)
        try link.receive([.data(1, ByteBuffer(string: "a")), .data(1, ByteBuffer(string: "b"))])
        #expect(reader.text == "")
        stream.pipeline.syncOperations.read()
        // Something that came before may have to be passed on first.
        #expect(reader.text == "")
        link.channel.embeddedEventLoop.run()
        #expect(reader.text == "ab")
        stream.close(promise: nil)
        link.channel.embeddedEventLoop.run()
    }

    // MARK: The link ends before its streams are read

    @Test(arguments: [StreamFrame.end(1), .close(1)])
    func whatThePeerSaidCompletelyIsReadAlsoWhenTheLinkIsGone(last: StreamFrame) throws {
        let link = try Link(reads: false)
        let (stream, reader) = try Self.stream(of: link)
        // It is more than the peer takes, and is of no use to it any more.
        var outcomes: [Bool] = []
        stream.writeAndFlush(ByteBuffer(repeating: 1, count: 200_000)).assumeIsolated().whenComplete {
            outcomes.append((try? $0.get()) != nil)
        }
        try link.receive([.data(1, ByteBuffer(string: "ans")), .data(1, ByteBuffer(string: "wer")), last])
        _ = try link.channel.finish(acceptAlreadyClosed: true)
        #expect(link.owner.ends == ["the other end closed the connection"])
        #expect(stream.isActive && stream.isWritable && outcomes == [true])
        stream.writeAndFlush(ByteBuffer(string: "late"), promise: nil)
        link.channel.embeddedEventLoop.run()
        #expect(reader.text == "" && stream.isActive)
        stream.pipeline.syncOperations.read()
        link.channel.embeddedEventLoop.run()
        #expect(reader.text == "answer" && reader.errors.isEmpty)
        #expect(!stream.isActive)
    }

    @Test func whatThePeerHadMoreToSayOnIsBroken() throws {
        let link = try Link(reads: false)
        try link.receive([Self.open(1), .data(1, ByteBuffer(string: "half"))])
        let stream = try #require(link.owner.streams.first)
        let reader = Reader()
        try stream.pipeline.syncOperations.addHandler(reader)
        _ = try link.channel.finish(acceptAlreadyClosed: true)
        #expect(!stream.isActive && reader.text == "")
        #expect(reader.errors == [.linkEnded("the other end closed the connection")])
    }

    @Test func anEndThatWasReadAlreadyIsAnEndWhenTheLinkIsGone() throws {
        let link = try Link()
        let (stream, reader) = try Self.stream(of: link)
        try link.receive([.data(1, ByteBuffer(string: "answer")), .end(1)])
        #expect(reader.text == "answer" && stream.isActive)
        _ = try link.channel.finish(acceptAlreadyClosed: true)
        #expect(!stream.isActive && reader.errors.isEmpty)
    }

    /// What a peer sent faster than it may, before it left.
    @Test func whatAPauseHeldBackIsReadWhenTheLinkIsGone() throws {
        let link = try Link(reads: false)
        let (stream, reader) = try Self.stream(of: link)
        link.owner.pause = .seconds(1)
        var bytes = ByteBuffer()
        for _ in 0..<300 { StreamFrame.data(1, ByteBuffer(string: "x")).write(into: &bytes) }
        StreamFrame.close(1).write(into: &bytes)
        Self.open(2).write(into: &bytes)
        try link.channel.writeInbound(bytes)
        #expect(stream.inbound.readableBytes == 256)
        _ = try link.channel.finish(acceptAlreadyClosed: true)
        // Whom a peer that is gone brought last is not served.
        #expect(link.owner.streams.count == 1)
        stream.pipeline.syncOperations.read()
        link.channel.embeddedEventLoop.run()
        #expect(reader.text.utf8.count == 300 && reader.errors.isEmpty)
        #expect(!stream.isActive)
    }

    @Test func whatIsReadOfALinkThatIsGoneCountsForItsPeersRate() throws {
        let link = try Link()
        link.owner.pause = .seconds(1)
        var pings = ByteBuffer()
        for number in UInt64(1)...600 { StreamFrame.ping(number).write(into: &pings) }
        try link.channel.writeInbound(pings)
        _ = try link.channel.finish(acceptAlreadyClosed: true)
        #expect(link.owner.charged == [256, 256, 88])
    }

    @Test func whatOutlivesALinkDoesNotKeepItsReads() throws {
        let link = try Link(reads: false)
        try link.receive([Self.open(1)])
        let stream = try #require(link.owner.streams.first)
        var read = ByteBuffer()
        read.reserveCapacity(1 << 20)
        StreamFrame.data(1, ByteBuffer(bytes: [7])).write(into: &read)
        StreamFrame.end(1).write(into: &read)
        // Breaks the rules in the same read.
        StreamFrame.accept(1, window: 1).write(into: &read)
        try link.channel.writeInbound(read)
        #expect(link.owner.ends.count == 1 && stream.isActive)
        #expect(stream.inbound.readableBytes == 1 && stream.inbound.keptBytes <= 16_384)
        stream.close(promise: nil)
        link.channel.embeddedEventLoop.run()
    }

    private final class Reader: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        var text = ""
        var errors: [StreamBroken] = []

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            if let error = error as? StreamBroken { self.errors.append(error) }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.text += String(buffer: self.unwrapInboundIn(data))
        }
    }

    @Test func whatStreamsSaidLastLeavesBeforeTheLinkEnds() throws {
        let link = try Link()
        try link.receive([Self.open(1)])
        #expect(try link.sent() == [.accept(1, window: 65_536 - 4096)])
        let stream = try #require(link.owner.streams.first)
        link.channel.isWritable = false
        stream.writeAndFlush(ByteBuffer(string: "last words"), promise: nil)
        stream.close(promise: nil)
        link.handler.closeWhenSent(because: "done", within: .seconds(5))
        link.channel.embeddedEventLoop.run()
        #expect(try link.sent() == [])
        #expect(link.owner.ends == [] && link.channel.isActive)
        link.channel.isWritable = true
        link.channel.pipeline.fireChannelWritabilityChanged()
        link.channel.embeddedEventLoop.run()
        #expect(try link.sent() == [.data(1, ByteBuffer(string: "last words")), .close(1)])
        #expect(link.owner.ends == ["done"])
        #expect(!link.channel.isActive)
    }

    @Test func aLinkWhosePeerDoesNotReadEndsNevertheless() throws {
        let link = try Link()
        try link.receive([Self.open(1)])
        let stream = try #require(link.owner.streams.first)
        link.channel.isWritable = false
        stream.writeAndFlush(ByteBuffer(string: "last words"), promise: nil)
        stream.close(promise: nil)
        link.handler.closeWhenSent(because: "done", within: .seconds(5))
        link.channel.embeddedEventLoop.advanceTime(by: .seconds(4))
        #expect(link.channel.isActive)
        link.channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(link.owner.ends == ["done"])
        #expect(!link.channel.isActive)
    }

    @Test func aPeerThatMakesWordsAndReadsNoneLosesItsLink() throws {
        let link = try Link()
        link.channel.isWritable = false
        for id in StreamFrame.ID(1)...10_000 where link.channel.isActive {
            try link.receive([Self.open(id), .reset(id, .broken)])
        }
        #expect(link.owner.ends == ["the other end broke the protocol: it does not read what it is sent"])
        #expect(!link.channel.isActive)
        // A frame for each that was taken, and one for each that was broken off.
        #expect(link.owner.streams.count <= 4200)
        #expect(link.owner.streams.allSatisfy { !$0.isActive })
    }

    @Test func streamsThatAreOpenedCountForMore() throws {
        let link = try Link()
        try link.receive([Self.open(1), .reset(1, .broken)])
        #expect(link.owner.charged == [4, 1])
        _ = try link.channel.finish(acceptAlreadyClosed: true)
    }

    @Test func whatSendsTooManyFramesIsReadMoreSlowly() throws {
        let link = try Link()
        var pings = ByteBuffer()
        for number in UInt64(1)...300 { StreamFrame.ping(number).write(into: &pings) }
        link.owner.pause = .milliseconds(100)
        try link.channel.writeInbound(pings)
        // The others wait.
        #expect(link.owner.charged == [256])
        #expect(try link.sent() == [.pong(256)])
        #expect(link.channel.autoReads == [false])
        link.channel.embeddedEventLoop.advanceTime(by: .milliseconds(99))
        #expect(link.channel.autoReads == [false])
        // Still too many, of other links perhaps.
        link.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(link.owner.charged == [256, 0])
        #expect(link.channel.autoReads == [false])
        #expect(try link.sent() == [])
        link.owner.pause = .zero
        link.channel.embeddedEventLoop.advanceTime(by: .milliseconds(100))
        #expect(link.owner.charged == [256, 0, 0, 44])
        #expect(link.channel.autoReads == [true])
        #expect(try link.sent() == [.pong(300)])
        _ = try link.channel.finish(acceptAlreadyClosed: true)
    }
}

extension EmbeddedChannel {
    /// What `autoRead` was set to, if it was.
    fileprivate var autoReads: [Bool] {
        self.options.filter { $0.0 is ChannelOptions.Types.AutoReadOption }.compactMap { $0.1 as? Bool }
    }
}

extension StreamChannel {
    fileprivate func setOptionNow(_ reads: Bool) throws {
        try self.syncOptions?.setOption(.autoRead, value: reads)
    }
}
