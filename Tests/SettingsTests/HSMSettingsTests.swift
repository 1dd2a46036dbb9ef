import HSMWire
import Settings
import Testing

@Suite("Settings for keys on tokens and encrypted keys")
struct HSMSettingsTests {
    private static func text(_ site: String, _ hsm: String = "") -> String {
        """
        role: keyholder
        listen: 127.0.0.1:4433
        identity: {certificate: e.pem, key: e.key, authority: a.pem}
        sites:
          - certificate: s.pem
            \(site)
        grants:
          - {edge: paris, sites: [a.test], operations: [handoff]}
        \(hsm)
        """
    }

    private struct WrongRole: Error {}

    private static func load(_ text: String) throws -> KeyHolderSettings {
        guard
            case .keyHolder(let settings) = try Settings.parse(text, file: "conf/c.yaml", checkingFiles: false).party
        else { throw WrongRole() }
        return settings
    }

    private static func complaint(_ text: String) throws -> String {
        let error = #expect(throws: SettingsError.self) { try Self.load(text) }
        return "\(try #require(error))"
    }

    @Test("A key on a token, and the module that reaches it")
    func token() throws {
        let settings = try Self.load(
            Self.text(
                "key: pkcs11:token=bank;object=www?pin-source=www.pin",
                "hsm: {module: /usr/lib/softhsm/libsofthsm2.so, pin-file: hsm.pin, workers: 4, timeout: 500ms}"))
        var uri = try PKCS11URI("pkcs11:token=bank;object=www?pin-source=www.pin")
        // As every path, it is relative to the configuration file.
        uri.pinFile = "conf/www.pin"
        #expect(settings.sites.first?.certificates.first?.key == .token(uri))
        #expect(
            settings.hsm
                == TokenModule(
                    module: "/usr/lib/softhsm/libsofthsm2.so", pin: .file("conf/hsm.pin"), workers: 4,
                    timeout: .milliseconds(500)))
    }

    @Test("What is not said has defaults, and the PIN may be a credential")
    func defaults() throws {
        let settings = try Self.load(
            Self.text("key: \"pkcs11:object=www\"", "hsm: {module: /m.so, pin-credential: hsm-pin}"))
        #expect(
            settings.hsm == TokenModule(module: "/m.so", pin: .credential("hsm-pin"), workers: 2, timeout: .seconds(2)))
        #expect(try Self.load(Self.text("key: s.key")).hsm == nil)
    }

    @Test("A key that is encrypted, and the file with its passphrase")
    func passphrase() throws {
        let settings = try Self.load(Self.text("key: s.key\n    passphrase-file: s.pass"))
        #expect(settings.sites.first?.certificates.first?.key == .file("conf/s.key", passphraseFile: "conf/s.pass"))
    }

    @Test(
        "What does not fit together is said, with its place",
        arguments: [
            ("key: \"pkcs11:object=www\"", "", "c.yaml:5", "no module that reaches it"),
            ("key: \"pkcs11:object=www?pin-value=1\"", "hsm: {module: /m.so}", "c.yaml:6", "a PIN does not belong"),
            ("key: \"pkcs11:token=www\"", "hsm: {module: /m.so}", "c.yaml:6", "names no key"),
            ("key: \"pkcs11:object=www?module-path=/m.so\"", "hsm: {module: /m.so}", "c.yaml:6", "hsm.module says"),
            (
                "key: \"pkcs11:object=www\"\n    passphrase-file: p", "hsm: {module: /m.so}", "c.yaml:7",
                "has no passphrase"
            ),
            (
                "key: \"pkcs11:object=www\"\n    tls: {rsa-key-exchange: true}", "hsm: {module: /m.so}", "c.yaml:7",
                "a key on a token does not"
            ),
            (
                "key: \"pkcs11:object=www\"\n    application: 127.0.0.1:9000",
                "native: 127.0.0.1:4434\nhsm: {module: /m.so}", "c.yaml:7", "a key on a token does not"
            ),
            ("key: s.key", "hsm: {pin-file: p}", "c.yaml:9", "\"module\""),
            ("key: s.key", "hsm: {module: /m.so, pin: 1234}", "c.yaml:9", "a PIN does not stand in a configuration"),
            ("key: s.key", "hsm: {module: /m.so, pin-file: p, pin-credential: c}", "c.yaml:9", "two places"),
            ("key: s.key", "hsm: {module: /m.so, pin-credential: ../c}", "c.yaml:9", "not the name of a credential"),
            ("key: s.key", "hsm: {module: /m.so, workers: 17}", "c.yaml:9", "17"),
            ("key: s.key", "hsm: {module: /m.so, timeout: 50ms}", "c.yaml:9", "50ms"),
        ])
    func complaints(_ site: String, _ hsm: String, _ place: String, _ text: String) throws {
        let complaint = try Self.complaint(Self.text(site, hsm))
        #expect(complaint.contains(text), "\(complaint)")
        #expect(complaint.contains(place), "\(complaint)")
    }
}
