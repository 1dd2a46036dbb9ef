import Testing

@testable import Settings

/// A key holder that connects to its edges, in the files of both.
@Suite struct DialSettingsTests {
    private static func edge(_ holder: String, listen: String = "listen-keyholders: [\"0.0.0.0:4435\"]\n") -> String {
        """
        role: edge
        listen: ["127.0.0.1:8443"]
        \(listen)identity: {certificate: c.pem, key: c.key, authority: a.pem}
        keyholders:
          home: \(holder)
        sites:
          - domains: [a.test]
            mode: keyless
            keyholder: home
            origin: {url: "http://127.0.0.1:8080"}

        """
    }

    private static func holder(_ text: String) -> String {
        """
        role: keyholder
        \(text)
        identity: {certificate: c.pem, key: c.key, authority: a.pem}
        sites:
          - {certificate: s.pem, key: s.key}
        grants:
          - {edge: paris, sites: [a.test], operations: [keyless]}

        """
    }

    private struct WrongRole: Error {}

    private static func load(edge text: String) throws -> EdgeSettings {
        guard case .edge(let settings) = try Settings.parse(text, file: "c.yaml", checkingFiles: false).party
        else { throw WrongRole() }
        return settings
    }

    private static func load(keyHolder text: String) throws -> KeyHolderSettings {
        guard case .keyHolder(let settings) = try Settings.parse(text, file: "c.yaml", checkingFiles: false).party
        else { throw WrongRole() }
        return settings
    }

    @Test("Key holders that connect stand by their names, beside addresses or alone")
    func edge() throws {
        let alone = try Self.load(edge: Self.edge("{dialled-by: [home-a, home-b]}"))
        #expect(alone.keyHolders[0].dialledBy == ["home-a", "home-b"] && alone.keyHolders[0].addresses.isEmpty)
        #expect(alone.keyHolderListen == [.init(host: "0.0.0.0", port: 4435)])
        let both = try Self.load(edge: Self.edge("{addresses: [\"127.0.0.1:4433\"], dialled-by: home-a}"))
        #expect(both.keyHolders[0].dialledBy == ["home-a"] && both.keyHolders[0].addresses.count == 1)
    }

    @Test("A key holder listens, or dials, or does both")
    func keyHolder() throws {
        let alone = try Self.load(keyHolder: Self.holder("dial: [edge.test:4435, \"[2001:db8::1]:4435\"]"))
        #expect(alone.listen == nil)
        #expect(alone.dial.map(\.description) == ["edge.test:4435", "[2001:db8::1]:4435"])
        let both = try Self.load(keyHolder: Self.holder("listen: 127.0.0.1:4433\ndial: edge.test:4435"))
        #expect(both.listen?.port == 4433 && both.dial.count == 1)
    }

    /// A file, and what is said of it.
    struct Wrong: Sendable {
        var text: String
        var complaint: String

        init(_ text: String, _ complaint: String) {
            self.text = text
            self.complaint = complaint
        }
    }

    static let noListener = Wrong(
        Self.edge("{dialled-by: [home]}", listen: ""),
        """
        c.yaml:5:3: error: the key holder "home" connects to this edge, which has no listener for that. \
        Write listen-keyholders: [0.0.0.0:4435].
        """)
    static let nothingExpected = Wrong(
        Self.edge("{addresses: [\"h.test:1\"]}"),
        """
        c.yaml:3:1: error: no key holder is expected there. \
        Write dialled-by: [NAME] in an entry of keyholders, or remove it.
        """)
    static let twice = Wrong(
        Self.edge("{dialled-by: [home, home]}"),
        """
        c.yaml:6:29: error: the key holder "home" stands twice: its connections can belong to one entry. \
        Keep one of them, or give the key holders identities of their own.
        """)
    static let native = Wrong(
        Self.edge("{dialled-by: home, native: \"h.test:2\"}"),
        """
        c.yaml:6:28: error: this key holder has no port: it connects to the edge. Write native: dialled.
        """)
    static let samePort = Wrong(
        Self.edge("{dialled-by: home}", listen: "listen-keyholders: [\"127.0.0.1:8443\"]\n"),
        """
        c.yaml:3:20: error: 127.0.0.1:8443 is another listener of this edge. \
        Use another port; key holders connect to one of their own.
        """)
    static let sameEdge = Wrong(
        Self.holder("dial: [\"e.test:1\", \"e.test:1\"]"),
        "c.yaml:2:20: error: e.test:1 stands twice in the list. Keep one of them.")
    static let nativeAlone = Wrong(
        Self.holder("dial: \"e.test:1\"\nnative: 127.0.0.1:4434"),
        """
        c.yaml:3:1: error: native connections need a port of this key holder's, and it has none for edges. \
        Write listen: 0.0.0.0:4433 too, or remove "native" and the applications of sites.
        """)
    static let neither = Wrong(
        Self.holder("grace: 1m"),
        """
        c.yaml:1:1: error: a key holder's file needs the key "listen". \
        Write listen: 0.0.0.0:4433, or dial: [EDGE:4435] to connect to edges instead.
        """)
    static let all: [Wrong] = [
        noListener, nothingExpected, twice, native, samePort, sameEdge, nativeAlone, neither,
    ]

    @Test("What does not fit together is said, with what to do", arguments: Self.all)
    func bad(file: Wrong) { #expect(complaints(file.text) == [file.complaint]) }
}
