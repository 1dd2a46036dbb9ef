import Settings
import Testing

@Suite("Bad configuration files: a key holder")
struct BadKeyHolderTests {
    static let keyHolderTail: [BadFile] = [
        BadFile(
            "grant", "  - {edge: Paris!, site: [a.test], operations: [keyles, rsa-sgin], rate: 0}\n",
            "c.yaml:8:5: error: a grant needs the key \"sites\". Write sites: [www.example.com].",
            "c.yaml:8:12: error: \"Paris!\" is not a name that an identity can have. "
                + "Names are 1 to 64 of the characters a-z, 0-9, dot and dash.",
            "c.yaml:8:20: error: unknown key \"site\" in a grant. Did you mean \"sites\"?",
            "c.yaml:8:49: error: \"keyles\" is not an operation. Did you mean \"keyless\"?",
            "c.yaml:8:57: error: \"rsa-sgin\" is not an operation. Did you mean \"rsa-sign\"?",
            "c.yaml:8:74: error: 0 is out of range. The range is 1 to 10000000."),
        BadFile(
            "lease", "lease: 1s\n", "c.yaml:8:8: error: 1s is out of range. The range is 2s to 168h."),
        BadFile(
            "an operation that is gone", "  - {edge: rome, sites: [a.test], operations: [certificate, sign-tls12]}\n",
            "c.yaml:8:61: error: \"sign-tls12\" is gone: an edge could have a document of its choice signed with it. "
                + "Write keyless, which serves TLS 1.2 clients through the handshake functions, or handshake-tls12, "
                + "its part for them."),
        BadFile(
            "an edge's key", "keyholders: {}\n",
            "c.yaml:8:1: error: \"keyholders\" belongs to an edge's file. Edges connect to this key holder."),
        BadFile(
            "admin takes the port", "admin: 127.0.0.1:4433\n",
            "c.yaml:8:8: error: 127.0.0.1:4433 is also where edges connect. Use another port."),
    ]

    static let keyHolderSites: [BadFile] = [
        BadFile(
            "TLS 1.2 alone", "{minimum-version: 1.3, rsa-key-exchange: true}",
            "c.yaml:5:66: error: \"rsa-key-exchange\" is for TLS 1.2 clients, and the site takes none. "
                + "Remove it, or write minimum-version: 1.2."),
        BadFile(
            "a version", "{minimum-version: 1.1}",
            "c.yaml:5:61: error: \"1.1\" is not known here. Did you mean \"1.2\"?"),
        BadFile(
            "TLS 1.3 at the most", "{maximum-version: 1.2, minimum-version: 1.3}",
            "c.yaml:5:44: error: \"maximum-version\" is below \"minimum-version\". Remove one of them."),
        BadFile(
            "a suite", "{cipher-suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA25, TLS_AES_128_GCM_SHA256]}",
            "c.yaml:5:60: error: \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA25\" is not known here. "
                + "Did you mean \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"?",
            "c.yaml:5:98: error: \"TLS_AES_128_GCM_SHA256\" is a suite of TLS 1.3, and those are always offered. "
                + "Suites are for TLS 1.2."),
        BadFile(
            "suites without TLS 1.2",
            "{minimum-version: 1.3, cipher-suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]}",
            "c.yaml:5:66: error: \"cipher-suites\" is for TLS 1.2 clients, and the site takes none. "
                + "Remove it, or write minimum-version: 1.2."),
        BadFile(
            "a group", "{groups: [x25519, P-256, P-256]}",
            "c.yaml:5:53: error: \"x25519\" is not known here. Did you mean \"X25519\"?",
            "c.yaml:5:68: error: \"P-256\" stands there twice. Remove one of them."),
        BadFile(
            "keys for no tickets", "{ticket-lifetime: 0s, ticket-keys: t.key}",
            "c.yaml:5:65: error: \"ticket-keys\" are for tickets, and the site makes none. "
                + "Remove them, or ticket-lifetime: 0s."),
        BadFile(
            "a ticket's lifetime", "{ticket-lifetime: 49h}",
            "c.yaml:5:61: error: 49h is out of range. The range is 0ms to 48h."),
    ]

    @Test("TLS at a key holder", arguments: Self.keyHolderSites)
    func keyHolderSite(_ file: BadFile) {
        let text = GoodFile.keyHolder.replacing(
            "{certificate: s.pem, key: s.key}", with: "{certificate: s.pem, key: s.key, tls: \(file.text)}")
        #expect(complaints(text) == file.complaints)
    }

    @Test("Below a good key holder", arguments: Self.keyHolderTail)
    func belowKeyHolder(_ file: BadFile) {
        #expect(complaints(GoodFile.keyHolder + file.text) == file.complaints)
    }
}
