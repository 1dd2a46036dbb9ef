import NIOCore
import NIOEmbedded
import Testing

@testable import KeyHolder

@Suite("Handoff: the channel without a socket")
struct VirtualChannelTests {
    private final class Recorder: ChannelDuplexHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        var events: [String] = []
        weak var alive: Recorder?

        func handlerAdded(context: ChannelHandlerContext) { self.events.append("added") }
        func handlerRemoved(context: ChannelHandlerContext) { self.events.append("removed") }
        func channelRegistered(context: ChannelHandlerContext) { self.events.append("registered") }
        func channelUnregistered(context: ChannelHandlerContext) { self.events.append("unregistered") }
        func channelActive(context: ChannelHandlerContext) { self.events.append("active") }
        func channelInactive(context: ChannelHandlerContext) { self.events.append("inactive") }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.events.append("read \(String(buffer: self.unwrapInboundIn(data)))")
        }
        func channelReadComplete(context: ChannelHandlerContext) { self.events.append("complete") }
    }

    private static func make() throws -> (EmbeddedChannel, VirtualChannel, Recorder) {
        let parent = EmbeddedChannel()
        let channel = VirtualChannel(parent: parent)
        let recorder = Recorder()
        try channel.pipeline.syncOperations.addHandler(recorder)
        return (parent, channel, recorder)
    }

    @Test("Its life, in order, and nothing behind its end")
    func life() throws {
        let (parent, channel, recorder) = try Self.make()
        #expect(!channel.isActive)
        channel.receive(ByteBuffer(string: "too early"))
        channel.activate()
        channel.activate()
        #expect(channel.isActive)
        channel.receive(ByteBuffer(string: "a"))
        channel.end()
        channel.end()
        channel.receive(ByteBuffer(string: "too late"))
        channel.activate()
        #expect(!channel.isActive)
        parent.embeddedEventLoop.run()
        #expect(
            recorder.events == [
                "added", "registered", "active", "read a", "complete", "inactive", "unregistered", "removed",
            ])
        try channel.closeFuture.wait()
    }

    @Test("It is freed when it has ended, whether it was active or not", arguments: [false, true])
    func freed(isActivated: Bool) throws {
        let parent = EmbeddedChannel()
        weak var channel: VirtualChannel?
        do {
            let made = VirtualChannel(parent: parent)
            try made.pipeline.syncOperations.addHandler(Recorder())
            if isActivated { made.activate() }
            made.writeAndFlush(ByteBuffer(string: "x"), promise: nil)
            made.end()
            channel = made
        }
        parent.embeddedEventLoop.run()
        #expect(channel == nil)
    }

    @Test("What is written is gathered in order")
    func writes() throws {
        let (parent, channel, _) = try Self.make()
        channel.activate()
        for text in ["one ", "two ", "three"] {
            let promise: EventLoopPromise<Void> = parent.eventLoop.makePromise()
            channel.writeAndFlush(ByteBuffer(string: text), promise: promise)
            try promise.futureResult.wait()
        }
        #expect(channel.takeOutbound() == ByteBuffer(string: "one two three"))
        #expect(channel.takeOutbound().readableBytes == 0)
        channel.end()
        parent.embeddedEventLoop.run()
        #expect(throws: ChannelError.self) { try channel.writeAndFlush(ByteBuffer(string: "x")).wait() }
        #expect(channel.takeOutbound().readableBytes == 0)
    }

    @Test("Handlers that write without end are stopped")
    func outboundLimit() throws {
        let (parent, channel, _) = try Self.make()
        channel.activate()
        let block = ByteBuffer(repeating: 0, count: VirtualChannel.outboundLimit / 2)
        try channel.writeAndFlush(block).wait()
        try channel.writeAndFlush(block).wait()
        #expect(throws: ChannelError.self) { try channel.writeAndFlush(ByteBuffer(string: "x")).wait() }
        #expect(!channel.isActive)
        parent.embeddedEventLoop.run()
        #expect(channel.takeOutbound().readableBytes == 2 * block.readableBytes)
    }

    @Test("A handler's close ends it; half a close, options and addresses are not to be had")
    func operations() throws {
        let (parent, channel, recorder) = try Self.make()
        channel.activate()
        #expect(throws: ChannelError.self) { try channel.close(mode: .output).wait() }
        #expect(throws: ChannelError.self) { try channel.getOption(ChannelOptions.autoRead).wait() }
        #expect(throws: ChannelError.self) { try channel.setOption(ChannelOptions.autoRead, value: true).wait() }
        #expect(throws: ChannelError.self) { try channel.triggerUserOutboundEvent("x").wait() }
        #expect(throws: (any Error).self) { try channel.localAddress0() }
        #expect(channel.isActive && channel.isWritable && channel.parent === parent)
        try channel.close().wait()
        #expect(!channel.isActive)
        parent.embeddedEventLoop.run()
        #expect(recorder.events.last == "removed")
    }
}
