import Foundation
import TestSockets
import Testing

/// What one client can do to the others, with the real binaries.
@Suite(.serialized, .timeLimit(.minutes(5))) struct StrangersTests {
    private static func relay(_ origin: UInt16, _ more: String = "") -> String {
        """
        sites:
          - domains: [bank.example.test]
            mode: relay
            origin: { address: "127.0.0.1:\(origin)" }
        \(more)
        """
    }

    private static let hello = TestHello(serverName: "bank.example.test").records()

    /// With 1,024 descriptors and no way to more: 1,100 idle connections, which the edge once accepted until accept(2)
    /// failed, over and over.
    @Test(arguments: ["", "limits: { exempt: [127.0.0.0/8] }"])
    func idleConnectionsBeyondTheDescriptorsStopNobody(limits: String) async throws {
        let workspace = try Workspace()
        let origin = try TestListener()
        try await blocking {
            let edge = try RunningEdge(
                Self.relay(origin.port, limits), descriptors: 1024, in: workspace)
            defer { edge.stop() }
            #expect(edge.process.lines(Self.warning).count == 1)
            let idle = try (0..<1100).map { _ in try TestSocket.connect(port: edge.port) }
            let client = try TestSocket.connect(port: edge.port)
            try client.send(Self.hello)
            let server = try origin.accept()
            #expect(try server.receive(exactly: Self.hello.count) == Self.hello)
            #expect(edge.process.openDescriptors < 1024)
            // Not once did accept fail, and idle ones gave way.
            #expect(try edge.metric("latchstring_accept_pauses_total{cause=\"descriptors\"}") == 0)
            #expect(try edge.metric("latchstring_edge_connections_gave_way_total{stage=\"silent\"}") > 100)
            for socket in idle { socket.close() }
        }
    }

    private static let warning =
        "fewer clients are accepted than limits.connections says: the process may have too few file descriptors"

    @Test func oneAddressDoesNotHoldAllConnections() async throws {
        let workspace = try Workspace()
        let origin = try TestListener()
        try await blocking {
            let edge = try RunningEdge(Self.relay(origin.port, "limits: { connections: 40 }"), in: workspace)
            defer { edge.stop() }
            // Idle ones are closed as their own next ones come; five may stay.
            let idle = try (0..<100).map { _ in try TestSocket.connect(port: edge.port) }
            _ = try eventually("95 closed ones") {
                try edge.metric("latchstring_edge_connections_gave_way_total{stage=\"silent\"}") == 95 ? true : nil
            }
            _ = try eventually("five connections") {
                try edge.metric("latchstring_edge_connections{loop=\"0\"}") == 5 ? true : nil
            }
            #expect(try edge.metric("latchstring_edge_connections_refused_total{reason=\"total\"}") == 0)
            for socket in idle { socket.close() }
        }
    }

    /// Bare hellos from one address, as fast as they come, and a client from another.
    @Test(arguments: ["keyless", "handoff"])
    func oneAddressWithBareHellosLeavesTheGrantToOthers(mode: String) async throws {
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        try workspace.makeSite("origin.test")
        let origin = try await TLSOrigin(domain: "origin.test", text: "from the origin", in: workspace)
        let port = origin.port
        try await blocking {
            let keyHolder = try RunningKeyHolder(
                sites: ["www.test"], grantedTo: "paris", operations: mode, in: workspace)
            defer { keyHolder.stop() }
            let edge = try RunningEdge(
                """
                keyholders:
                  home: { addresses: ["127.0.0.1:\(keyHolder.port)"] }
                limits: { handshakes-per-client: 1 }
                sites:
                  - domains: [www.test]
                    mode: \(mode)
                    keyholder: home
                    origin: { url: "https://127.0.0.1:\(port)", name: origin.test, roots: roots.pem }
                """, in: workspace)
            defer { edge.stop() }
            func served() throws -> Bool {
                try Tool.curl("https://www.test/", to: edge.port, workspace, "--interface", "127.0.0.2").status == 0
            }
            _ = try eventually("www.test being served") {
                waitBriefly()
                return try served() ? true : nil
            }
            let before = keyHolder.audit.count
            let hello = TestHello(serverName: "www.test").records()
            var refused = 0
            for _ in 0..<60 {
                let client = try TestSocket.connect(port: edge.port)
                try client.send(hello)
                if try client.receive() == [0x15, 3, 3, 0, 2, 2, 80] { refused += 1 }
                client.close()
            }
            #expect(refused >= 40)
            #expect(keyHolder.audit.count - before <= 20)
            _ = try eventually("another address being served") {
                waitBriefly()
                return try served() ? true : nil
            }
            let counted = try edge.metric("latchstring_edge_handshakes_turned_away_total{reason=\"client-rate\"}")
            #expect(counted >= Double(refused))
        }
        try await origin.stop()
    }

    /// A grant of 5 handshakes a second, more hellos of one address than it allows in half a minute, and one client of
    /// another address.
    @Test(arguments: ["keyless", "handoff"])
    func aScarceGrantIsSharedInTurns(mode: String) async throws {
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        try workspace.makeSite("origin.test")
        let origin = try await TLSOrigin(domain: "origin.test", text: "from the origin", in: workspace)
        let port = origin.port
        try await blocking {
            let keyHolder = try RunningKeyHolder(
                sites: ["www.test"], grantedTo: "paris", operations: mode, rate: 5, in: workspace)
            defer { keyHolder.stop() }
            let edge = try RunningEdge(
                """
                keyholders:
                  home: { addresses: ["127.0.0.1:\(keyHolder.port)"] }
                limits: { handshakes-per-client: 1000 }
                sites:
                  - domains: [www.test]
                    mode: \(mode)
                    keyholder: home
                    origin: { url: "https://127.0.0.1:\(port)", name: origin.test, roots: roots.pem }
                """, in: workspace)
            defer { edge.stop() }
            func served() throws -> Bool {
                try Tool.curl("https://www.test/", to: edge.port, workspace, "--interface", "127.0.0.2").status == 0
            }
            _ = try eventually("www.test being served") {
                waitBriefly()
                return try served() ? true : nil
            }
            let hello = TestHello(serverName: "www.test").records()
            let crowd = try (0..<150).map { _ in
                let client = try TestSocket.connect(port: edge.port)
                try client.send(hello)
                return client
            }
            _ = try eventually("a line") {
                try edge.metric("latchstring_edge_handshakes_waiting") > 100 ? true : nil
            }
            #expect(try served())
            for client in crowd { client.close() }
        }
        try await origin.stop()
    }

    /// Lines that strangers can cause, by the hundred, while nothing reads the log.
    @Test func aLogThatIsNotReadStopsNobody() async throws {
        let workspace = try Workspace()
        let origin = try TestListener()
        try await blocking {
            let edge = try RunningEdge(Self.relay(origin.port), logIsRead: false, in: workspace)
            defer { edge.kill() }
            // Ones that say nothing are a line at debug, which is not bounded in rate, and this log is at debug.
            for _ in 0..<2000 { try TestSocket.connect(port: edge.port).close() }
            for _ in 0..<300 {
                let stranger = try TestSocket.connect(port: edge.port)
                try stranger.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
                _ = try stranger.receive()
                stranger.close()
            }
            let client = try TestSocket.connect(port: edge.port)
            try client.send(Self.hello)
            let server = try origin.accept()
            #expect(try server.receive(exactly: Self.hello.count) == Self.hello)
        }
    }

    /// All that they write goes into a pipe that is full: the end does not wait for its reader.
    @Test func aLogThatIsNotReadDoesNotHoldAnEnd() async throws {
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        let origin = try TestListener()
        try await blocking {
            let keyHolder = try RunningKeyHolder(
                sites: ["www.test"], grantedTo: "paris", audit: "'-'", logIsRead: false, in: workspace)
            let edge = try RunningEdge(
                Self.relay(
                    origin.port,
                    """
                      - { domains: [www.test], mode: keyless, keyholder: home, origin: { url: "http://127.0.0.1:\(origin.port)" } }
                    keyholders: { home: { addresses: ["127.0.0.1:\(keyHolder.port)"] } }
                    access-log: "-"
                    drain: 1s
                    limits: { exempt: [127.0.0.0/8] }
                    """), logIsRead: false, in: workspace)
            for _ in 0..<1500 { try TestSocket.connect(port: edge.port).close() }
            // Each a line of the access log, of the log and of the audit log.
            for _ in 0..<300 {
                let client = try TestSocket.connect(port: edge.port)
                try client.send(TestHello(serverName: "www.test").records())
                client.close()
            }
            // The edge leaves out what is not read. The key holder waits for its audit lines, and not for ever.
            for process in [edge.process, keyHolder.process] {
                let start = ContinuousClock.now
                process.send(SIGTERM)
                let status = try process.waitForExit()
                let time = ContinuousClock.now - start
                #expect(status == 0 && time < .seconds(18), "\(status) after \(time)")
            }
        }
    }
}
