import KeyProtocol
import NIOCore
import NIOEmbedded
import RecordLayer
import TLSWire
import TestWire
import Testing

@testable import EdgeTLS

/// What is protected first is sent first, and what is not needed is not sent at all.
@Suite struct RecordOrderTests {
    /// Answers within the read, as a cache does.
    private final class Answering: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        var results: [String] = []

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let promise = context.eventLoop.makePromise(of: Void.self)
            promise.futureResult.assumeIsolated().whenComplete { result in
                switch result {
                case .success: self.results.append("sent")
                case .failure(let error): self.results.append("\(error)")
                }
            }
            context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: "answer")), promise: promise)
        }
    }

    private static func bench(
        _ made: borrowing MadeUpSession
    ) throws -> (channel: EmbeddedChannel, answering: Answering) {
        let channel = EmbeddedChannel()
        let answering = Answering()
        let handler = RecordHandler(RecordSession(made.exported))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        try channel.pipeline.syncOperations.addHandlers([handler, answering])
        handler.begin(with: ByteBuffer())
        return (channel, answering)
    }

    private static func outbound(_ channel: EmbeddedChannel) throws -> ByteBuffer {
        var all = ByteBuffer()
        while let part: ByteBuffer = try channel.readOutbound() { all.writeImmutableBuffer(part) }
        return all
    }

    /// The answer is protected with the key that the KeyUpdate before it announces.
    @Test(arguments: [true, false]) func aKeyUpdateLeavesBeforeTheAnswerToDataBesideIt(first: Bool) throws {
        var made = try MadeUpSession(finishedToCome: false)
        var client = try made.client()
        let (channel, answering) = try Self.bench(made)
        var bytes: ByteBuffer
        if first {
            bytes = try made.keyUpdate(requesting: true)
            bytes = bytes + (try made.record(.applicationData, Array("GET".utf8)))
        } else {
            bytes = try made.record(.applicationData, Array("GET".utf8))
            bytes = bytes + (try made.keyUpdate(requesting: true))
        }
        try channel.writeInbound(bytes)
        let reception = client.receive(try Self.outbound(channel))
        #expect(reception.applicationData == ByteBuffer(string: "answer"))
        #expect(reception.end == nil)
        #expect(answering.results == ["sent"])
    }

    /// After the alert nothing can be sent; that is no fault of ours.
    @Test func dataBesideAViolationIsNotAnsweredAndTheAlertArrives() throws {
        var made = try MadeUpSession(finishedToCome: false)
        var client = try made.client()
        let (channel, answering) = try Self.bench(made)
        let data = try made.record(.applicationData, Array("GET".utf8))
        #expect(throws: TerminationFailure.records(.badRecordMAC)) {
            try channel.writeInbound(data + .record(23, [UInt8](repeating: 0, count: 40)))
        }
        let reception = client.receive(try Self.outbound(channel))
        #expect(reception.end == .alert(Alert.Description.badRecordMAC.rawValue))
        #expect(answering.results == ["\(ChannelError.ioOnClosedChannel)"])
    }

    /// The key holder's TLS library drops less early data than a client may have sent.
    @Test func refusedEarlyDataIsNotHandedOn() throws {
        var made = try MadeUpSession()
        let hello: ByteBuffer = .record(22, [1, 0, 0, 4, 0, 0, 0, 0])
        var machine = ForwardedHandshake(protocols: ["http/1.1"], earlyDataOffered: true)
        #expect(machine.start(hello).next == .begin(hello))
        #expect(machine.answered(made.progress()).next == .read)
        let early: ByteBuffer = .record(23, [UInt8](repeating: 7, count: 16_000))
        let changed: ByteBuffer = .record(20, [1])
        let finished = try made.finished()
        let next = machine.received(early + early + changed + finished).next
        #expect(next == .established(.init(tickets: ByteBuffer(), received: ByteBuffer())))
        let isOver = machine.isOver
        #expect(isOver)
    }
}
