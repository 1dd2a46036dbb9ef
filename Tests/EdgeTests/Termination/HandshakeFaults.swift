import KeyHolder
import Logging
import NIOSSL
import TestLogs
import TestSockets
import Testing

@testable import Edge
@testable import EdgeTLS

/// What goes wrong in the middle of a handshake, whichever party runs it: clients that take their time, stop or leave, and a key holder
/// that stops.
extension HandoffBench {
    func worksStill() async throws {
        let result = try await self.curl("p256.test")
        #expect(result.output == "xxxxx", "\(result.errors)")
    }

    /// On a thread that may block.
    func stopKeyHolder() {
        let done = TestFlag()
        Task {
            await self.keyHolder.stop()
            done.set()
        }
        done.wait()
    }

    /// A client sends one byte after the other.
    ///
    /// - Returns: the response.
    func askByteByByte(_ version: NIOSSL.TLSVersion = .tlsv13) async throws -> String {
        try await blocking {
            let client = try SlowClient(self, version)
            defer { client.close() }
            for byte in try client.outbound() { try client.socket.send([byte]) }
            try client.receiveFlight()
            for byte in client.answer { try client.socket.send([byte]) }
            if version == .tlsv12 { try client.receiveSome() }
            for byte in try client.request() { try client.socket.send([byte]) }
            return try client.readResponse()
        }
    }

    /// The key holder stops between the flight and the client's Finished.
    ///
    /// - Returns: the response.
    func askOverTheEndOfTheKeyHolder() async throws -> String {
        try await blocking {
            let client = try SlowClient(self)
            defer { client.close() }
            try client.sendOutbound()
            try client.receiveFlight()
            self.stopKeyHolder()
            try client.socket.send(client.answer + client.request())
            return try client.readResponse()
        }
    }

    /// A client closes its half instead of its Finished.
    ///
    /// - Returns: how long the connection stayed.
    func closeHalfInTheHandshake() async throws -> Duration {
        try await blocking {
            let client = try SlowClient(self)
            defer { client.close() }
            try client.sendOutbound()
            try client.receiveFlight()
            client.socket.shutdownOutput()
            return try ContinuousClock().measure { _ = try client.socket.receiveToEnd() }
        }
    }

    /// Clients leave within their hello, behind it, behind the flight, within their Finished and behind it.
    func leaveAtAnyMoment(_ versions: NIOSSL.TLSVersion...) async throws {
        try await blocking {
            for version in versions {
                for stage in 0..<5 {
                    let client = try SlowClient(self, version)
                    let hello = try client.outbound()
                    try client.socket.send(stage == 0 ? Array(hello.dropLast()) : hello)
                    if stage > 1 { try client.receiveFlight() }
                    if stage > 2 { try client.socket.send(Array(client.answer.dropLast(stage == 3 ? 1 : 0))) }
                    client.close()
                    client.socket.close()
                }
            }
        }
    }

    /// A client has its flight, and sends no Finished until the handshake's time is over.
    func neverFinish(mode: String) async throws {
        let bytes = try await blocking {
            let client = try SlowClient(self)
            defer { client.close() }
            try client.sendOutbound()
            try client.receiveFlight()
            return try client.socket.receiveToEnd()
        }
        #expect(bytes.isEmpty)
        let line = try await blocking { try self.log.wait(for: "handshake failed") }
        #expect(line.metadata["mode"] == "\(mode)")
        #expect(line.metadata["error"] == "\(HandshakeTimedOut())")
        #expect(line.level == .info)
    }
}
