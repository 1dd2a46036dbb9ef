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
        #expect(settings.handOver == EdgeSettings.HandOverSettings())
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
            ("hand-over: {programme: x}", "unknown key \"programme\""), ("ready-needs: [disk]", "\"disk\""),
        ])
    func wrong(top: String, message: String) {
        let error = #expect(throws: SettingsError.self) { try Self.load(top) }
        #expect(error.map { "\($0)".contains(message) } == true, "\(String(describing: error))")
    }
}
