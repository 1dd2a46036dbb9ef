import ACME
import Foundation
import Testing

@testable import Settings

/// `acme` of a key holder's site.
@Suite struct ACMESettingsTests {
    private static func load(_ acme: String, domains: String? = "[www.test]", state: String = "state: /var/lib/ls")
        throws
        -> KeyHolderSettings
    {
        let text = """
            role: keyholder
            listen: 127.0.0.1:4433
            identity: {certificate: a.pem, key: a.key, authority: b.pem}
            \(state)
            sites:
              - acme: \(acme)
                \(domains.map { "domains: \($0)" } ?? "tls: {minimum-version: 1.3}")
            grants: [{edge: paris, sites: [www.test], operations: [handoff]}]
            """
        let loaded = try Settings.parse(text, file: "home.yaml", checkingFiles: false)
        guard case .keyHolder(let settings) = loaded.party else { throw CocoaError(.fileReadUnknown) }
        return settings
    }

    private static func complaint(_ acme: String, domains: String? = "[www.test]", state: String = "state: /var/lib/ls")
        -> String
    {
        do {
            _ = try Self.load(acme, domains: domains, state: state)
            return "none"
        } catch {
            return "\(error)"
        }
    }

    @Test func theLeast() throws {
        let settings = try Self.load("{directory: \"https://acme.test/dir\"}")
        #expect(settings.state == "/var/lib/ls")
        let site = settings.sites[0]
        #expect(site.certificates[0].chain == "/var/lib/ls/sites/www.test/chain.pem")
        #expect(site.certificates[0].key == .file("/var/lib/ls/sites/www.test/site.key", passphraseFile: nil))
        let acme = try #require(site.acme)
        #expect(acme.directory == "https://acme.test/dir")
        #expect(acme.email == nil && acme.externalAccount == nil && acme.roots == nil && acme.hook == [])
        #expect(acme.challenge == .tlsALPN01)
        #expect(acme.renewAfter == 66)
        #expect(acme.hookTimeout == .seconds(120))
    }

    @Test func everything() throws {
        let acme = try #require(
            try Self.load(
                "{directory: \"https://acme.test/dir\", email: a@b.test, eab: {kid: k, key: eab.key}, challenge: dns-01, "
                    + "hook: [bin/hook, two words], hook-timeout: 5s, roots: roots.pem, renew-after: 50%}",
                domains: "[www.test, \"*.www.test\"]"
            ).sites[0].acme)
        #expect(acme.email == "a@b.test")
        #expect(acme.externalAccount?.kid == "k" && acme.externalAccount?.key == "eab.key")
        #expect(acme.challenge == .dns01)
        #expect(acme.hook == ["bin/hook", "two words"])
        #expect(acme.hookTimeout == .seconds(5) && acme.roots == "roots.pem" && acme.renewAfter == 50)
    }

    @Test func twoKindsOfKeys() throws {
        let site = try Self.load("{directory: \"https://acme.test/dir\", keys: [rsa, ecdsa]}").sites[0]
        #expect(site.acme?.keys == [.rsa, .ecdsa])
        #expect(
            site.certificates.map(\.chain)
                == ["/var/lib/ls/sites/www.test/rsa/chain.pem", "/var/lib/ls/sites/www.test/chain.pem"])
        #expect(
            site.certificates.last?.key == .file("/var/lib/ls/sites/www.test/site.key", passphraseFile: nil))
        #expect(try Self.load("{directory: \"https://acme.test/dir\"}").sites[0].acme?.keys == [.ecdsa])
        let twice = Self.complaint("{directory: \"https://a.test\", keys: [rsa, rsa]}")
        #expect(twice.contains("rsa stands twice in the list"), "\(twice)")
        let unknown = Self.complaint("{directory: \"https://a.test\", keys: [ed25519]}")
        #expect(unknown.contains("\"ed25519\" is not known here"), "\(unknown)")
        let none = Self.complaint("{directory: \"https://a.test\", keys: []}")
        #expect(none.contains("error"), "\(none)")
    }

    @Test func complaints() {
        let good = "{directory: \"https://acme.test/dir\"}"
        #expect(Self.complaint(good, state: "").contains("6:5: error: a site gets its certificate by ACME"))
        #expect(Self.complaint(good, domains: nil).contains("a site with acme needs the key \"domains\""))
        #expect(
            Self.complaint(good, domains: "[\"*.www.test\"]").contains("no authority checks *.www.test by tls-alpn-01"))
        #expect(Self.complaint("{email: a@b.test}").contains("acme needs the key \"directory\""))
        #expect(Self.complaint("{directory: \"http://acme.test/dir\"}").contains("is not the URL of an ACME directory"))
        #expect(Self.complaint("{directory: \"https://a.test\", email: owner}").contains("is not an e-mail address"))
        #expect(Self.complaint("{directory: \"https://a.test\", challenge: dns-01}").contains("dns-01 needs a program"))
        #expect(Self.complaint("{directory: \"https://a.test\", hook: x}").contains("\"hook\" is for dns-01"))
        #expect(Self.complaint("{directory: \"https://a.test\", hook-timeout: 5s}").contains("is for a hook"))
        #expect(Self.complaint("{directory: \"https://a.test\", challenge: http-02}").contains("is not known here"))
        #expect(Self.complaint("{directory: \"https://a.test\", renew-after: 99%}").contains("10% to 95%"))
        #expect(Self.complaint("{directory: \"https://a.test\", eab: {kid: k}}").contains("eab needs the key \"key\""))
        let both = "{directory: \"https://a.test\"}\n    certificate: a.pem"
        #expect(Self.complaint(both).contains("\"certificate\" names a file, and the site has its certificate by ACME"))
    }
}
