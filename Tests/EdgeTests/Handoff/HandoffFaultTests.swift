import EdgeModel
import KeyHolder
import KeyProtocol
import Logging
import NIOCore
import NIOEmbedded
import NIOSSL
import PeerLink
import TLSWire
import TestLogs
import TestSockets
import TestWire
import Testing

@testable import Edge
@testable import EdgeTLS

/// What happens when a party leaves, dies or refuses in the middle.
@Suite(.serialized, .timeLimit(.minutes(5))) struct HandoffFaultTests {
    /// The alert in the clear that a client gets, if it gets one.
    private static func clearAlert(_ bytes: [UInt8]) -> UInt8? {
        bytes.count == 7 && bytes.starts(with: [21, 3, 3, 0, 2, 2]) ? bytes[6] : nil
    }

    @Test func aClientMayTakeItsTimeAndSendSingleBytes() async throws {
        try await HandoffBench.run { bench in
            for version in [NIOSSL.TLSVersion.tlsv13, .tlsv12] {
                let text = try await bench.askByteByByte(version)
                #expect(text.hasSuffix("xxxxx"))
            }
        }
    }

    /// The Finished is checked at the edge, and the tickets are there: a key holder that dies after the flight takes nothing with it.
    @Test func theKeyHolderDiesBetweenFlightAndFinished() async throws {
        try await HandoffBench.run(adjust: { $0.keyHolders["home"]?.deadline = .seconds(5) }) { bench in
            let text = try await bench.askOverTheEndOfTheKeyHolder()
            #expect(text.hasSuffix("xxxxx"))
            // Others are told, in the clear, when the time for a key operation is over.
            let result = try await bench.curl("p256.test", "/5", "--max-time", "20")
            #expect(result.status != 0)
            #expect(result.errors.contains("internal error"), "\(result.errors)")
            _ = try await blocking { try bench.log.wait(for: "handshake failed") }
        }
    }

    @Test func theKeyHolderDiesBetweenTurnsOfTLS12() async throws {
        try await HandoffBench.run { bench in
            let bytes = try await blocking {
                let client = try SlowClient(bench, .tlsv12)
                defer { client.close() }
                try client.sendOutbound()
                try client.receiveFlight()
                bench.stopKeyHolder()
                try client.socket.send(client.answer)
                return try client.socket.receiveToEnd()
            }
            #expect(Self.clearAlert(bytes) == Alert.Description.internalError.rawValue)
        }
    }

    /// No Finished comes any more: the connection ends at once, and not when the handshake's time is over.
    @Test func aClientThatClosesItsHalfInTheHandshakeIsLetGo() async throws {
        try await HandoffBench.run { bench in
            let time = try await bench.closeHalfInTheHandshake()
            #expect(time < .seconds(3))
            try await bench.worksStill()
        }
    }

    @Test func clientsThatLeaveAtAnyMoment() async throws {
        try await HandoffBench.run { bench in
            try await bench.leaveAtAnyMoment(.tlsv13, .tlsv12)
            try await bench.worksStill()
            // The key holder forgets them at once: no handshake waits for its time limit there.
            try await blocking {
                _ = try eventually("abandoned handshakes") {
                    bench.audit.split(separator: "\n").filter { $0.contains("abandon") }.count >= 2 ? true : nil
                }
            }
        }
    }

    @Test func aClientThatNeverFinishes() async throws {
        try await HandoffBench.run(adjust: { $0.limits.handshakeTimeout = .seconds(3) }) { bench in
            try await bench.neverFinish(mode: "handoff")
        }
    }

    @Test func withoutAGrant() async throws {
        try await HandoffBench.run(operations: KeyProtocol.Operation.keyless) { bench in
            let result = try await bench.curl("p256.test")
            #expect(result.errors.contains("internal error"), "\(result.errors)")
            let line = try await blocking { try bench.log.wait(for: "handshake failed") }
            #expect(line.level == .warning)
        }
    }

    @Test func noSharedCipher() async throws {
        try await HandoffBench.run { bench in
            let result = try await bench.openssl("p256.test", "-tls1_2", "-cipher", "AES128-SHA")
            #expect(result.all.contains("handshake failure"), "\(result.all)")
            let line = try await blocking { try bench.log.wait(for: "handshake failed") }
            #expect(line.level == .info)
            try await bench.worksStill()
        }
    }

    /// The hello's limit is the edge's own; what fits no packet of the key protocol is refused here.
    @Test func aHelloThatFitsNoPacket() async throws {
        try await HandoffBench.run(adjust: { $0.limits.helloBytes = 200_000 }) { bench in
            let bytes = try await blocking {
                let socket = try TestSocket.connect(port: bench.port)
                try socket.send(TestHello(serverName: "p256.test", padding: 65_000).records())
                return try socket.receiveToEnd()
            }
            #expect(Self.clearAlert(bytes) == Alert.Description.decodeError.rawValue)
            try await bench.worksStill()
        }
    }

    @Test func truncationIsNotTakenForAnEnd() async throws {
        try await HandoffBench.run { bench in
            try await blocking {
                let client = try SlowClient(bench)
                try client.sendOutbound()
                try client.receiveFlight()
                try client.socket.send(client.answer + client.request())
                let text = try client.readResponse()
                #expect(text.hasSuffix("xxxxx"))
                client.close()
                client.socket.close()
            }
            try await bench.worksStill()
        }
    }
}
