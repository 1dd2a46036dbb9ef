import Foundation
import TestSockets
import Testing

/// A relay site with the real edge and ordinary clients.
@Suite(.serialized, .timeLimit(.minutes(3))) struct RelayEndToEndTests {
    private static func site(_ origin: UInt16, _ more: String = "") -> String {
        """
        sites:
          - domains: [bank.example.test]
            mode: relay
            origin: { address: "127.0.0.1:\(origin)"\(more) }
        """
    }

    @Test func ordinaryClientsVerifyTheOriginThroughTheEdge() async throws {
        let workspace = try Workspace()
        try workspace.makeSite("bank.example.test")
        let origin = try await TLSOrigin(domain: "bank.example.test", text: "hello from the bank\n", in: workspace)
        try await blocking {
            let edge = try RunningEdge(Self.site(origin.port), in: workspace)
            defer { edge.stop() }
            for version in ["1.2", "1.3"] {
                let fetched = try Tool.curl(
                    "https://bank.example.test/", to: edge.port, workspace, "--tlsv\(version)", "--tls-max", version)
                #expect(fetched.status == 0, "\(fetched.all)")
                #expect(fetched.output == "hello from the bank\n")
            }
            let upperCase = try Tool.openssl(edge.port, workspace, "-servername", "BANK.Example.TEST")
            #expect(upperCase.all.contains("Verify return code: 0 (ok)"), "\(upperCase.all)")
            _ = try eventually("the end of three connections") {
                edge.process.lines("relay ended").count == 3 ? true : nil
            }
            #expect(try edge.metric("latchstring_edge_relay_connections_total") == 3)
        }
        try await origin.stop()
    }

    @Test func keyHolderThatIsDownIsNothingToRelaySites() async throws {
        let workspace = try Workspace()
        try workspace.makeSite("bank.example.test")
        let origin = try await TLSOrigin(domain: "bank.example.test", text: "open as ever\n", in: workspace)
        try await blocking {
            let edge = try RunningEdge(
                Self.site(origin.port) + """

                      - domains: [www.example.test]
                        mode: keyless
                        keyholder: home
                        origin: { url: "http://127.0.0.1:1" }
                    keyholders:
                      home: { addresses: [127.0.0.1:1] }
                    """, in: workspace)
            defer { edge.stop() }
            let keyless = try Tool.curl("https://www.example.test/", to: edge.port, workspace)
            #expect(keyless.status == 35, "\(keyless.all)")
            let relayed = try Tool.curl("https://bank.example.test/", to: edge.port, workspace)
            #expect(relayed.output == "open as ever\n", "\(relayed.all)")
        }
        try await origin.stop()
    }

    @Test func asksToEndAreHeeded() async throws {
        let workspace = try Workspace()
        try await blocking {
            let edge = try RunningEdge(Self.site(1), in: workspace)
            edge.stop()
            #expect(try edge.process.waitForExit() == 0)
        }
    }

    @Test func originThatIsDownIsAnAlertAndALine() async throws {
        let workspace = try Workspace()
        try await blocking {
            let closed = try Workspace.freePort()
            let edge = try RunningEdge(Self.site(closed), in: workspace)
            defer { edge.stop() }
            let refused = try Tool.curl("https://bank.example.test/", to: edge.port, workspace)
            #expect(refused.status == 35, "\(refused.all)")
            #expect(refused.errors.contains("internal error"), "\(refused.all)")
            let line = try edge.process.wait(for: "relay failed")
            #expect(line["reason"] == "connect failed")
            #expect(line["site"] == "bank.example.test")
            #expect(line["address"] == "127.0.0.1:\(closed)")
            #expect(try edge.metric("latchstring_edge_relay_failed_total{reason=\"connect failed\"}") == 1)
        }
    }

    @Test func originThatSaysNothingEndsAtTheIdleLimit() async throws {
        let workspace = try Workspace()
        let origin = try TestListener()
        try await blocking {
            let edge = try RunningEdge(Self.site(origin.port, ", idle: 1s"), in: workspace)
            defer { edge.stop() }
            let client = try TestSocket.connect(port: edge.port)
            try client.send(TestHello(serverName: "bank.example.test").records())
            let server = try origin.accept()
            #expect(try client.receiveToEnd().isEmpty)
            #expect(try server.receiveToEnd() == TestHello(serverName: "bank.example.test").records())
            #expect(try edge.process.wait(for: "relay ended")["reason"] == "idle")
        }
    }

    @Test func abortedClientsLeaveNothingBehind() async throws {
        let workspace = try Workspace()
        let origin = try TestListener()
        try await blocking {
            let edge = try RunningEdge(Self.site(origin.port), in: workspace)
            defer { edge.stop() }
            _ = try edge.metrics()
            let descriptors = edge.process.openDescriptors
            for _ in 0..<50 {
                let client = try TestSocket.connect(port: edge.port)
                try client.send(TestHello(serverName: "bank.example.test").records())
                let server = try origin.accept()
                _ = try server.receive()
                client.reset()
                #expect(try server.endsWithReset())
            }
            _ = try eventually("all descriptors closed") { edge.process.openDescriptors <= descriptors ? true : nil }
            // Counted a moment after the descriptors are closed.
            let resets = "latchstring_edge_relay_ended_total{reason=\"reset\"}"
            _ = try eventually("50 resets") { try edge.metric(resets) == 50 ? true : nil }
        }
    }

    @Test func wildcardThatLeadsToThisEdgeIsRefused() async throws {
        let workspace = try Workspace()
        try await blocking {
            // glibc knows that every name under .localhost is this machine, without asking DNS.
            let edge = try RunningEdge(
                """
                sites:
                  - domains: ["*.localhost"]
                    mode: relay
                    origin: { resolve: true, ports: [443] }
                """, in: workspace)
            defer { edge.stop() }
            let client = try TestSocket.connect(port: edge.port)
            try client.send(TestHello(serverName: "www.localhost").records())
            #expect(try client.receiveToEnd() == [0x15, 3, 3, 0, 2, 2, 112])
            let line = try edge.process.wait(for: "relay failed")
            #expect(["address refused", "no such name"].contains(line["reason"]))
        }
    }
}
