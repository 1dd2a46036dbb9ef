import Foundation
import TestSockets
import Testing

/// What the documentation tells its reader to write, written and run: every recipe of `docs/configuration.md`, the files under
/// `Examples`, and the README's commands. A new recipe is found by itself; one that cannot be made whole fails.
@Suite(.serialized, .timeLimit(.minutes(5))) struct RecipeTests {
    @Test("Every recipe serves what it says, and `check` has nothing against it", arguments: try Recipe.all())
    func recipe(_ recipe: Recipe) async throws {
        try await Self.run(recipe)
    }

    @Test("The first recipe in the other mode, changed by that one word in both files")
    func otherMode() async throws {
        let first = try #require(try Recipe.all().first)
        #expect(first.blocks.count == 2 && first.blocks.allSatisfy { $0.contains("handoff") })
        try await Self.run(first.changing("handoff", to: "keyless"))
    }

    @Test("There are recipes, and a block that belongs nowhere is noticed")
    func finding() throws {
        #expect(try Recipe.all().count >= 4)
        for block in ["threads: 2", "- a", "sites: [{certificate: a, mode: relay}]"] {
            #expect(throws: Recipe.Unplaced.self) { try Recipe(title: "odd", blocks: [block]).files() }
        }
    }

    private static func run(_ recipe: Recipe) async throws {
        let stage = try RecipeStage(recipe)
        try await stage.start()
        let edge = try #require(stage.edgeProcess)
        let workspace = stage.workspace
        let names = stage.names
        let keyHolderFiles = stage.keyHolderFiles
        let hasDefaultSite = stage.hasDefaultSite
        #expect(!names.isEmpty)
        try await blocking {
            let port = try edge.listeningPort()
            for (name, text) in names {
                guard let text else {
                    #expect(try Tool.curl("https://\(name)/", to: port, workspace).status != 0)
                    continue
                }
                // The edge may still be on its way to its key holder.
                let end = ContinuousClock.now + .seconds(15)
                var result = try Tool.curl("https://\(name)/", to: port, workspace)
                while result.status != 0, ContinuousClock.now < end {
                    Thread.sleep(forTimeInterval: 0.2)
                    result = try Tool.curl("https://\(name)/", to: port, workspace)
                }
                #expect(result.output == text, "\(result.errors)\nThe edge says:\n\(edge.text.suffix(2000))")
            }
            if hasDefaultSite {
                let bare = try Tool.run("curl", ["-sSk", "--max-time", "10", "https://127.0.0.1:\(port)/"])
                #expect(bare.status == 0, "\(bare.errors)")
            }
            // Names that only DNS could lead on have nothing to be checked online.
            let isOffline = names.contains { $0.text == nil }
            for file in keyHolderFiles + ["edge.yaml"] {
                let check = try TestProcess(
                    ["check", "--config", file] + (isOffline ? ["--offline"] : []), name: "check", in: workspace)
                #expect(try check.waitForExit() == 0, "\(check.text)")
                #expect(check.text.hasSuffix(", 0 warnings, 0 problems.\n"), "\(check.text)")
            }
        }
        try await stage.stop()
    }

    // MARK: README and Examples

    /// Ports of the files under `Examples`, which are the README's, and ones that are free here.
    private static func ports(origin: UInt16, bank: UInt16) throws -> [(String, String)] {
        [
            ("8080", "\(origin)"), ("9443", "\(bank)"), ("8443", "\(try Workspace.freePort())"),
            ("4433", "\(try Workspace.freePort())"), ("9435", "\(try Workspace.freePort())"),
            ("9434", "\(try Workspace.freePort())"),
        ]
    }

    private static func replace(_ ports: [(String, String)], in text: String) -> String {
        // By way of marks, so that a port that was put in is not taken for one to be replaced.
        var text = text
        for (index, port) in ports.enumerated() { text = text.replacing(":\(port.0)", with: ":<\(index)>") }
        for (index, port) in ports.enumerated() { text = text.replacing(":<\(index)>", with: ":\(port.1)") }
        return text
    }

    @Test("The README's commands, in their order, with the files under Examples")
    func readme() async throws {
        let readme = try String(contentsOf: Recipe.root.appending(path: "README.md"), encoding: .utf8)
        let start = try #require(readme.range(of: "## Step by step"))
        let commands = readme[start.upperBound...].split(separator: "\n")
            .map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { $0.hasPrefix("latchstring ") }
        let verbs = commands.map { $0.split(separator: " ")[1] }
        #expect(verbs == ["certs", "keyholder", "edge", "check", "client", "cache", "purge", "reload"])

        let workspace = try Workspace()
        _ = try await blocking { try Self.finish(commands[0], in: workspace) }
        let origin = try await TestApplication(.page("the site's own words"))
        let bank = try await TLSOrigin(domain: "certs/bank.example.test", text: "the bank's own words", in: workspace)
        let ports = try Self.ports(origin: origin.port, bank: bank.port)
        for file in ["edge.yaml", "keyholder.yaml"] {
            let text = try String(contentsOf: Recipe.root.appending(path: "Examples/\(file)"), encoding: .utf8)
            try workspace.write(Self.replace(ports, in: text), to: file)
        }
        let rest = commands.dropFirst().map { Self.replace(ports, in: $0) }
        try await blocking {
            var running: [TestProcess] = []
            defer { for process in running.reversed() { process.stop() } }
            for command in rest {
                let words = command.split(separator: " ").dropFirst().map(String.init)
                if words[0] == "keyholder" || words[0] == "edge" {
                    let process = try TestProcess(words, name: words[0], in: workspace)
                    running.append(process)
                    _ = try process.listeningPort()
                    continue
                }
                let output = try Self.finish(command, in: workspace)
                if words[0] == "client" { #expect(output.contains("200"), "\(output)") }
            }
            try Self.fetch("bank.example.test", ports, workspace, wanted: "the bank's own words")
            try Self.fetch("www.example.test", ports, workspace, wanted: "the site's own words")
        }
        try await bank.stop()
        try await origin.stop()
    }

    @Test("The README's first commands lead to a page of one's own, word for word")
    func ownSite() async throws {
        let readme = try String(contentsOf: Recipe.root.appending(path: "README.md"), encoding: .utf8)
            .replacing("example.com", with: "example.test")
        let start = try #require(readme.range(of: "## Your own site"))
        let commands = readme[start.upperBound...].prefix { $0 != "|" }.split(separator: "\n")
            .filter { $0.hasPrefix("    ") }.map { $0.trimmingCharacters(in: .whitespaces) }.prefix {
                $0 != "scripts/test"
            }
        #expect(
            commands.map { $0.split(separator: " ").prefix($0.hasPrefix("latchstring") ? 2 : 1).joined(separator: " ") }
                == [
                    "export", "latchstring init", "latchstring keyholder", "latchstring edge", "latchstring check",
                    "curl",
                ])
        let workspace = try Workspace()
        let origin = try await TestApplication(.page("the site's own words"))
        let ports = try Self.ports(origin: origin.port, bank: 1)
        try await blocking {
            let written = try Self.finish(Self.replace(ports, in: commands[1]), in: workspace)
            // What it says is next is what the README says.
            for command in commands[2...4] {
                #expect(written.contains(command.split(separator: " ").prefix(2).joined(separator: " ")))
            }
            let before = try workspace.read("mysite/edge.yaml")
            for file in ["edge.yaml", "keyholder.yaml"] {
                let text = try workspace.read("mysite/\(file)")
                try workspace.write(Self.replace(ports, in: text), to: "mysite/\(file)")
            }
            var running: [TestProcess] = []
            defer { for process in running.reversed() { process.stop() } }
            for command in commands[2...3] {
                let words = command.split(separator: " ").dropFirst().map(String.init)
                running.append(try TestProcess(words, name: words[0], in: workspace))
                _ = try running.last?.listeningPort()
            }
            try Self.finish(commands[4], in: workspace)
            let curl = Self.replace(ports, in: commands[5]).split(separator: " ").map(String.init)
            #expect(curl[1] == "--cacert" && curl[2].hasPrefix("mysite/"))
            let page = try Tool.run(
                "curl", ["-sS", "--max-time", "20", "--cacert", workspace.path(curl[2])] + curl[3...])
            #expect(page.output == "the site's own words", "\(page.errors)")
            // What the key holder keeps over restarts has its place: an edge can be revoked for good.
            try Self.finish("latchstring revoke --config mysite/keyholder.yaml edge1", in: workspace)
            #expect(try workspace.read("mysite/state/revoked-edges") == "edge1\n")
            #expect(FileManager.default.fileExists(atPath: workspace.path("mysite/state/audit.key")))
            // A second time, nothing is touched.
            let again = try TestProcess(
                commands[1].split(separator: " ").dropFirst().map(String.init), name: "again", in: workspace)
            #expect(try again.waitForExit() == 1)
            #expect(again.text.contains("nothing was written, since this exists already"), "\(again.text)")
            #expect(try workspace.read("mysite/edge.yaml") == Self.replace(ports, in: before))
        }
        try await origin.stop()
    }

    @Test("`init` refuses what would not work, before it writes anything")
    func initRefusals() async throws {
        let workspace = try Workspace()
        try await blocking {
            func refused(_ arguments: String..., says text: String) throws {
                let process = try TestProcess(["init", "--out", "new"] + arguments, name: "init", in: workspace)
                #expect(try process.waitForExit() != 0)
                #expect(process.text.contains(text), "\(process.text)")
                #expect(!FileManager.default.fileExists(atPath: workspace.path("new")))
            }
            try refused("www.a.test", "--origin", "ftp://a", says: "is not an http:// or https:// URL")
            try refused("www.a.test", "--origin", "http://a/path", says: "an origin's URL cannot have a path")
            try refused("not a name", "--origin", "http://127.0.0.1", says: "error: ")
            try refused("www.a.test", "--origin", "http://127.0.0.1", "--certificate", "x.pem", says: "belong together")
            try refused("www.a.test", "--origin", "http://127.0.0.1", "--edge", "No!", says: "is not a name")
        }
    }

    /// Runs a command to its end, which must be a good one.
    @discardableResult
    private static func finish(_ command: String, in workspace: Workspace) throws -> String {
        let words = command.split(separator: " ").dropFirst().map(String.init)
        let process = try TestProcess(words, name: words[0], in: workspace)
        #expect(try process.waitForExit() == 0, "\(command)\n\(process.text)")
        return process.text
    }

    private static func fetch(
        _ name: String, _ ports: [(String, String)], _ workspace: Workspace, wanted: String
    ) throws {
        let port = ports.first { $0.0 == "8443" }?.1 ?? ""
        let result = try Tool.run(
            "curl",
            [
                "-sS", "--max-time", "20", "--cacert", workspace.path("certs/test-site-authority.pem"), "--connect-to",
                "::127.0.0.1:\(port)", "https://\(name)/",
            ])
        #expect(result.output == wanted, "\(result.errors)")
    }
}
