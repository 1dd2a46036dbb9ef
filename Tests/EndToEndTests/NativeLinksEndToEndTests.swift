import Foundation
import NIOCore
import NativeClient
import NativeHandshake
import PrivateAuthority
import TLSWire
import TestSockets
import Testing

/// Native streams over links between edge and key holders, with the real binaries.
@Suite(.serialized, .timeLimit(.minutes(10))) struct NativeLinksEndToEndTests {
    private static let opened = "latchstring_edge_native_links_opened_total{keyholder=\"home\"}"
    private static let ready = "latchstring_edge_native_links_ready{keyholder=\"home\"}"

    /// Sends a word, and waits for it to come back and for the end.
    private static func echo(_ options: NativeOptions) async throws -> String {
        try await NativeConnection.with(options) { connection in
            try await connection.send(ByteBuffer(string: "hello"))
            try await connection.finish()
            var answer = ByteBuffer()
            for try await part in connection.bytes { answer.writeImmutableBuffer(part) }
            return String(buffer: answer)
        }
    }

    private static func options(_ port: UInt16, _ workspace: Workspace) throws -> NativeOptions {
        var options = NativeOptions(
            serverName: try ServerName("www.test"), host: "127.0.0.1", port: Int(port), variant: .originDerived)
        options.roots = try ClientRoots(pem: workspace.sites.certificatePEM)
        options.timeout = .seconds(20)
        return options
    }

    @Test func aThousandClientsShakeHandsOverFewLinks() async throws {
        let stage = try await NativeStage([("www.test", .p256)], application: TestApplication(.echo))
        let options = try stage.options("www.test", .originDerived)
        // As many at once as one network may have streams that are to be taken.
        for _ in 0..<125 {
            try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<8 { group.addTask { try await Self.echo(options) } }
                for try await answer in group { #expect(answer == "hello") }
            }
        }
        #expect(try stage.edge.metric("latchstring_edge_native_connections_total") == 1000)
        #expect(try stage.edge.metric("latchstring_edge_native_ended_total{reason=\"closed\"}") == 1000)
        // One, and another one where a loaded machine left one without an answer for a second.
        #expect((1...20).contains(try stage.edge.metric(Self.opened)))
        #expect(try stage.edge.metric(Self.ready) >= 1)
        #expect(stage.audit.count { $0["operation"] == "native" && $0["outcome"] == "ok" } == 1000)
        try await stage.stop()
    }

    @Test func aKeyHolderThatIsKilledBreaksItsStreamsAndTheNextGoToTheOther() async throws {
        let application = try await TestApplication(.echo)
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        try workspace.makeIdentity(.keyholder, "home")
        let ports = [try Workspace.freePort(), try Workspace.freePort()]
        var holders: [TestProcess] = []
        for (index, port) in ports.enumerated() {
            try NativeStage.configure(
                workspace, ["www.test"], native: port, site: "application: ADDRESS", application: application.port,
                "native")
            let text = try workspace.read("home.yaml").replacing("audit.jsonl", with: "audit-\(index).jsonl")
            try workspace.write(text, to: "home-\(index).yaml")
            holders.append(
                try TestProcess(["keyholder", "--config", "home-\(index).yaml"], name: "home-\(index)", in: workspace))
        }
        let listening = try holders.map { try $0.listeningPort() }
        let edge = try RunningEdge(
            """
            keyholders:
              home:
                addresses: ["127.0.0.1:\(listening[0])", "127.0.0.1:\(listening[1])"]
                native: ["127.0.0.1:\(ports[0])", "127.0.0.1:\(ports[1])"]
            sites:
              - { domains: [www.test], mode: relay, native: home, origin: { address: "127.0.0.1:9" } }
            """, in: workspace)
        let options = try Self.options(edge.port, workspace)
        _ = try eventually("two links") { try edge.metric(Self.ready) == 2 ? true : nil }
        // Streams at both, and one key holder goes while they are open.
        let outcomes = try await withThrowingTaskGroup(of: Bool.self) { group in
            let (ready, continuation) = AsyncStream.makeStream(of: Void.self)
            for _ in 0..<6 {
                group.addTask {
                    do {
                        return try await NativeConnection.with(options) { connection in
                            try await connection.send(ByteBuffer(string: "a"))
                            var count = 0
                            for try await part in connection.bytes {
                                count += part.readableBytes
                                if count == 1 {
                                    continuation.yield()
                                    // Long enough for the other end to go.
                                    try await Task.sleep(for: .seconds(3))
                                    try await connection.send(ByteBuffer(string: "b"))
                                    try await connection.finish()
                                }
                            }
                            return count == 2
                        }
                    } catch {
                        return false
                    }
                }
            }
            var iterator = ready.makeAsyncIterator()
            for _ in 0..<6 { _ = await iterator.next() }
            holders[0].kill9()
            return try await group.reduce(into: [Bool]()) { $0.append($1) }
        }
        // Three of each, but for those that one key holder was too slow to take.
        let broken = outcomes.count { !$0 }
        #expect(outcomes.count == 6 && (1...5).contains(broken), "\(outcomes)")
        #expect(try edge.metric("latchstring_edge_native_ended_total{reason=\"reset\"}") == Double(broken))
        for _ in 0..<6 { #expect(try await Self.echo(options) == "hello") }
        #expect(try edge.metric("latchstring_edge_native_failed_total{reason=\"key holder unavailable\"}") == 0)
        edge.stop()
        holders[1].stop()
        try await application.stop()
    }

    @Test func aKeyHolderWithoutAPortTakesNativeClientsOverWhatItDials() async throws {
        let application = try await TestApplication(.echo)
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        try workspace.makeIdentity(.keyholder, "home")
        let port = try Workspace.freePort()
        try workspace.write(
            """
            role: keyholder
            dial: ["127.0.0.1:\(port)"]
            identity: { certificate: keyholder-home.pem, key: keyholder-home.key, authority: authority.pem }
            sites:
              - { certificate: www.test.pem, key: www.test.key, application: "127.0.0.1:\(application.port)" }
            grants:
              - { edge: paris, sites: [www.test], operations: [native] }
            audit: audit.jsonl
            log: { level: debug, format: json }

            """, to: "home.yaml")
        let edge = try RunningEdge(
            """
            listen-keyholders: [127.0.0.1:\(port)]
            keyholders:
              home: { dialled-by: [home], native: dialled }
            sites:
              - { domains: [www.test], mode: relay, native: home, origin: { address: "127.0.0.1:9" } }
            """, in: workspace)
        var keyHolder = try TestProcess(["keyholder", "--config", "home.yaml"], name: "home", in: workspace)
        let options = try Self.options(edge.port, workspace)
        _ = try eventually("a link") { try edge.metric(Self.ready) == 1 ? true : nil }
        for _ in 0..<10 { #expect(try await Self.echo(options) == "hello") }
        #expect((1...5).contains(try edge.metric(Self.opened)))
        // It ends, and comes back.
        keyHolder.kill9()
        _ = try eventually("no link") { try edge.metric(Self.ready) == 0 ? true : nil }
        keyHolder = try TestProcess(["keyholder", "--config", "home.yaml"], name: "home", in: workspace)
        _ = try eventually("a link again") { try edge.metric(Self.ready) >= 1 ? true : nil }
        #expect(try await Self.echo(options) == "hello")
        edge.stop()
        keyHolder.stop()
        try await application.stop()
    }
}
