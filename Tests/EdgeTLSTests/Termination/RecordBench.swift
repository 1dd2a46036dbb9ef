import Channels
import NIOCore
import NIOEmbedded
import NIOSSL
import TLSWire
import TestWire
import Testing

@testable import EdgeTLS
@testable import RecordLayer

/// The record layer between a handler above and one below, and a client of its own.
final class RecordBench {
    /// Stands above, where HTTP would.
    final class Above: ChannelInboundHandler {
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
    final class Below: ChannelOutboundHandler {
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

    /// What a write has come to: `pending`, `done` or its error.
    static func outcome(_ future: EventLoopFuture<Void>) -> String {
        let box = NIOLoopBoundBox("pending", eventLoop: future.eventLoop)
        future.whenComplete {
            switch $0 {
            case .success: box.value = "done"
            case .failure(let error): box.value = "\(error)"
            }
        }
        return box.value
    }
}
