import Foundation
import PrivateAuthority
import TestSockets
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The audit of a key holder that runs, read by `latchstring audit`.
@Suite(.serialized, .timeLimit(.minutes(3))) struct AuditEndToEndTests {
    private static func configuration(_ audit: String, more: String = "") -> String {
        """
        role: keyholder
        listen: 127.0.0.1:0
        identity: { certificate: keyholder-home.pem, key: keyholder-home.key, authority: authority.pem }
        sites:
          - { certificate: www.test.pem, key: www.test.key }
        grants:
          - { edge: paris, sites: [www.test], operations: [keyless] }
        audit: \(audit)
        log: { level: debug, format: json }
        \(more)
        """
    }

    private static func workspace() throws -> Workspace {
        let workspace = try Workspace()
        try workspace.makeIdentity(.keyholder, "home")
        try workspace.makeSite("www.test")
        return workspace
    }

    private static func run(_ workspace: Workspace, _ config: String) throws {
        let keyHolder = try TestProcess(
            ["keyholder", "--inspectable", "--config", config], name: "home", in: workspace)
        defer { keyHolder.stop() }
        try keyHolder.wait(for: "listening")
    }

    private static func audit(
        _ arguments: [String], in workspace: Workspace
    ) throws -> (status: Int32, text: String) {
        let command = try TestProcess(["audit"] + arguments, name: "audit", in: workspace)
        let status = try command.waitForExit()
        return (Int32(status), command.text)
    }

    @Test("What a key holder wrote is verified, and what was done to it since is found")
    func verify() async throws {
        try await blocking {
            let workspace = try Self.workspace()
            try workspace.write(Self.configuration("audit.jsonl", more: "state: state"), to: "home.yaml")
            let key = try Self.audit(["key", "--config", "home.yaml"], in: workspace)
            #expect(key.status == 0)
            let signer = String(try #require(key.text.split(separator: "\n").last))
            #expect(signer.wholeMatch(of: #/[0-9a-f]{64}/#) != nil, "\(key.text)")
            try Self.run(workspace, "home.yaml")
            try Self.run(workspace, "home.yaml")
            #expect(try Self.audit(["key", "state/audit.key"], in: workspace).text == signer + "\n")

            let good = try Self.audit(["verify", "--key", signer, "audit.jsonl"], in: workspace)
            #expect(good.status == 0, "\(good.text)")
            #expect(good.text.contains("Nothing is wrong with the chain.") && good.text.contains("ended in order"))

            var lines = try workspace.read("audit.jsonl").split(separator: "\n").map(String.init)
            let whole = lines
            func judge(_ lines: [String], _ arguments: String...) throws -> (status: Int32, text: String) {
                try workspace.write(lines.map { $0 + "\n" }.joined(), to: "other.jsonl")
                return try Self.audit(["verify", "--key", signer] + arguments + ["other.jsonl"], in: workspace)
            }
            let site = try #require(lines.firstIndex { $0.contains("www.test") })
            lines[site].replace("www.test", with: "api.test")
            #expect(try judge(lines).text.contains("other.jsonl:\(site + 1): changed: "))
            lines = whole
            lines.remove(at: 1)
            #expect(try judge(lines).text.contains("other.jsonl:2: missing: line 2 is missing before this one"))
            lines = whole
            lines.insert(#"{"time":"2026-11-29T00:00:00.000Z","operation":"sign-tls13"}"#, at: 1)
            #expect(try judge(lines).text.contains("other.jsonl:2: inserted: "))
            lines = whole
            lines.swapAt(1, 2)
            #expect(try judge(lines).status == 1)
            // An end that was cut shows by a number that was seen elsewhere, and only by that.
            lines = Array(whole.dropLast(2))
            #expect(try judge(lines).status == 0)
            let cut = try judge(lines, "--expect", "\(whole.count)")
            #expect(cut.status == 1 && cut.text.contains(": cut: "), "\(cut.text)")
            // By another key, and by none.
            let other = try Self.audit(["key", "other.key"], in: workspace)
            let stranger = String(try #require(other.text.split(separator: "\n").last))
            let forged = try Self.audit(["verify", "--key", stranger, "audit.jsonl"], in: workspace)
            #expect(forged.status == 1 && forged.text.contains(": forged: "), "\(forged.text)")
            #expect(try Self.audit(["verify", "nowhere.jsonl"], in: workspace).status == 3)
            #expect(try Self.audit(["verify"], in: workspace).status == 2)
        }
    }

    @Test("A cut that was made while the key holder was not running is in its log and its audit")
    func cutWhileStopped() async throws {
        try await blocking {
            let workspace = try Self.workspace()
            try workspace.write(Self.configuration("audit.jsonl"), to: "home.yaml")
            try Self.run(workspace, "home.yaml")
            let lines = try workspace.read("audit.jsonl").split(separator: "\n")
            try workspace.write(lines.dropLast(2).joined(separator: "\n") + "\n", to: "audit.jsonl")
            let keyHolder = try TestProcess(
                ["keyholder", "--inspectable", "--config", "home.yaml"], name: "home", in: workspace)
            defer { keyHolder.stop() }
            try keyHolder.wait(for: "the audit was changed while the key holder was not running")
            try keyHolder.wait(for: "listening")
        }
    }

    @Test("SIGUSR1 opens the file again, and what stands half written in the configuration then counts for nothing")
    func rotation() async throws {
        try await blocking {
            let workspace = try Self.workspace()
            try workspace.write(Self.configuration("audit.jsonl"), to: "home.yaml")
            let keyHolder = try TestProcess(
                ["keyholder", "--inspectable", "--config", "home.yaml"], name: "home", in: workspace)
            defer { keyHolder.stop() }
            try keyHolder.wait(for: "listening")
            // The edge's grant is gone, which a reload would take for a word.
            let half = Self.configuration("audit.jsonl").replacing(
                "  - { edge: paris, sites: [www.test], operations: [keyless] }\n", with: "  []\n")
            try workspace.write(half, to: "home.yaml")
            for number in 1...3 {
                try FileManager.default.moveItem(
                    atPath: workspace.path("audit.jsonl"), toPath: workspace.path("audit.jsonl.\(number)"))
                kill(keyHolder.pid, SIGUSR1)
                _ = try eventually("a new file") {
                    try? workspace.read("audit.jsonl").contains("audit-file") ? true : nil
                }
            }
            #expect(keyHolder.lines("opened again").count == 3)
            #expect(keyHolder.lines("reloaded").isEmpty)
            keyHolder.stop()
            let files = ["audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3", "audit.jsonl"]
            let key = try Self.audit(["key", "--config", "home.yaml"], in: workspace)
            let signer = String(try #require(key.text.split(separator: "\n").last))
            let verified = try Self.audit(["verify", "--key", signer] + files, in: workspace)
            #expect(verified.status == 0, "\(verified.text)")
        }
    }

    @Test("Lines go to a log daemon, each a message, and are verified behind its header")
    func syslog() async throws {
        try await blocking {
            let workspace = try Self.workspace()
            let path = "/tmp/latchstring-audit-\(getpid()).log"
            unlink(path)
            let daemon = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
            defer {
                close(daemon)
                unlink(path)
            }
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
            let bound = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(daemon, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            #expect(bound == 0)
            var patience = timeval(tv_sec: 1, tv_usec: 0)
            setsockopt(daemon, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
            try workspace.write(
                Self.configuration("{ to: \"syslog://\(path)\", facility: authpriv, key: audit.key }"), to: "home.yaml")
            var text = ""
            for _ in 0..<2 {
                let keyHolder = try TestProcess(
                    ["keyholder", "--inspectable", "--config", "home.yaml"], name: "home", in: workspace)
                try keyHolder.wait(for: "listening")
                keyHolder.stop()
                var bytes = [UInt8](repeating: 0, count: 65_536)
                while true {
                    let count = recv(daemon, &bytes, bytes.count, 0)
                    guard count > 0 else { break }
                    text += String(decoding: bytes[..<count], as: UTF8.self) + "\n"
                }
            }
            #expect(text.contains(#/<86>1 \S+ \S+ latchstring \d+ audit - \{"seq":1,/#), "\(text)")
            try workspace.write(text, to: "audit-of-home.log")
            let result = try Self.audit(["verify", "--after-header", "audit-of-home.log"], in: workspace)
            #expect(result.status == 0, "\(result.text)")
            #expect(result.text.contains("ended in order"))
        }
    }
}
