import HTTPFields
import HTTPForwarding
import NIOCore
import NIOEmbedded
import Testing

@testable import EdgeHTTP

@Suite struct WriteQueueTests {
    private static func all(_ queue: inout WriteQueue) -> [ByteBuffer] {
        var pieces: [ByteBuffer] = []
        while let piece = queue.next() { pieces.append(piece) }
        return pieces
    }

    @Test func smallWritesAreOne() {
        var queue = WriteQueue()
        #expect(queue.isEmpty && queue.next() == nil)
        queue.append(OutgoingHead(status: 204, framing: .none))
        queue.append(ByteBuffer(string: "abc"))
        queue.append(chunk: ByteBuffer(string: "de"))
        queue.append(chunk: ByteBuffer())
        queue.appendLastChunk(trailers: try? FieldSection([("X-Sum", "1")]))
        let text = "HTTP/1.1 204 No Content\r\n\r\nabc2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n"
        #expect(Self.all(&queue) == [ByteBuffer(string: text)] && queue.isEmpty)
    }

    @Test func largeWritesAreNotCopied() throws {
        var queue = WriteQueue()
        let large = ByteBuffer(repeating: 7, count: 10_000)
        queue.append(ByteBuffer(string: "a"))
        queue.append(chunk: large)
        queue.append(ByteBuffer(string: "b"))
        let pieces = Self.all(&queue)
        #expect(pieces.map(\.readableBytes) == [7, 10_000, 3])
        let (one, other) = (
            pieces[1].withUnsafeReadableBytes(\.baseAddress), large.withUnsafeReadableBytes(\.baseAddress)
        )
        #expect(one == other)
    }

    @Test func aPieceFitsIntoARecord() {
        var queue = WriteQueue()
        for _ in 0..<100 { queue.append(ByteBuffer(repeating: 1, count: 5_000)) }
        let pieces = Self.all(&queue)
        #expect(pieces.allSatisfy { $0.readableBytes <= 16_384 })
        #expect(pieces.reduce(0) { $0 + $1.readableBytes } == 500_000)
    }

    private final class Writer: ChannelInboundHandler, QueueWriting {
        typealias InboundIn = ByteBuffer
        var queue = WriteQueue()
        var drain = WriteDrain()
        var context: ChannelHandlerContext?
        func handlerAdded(context: ChannelHandlerContext) { self.context = context }
        func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }
    }

    /// Does something from within a write or a flush, once.
    private final class Interrupter: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        var atWrite: (() -> Void)?
        var atFlush: (() -> Void)?

        func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
            let action = self.atWrite
            self.atWrite = nil
            action?()
            context.write(data, promise: promise)
        }

        func flush(context: ChannelHandlerContext) {
            context.flush()
            let action = self.atFlush
            self.atFlush = nil
            action?()
        }
    }

    /// A callback that fires inside a write may end the content: its end comes behind the chunk that is being written.
    @Test(arguments: [3, 10_000, 70_000]) func chunksAreWrittenWhole(count: Int) throws {
        for inFlush in [false, true] {
            let channel = EmbeddedChannel()
            let (writer, interrupter) = (Writer(), Interrupter())
            try channel.pipeline.syncOperations.addHandlers([interrupter, writer])
            let end = {
                writer.queue.append(chunk: ByteBuffer(repeating: 2, count: count))
                writer.queue.appendLastChunk(trailers: nil)
                writer.writeQueued()
            }
            if inFlush { interrupter.atFlush = end } else { interrupter.atWrite = end }
            writer.queue.append(chunk: ByteBuffer(repeating: 1, count: count))
            writer.writeQueued()
            var sent = ByteBuffer()
            while var piece = try channel.readOutbound(as: ByteBuffer.self) { sent.writeBuffer(&piece) }
            let size = String(count, radix: 16)
            var expected = ByteBuffer()
            for byte in [UInt8(1), 2] {
                expected.writeString("\(size)\r\n")
                expected.writeRepeatingByte(byte, count: count)
                expected.writeString("\r\n")
            }
            expected.writeString("0\r\n\r\n")
            #expect(sent == expected)
            _ = try? channel.finish()
        }
    }
}
