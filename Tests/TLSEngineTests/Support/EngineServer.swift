import NIOCore
import NIOPosix
import Synchronization
import TLSEngine

/// A server on a socket: handshakes by the engine, records by the record layer, and one answer to each request, after which it closes.
final class EngineServer: Sendable {
    static let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"

    struct Outcome: Sendable {
        var facts: HandshakeFacts?
        var failure: HandshakeFailure?
        var finishFailure: HandshakeFailure?
    }

    let port: Int
    private let channel: any Channel
    private let log: Log

    private final class Log: Sendable {
        let outcomes = Mutex<[Outcome]>([])
    }

    /// How the connections went that have ended.
    var outcomes: [Outcome] { self.log.outcomes.withLock { $0 } }

    init(_ context: ServerContext, _ sign: @escaping @Sendable (SignatureRequest) throws -> [UInt8]) async throws {
        let log = Log()
        self.log = log
        self.channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let server = try ServerSide(context) { try sign($0) }
                    try channel.pipeline.syncOperations.addHandler(
                        Handler(server) { outcome in
                            log.outcomes.withLock { $0.append(outcome) }
                        })
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.port = self.channel.localAddress?.port ?? 0
    }

    func close() async throws { try await self.channel.close() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let server: ServerSide
        private let ended: (Outcome) -> Void
        private var isAnswered = false

        init(_ server: ServerSide, ended: @escaping (Outcome) -> Void) {
            self.server = server
            self.ended = ended
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            do {
                self.write(try self.server.receive(self.unwrapInboundIn(data)), context)
                if self.server.received.readableBytesView.suffix(4).elementsEqual("\r\n\r\n".utf8), !self.isAnswered {
                    self.isAnswered = true
                    self.write(try self.server.send(ByteBuffer(string: EngineServer.answer)), context)
                    self.write(self.server.close(), context)
                    context.close(mode: .output, promise: nil)
                }
                if self.server.end != nil || self.server.recordEnd != nil { context.close(promise: nil) }
            } catch {
                context.close(promise: nil)
            }
        }

        private func write(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
            if bytes.readableBytes > 0 { context.writeAndFlush(self.wrapOutboundOut(bytes), promise: nil) }
        }

        func channelInactive(context: ChannelHandlerContext) {
            self.ended(
                Outcome(
                    facts: self.server.facts, failure: self.server.end?.failure,
                    finishFailure: self.server.finishFailure))
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}

/// Waits up to ten seconds for a value.
func asyncEventually<Value>(_ what: String, _ body: () -> Value?) async throws -> Value {
    for _ in 0..<1_000 {
        if let value = body() { return value }
        try await Task.sleep(for: .milliseconds(10))
    }
    throw NeverCame(description: "waited in vain for \(what)")
}

private struct NeverCame: Error, CustomStringConvertible {
    var description: String
}
