import EdgeModel
import Settings
import Telemetry
import Testing

@Suite("Settings of the access log, and of a key holder's admin port")
struct AccessLogSettingsTests {
    private static func edge(_ top: String) throws -> EdgeSettings {
        let text = """
            role: edge
            listen: [127.0.0.1:8443]
            sites:
              - {domains: [a.test], mode: relay, origin: {address: "127.0.0.1:8444"}}
            \(top)
            """
        guard case .edge(let settings) = try Settings.parse(text, file: "/etc/l/c.yaml", checkingFiles: false).party
        else { throw SettingsError(diagnostics: []) }
        return settings
    }

    @Test("Off unless asked for; with it, requests have names")
    func defaults() throws {
        let off = try Self.edge("")
        #expect(off.accessLog == nil && off.naming == .off)
        let on = try Self.edge("access-log: access.log")
        #expect(on.accessLog == AccessLogSettings(target: .file("/etc/l/access.log"), layout: AccessLayout(.json)))
        #expect(on.naming == .origin)
        #expect(try Self.edge("access-log: \"-\"\nrequest-id: off").naming == .off)
        #expect(try Self.edge("request-id: client").naming == .client)
    }

    @Test("Everything that can be said")
    func everything() throws {
        let settings = try Self.edge(
            """
            access-log:
              to: syslog://log.test
              facility: local3
              format: '{client} {field:accept}'
              mask: {parameters: [Token, "*"], fields: [client]}
            """)
        let mask = AccessMask(parameters: ["token", "*"], fields: [.client])
        #expect(settings.accessLog?.target == .syslog(.init(.udp(host: "log.test", port: 514), facility: 19)))
        #expect(settings.accessLog?.layout == (try AccessLayout(template: "{client} {field:accept}", mask: mask)))
        #expect(try Self.edge("access-log: {to: \"-\", format: combined}").accessLog?.layout.format == .combined)
        #expect(
            try Self.edge("access-log: {to: \"syslog://[::1]:5514\"}").accessLog?.target
                == .syslog(.init(.udp(host: "::1", port: 5514))))
        #expect(
            try Self.edge("access-log: syslog").accessLog?.target == .syslog(.init(.local(path: "/dev/log"))))
    }

    @Test(
        "What is wrong is named, with its place and a remedy",
        arguments: [
            ("access-log: {}", "access-log needs the key \"to\". Write the path of a file"),
            ("access-log: {to: a.log, format: apache}", "5:33: error: \"apache\" is no format. Write json"),
            ("access-log: {to: a.log, format: '{clint}'}", "5:33: error: the template has \"{clint}\""),
            ("access-log: {to: a.log, format: '{field:cookie}'}", "is not known or not written"),
            ("access-log: {to: a.log, format: '{'}", "a brace without its other half"),
            ("access-log: {to: a.log, facility: local7}", "only syslog has facilities"),
            ("access-log: {to: syslog, facility: local9}", "\"local9\" is no facility of syslog"),
            ("access-log: {to: syslog, level: info}", "unknown key \"level\" in access-log"),
            ("access-log: {to: a.log, mask: {fields: [agent]}}", "\"agent\" is not known here"),
            ("request-id: yes", "\"yes\" is not known here"),
        ])
    func mistakes(top: String, expected: String) {
        do {
            _ = try Self.edge(top)
            Issue.record("accepted: \(top)")
        } catch {
            #expect("\(error)".contains(expected), "\(error)")
        }
    }

    @Test("Others reach a key holder's admin port with a token only")
    func keyHolderAdmin() throws {
        func keyHolder(_ admin: String) throws -> KeyHolderSettings {
            let text = """
                role: keyholder
                listen: 127.0.0.1:4433
                identity: {certificate: k.pem, key: k.key, authority: a.pem}
                sites:
                  - {certificate: s.pem, key: s.key}
                grants: []
                admin: \(admin)
                """
            guard case .keyHolder(let settings) = try Settings.parse(text, file: "k.yaml", checkingFiles: false).party
            else { throw SettingsError(diagnostics: []) }
            return settings
        }
        #expect(try keyHolder("127.0.0.1:9436").admin?.token == nil)
        let open = try keyHolder("{listen: 10.0.0.5:9436, token: admin.token}").admin
        #expect(open?.endpoint.description == "10.0.0.5:9436" && open?.token == "admin.token")
        #expect(throws: SettingsError.self) { try keyHolder("10.0.0.5:9436") }
        #expect(throws: SettingsError.self) { try keyHolder("{listen: 10.0.0.5:9436}") }
    }
}
