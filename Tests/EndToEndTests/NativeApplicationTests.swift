import Foundation
import NIOCore
import NativeClient
import NativeHandshake
import PrivateAuthority
import TestSockets
import Testing

/// What applications behind native sites may do with their connections, and what arrives where when they do.
@Suite(.serialized, .timeLimit(.minutes(10))) struct NativeApplicationTests {
    private struct Stop: Error {}

    /// Everything that the origin sent, up to its end.
    private func fetch(_ options: NativeOptions, request: Int) async throws -> Int {
        try await NativeConnection.with(options) { connection in
            try await connection.send(ByteBuffer(repeating: 1, count: request))
            try await connection.finish()
            var count: Int = 0
            for try await part in connection.bytes { count += part.readableBytes }
            return count
        }
    }

    /// The application answers when it has read everything, and closes: a small answer, and one that no buffer holds.
    @Test(arguments: [5, 12 << 20])
    func anAnswerAfterTheEndArrivesWhole(_ size: Int) async throws {
        let listener = try TestListener()
        let stage = try NativeStage([("www.test", .p256)], applicationPort: listener.port)
        let workers = Workers()
        workers.run {
            let socket = try listener.accept()
            guard try socket.receiveToEnd().count == 100_000 else { throw NeverHappened(what: "the request") }
            try socket.send([UInt8](repeating: 7, count: size))
            socket.close()
        }
        #expect(try await self.fetch(try stage.options("www.test", .originDerived), request: 100_000) == size)
        try await blocking { try workers.wait() }
        try await stage.stop()
    }

    /// A client that takes its time over an answer whose sender has closed long ago.
    @Test func aSlowReaderGetsAllOfAnAnswerWhoseSenderIsGone() async throws {
        let size: Int = 6 << 20
        let listener = try TestListener()
        let stage = try NativeStage([("www.test", .p256)], applicationPort: listener.port)
        let workers = Workers()
        workers.run {
            let socket = try listener.accept()
            _ = try socket.receiveToEnd()
            try socket.send([UInt8](repeating: 7, count: size))
            socket.close()
        }
        let count: Int = try await NativeConnection.with(try stage.options("www.test", .clientDerived)) { connection in
            try await connection.send(ByteBuffer(string: "hello"))
            try await connection.finish()
            var count: Int = 0
            for try await part in connection.bytes {
                count += part.readableBytes
                if count < 1 << 20 { try await Task.sleep(for: .milliseconds(5)) }
            }
            return count
        }
        #expect(count == size)
        try await blocking { try workers.wait() }
        try await stage.stop()
    }

    /// The application ends its side first, and reads slowly: what the client sends must all arrive, and then its end.
    @Test func anApplicationThatEndedFirstGetsAllOfTheClientsData() async throws {
        let size: Int = 3 << 20
        let listener = try TestListener(receiveBuffer: 4096)
        let stage = try NativeStage([("www.test", .p256)], applicationPort: listener.port)
        let workers = Workers()
        workers.run {
            let socket = try listener.accept()
            socket.shutdownOutput()
            var count: Int = 0
            while true {
                let bytes = try socket.receive(16_384)
                if bytes.isEmpty { break }
                count += bytes.count
                if count < size / 4 { waitBriefly() }
            }
            guard count == size else { throw NeverHappened(what: "\(size) bytes; \(count) came") }
        }
        let count: Int = try await self.fetch(try stage.options("www.test", .originDerived), request: size)
        #expect(count == 0)
        await #expect(throws: Never.self) { try await blocking { try workers.wait() } }
        try await stage.stop()
    }

    // MARK: The client leaves while the application is dialled

    /// A listener whose backlog is full: a connect to it goes on until ``accept`` makes room.
    private func fullListener() throws -> (TestListener, [TestSocket]) {
        let listener = try TestListener(backlog: 0)
        return (listener, [try TestSocket.connect(port: listener.port)])
    }

    @Test func aClientThatLeavesInTheMiddleIsAResetToTheApplication() async throws {
        let (listener, fillers) = try self.fullListener()
        let stage = try NativeStage([("www.test", .p256)], applicationPort: listener.port)
        await #expect(throws: Stop.self) {
            try await NativeConnection.with(try stage.options("www.test", .originDerived)) { connection in
                try await connection.send(ByteBuffer(string: "half of it"))
                throw Stop()
            }
        }
        try stage.waitForAudit("abandoned") { $0["operation"] == "native" && $0["outcome"] == "abandoned" }
        try await blocking {
            _ = try listener.accept()
            // The connect tries again in time: a second, or two.
            let socket = try listener.accept()
            #expect(throws: TestSocketError.self) { try socket.receiveToEnd() }
        }
        withExtendedLifetime(fillers) {}
        try await stage.stop()
    }

    @Test func aClientThatLeftWithAllSaidIsHeardByTheApplication() async throws {
        let (listener, fillers) = try self.fullListener()
        let stage = try NativeStage([("www.test", .p256)], applicationPort: listener.port)
        try await NativeConnection.with(try stage.options("www.test", .originDerived)) { connection in
            try await connection.send(ByteBuffer(string: "all of it"))
        }
        let heard: [UInt8] = try await blocking {
            _ = try listener.accept()
            return try listener.accept().receiveToEnd()
        }
        #expect(heard == Array("all of it".utf8))
        try stage.waitForAudit("ok") {
            $0["operation"] == "native" && $0["outcome"] == "ok"
        }
        withExtendedLifetime(fillers) {}
        try await stage.stop()
    }
}
