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
            // The reactor's own stay: a poller, a bell.
            _ = try eventually("all descriptors closed") {
                edge.process.openDescriptors <= descriptors + 2 ? true : nil
            }
            // Counted a moment after the descriptors are closed.
            let resets = "latchstring_edge_relay_ended_total{reason=\"reset\"}"
            _ = try eventually("50 resets") { try edge.metric(resets) == 50 ? true : nil }
        }
    }

    @Test func thousandsOfShortConnectionsLeaveNothingBehind() async throws {
        let workspace = try Workspace()
        let origin = try TestListener(backlog: 256)
        let count = 3000
        try await blocking {
            let edge = try RunningEdge(
                Self.site(origin.port) + "\nlimits: { connections-per-client: 1000 }", in: workspace)
            defer { edge.stop() }
            let hello = TestHello(serverName: "bank.example.test").records()
            let workers = Workers()
            workers.run {
                for number in 0..<count {
                    let server = try origin.accept()
                    _ = try server.receive(exactly: hello.count)
                    // Ends in each way.
                    if number % 3 == 0 { server.reset() } else { try server.send([UInt8](repeating: 1, count: 100)) }
                    server.close()
                }
            }
            let descriptors = edge.process.openDescriptors
            for _ in 0..<(count / 50) {
                let clients = try (0..<50).map { _ in try TestSocket.connect(port: edge.port) }
                for client in clients { try client.send(hello) }
                for client in clients {
                    _ = try? client.receiveToEnd()
                    client.close()
                }
            }
            try workers.wait()
            // The reactor's own, of the first connection: a poller, a bell.
            _ = try eventually("all descriptors closed") {
                edge.process.openDescriptors <= descriptors + 2 ? true : nil
            }
            let ended = try ["closed", "reset"].map {
                try edge.metric("latchstring_edge_relay_ended_total{reason=\"\($0)\"}")
            }
            #expect(ended.reduce(0, +) == Double(count))
            #expect(ended[1] >= Double(count / 3))
        }
    }

    /// The flags of a process's descriptors that are no files (open(2), O_CLOEXEC among them), by number and target.
    private static func descriptorFlags(of pid: Int32) -> [String: Int] {
        var flags: [String: Int] = [:]
        let folder = "/proc/\(pid)"
        for name in (try? FileManager.default.contentsOfDirectory(atPath: folder + "/fd")) ?? [] {
            guard
                let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/fd/\(name)"),
                ["socket:", "pipe:", "anon_inode:"].contains(where: { target.hasPrefix($0) }),
                let info = try? String(contentsOfFile: "\(folder)/fdinfo/\(name)", encoding: .utf8),
                let line = info.split(separator: "\n").first(where: { $0.hasPrefix("flags:") }),
                let value = Int(line.dropFirst(6).trimmingCharacters(in: .whitespaces), radix: 8)
            else { continue }
            flags["\(name) \(target)"] = value
        }
        return flags
    }

    /// A program that the edge starts must not hold its connections open, nor read from them.
    @Test func noDescriptorOfARelayIsPassedToOtherPrograms() async throws {
        let workspace = try Workspace()
        let origin = try TestListener()
        try await blocking {
            let edge = try RunningEdge(Self.site(origin.port), in: workspace)
            defer { edge.stop() }
            let before = Self.descriptorFlags(of: edge.process.pid)
            let client = try TestSocket.connect(port: edge.port)
            try client.send(TestHello(serverName: "bank.example.test").records())
            let server = try origin.accept()
            _ = try server.receive()
            let workers = Workers()
            let bulk = [UInt8](repeating: 7, count: 4 << 20)
            // More than the client's side takes: a pipe is in use.
            workers.run { try? server.send(bulk) }
            let flags = try eventually("a pipe of the edge's") { () -> [String: Int]? in
                let flags = Self.descriptorFlags(of: edge.process.pid).filter { before[$0.key] == nil }
                return flags.keys.filter { $0.contains("pipe:") }.count >= 2 ? flags : nil
            }
            // Both sockets, the reactor's poller and bell, the pipe.
            #expect(flags.count >= 6)
            let inherited = flags.filter { $0.value & 0o2000000 == 0 }.keys.sorted()
            #expect(inherited.isEmpty, "without O_CLOEXEC: \(inherited)")
            client.reset()
            try workers.wait()
        }
    }

    @Test func connectionsThatAreOpenAtTheEndOfTheDrainAreClosedAndToldOf() async throws {
        let workspace = try Workspace()
        let origin = try TestListener()
        try await blocking {
            let edge = try RunningEdge(Self.site(origin.port) + "\ndrain: 1s", in: workspace)
            defer { edge.stop() }
            let client = try TestSocket.connect(port: edge.port)
            try client.send(TestHello(serverName: "bank.example.test").records())
            let server = try origin.accept()
            _ = try server.receive()
            edge.process.send(SIGTERM)
            _ = try edge.process.wait(for: "connections are closed, since their time is over")
            // Until then it went on.
            #expect(try client.receiveToEnd().isEmpty)
            #expect(try server.endsWithReset())
            #expect(try edge.process.wait(for: "relay ended")["reason"] == "reset")
            #expect(try edge.process.waitForExit() == 0)
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
