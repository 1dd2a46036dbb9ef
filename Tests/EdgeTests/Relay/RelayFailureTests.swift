import Admission
import EdgeModel
import Logging
import NIOCore
import TestLogs
import TestSockets
import Testing

@testable import Edge
@testable import EdgeRelay

/// Clients whose origin cannot be reached, or must not be.
@Suite(.timeLimit(.minutes(2))) struct RelayFailureTests {
    private static let internalError: [UInt8] = [0x15, 3, 3, 0, 2, 2, 80]
    private static let unrecognizedName: [UInt8] = [0x15, 3, 3, 0, 2, 2, 112]

    /// The client gets the alert; there is one log line and one metric.
    private static func expectFailure(
        _ edge: RelayHarness, reason: String, alert: [UInt8], detail: String? = nil
    ) throws {
        let client = try TestSocket.connect(port: edge.port)
        try client.send(TestHello().records())
        #expect(try client.receiveToEnd() == alert)
        let line = try edge.log.wait(for: "relay failed")
        #expect(line.level == .info)
        #expect(line.metadata["reason"] == reason)
        #expect(line.metadata["site"] == "www.example.test")
        if let detail { #expect(line.metadata["error"] == detail) }
        #expect(edge.counter("latchstring_edge_relay_failed_total", [("reason", reason)]) == 1)
        #expect(edge.log.lines("relay failed").count == 1)
    }

    private static func resolving(
        ports: [UInt16] = [443], allowPrivate: Bool = false, knowsItself: Bool = true,
        _ lookup: @escaping NameResolver.Lookup
    ) async throws -> RelayHarness {
        let configuration = RelayConfiguration(
            origin: .resolve(ports: ports, allowPrivate: allowPrivate), connectTimeout: .minutes(1))
        return try await RelayHarness(
            mode: .relay(configuration), domain: "*.example.test", knowsItself: knowsItself, lookup: lookup)
    }

    @Test func originRefuses() async throws {
        let origin = try TestListener()
        origin.close()
        try await withHarness(try await RelayHarness(relayTo: origin)) { edge in
            try Self.expectFailure(edge, reason: "connect failed", alert: Self.internalError)
        }
    }

    @Test func dnsThatNeverAnswersEndsAtTheConnectLimit() async throws {
        let configuration = RelayConfiguration(
            origin: .fixed(host: "origin.test", port: 443), connectTimeout: .milliseconds(100))
        let release = TestFlag()
        let harness = try await RelayHarness(mode: .relay(configuration)) { host throws(ResolveError) in
            release.wait()
            return []
        }
        try await withHarness(harness) { edge in
            defer { release.set() }
            try Self.expectFailure(edge, reason: "connect timeout", alert: Self.internalError)
        }
    }

    @Test func clientThatLeavesWhileConnectingIsForgotten() async throws {
        let origin = try TestListener()
        let configuration = RelayConfiguration(
            origin: .fixed(host: "origin.test", port: origin.port), connectTimeout: .minutes(1))
        let release = TestFlag()
        let started = TestFlag()
        let harness = try await RelayHarness(mode: .relay(configuration)) { host throws(ResolveError) in
            started.set()
            release.wait()
            return [.v4(0x7f00_0001)]
        }
        try await withHarness(harness) { edge in
            defer { release.set() }
            let client = try TestSocket.connect(port: edge.port)
            try client.send(TestHello().records())
            started.wait()
            #expect(edge.connector.waitingForNames == 1)
            client.reset()
            _ = try edge.log.wait(for: "relay given up by its client")
            try eventually("the end of its wait") { edge.connector.waitingForNames == 0 ? () : nil }
            // A second client shares the look-up, so it is served after the first one's turn would have come.
            let second = try TestSocket.connect(port: edge.port)
            try second.send(TestHello().records())
            try second.send([9])
            second.shutdownOutput()
            release.set()
            let server = try origin.accept()
            #expect(try server.receiveToEnd() == TestHello().records() + [9])
            #expect(!origin.hasPending)
            #expect(edge.counter("latchstring_edge_relay_connections_total") == 1)
        }
    }

    @Test func nameThatDoesNotExistIsUnrecognized() async throws {
        let harness = try await Self.resolving { host throws(ResolveError) in throw .noSuchName }
        try await withHarness(harness) { edge in
            try Self.expectFailure(edge, reason: "no such name", alert: Self.unrecognizedName)
        }
    }

    @Test func dnsFailureIsAnInternalError() async throws {
        let harness = try await Self.resolving { host throws(ResolveError) in throw .failed("server is on holiday") }
        try await withHarness(harness) { edge in
            try Self.expectFailure(
                edge, reason: "DNS failed", alert: Self.internalError, detail: "server is on holiday")
        }
    }

    @Test(arguments: [
        ("127.0.0.1", "loopback"), ("10.1.2.3", "private"), ("169.254.169.254", "metadata"),
        ("::ffff:127.0.0.1", "loopback"),
        ("fe80::1", "link-local"), ("64:ff9b::7f00:1", "loopback"),
    ])
    func nonPublicAnswersAreRefused(address: String, detail: String) async throws {
        let answer = try #require(IPAddress(address))
        let harness = try await Self.resolving { host throws(ResolveError) in [answer] }
        try await withHarness(harness) { edge in
            try Self.expectFailure(edge, reason: "address refused", alert: Self.unrecognizedName, detail: detail)
        }
    }

    @Test func resolvedNameIsReachedAtTheListedPort() async throws {
        let origin = try TestListener()
        let harness = try await Self.resolving(ports: [origin.port], allowPrivate: true) { host throws(ResolveError) in
            // One address that is refused, one where nothing listens, and the right one.
            host == "www.example.test" ? [.v4(0xa9fe_a9fe), .v6(0, 1), .v4(0x7f00_0001)] : []
        }
        try await withHarness(harness) { edge in
            let client = try TestSocket.connect(port: edge.port)
            try client.send(TestHello().records())
            let server = try origin.accept()
            try server.send([5])
            #expect(try client.receive() == [5])
        }
    }

    @Test func fixedOriginThatIsThisEdgeIsALoop() async throws {
        // The port is known only once the listener is bound, so the "fixed" origin is a name.
        let harness = try await RelayHarness(
            mode: .relay(RelayConfiguration(origin: .fixed(host: "127.0.0.1", port: 1))))
        harness.connector.setOwnListeners([try SocketAddress(ipAddress: "0.0.0.0", port: 1)])
        try await withHarness(harness) { edge in
            try Self.expectFailure(edge, reason: "loop to this edge", alert: Self.internalError)
        }
    }

    @Test func resolvedNameThatIsThisEdgeIsALoop() async throws {
        let harness = try await Self.resolving(ports: [1], allowPrivate: true) { host throws(ResolveError) in
            [.v4(0x7f00_0001)]
        }
        harness.connector.setOwnListeners([try SocketAddress(ipAddress: "127.0.0.1", port: 1)])
        try await withHarness(harness) { edge in
            try Self.expectFailure(edge, reason: "loop to this edge", alert: Self.unrecognizedName)
        }
    }
}
