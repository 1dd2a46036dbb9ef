import EdgeModel
import Settings
import Telemetry
import Testing

@Suite("Settings of a key holder's audit, and of what goes to an origin without TLS")
struct AuditSettingsTests {
    private static func keyHolder(_ top: String) throws -> KeyHolderSettings {
        let text = """
            role: keyholder
            listen: 0.0.0.0:4433
            identity: {certificate: e.pem, key: e.key, authority: a.pem}
            sites: [{certificate: s.pem, key: s.key, domains: [a.test]}]
            grants: [{edge: paris, sites: [a.test], operations: [handoff]}]
            \(top)
            """
        guard
            case .keyHolder(let settings) = try Settings.parse(text, file: "/etc/l/k.yaml", checkingFiles: false).party
        else { throw SettingsError(diagnostics: []) }
        return settings
    }

    @Test("The key is in the state folder, beside the file, or where it is said; pipes and daemons have none otherwise")
    func key() throws {
        let plain = try Self.keyHolder("audit: audit.jsonl").audit
        #expect(plain.target == .file("/etc/l/audit.jsonl"))
        #expect(plain.key == "/etc/l/audit.jsonl.key" && plain.head == "/etc/l/audit.jsonl.head")
        #expect(plain.checkpoint == .seconds(60))
        let state = try Self.keyHolder("audit: audit.jsonl\nstate: state").audit
        #expect(state.key == "/etc/l/state/audit.key" && state.head == "/etc/l/state/audit.head")
        #expect(try Self.keyHolder("").audit.key == nil)
        #expect(try Self.keyHolder("audit: syslog").audit.key == nil)
        #expect(try Self.keyHolder("audit: /dev/stderr").audit.key == nil)
        let named = try Self.keyHolder("audit: {to: syslog, facility: authpriv, key: a.key, checkpoint: 5s}").audit
        #expect(named.target == .syslog(.init(.local(path: "/dev/log"), facility: 10)))
        #expect(named.key == "/etc/l/a.key" && named.head == "/etc/l/a.key.head")
        #expect(named.checkpoint == .seconds(5))
        let elsewhere = try Self.keyHolder("audit: {to: \"syslog:///run/log.sock\"}").audit
        #expect(elsewhere.target == .syslog(.init(.local(path: "/run/log.sock"))))
    }

    @Test(
        "What is wrong is named, with a remedy",
        arguments: [
            ("audit: {key: a.key}", "audit needs the key \"to\""),
            ("audit: {to: a.jsonl, facility: local1}", "only syslog has facilities"),
            ("audit: {to: a.jsonl, checkpoint: 2h}", "k.yaml:6:"), ("audit: {to: a.jsonl, kye: a}", "kye"),
            ("audit: [a]", "k.yaml:6:"),
        ])
    func wrong(top: String, message: String) {
        #expect {
            try Self.keyHolder(top)
        } throws: {
            "\($0)".contains(message)
        }
    }

    @Test("A relay site's origin for challenges")
    func plainOrigin() throws {
        func site(_ origin: String) throws -> Site? {
            let text = """
                role: edge
                listen: [127.0.0.1:8443]
                sites:
                  - {domains: [a.test], mode: relay, origin: \(origin)}
                """
            guard case .edge(let settings) = try Settings.parse(text, file: "e.yaml", checkingFiles: false).party
            else { return nil }
            return settings.sites.first
        }
        guard case .relay(let relay)? = try site("{address: \"192.0.2.1:443\", http: \"192.0.2.1:80\"}")?.mode else {
            Issue.record("no relay site")
            return
        }
        #expect(relay.http == PlainOrigin(host: "192.0.2.1", port: 80))
        #expect(throws: SettingsError.self) { try site("{address: \"192.0.2.1:443\", http: \"192.0.2.1\"}") }
    }
}
