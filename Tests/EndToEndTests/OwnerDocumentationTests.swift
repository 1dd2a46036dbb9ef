import Foundation
import PrivateAuthority
import TestSockets
import TestToken
import Testing

/// `docs/owner.md` is done, command by command, in the order in which it stands there.
@Suite("What a site's owner is told to do", .serialized, .timeLimit(.minutes(3)))
struct OwnerDocumentationTests {
    private static let text: String =
        (try? String(contentsOf: Recipe.root.appending(path: "docs/owner.md"), encoding: .utf8)) ?? ""

    private static let sections = [
        "Key ceremony", "First grant", "Renewal", "HSM", "Incident: an edge was stolen", "Audit", "Identities",
        "No open port", "When something is wrong",
    ]

    private static let programs: Set<String> = [
        "umask", "openssl", "latchstring", "softhsm2-util", "pkcs11-tool", "grep", "mv",
    ]

    private static func section(_ heading: String) throws -> Substring {
        let start = try #require(Self.text.range(of: "\n## \(heading)\n"))
        let rest = Self.text[start.upperBound...]
        return rest.range(of: "\n## ").map { rest[..<$0.lowerBound] } ?? rest
    }

    /// Lines that are indented by four spaces or more, block by block: commands, or YAML.
    private static func blocks(_ heading: String) throws -> [[String]] {
        var blocks: [[String]] = []
        var block: [String] = []
        let lines: [Substring] = try Self.section(heading).split(separator: "\n", omittingEmptySubsequences: false)
        for line in lines + [""] {
            if line.hasPrefix("    ") {
                block.append(String(line.dropFirst(4)))
            } else if !block.isEmpty {
                blocks.append(block)
                block = []
            }
        }
        return blocks
    }

    private static func isCommand(_ line: String) -> Bool {
        line.split(separator: " ").first.map { Self.programs.contains(String($0)) } ?? false
    }

    private static func commands(_ heading: String) throws -> [String] {
        try Self.blocks(heading).flatMap { $0 }.map { $0.trimmingCharacters(in: .whitespaces) }.filter(Self.isCommand)
    }

    /// The YAML of a section, with what does not hold on every day and machine replaced.
    private static func yaml(_ heading: String) throws -> String {
        let block = try Self.blocks(heading).first { $0.first.map { !Self.isCommand($0) } ?? false } ?? []
        return block.joined(separator: "\n").replacing("2026-12-31", with: "2999-12-31")
    }

    /// A machine of an owner's, with an authority that issues what it is asked for.
    private struct Stage {
        let workspace: Workspace
        let admin: UInt16
        var environment = ""

        init() throws {
            self.workspace = try Workspace()
            self.admin = try Workspace.freePort()
            try self.workspace.makeIdentity(.keyholder, "home")
            _ = try self.shell(
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=authority -days 30"
            )
        }

        func shell(_ command: String) throws -> Tool.Result {
            let folder = TestProcess.executable.deletingLastPathComponent().path
            return try Tool.run(
                "/bin/sh",
                [
                    "-c",
                    "cd \(self.workspace.url.path) && export PATH=\(folder):$PATH \(self.environment) && umask 077 && \(command)",
                ])
        }

        /// What the documentation says, which is to work.
        func run(_ commands: [String]) throws {
            for command in commands {
                let result = try self.shell(command)
                #expect(result.status == 0, "\(command): \(result.all)")
            }
        }

        func issue(_ name: String) throws {
            let result = try self.shell(
                "openssl x509 -req -in \(name).csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -copy_extensions copy -out \(name).pem && cat ca.pem >> \(name).pem"
            )
            #expect(result.status == 0, "\(result.all)")
        }

        func configure(_ parts: String...) throws {
            try self.workspace.write(
                """
                role: keyholder
                listen: 127.0.0.1:0
                admin: 127.0.0.1:\(self.admin)
                state: state
                identity: { certificate: keyholder-home.pem, key: keyholder-home.key, authority: authority.pem }
                audit: audit.jsonl
                log: { level: debug, format: json }
                \(parts.joined(separator: "\n"))

                """, to: "keyholder.yaml")
        }
    }

    @Test("Its parts stand in the order in which an owner comes to them, and each command is one that is run here")
    func order() throws {
        let headings = Self.text.split(separator: "\n").filter { $0.hasPrefix("## ") }.map { String($0.dropFirst(3)) }
        #expect(headings == Self.sections)
        var unknown: [String] = []
        for heading in Self.sections {
            for block in try Self.blocks(heading) {
                let first = block[0].trimmingCharacters(in: .whitespaces)
                let isYAML = first.prefix { $0 != " " }.hasSuffix(":") || first == "[Service]"
                if isYAML { continue }
                unknown += block.map { $0.trimmingCharacters(in: .whitespaces) }.filter { !Self.isCommand($0) }
            }
        }
        #expect(unknown == [])
    }

    @Test("From the key ceremony to the audit, with a key in a file")
    func fromCeremonyToAudit() async throws {
        try await blocking {
            let stage = try Stage()
            let ceremony = try Self.commands("Key ceremony").filter {
                !$0.hasPrefix("softhsm2") && !$0.hasPrefix("pkcs11")
            }
            let request = try #require(ceremony.firstIndex { $0.hasPrefix("openssl req") })
            try stage.run(Array(ceremony[...request]))
            try stage.issue("www")
            try stage.configure(try Self.yaml("Key ceremony"))
            try stage.run(Array(ceremony[(request + 1)...]))

            try stage.configure(try Self.yaml("Key ceremony"), try Self.yaml("First grant"))
            let early = try stage.shell("latchstring grants --config keyholder.yaml")
            #expect(early.status == 1 && early.all.contains("Is the key holder running"), "\(early.all)")
            let keyHolder = try TestProcess(
                ["keyholder", "--inspectable", "--config", "keyholder.yaml"], name: "home", in: stage.workspace)
            defer { keyHolder.stop() }
            try keyHolder.wait(for: "listening")
            try stage.run(try Self.commands("First grant"))

            let renewal = try Self.commands("Renewal")
            let next = try #require(renewal.firstIndex { $0.hasPrefix("openssl req") })
            try stage.run(Array(renewal[...next]))
            try stage.issue("www-next")
            try stage.configure(try Self.yaml("Renewal"), try Self.yaml("First grant"))
            try stage.run(Array(renewal[(next + 1)...]))

            try stage.run(try Self.commands("Incident: an edge was stolen"))
            try stage.run(try Self.commands("Audit"))
            let audit = try stage.workspace.read("audit.jsonl.1")
            for operation in ["certificate-changed", "revoke", "restore", "reload", "grant-added"] {
                #expect(audit.contains(#""operation":"\#(operation)""#), "\(operation)")
            }
            // A chain that is half written changes nothing, and the command says so.
            let whole = try stage.workspace.read("www-next.pem")
            try stage.workspace.write(String(whole.prefix(300)), to: "www-next.pem")
            let reload = try stage.shell("latchstring reload --config keyholder.yaml")
            #expect(reload.status == 1 && reload.all.contains("www-next.pem"), "\(reload.all)")
        }
    }

    @Test(
        "With a key in an HSM",
        .enabled(
            if: SoftToken.isInstalled && Tool.exists("pkcs11-tool"), "softhsm2 or opensc is missing: scripts/need test")
    )
    func hsm() async throws {
        try await blocking {
            let token = try SoftToken()
            var stage = try Stage()
            stage.environment = token.environment
            // The tools ask for the PINs otherwise.
            let ceremony = try Self.commands("Key ceremony").compactMap { command in
                command.hasPrefix("softhsm2")
                    ? "\(command) --so-pin 5678 --pin 1234"
                    : command.hasPrefix("pkcs11") ? "\(command) --pin 1234" : nil
            }
            #expect(ceremony.count == 2)
            try stage.run(ceremony)
            try stage.run([
                "pkcs11-tool --module \(SoftToken.modulePath) --token-label bank --read-object --type pubkey --label www -o www.der",
                "openssl pkey -pubin -inform DER -in www.der -out www.pub",
                "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -subj /CN=www.example.com -addext subjectAltName=DNS:www.example.com -out www.csr",
                "openssl x509 -req -in www.csr -force_pubkey www.pub -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -copy_extensions copy -out www.pem",
            ])
            try stage.configure(
                try Self.yaml("HSM").replacing("/etc/latchstring/hsm.pin", with: token.path("pin")),
                try Self.yaml("First grant"))
            try stage.run(try Self.commands("HSM"))
        }
    }
}
