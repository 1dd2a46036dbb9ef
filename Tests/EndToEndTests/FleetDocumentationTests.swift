import Foundation
import TestBus
import TestSockets
import Testing

/// `docs/fleet.md` is done, step by step: its commands, its files, with ports and folders of the test's own.
@Suite(.serialized, .timeLimit(.minutes(3))) struct FleetDocumentationTests {
    private static let text: String =
        (try? String(contentsOf: Recipe.root.appending(path: "docs/fleet.md"), encoding: .utf8)) ?? ""

    /// The part from one heading to the next of the same rank or above.
    private static func section(_ heading: String) throws -> Substring {
        let start = try #require(Self.text.range(of: "\n\(heading)\n"))
        let rest = Self.text[start.upperBound...]
        return rest.range(of: "\n## ").map { rest[..<$0.lowerBound] } ?? rest
    }

    /// Commands: lines that are indented and begin with a program's name.
    private static func commands(_ text: Substring) -> [String] {
        text.split(separator: "\n").filter { $0.hasPrefix("       ") }
            .map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { $0.hasPrefix("latchstring ") || $0.hasPrefix("redis-server ") }
    }

    /// Blocks of YAML, without the indentation of their list.
    private static func blocks(_ text: Substring) -> [String] {
        var blocks: [String] = []
        var block: [Substring]?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            let bare = line.drop { $0 == " " }
            if bare.hasPrefix("```") {
                if let finished = block { blocks.append(finished.joined(separator: "\n")) }
                block = block == nil ? [] : nil
            } else {
                block?.append(line.hasPrefix("   ") ? line.dropFirst(3) : line)
            }
        }
        return blocks
    }

    @Test("From two edges that know nothing of each other to a purge and a live list, with a stock server")
    func setUp() async throws {
        let setUp = try Self.section("## Set it up")
        let commands = Self.commands(setUp)
        let blocks = Self.blocks(setUp)
        #expect(
            commands.map { $0.split(separator: " ").prefix(2).joined(separator: " ") } == [
                "redis-server --port", "latchstring fleet", "latchstring check", "latchstring fleet",
                "latchstring purge", "latchstring purge", "latchstring fleet",
            ])
        let stage = try await FleetStage(edges: ["paris", "lyon"])
        try await blocking {
            let port = try Workspace.freePort()
            let workspace = stage.workspace
            func own(_ text: String) -> String {
                text.replacing("6379", with: "\(port)").replacing("www.example.test", with: "www.test")
                    .replacing("certs/authority.pem", with: "authority.pem")
            }
            func words(_ command: String) -> [String] { own(command).split(separator: " ").map(String.init) }
            // The bus, as it stands there.
            let bus = words(commands[0])
            let server = try ChildProcess(bus[0], Array(bus.dropFirst()), directory: workspace.path(""))
            defer { server.send(SIGKILL) }
            _ = try eventually("the bus") { try? TestSocket.connect(port: port) }
            func run(_ command: String) throws -> (text: String, status: Int32) {
                let process = try TestProcess(Array(words(command).dropFirst()), name: "command", in: workspace)
                let status = try process.waitForExit()
                return (process.text, status)
            }
            try FileManager.default.removeItem(atPath: workspace.path("ops.key"))
            let made = try run(commands[1])
            #expect(made.status == 0)
            let key = String(made.text[try #require(made.text.range(of: "key: ")).upperBound...].prefix(64))
            let edges = try ["paris", "lyon"].map { name in
                try stage.edge(name, fleet: own(blocks[0]).replacing("KEY", with: key))
            }
            try workspace.write(own(blocks[1]), to: "fleet.yaml")
            for edge in edges {
                try stage.served(edge)
                #expect(try stage.fetch("/news", edge) == "/news 1")
            }
            _ = stage.raise()
            let check = try run(commands[2])
            #expect(check.status == 0 && check.text.contains("connected, redis"), "\(check.text)")
            let list = try run(commands[3])
            #expect(list.status == 0 && list.text.contains("paris") && list.text.contains("lyon"), "\(list.text)")
            let purge = try run(commands[4])
            #expect(purge.status == 0 && purge.text.contains("2 of 2 edges have acknowledged"), "\(purge.text)")
            for edge in edges { #expect(try stage.fetch("/news", edge) == "/news 2") }
            let soft = try run(commands[5])
            #expect(soft.status == 0 && soft.text.contains("2 of 2"), "\(soft.text)")
            let watch = try TestProcess(Array(words(commands[6]).dropFirst()), name: "watch", in: workspace)
            _ = try eventually("a second list") {
                watch.text.components(separatedBy: "fleet example").count > 2 ? true : nil
            }
            watch.stop()
            for edge in edges { edge.stop() }
        }
        try await stage.stop()
    }

    @Test("The users that it tells to make have the rights that edges and commands need")
    func users() async throws {
        let lines = Self.text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { $0.hasPrefix("user edge on ") || $0.hasPrefix("user command on ") }
        #expect(lines.count == 2)
        let stage = try await FleetStage(edges: ["paris"])
        try await blocking {
            let server = try RedisServer(
                ["user default off"]
                    + lines.map { $0.replacing("{example}", with: "{test}").replacing("PASSWORD", with: "secret-1") })
            try stage.workspace.write("secret-1\n", to: "bus.password")
            let bus = "redis: [\"redis://127.0.0.1:\(server.port)\"]"
            let signers = "signers: [{ name: ops, key: \"\(stage.publicKey)\", may: everything }]"
            let edge = try stage.edge(
                "paris", fleet: "fleet:\n  name: test\n  \(bus)\n  user: edge\n  password: bus.password\n  \(signers)\n"
            )
            try stage.workspace.write(
                "role: fleet\nauthority: authority.pem\nfleet:\n  name: test\n  \(bus)\n  user: command\n  password: bus.password\n  signing-key: ops.key\n",
                to: "fleet.yaml")
            try stage.served(edge)
            _ = try eventually("the edge in the list") {
                try stage.run("fleet", "--config", "FLEET").status == 0 ? true : nil
            }
            #expect(try stage.run("purge", "--fleet", "FLEET", "--everything").status == 0)
            edge.stop()
            #expect(try stage.run("fleet", "forget", "--config", "FLEET", "paris").status == 0)
            #expect(!edge.process.text.contains("secret-1"))
        }
        try await stage.stop()
    }
}
