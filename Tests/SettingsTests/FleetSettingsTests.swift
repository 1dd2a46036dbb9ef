import FleetBus
import Testing

@testable import Settings

@Suite("Settings of fleets")
struct FleetSettingsTests {
    private static let key = String(repeating: "ab", count: 32)

    private static func edge(_ fleet: String, identity: Bool = true) -> String {
        """
        role: edge
        listen: [127.0.0.1:8443]
        \(identity ? "identity: {certificate: e.pem, key: e.key, authority: a.pem}" : "")
        sites:
          - domains: [a.test]
            mode: relay
            origin: {address: "127.0.0.1:9443"}
        fleet:
        \(fleet.split(separator: "\n").map { "  " + $0 }.joined(separator: "\n"))
        """
    }

    private static func errors(_ text: String) -> String {
        do throws(SettingsError) {
            _ = try Settings.parse(text, file: "c.yaml", checkingFiles: false)
            return "none"
        } catch {
            return "\(error)"
        }
    }

    private static func fleet(_ text: String) throws -> FleetSettings? {
        switch try Settings.parse(text, file: "c.yaml", checkingFiles: false).party {
        case .edge(let settings): settings.fleet
        case .fleet(let settings): settings.fleet
        case .keyHolder: nil
        }
    }

    @Test("Everything that can be said of a fleet")
    func everything() throws {
        let text = Self.edge(
            """
            name: europe
            redis: ["rediss://bus.test:6380", "rediss://[::1]"]
            user: edge
            password: bus.password
            roots: ca.pem
            tls-name: bus.test
            sentinel: {primary: main, password: sentinel.password}
            signers:
              - {name: ops, key: "\(Self.key)", may: everything}
              - {name: shop, key: "\(String(repeating: "0", count: 64))", may: {hosts: [Shop.test, "*.shop.test"], tags: ["a*"]}}
            signing-key: ops.key
            edges: [paris, lyon]
            stream-length: 5000
            catch-up: 5s
            """)
        let fleet = try #require(try Self.fleet(text))
        #expect(fleet.name == "europe")
        #expect(fleet.redis.map(\.endpoint.description) == ["bus.test:6380", "[::1]:6379"])
        #expect(fleet.redis.map(\.usesTLS) == [true, true])
        #expect(fleet.login?.user == "edge" && fleet.login?.password == "bus.password")
        #expect(fleet.sentinel?.primary == "main" && fleet.sentinel?.login?.password == "sentinel.password")
        #expect(fleet.sentinel?.login?.user == "default")
        // Where they stand, for what is found out later.
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
        func line(_ beginning: String) -> Int? { lines.firstIndex { $0.contains(beginning) }.map { $0 + 1 } }
        #expect(fleet.redis.map(\.location.line) == [line("redis:"), line("redis:")])
        #expect(fleet.login?.location.line == line("  password:"))
        #expect(fleet.signingKeyLocation?.line == line("signing-key:"))
        #expect(fleet.signers[0].key == SignerKey(hex: Self.key) && fleet.signers[0].may == nil)
        #expect(fleet.signers[1].may == .init(hosts: ["shop.test", "*.shop.test"], tags: ["a*"]))
        #expect(fleet.signingKey == "ops.key" && fleet.edges == ["paris", "lyon"])
        #expect(fleet.streamLength == 5000 && fleet.catchUp == .seconds(5))
    }

    @Test("A file of role: fleet needs an authority, and no signers")
    func commandFile() throws {
        let text = "role: fleet\nauthority: a.pem\nfleet: {name: x, redis: \"redis://127.0.0.1:6379\"}\n"
        #expect(try Self.fleet(text)?.redis.count == 1)
        #expect(Self.errors(text.replacing("authority: a.pem\n", with: "")).contains("needs the key \"authority\""))
        #expect(
            Self.errors(text.replacing("role: fleet", with: "role: fleets")).contains("\"fleets\" is not known here"))
    }

    @Test(
        "What is wrong is said with its place and a remedy",
        arguments: [
            ("redis: [\"redis://127.0.0.1\"]\nsigners: [{name: o, key: K, may: everything}]", "needs the key \"name\""),
            ("name: x\nsigners: [{name: o, key: K, may: everything}]", "needs the key \"redis\""),
            ("name: x\nredis: [\"redis://127.0.0.1\"]", "is told no \"signers\""),
            (
                "name: x\nredis: [\"http://h\"]\nsigners: [{name: o, key: K, may: everything}]",
                "is no rediss:// or redis:// URL"
            ),
            (
                "name: x\nredis: [\"rediss://u:p@h\"]\nsigners: [{name: o, key: K, may: everything}]",
                "don't stand in the URL"
            ),
            ("name: x\nredis: [\"rediss://h/1\"]\nsigners: [{name: o, key: K, may: everything}]", "and nothing else"),
            (
                "name: x\nredis: [\"rediss://h\"]\nuser: u\nsigners: [{name: o, key: K, may: everything}]",
                "a user needs a password"
            ),
            (
                "name: x\nredis: [\"rediss://h\"]\nsigners: [{name: o, key: \"12\", may: everything}]",
                "this is no public key"
            ),
            ("name: x\nredis: [\"rediss://h\"]\nsigners: [{name: o, key: K}]", "a signer needs the key \"may\""),
            ("name: x\nredis: [\"rediss://h\"]\nsigners: [{name: o, key: K, may: all}]", "\"all\" is not known here"),
            ("name: x\nredis: [\"rediss://h\"]\nsigners: [{name: o, key: K, may: {}}]", "may purge nothing"),
            (
                "name: x\nredis: [\"rediss://h\"]\nsigners: [{name: o, key: K, may: everything}, {name: p, key: K, may: everything}]",
                "stands there twice"
            ),
            (
                "name: x\nredis: [\"rediss://h\"]\nstream-length: 5\nsigners: [{name: o, key: K, may: everything}]",
                "out of range"
            ),
            (
                "name: x\nredis: [\"rediss://h\"]\nsentinel: {}\nsigners: [{name: o, key: K, may: everything}]",
                "needs the key \"primary\""
            ),
            ("nam: x\nredis: [\"rediss://h\"]\nsigners: [{name: o, key: K, may: everything}]", "unknown key \"nam\""),
        ])
    func wrong(_ fleet: String, _ message: String) {
        let errors = Self.errors(Self.edge(fleet.replacing("K", with: "\"\(Self.key)\"")))
        #expect(errors.contains(message), "\(errors)")
        #expect(errors.contains("c.yaml:"), "\(errors)")
    }

    @Test("A fleet needs an identity, and a way that is not encrypted is warned of")
    func surroundings() throws {
        let good = "name: x\nredis: [\"redis://10.0.0.1\"]\nsigners: [{name: o, key: \"\(Self.key)\", may: everything}]"
        #expect(Self.errors(Self.edge(good, identity: false)).contains("no identity to sign its reports"))
        let warnings = try Settings.parse(Self.edge(good), file: "c.yaml", checkingFiles: false).warnings
        #expect(warnings.contains { "\($0)".contains("is not encrypted") })
        let local = good.replacing("10.0.0.1", with: "127.0.0.1")
        #expect(try Settings.parse(Self.edge(local), file: "c.yaml", checkingFiles: false).warnings.isEmpty)
    }
}
