import Testing

@testable import Settings

/// What a file says of the process: its end, its successor, its health, clients without TLS.
@Suite struct ServiceSettingsTests {
    private static func load(_ top: String) throws(SettingsError) -> EdgeSettings {
        let party = try Settings.parse(
            """
            role: edge
            listen: [0.0.0.0:443]
            sites:
              - {domains: [www.example.test], mode: relay, origin: {address: "127.0.0.1:9"}}
            \(top)
            """, file: "edge.yaml", checkingFiles: false
        ).party
        guard case .edge(let settings) = party else { throw SettingsError(diagnostics: []) }
        return settings
    }

    @Test("Defaults")
    func defaults() throws {
        let settings = try Self.load("")
        #expect(settings.drain == .seconds(10))
        #expect(settings.handOver == HandOverSettings())
        #expect(settings.readyNeeds.isEmpty && settings.plain == nil)
    }

    @Test("All that can be said")
    func everything() throws {
        let settings = try Self.load(
            """
            drain: 5m
            hand-over: {program: /opt/next/latchstring, timeout: 2m}
            ready-needs: [store, origins]
            listen-http: {listen: [0.0.0.0:80, "[::]:80"], redirect: 301, port: 8443}
            """)
        #expect(settings.drain == .seconds(300))
        #expect(settings.handOver.program == "/opt/next/latchstring" && settings.handOver.timeout == .seconds(120))
        #expect(settings.readyNeeds == [.store, .origins])
        #expect(settings.plain?.listen.map(\.description) == ["0.0.0.0:80", "[::]:80"])
        #expect(settings.plain?.redirect == 301 && settings.plain?.port == 8443)
        #expect(try Self.load("listen-http: 0.0.0.0:80").plain?.listen.count == 1)
    }

    @Test(
        "What is wrong is named",
        arguments: [
            ("listen-http: 0.0.0.0:443", "0.0.0.0:443 is also a TLS listener"),
            ("listen-http: {listen: 0.0.0.0:80, redirect: 302}", "302 is not what a site that has moved"),
            ("drain: 25h", "25h is out of range"), ("hand-over: {timeout: 0s}", "0s is out of range"),
            (
                "monitoring: {listen: 0.0.0.0:443, certificate: a, key: b, clients: c}",
                "0.0.0.0:443 is also another listener"
            ),
            ("monitoring: {listen: 0.0.0.0:9436, certificate: a, key: b}", "clients"),
            ("hand-over: {programme: x}", "unknown key \"programme\""), ("ready-needs: [disk]", "\"disk\""),
        ])
    func wrong(top: String, message: String) {
        let error = #expect(throws: SettingsError.self) { try Self.load(top) }
        #expect(error.map { "\($0)".contains(message) } == true, "\(String(describing: error))")
    }

    @Test("What both parties' files have")
    func keyHolder() throws {
        let text = """
            role: keyholder
            listen: 0.0.0.0:4433
            identity: {certificate: a, key: b, authority: c}
            sites: [{certificate: d, key: e}]
            grants: [{edge: paris, sites: [www.example.test], operations: [keyless]}]
            hand-over: {timeout: 1m}
            monitoring: {listen: "[::]:9436", certificate: f, key: g, clients: h}
            """
        guard case .keyHolder(let settings) = try Settings.parse(text, file: "k.yaml", checkingFiles: false).party
        else { throw SettingsError(diagnostics: []) }
        #expect(settings.handOver == HandOverSettings(program: nil, timeout: .seconds(60)))
        let monitoring = try #require(settings.monitoring)
        #expect(monitoring.endpoint.description == "[::]:9436")
        #expect(
            [monitoring.identity.certificate, monitoring.identity.key, monitoring.identity.authority] == [
                "f", "g", "h",
            ])
        #expect(try Self.load("").monitoring == nil)
    }
}
