import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// A way to a server that a test can cut: nothing passes any more, and neither end is told.
final class TestGate: Sendable {
    private struct State {
        var isCut = false
        /// From a question with this text on, answers do not pass.
        var lastQuestion: [UInt8]?
        var swallowsAnswers = false
        var channels: [any Channel] = []
    }

    private let state: NIOLockedValueBox<State>
    private let listener: any Channel

    var port: UInt16 { UInt16(self.listener.localAddress?.port ?? 0) }

    init(to target: UInt16) async throws {
        let state = NIOLockedValueBox(State())
        self.state = state
        self.listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { client in
                ClientBootstrap(group: client.eventLoop)
                    .channelInitializer { server in
                        server.eventLoop.makeCompletedFuture {
                            try server.pipeline.syncOperations.addHandler(Passing(to: client, state, answers: true))
                        }
                    }
                    .connect(host: "127.0.0.1", port: Int(target))
                    .flatMapThrowing { server in
                        state.withLockedValue { $0.channels += [client, server] }
                        try client.pipeline.syncOperations.addHandler(Passing(to: server, state, answers: false))
                    }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    func cut() { self.state.withLockedValue { $0.isCut = true } }

    /// The question that has this text in it arrives, and its answer does not.
    func swallowAnswer(to text: String) { self.state.withLockedValue { $0.lastQuestion = Array(text.utf8) } }

    /// What was cut is closed, and new connections pass.
    func mend() {
        let channels = self.state.withLockedValue { state in
            state.isCut = false
            state.swallowsAnswers = false
            state.lastQuestion = nil
            defer { state.channels = [] }
            return state.channels
        }
        for channel in channels { channel.close(promise: nil) }
    }

    func close() async throws {
        self.mend()
        try await self.listener.close()
    }

    private final class Passing: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let other: any Channel
        private let state: NIOLockedValueBox<State>
        private let isAnswers: Bool

        init(to other: any Channel, _ state: NIOLockedValueBox<State>, answers: Bool) {
            self.other = other
            self.state = state
            self.isAnswers = answers
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = self.unwrapInboundIn(data)
            let isLost = self.state.withLockedValue { state in
                if !self.isAnswers, let text = state.lastQuestion, Self.holds(bytes, text) {
                    state.swallowsAnswers = true
                }
                return state.isCut || (state.swallowsAnswers && self.isAnswers)
            }
            if !isLost { self.other.writeAndFlush(bytes, promise: nil) }
        }

        private static func holds(_ bytes: ByteBuffer, _ text: [UInt8]) -> Bool {
            let view = bytes.readableBytesView
            return view.indices.contains { view[$0...].starts(with: text) }
        }

        func channelInactive(context: ChannelHandlerContext) {
            if !self.state.withLockedValue({ $0.isCut }) { self.other.close(promise: nil) }
        }
    }
}
