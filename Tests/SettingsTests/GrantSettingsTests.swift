import KeyProtocol
import Settings
import Testing

@Suite("Settings of grants with an end")
struct GrantSettingsTests {
    private static func text(_ grant: String) -> String {
        """
        role: keyholder
        listen: 127.0.0.1:4433
        identity: {certificate: e.pem, key: e.key, authority: a.pem}
        sites: [{certificate: s.pem, key: s.key}]
        grants:
          - {edge: paris, sites: [a.test], operations: [keyless], \(grant)}
        """
    }

    private struct WrongRole: Error {}

    private static func load(_ text: String) throws -> KeyHolderSettings.Grant? {
        guard case .keyHolder(let settings) = try Settings.parse(text, file: "c.yaml", checkingFiles: false).party
        else { throw WrongRole() }
        return settings.grants.first
    }

    @Test("A day is to its end, a moment is a moment, hours and days are the week's")
    func times() throws {
        #expect(try Self.load(Self.text("until: 1970-01-02"))?.times == GrantTimes(until: 2 * 86_400_000))
        #expect(
            try Self.load(Self.text("until: \"1970-01-02T18:30Z\""))?.times.until == 86_400_000 + 1110 * 60_000)
        let week = try Self.load(Self.text("hours: \"22:00-06:30\", days: [mon, fri]"))
        #expect(week?.times == GrantTimes(hours: .init(from: 1320, to: 390), days: [.monday, .friday]))
        #expect(try Self.load(Self.text("hours: \"00:00-24:00\""))?.times.hours == .init(from: 0, to: 1440))
        #expect(try Self.load(Self.text("rate: 5"))?.times == .always)
    }

    @Test("Operations have rates of their own")
    func rates() throws {
        let grant = try Self.load(Self.text("rates: {sign-tls13: 100, certificate: 2}"))
        #expect(grant?.rates == [.signTLS13: 100, .certificate: 2])
    }

    @Test(
        "What is wrong is said",
        arguments: [
            ("until: tomorrow", "is no day and no moment"), ("until: 2026-02-29", "is no day and no moment"),
            ("until: \"2026-12-31T18:00\"", "is no day and no moment"),
            ("until: \"2026-12-31T25:00Z\"", "is no day and no moment"),
            ("until: 26-12-31", "is no day and no moment"), ("hours: \"8-18\"", "are no hours"),
            ("hours: \"08:00-08:00\"", "are no hours"), ("hours: \"24:00-06:00\"", "are no hours"),
            ("hours: \"08:60-09:00\"", "are no hours"), ("days: [monday]", "monday"),
            ("rates: {sign-tls13: 0}", "0"), ("rates: {handoff: 5}", "is not granted"),
            ("rates: {sign: 5}", "sign"),
        ])
    func wrong(_ grant: String, _ text: String) throws {
        let error = #expect(throws: SettingsError.self) { try Self.load(Self.text(grant)) }
        #expect(error.map { "\($0)".contains(text) } == true)
    }
}
