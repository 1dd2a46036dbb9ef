import Channels
import EdgeModel
import NIOCore
import TestLogs
import TestSockets
import Testing

@testable import Edge
@testable import EdgeTLS

/// What clients get that are refused at their hello, over real sockets.
@Suite(.timeLimit(.minutes(2))) struct HelloRefusalTests {
    private static func alert(_ code: UInt8) -> [UInt8] { [0x15, 3, 3, 0, 2, 2, code] }

    private static let mode = SiteMode.keyless(
        TerminationConfiguration(keyHolder: "home", origin: OriginConfiguration(scheme: .http, host: "127.0.0.1")))

    private static let clientHello = TestHello().records()
    private static let tooLarge: [UInt8] = TestHello(padding: 60_000).records()
    /// A hello whose extension block says that it is longer than it is.
    private static let lying: [UInt8] = {
        var bytes = TestHello().records()
        bytes[5 + 4 + 2 + 32 + 1 + 6 + 2 + 1] += 1
        return bytes
    }()

    struct Case: Sendable, CustomTestStringConvertible {
        var reason: String
        var bytes: [UInt8]
        var answer: [UInt8]
        var metadata: [String: String] = [:]

        var testDescription: String { self.reason }
    }

    @Test(arguments: [
        Case(
            reason: "unknown server name", bytes: TestHello(serverName: "other.test").records(), answer: alert(112),
            metadata: ["site": "other.test", "alert": "unrecognized_name"]),
        Case(
            reason: "no server name", bytes: TestHello(serverName: nil).records(), answer: alert(109),
            metadata: ["alert": "missing_extension"]),
        Case(
            reason: "version too old", bytes: TestHello(versions: nil, legacyVersion: 0x0301).records(),
            answer: alert(70), metadata: ["site": "www.example.test", "alert": "protocol_version"]),
        Case(reason: "hello too large", bytes: tooLarge, answer: alert(50), metadata: ["alert": "decode_error"]),
        Case(reason: "not TLS", bytes: Array("SSH-2.0-OpenSSH_9.9\r\n".utf8), answer: []),
    ])
    func answersAndReports(refused: Case) async throws {
        var limits = HelloLimits()
        limits.maximumBytes = 32_768
        try await withHarness(try await RelayHarness(mode: Self.mode, limits: limits)) { edge in
            let client = try TestSocket.connect(port: edge.port)
            let port = client.port
            try client.send(refused.bytes)
            #expect(try client.receiveToEnd() == refused.answer)
            let line = try edge.log.wait(for: "client hello refused")
            #expect(line.metadata["reason"] == refused.reason)
            #expect(line.metadata["client"] == "127.0.0.1:\(port)")
            for (key, value) in refused.metadata { #expect(line.metadata[key] == value) }
            #expect(edge.counter("latchstring_edge_hello_rejected_total", [("reason", refused.reason)]) == 1)
            #expect(edge.log.lines("client hello refused").count == 1)
        }
    }

    @Test func lengthsThatLieAreADecodeError() async throws {
        try await withHarness(try await RelayHarness(mode: Self.mode)) { edge in
            let client = try TestSocket.connect(port: edge.port)
            try client.send(Self.lying)
            #expect(try client.receiveToEnd() == Self.alert(50))
            #expect(try edge.log.wait(for: "client hello refused").metadata["error"] != nil)
        }
    }

    @Test func plainHTTPIsToldWhatThisPortSpeaks() async throws {
        try await withHarness(try await RelayHarness(mode: Self.mode)) { edge in
            let client = try TestSocket.connect(port: edge.port)
            try client.send(Array("GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n".utf8))
            let answer = String(decoding: try client.receiveToEnd(), as: UTF8.self)
            #expect(answer.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
            #expect(answer.hasSuffix("\r\n\r\nThis port speaks HTTPS; use https:// in the address.\n"))
            #expect(edge.counter("latchstring_edge_hello_rejected_total", [("reason", "plain HTTP")]) == 1)
        }
    }

    /// Unread input at the close would make the system send a reset, which can erase the alert.
    @Test func alertSurvivesInputThatFollows() async throws {
        try await withHarness(try await RelayHarness(mode: Self.mode)) { edge in
            let client = try TestSocket.connect(port: edge.port)
            try client.send(TestHello(serverName: "other.test").records())
            #expect(try client.receive(exactly: 7) == Self.alert(112))
            for _ in 0..<8 { try client.send([UInt8](repeating: 0x17, count: 8192)) }
            #expect(try client.receive().isEmpty)
            client.shutdownOutput()
            #expect(try client.receive().isEmpty)
        }
    }

    @Test func lingeringIsBoundedInBytes() async throws {
        var limits = HelloLimits()
        limits.linger.time = .minutes(10)
        limits.linger.bytes = 100_000
        try await withHarness(try await RelayHarness(mode: Self.mode, limits: limits)) { edge in
            let client = try TestSocket.connect(port: edge.port)
            try client.send(TestHello(serverName: "other.test").records())
            #expect(throws: TestSocketError.self) {
                for _ in 0..<10_000 { try client.send([UInt8](repeating: 0x17, count: 65_536)) }
            }
        }
    }

    @Test func lingeringIsBoundedInTime() async throws {
        var limits = HelloLimits()
        limits.linger.time = .milliseconds(50)
        try await withHarness(try await RelayHarness(mode: Self.mode, limits: limits)) { edge in
            let client = try TestSocket.connect(port: edge.port)
            try client.send(TestHello(serverName: "other.test").records())
            #expect(try client.receiveToEnd() == Self.alert(112))
            // Once the edge has closed, sending gets a reset sooner or later.
            _ = try eventually("the close") { () -> Bool? in
                do {
                    try client.send([0x17])
                    return nil
                } catch {
                    return true
                }
            }
        }
    }

    @Test func timeoutIsAPlainClose() async throws {
        var limits = HelloLimits()
        limits.timeout = .milliseconds(50)
        try await withHarness(try await RelayHarness(mode: Self.mode, limits: limits)) { edge in
            let client = try TestSocket.connect(port: edge.port)
            try client.send(Array(Self.clientHello.prefix(50)))
            #expect(try client.receiveToEnd().isEmpty)
            #expect(try edge.log.wait(for: "client hello refused").metadata["reason"] == "timeout")
        }
    }

    @Test func halfAHelloAndAnEnd() async throws {
        try await withHarness(try await RelayHarness(mode: Self.mode)) { edge in
            let client = try TestSocket.connect(port: edge.port)
            try client.send(Array(Self.clientHello.prefix(50)))
            client.shutdownOutput()
            #expect(try client.receiveToEnd().isEmpty)
            #expect(try edge.log.wait(for: "client hello refused").metadata["reason"] == "truncated")
        }
    }
}
