import NIOCore
import NativeHandshake
import StreamWire
import TestSockets
import Testing

@testable import KeyHolder

/// Streams whose clients had said everything, and whose links ended before their applications had read it.
@Suite(.timeLimit(.minutes(2))) struct NativeOrphanTests {
    private struct Stage {
        let holder: TestHolder
        let link: NativeTestLink
        let application: TestSocket
        /// What the client has sent, bytes.
        let sent: Int

        /// - Parameter silence: after which a stream ends.
        init(drain: TimeAmount = .seconds(5), silence: TimeAmount = .minutes(5)) async throws {
            let listener = try TestListener(receiveBuffer: 4096)
            var limits = KeyHolderLimits()
            limits.drainTimeout = drain
            var native = NativeLimits()
            native.windowsPerEdge = 0
            native.idleTimeout = silence
            self.holder = try await TestHolder(
                limits: limits, native: native,
                application: ApplicationConfiguration(address: .tcp(host: "127.0.0.1", port: Int(listener.port))))
            self.link = try await NativeTestLink(self.holder)
            var client = try await NativeTestClient(self.link, 1, "p256.test")
            self.application = try await blocking { try listener.accept() }
            self.sent = try await client.fill()
            try client.send(last: "end")
            self.link.send([.end(1)])
            try await client.settle()
            try await self.link.channel.close()
            while self.holder.server.native.linkCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
        }

        /// Whether the application gets an orderly end, whatever came before.
        func endsInOrder() async throws -> Bool {
            let application = self.application
            return try await blocking {
                do {
                    _ = try application.receiveToEnd()
                    return true
                } catch is TestSocketError {
                    return false
                }
            }
        }
    }

    @Test func theApplicationGetsEverything() async throws {
        let stage = try await Stage()
        #expect(stage.holder.server.nativeConnectionCount == 1)
        let application = stage.application
        let heard = try await blocking { try application.receiveToEnd() }
        #expect(heard.count == stage.sent + 3)
        // Nothing hears its answer.
        try application.send(Array("answer".utf8))
        application.close()
        while stage.holder.server.nativeConnectionCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
        _ = try await stage.holder.stop()
    }

    @Test func aKeyHolderThatStopsIsNoOrderlyEnd() async throws {
        let stage = try await Stage(drain: .milliseconds(200))
        _ = try await stage.holder.stop()
        #expect(try await !stage.endsInOrder())
        #expect(stage.holder.server.nativeConnectionCount == 0)
    }

    @Test func anEdgeThatLosesItsGrantLosesThemToo() async throws {
        let stage = try await Stage()
        var configuration = stage.holder.configuration
        configuration.grants = try TestHolder.grants(["rome"])
        try stage.holder.server.reload(configuration)
        while stage.holder.server.nativeConnectionCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
        #expect(try await !stage.endsInOrder())
        let lines = try await stage.holder.stop()
        #expect(lines.contains { $0["outcome"] == "cut-off" && $0["edge"] == "paris" }, "\(lines)")
    }

    @Test func anApplicationThatTalksAndReadsNothingDoesNotKeepThem() async throws {
        let stage = try await Stage(silence: .seconds(1))
        let application = stage.application
        let hasEnded = try await blocking {
            for _ in 0..<100 {
                do { try application.send([7]) } catch is TestSocketError { return true }
                for _ in 0..<100 { waitBriefly() }
            }
            return false
        }
        #expect(hasEnded)
        #expect(stage.holder.server.nativeConnectionCount == 0)
        _ = try await stage.holder.stop()
    }
}
