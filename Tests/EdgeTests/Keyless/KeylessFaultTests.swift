import EdgeModel
import KeyHolder
import Logging
import NIOCore
import NIOSSL
import TLSWire
import TestLogs
import TestSockets
import Testing

@testable import Edge
@testable import EdgeTLS

/// Keyless connections with the real key holder, over sockets: clients that break the rules, take their time or leave.
@Suite(.serialized, .timeLimit(.minutes(5))) struct KeylessFaultTests {
    @Test func aClientMayTakeItsTimeAndSendSingleBytes() async throws {
        try await KeylessTLS12Tests.run { bench in
            let text = try await bench.askByteByByte()
            #expect(text.hasSuffix("xxxxx"))
        }
    }

    /// After the handshake (RFC 8446 §6.2): a forged record, and one of a type that may not come.
    @Test func aBadRecordGetsItsAlert() async throws {
        try await KeylessTLS12Tests.run { bench in
            for (bytes, name) in [
                ([23, 3, 3, 0, 40] + [UInt8](repeating: 0, count: 40), "BAD_RECORD_MAC"),
                ([22, 3, 3, 0, 4, 20, 0, 0, 0], "UNEXPECTED_MESSAGE"),
            ] as [([UInt8], String)] {
                let failure = try await blocking {
                    let client = try SlowClient(bench)
                    defer { client.close() }
                    try client.sendOutbound()
                    try client.receiveFlight()
                    try client.socket.send(client.answer + bytes)
                    return try client.failure()
                }
                #expect(failure?.contains(name) == true, "\(failure ?? "an end without a word")")
            }
            let line = try await blocking { try bench.log.wait(for: "session fault") }
            #expect(line.metadata["mode"] == "keyless")
            #expect(line.metadata["reason"] == "bad record MAC")
            try await bench.worksStill()
        }
    }

    @Test func theKeyHolderIsLostBetweenFlightAndFinished() async throws {
        try await KeylessTLS12Tests.run { bench in
            let text = try await bench.askOverTheEndOfTheKeyHolder()
            #expect(text.hasSuffix("xxxxx"))
        }
    }

    /// No Finished comes any more: the connection ends at once, and not when the handshake's time is over.
    @Test func aClientThatClosesItsHalfInTheHandshakeIsLetGo() async throws {
        try await KeylessTLS12Tests.run { bench in
            let time = try await bench.closeHalfInTheHandshake()
            #expect(time < .seconds(3))
            try await bench.worksStill()
        }
    }

    @Test func clientsThatLeaveAtAnyMoment() async throws {
        try await KeylessTLS12Tests.run { bench in
            try await bench.leaveAtAnyMoment(.tlsv13)
            try await bench.worksStill()
        }
    }

    @Test func aClientThatNeverFinishes() async throws {
        try await KeylessTLS12Tests.run(adjustEdge: { $0.limits.handshakeTimeout = .seconds(3) }) { bench in
            try await bench.neverFinish(mode: "keyless")
        }
    }

    /// What the client says of the certificate is in the log by name, and is no fault of ours.
    @Test func aClientThatDoesNotTrustTheCertificate() async throws {
        try await KeylessTLS12Tests.run { bench in
            let result = try await blocking {
                try Tool.run("curl", ["-sS", "--connect-to", "::127.0.0.1:\(bench.port)", "https://p256.test/5"])
            }
            #expect(result.status == 60, "\(result.errors)")
            let line = try await blocking { try bench.log.wait(for: "handshake failed") }
            #expect(line.metadata["error"] == "the client sent the alert unknown_ca", "\(line.metadata)")
            #expect(line.level == .info)
            #expect(line.metadata["keyholder"] == nil)
        }
    }
}
