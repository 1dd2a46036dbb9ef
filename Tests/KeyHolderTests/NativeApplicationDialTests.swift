import KeyProtocol
import NIOCore
import NativeHandshake
import StreamWire
import TestSockets
import Testing

@testable import KeyHolder

/// What becomes of a client whose stream ends while its application is dialled.
@Suite(.timeLimit(.minutes(2))) struct NativeApplicationDialTests {
    /// A key holder whose application is connected to as soon as the test lets it.
    private struct Stage {
        let listener: TestListener
        let filler: TestSocket
        let holder: TestHolder

        init(drain: TimeAmount = .seconds(5)) async throws {
            // The backlog is full: a connect goes on until there is room.
            self.listener = try TestListener(backlog: 0)
            self.filler = try TestSocket.connect(port: self.listener.port)
            var limits = KeyHolderLimits()
            limits.drainTimeout = drain
            self.holder = try await TestHolder(
                limits: limits, native: NativeLimits(),
                application: ApplicationConfiguration(address: .tcp(host: "127.0.0.1", port: Int(self.listener.port))))
        }

        func accept() async throws -> TestSocket {
            try await blocking {
                _ = try self.listener.accept()
                return try self.listener.accept()
            }
        }
    }

    @Test func aClientThatSaysNothingMoreGetsItsAnswer() async throws {
        let stage = try await Stage()
        let link = try await NativeTestLink(stage.holder)
        var client = try await NativeTestClient(link, 1, "p256.test")
        try client.send(last: "question")
        // Outside of the client's records, too, as of a client that has half-closed its connection.
        link.send([.end(1), .ping(1)])
        while let frame = await link.next(), frame != .pong(1) {}
        let socket = try await stage.accept()
        #expect(try await blocking { try socket.receiveToEnd() } == Array("question".utf8))
        try socket.send(Array("answer".utf8))
        socket.close()
        #expect(try await client.receiveToEnd() == "answer")
        let lines = try await stage.holder.stop()
        #expect(lines.map { $0["outcome"] } == ["ok"], "\(lines)")
    }

    @Test func aClientThatSaysNothingMoreInTheMiddleIsAResetToTheApplication() async throws {
        let stage = try await Stage()
        let link = try await NativeTestLink(stage.holder)
        _ = try await NativeTestClient(link, 1, "p256.test")
        link.send([.end(1)])
        while let frame = await link.next(), frame != .close(1) {}
        let socket = try await stage.accept()
        await #expect(throws: TestSocketError.self) { try await blocking { try socket.receiveToEnd() } }
        let lines = try await stage.holder.stop()
        #expect(lines.map { $0["outcome"] } == ["abandoned"], "\(lines)")
    }

    @Test func whatAClientLeftIsNotDeliveredForAnEdgeThatHasLostItsGrant() async throws {
        let stage = try await Stage()
        let link = try await NativeTestLink(stage.holder)
        var client = try await NativeTestClient(link, 1, "p256.test")
        try client.send(last: "too late")
        link.send([.close(1)])
        while let frame = await link.next(), frame != .close(1) {}
        var configuration = stage.holder.configuration
        configuration.grants = try TestHolder.grants(["rome"])
        try stage.holder.server.reload(configuration)
        let socket = try await stage.accept()
        await #expect(throws: TestSocketError.self) { try await blocking { try socket.receiveToEnd() } }
        let lines = try await stage.holder.stop()
        #expect(lines.contains { $0["edge"] == "paris" && $0["outcome"] == "cut-off" }, "\(lines)")
    }

    @Test func whatAClientLeftIsAbandonedWhereTheKeyHolderStopsFirst() async throws {
        let stage = try await Stage(drain: .milliseconds(200))
        let link = try await NativeTestLink(stage.holder)
        var client = try await NativeTestClient(link, 1, "p256.test")
        try client.send(last: "too late")
        link.send([.close(1)])
        while let frame = await link.next(), frame != .close(1) {}
        let lines = try await stage.holder.stop()
        #expect(lines.map { $0["outcome"] } == ["abandoned"], "\(lines)")
        let socket = try await stage.accept()
        await #expect(throws: TestSocketError.self) { try await blocking { try socket.receiveToEnd() } }
    }
}
