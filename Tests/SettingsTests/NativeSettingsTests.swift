import EdgeModel
import KeyProtocol
import Settings
import Testing

@Suite("Settings for the native handshake")
struct NativeSettingsTests {
    private static func edge(_ keyHolder: String, _ site: String) -> String {
        """
        role: edge
        listen: [127.0.0.1:8443]
        identity: {certificate: e.pem, key: e.key, authority: a.pem}
        keyholders:
          home: {addresses: ["127.0.0.1:4433"]\(keyHolder)}
        sites:
          - domains: [a.test]
            mode: keyless
            keyholder: home
            origin: {url: "http://127.0.0.1:8080"}
        \(site)
        """
    }

    private static func keyHolder(_ native: String, _ site: String) -> String {
        """
        role: keyholder
        listen: 127.0.0.1:4433
        \(native)
        identity: {certificate: e.pem, key: e.key, authority: a.pem}
        sites:
          - {certificate: s.pem, key: s.key\(site)}
        grants:
          - {edge: paris, sites: [a.test], operations: [native]}
        """
    }

    private struct WrongRole: Error {}

    private static func load(edge text: String) throws -> EdgeSettings {
        guard case .edge(let settings) = try Settings.parse(text, file: "c.yaml", checkingFiles: false).party else {
            throw WrongRole()
        }
        return settings
    }

    private static func load(keyHolder text: String) throws -> KeyHolderSettings {
        guard case .keyHolder(let settings) = try Settings.parse(text, file: "c.yaml", checkingFiles: false).party
        else {
            throw WrongRole()
        }
        return settings
    }

    @Test("A site's own key holder takes native connections where it has an address for them")
    func edge() throws {
        let native = ", native: [\"127.0.0.1:4434\"]"
        let settings = try Self.load(edge: Self.edge(native, ""))
        #expect(settings.keyHolders.first?.native == [SocketEndpoint(host: "127.0.0.1", port: 4434)])
        #expect(settings.sites.first?.native == "home")
        #expect(try Self.load(edge: Self.edge(native, "    native: false")).sites.first?.native == nil)
        #expect(try Self.load(edge: Self.edge(native, "    native: home")).sites.first?.native == "home")
        #expect(try Self.load(edge: Self.edge("", "")).sites.first?.native == nil)
    }

    @Test("A key holder that connects to the edge takes native clients over that")
    func dialled() throws {
        let entry =
            "listen-keyholders: [\"0.0.0.0:4435\"]\nkeyholders:\n  home: { dialled-by: [home], native: dialled }"
        let text = Self.edge("", "").split(separator: "\n", omittingEmptySubsequences: false)
            .filter { !$0.hasPrefix("keyholders:") && !$0.hasPrefix("  home:") }.joined(separator: "\n")
        let settings = try Self.load(edge: text + entry + "\n")
        #expect(settings.keyHolders.first?.takesNativeDialled == true)
        #expect(settings.keyHolders.first?.native == [])
        #expect(settings.sites.first?.native == "home")
        let both = complaints(Self.edge(", native: [dialled]", ""))
        #expect(both.contains { $0.contains("no key holder connects to this edge here") }, "\(both)")
    }

    @Test("What an edge's file gets wrong")
    func badEdge() {
        let noAddress = complaints(Self.edge("", "    native: home"))
        #expect(noAddress.contains { $0.contains("has no addresses for native connections") }, "\(noAddress)")
        let unknown = complaints(Self.edge("", "    native: work"))
        #expect(unknown.contains { $0.contains("no key holder \"work\"") }, "\(unknown)")
        let twice = complaints(Self.edge(", native: [\"127.0.0.1:4433\"]", ""))
        #expect(twice.contains { $0.contains("stands twice in a key holder") }, "\(twice)")
    }

    @Test("An application is an address, or a mapping")
    func keyHolder() throws {
        let native = "native: 127.0.0.1:4434"
        let short = try Self.load(keyHolder: Self.keyHolder(native, ", application: \"127.0.0.1:9000\""))
        #expect(short.native == SocketEndpoint(host: "127.0.0.1", port: 4434))
        let application = short.sites.first?.application
        #expect(application?.address == .tcp(SocketEndpoint(host: "127.0.0.1", port: 9000)))
        #expect(application?.proxyProtocol == KeyHolderSettings.Application.ProxyProtocol.none)
        #expect(application?.variants == [.originDerived, .clientDerived])
        #expect(short.grants.first?.operations == [.native])
        let long = try Self.load(
            keyHolder: Self.keyHolder(
                native, ", application: {address: \"unix:/run/a.sock\", proxy-protocol: v2, variants: origin-derived}"))
        #expect(long.sites.first?.application?.address == .unix("/run/a.sock"))
        #expect(long.sites.first?.application?.proxyProtocol == .v2)
        #expect(long.sites.first?.application?.variants == [.originDerived])
    }

    @Test("What a key holder's file gets wrong")
    func badKeyHolder() {
        let silent = complaints(Self.keyHolder("", ", application: \"127.0.0.1:9000\""))
        #expect(silent.contains { $0.contains("there is no listener for them") }, "\(silent)")
        let same = complaints(Self.keyHolder("native: 127.0.0.1:4433", ""))
        #expect(same.contains { $0.contains("another listener") }, "\(same)")
        for address in ["unix:relative", "127.0.0.1:0", "nowhere"] {
            #expect(
                !complaints(Self.keyHolder("native: 127.0.0.1:4434", ", application: \"\(address)\"")).isEmpty,
                "\(address)")
        }
        let variants = complaints(
            Self.keyHolder("native: 127.0.0.1:4434", ", application: {address: \"127.0.0.1:1\", variants: [other]}"))
        #expect(variants.contains { $0.contains("\"other\" is not known here") }, "\(variants)")
    }
}
