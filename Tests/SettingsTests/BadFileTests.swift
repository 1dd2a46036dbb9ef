import Settings
import Testing

@Suite("Bad configuration files")
struct BadFileTests {
    static let listenerFiles: [BadFile] = [
        BadFile(
            "others alone",
            GoodFile.relayEdge.replacing("[127.0.0.1:8443]", with: "[{address: 127.0.0.1:8443, others: serve}]"),
            "c.yaml:2:36: error: \"others\" says nothing without \"proxy-protocol-from\". "
                + "Name the networks whose connections begin with a PROXY header, or remove it."),
        BadFile(
            "no address",
            GoodFile.relayEdge.replacing(
                "[127.0.0.1:8443]", with: "[{proxy-protocol-from: [10.0.0.1/8, 10.0.0.0/33, a]}]"),
            "c.yaml:2:10: error: a listener needs the key \"address\". Write address: 0.0.0.0:443.",
            "c.yaml:2:33: error: \"10.0.0.1/8\" is an address inside a network. Did you mean 10.0.0.0/8?",
            "c.yaml:2:45: error: \"10.0.0.0/33\" has no valid prefix length. The range behind the slash is 0 to 32.",
            "c.yaml:2:58: error: \"a\" is not a network. "
                + "Write an IP address, or a network such as 10.0.0.0/8 or 2001:db8::/32."),
        BadFile(
            "proxy-protocol in a listener",
            GoodFile.relayEdge.replacing("[127.0.0.1:8443]", with: "[{address: 127.0.0.1:8443, proxy-protocol: v2}]"),
            "c.yaml:2:36: error: unknown key \"proxy-protocol\" in a listener. Write proxy-protocol-from: "
                + "[10.0.0.0/8], with the networks of the balancers that send the header."),
    ]

    static let clientLimitFiles: [BadFile] = [
        BadFile(
            "bounds for one client",
            GoodFile.relayEdge
                + "limits: {connections: 10, connections-per-client: 11, handshakes-per-client: 0, ipv6-prefix: 16}\n",
            "c.yaml:7:51: error: one client may not have more connections than all, which is 10. "
                + "Make it smaller, or \"connections\" larger.",
            "c.yaml:7:78: error: 0 is out of range. The range is 1 to 1000000.",
            "c.yaml:7:94: error: 16 is out of range. The range is 32 to 128."),
        BadFile(
            "a site's share", GoodFile.relayEdge + "    connections: 101%\n",
            "c.yaml:7:18: error: \"101%\" is not a percentage. The range is 1% to 100%."),
    ]

    @Test("Bounds for clients and sites", arguments: clientLimitFiles)
    func clientLimits(file: BadFile) {
        #expect(complaints(file.text) == file.complaints)
    }

    @Test("Listeners and networks", arguments: listenerFiles)
    func listeners(file: BadFile) {
        #expect(complaints(file.text) == file.complaints)
    }

    @Test("The files that the others are made from are good")
    func baseFiles() {
        #expect(complaints(GoodFile.relayEdge) == [])
        #expect(complaints(GoodFile.keylessEdge) == [])
        #expect(complaints(GoodFile.keyHolder) == [])
    }

    static let whole: [BadFile] = [
        BadFile(
            "empty", "",
            "c.yaml:1:1: error: the file is empty. Begin with one of the files under Examples."),
        BadFile(
            "comments only", "# nothing\n",
            "c.yaml:1:1: error: the file is empty. Begin with one of the files under Examples."),
        BadFile(
            "a list", "- role: edge\n",
            "c.yaml:1:1: error: a configuration file is a mapping, and this is a list. "
                + "Write key: value lines, role: edge or role: keyholder first."),
        BadFile(
            "no role", "listen: [127.0.0.1:1]\n",
            "c.yaml:1:1: error: the key \"role\" is missing. Write role: edge or role: keyholder first."),
        BadFile(
            "unknown role", "role: egde\n", "c.yaml:1:7: error: \"egde\" is not known here. Did you mean \"edge\"?"),
        BadFile(
            "bare edge", "role: edge\n",
            "c.yaml:1:1: error: an edge's file needs the key \"listen\". Write listen: [0.0.0.0:443].",
            "c.yaml:1:1: error: an edge's file needs the key \"sites\". Write at least one site."),
        BadFile(
            "tab", "role: edge\nsites:\n\t- domains: [a.test]\n",
            "c.yaml:3:1: error: a tab is used for indentation. Indent with blanks; YAML allows no tabs there."),
        BadFile(
            "syntax", "role: edge\nlisten: [127.0.0.1:1\nsites: []\n",
            "c.yaml:3:6: error: not valid YAML: did not find expected ',' or ']' while parsing a flow sequence that "
                + "starts in line 2. Look at this line and the one before it: indentation, `key: value` with a blank, "
                + "quotes, brackets."),
        BadFile(
            "control character", "role: edge\nlog: \u{1}\n",
            "c.yaml:2:6: error: not valid YAML: a control character. Remove the character, or write the line anew."),
        BadFile(
            "wildcard without quotes", "role: edge\nsites:\n  - domains: [*.a.test]\n",
            "c.yaml:3:15: error: a value cannot begin with * unless it is in quotes. "
                + "Write \"*.example.com\" with the quotes."),
        BadFile(
            "two documents", "role: edge\n---\nrole: keyholder\n",
            "c.yaml:2:1: error: a second document starts here. "
                + "Keep one document in a file, without `---` between its parts."),
        BadFile(
            "anchor and alias", "role: edge\nlog: &l {level: info}\nlimits: *l\n",
            "c.yaml:2:6: error: YAML anchors (\"&name\") are not used in configuration files. "
                + "Write the value out, and put it in quotes if the \"&\" belongs to it.",
            "c.yaml:3:9: error: YAML aliases (\"*name\") are not used in configuration files. "
                + "Write the value out, and put it in quotes if the \"*\" belongs to it."),
        BadFile(
            "duplicate keys, twice",
            GoodFile.relayEdge + "admin: 127.0.0.1:1\nadmin: 127.0.0.1:2\nlog:\n  level: info\n  level: warn\n",
            "c.yaml:8:1: error: the key \"admin\" stands here again; it was first given in line 7. Keep one of them.",
            "c.yaml:11:3: error: the key \"level\" stands here again; it was first given in line 10. Keep one of them."),
        BadFile(
            "a key that is no word", GoodFile.relayEdge + "[a]: b\n",
            "c.yaml:7:1: error: a key must be a word. Write `key: value`, one on each line."),
        BadFile(
            "the same key three times", GoodFile.relayEdge + "threads: 1\nthreads: 1\nthreads: 1\n",
            "c.yaml:8:1: error: the key \"threads\" stands here again; it was first given in line 7. Keep one of them.",
            "c.yaml:9:1: error: the key \"threads\" stands here again; it was first given in line 7. Keep one of them."),
    ]

    @Test("Whole files", arguments: Self.whole)
    func wholeFile(_ file: BadFile) {
        #expect(complaints(file.text) == file.complaints)
    }

    static let edgeTail: [BadFile] = [
        BadFile(
            "unknown key", "thread: 2\n",
            "c.yaml:7:1: error: unknown key \"thread\" in an edge's file. Did you mean \"threads\"?"),
        BadFile(
            "a key holder's key", "grants: []\n",
            "c.yaml:7:1: error: \"grants\" belongs to a key holder's file. What an edge may do is decided there."),
        BadFile("range", "threads: 0\n", "c.yaml:7:10: error: 0 is out of range. The range is 1 to 1024."),
        BadFile(
            "not a number", "threads: \"2\"\n",
            "c.yaml:7:10: error: \"2\" where a whole number from 1 to 1024 is expected"),
        BadFile("no value", "threads:\n", "c.yaml:7:1: error: \"threads\" has no value. Write one, or remove the key."),
        BadFile(
            "admin not on loopback", "admin: 0.0.0.0:9000\n",
            "c.yaml:7:8: error: the admin port has no access control, so it cannot listen on 0.0.0.0. "
                + "Use 127.0.0.1 or [::1]."),
        BadFile(
            "admin takes the TLS port", "admin: 127.0.0.1:8443\n",
            "c.yaml:7:8: error: 127.0.0.1:8443 is also a TLS listener. Use another port."),
        BadFile(
            "port", "admin: 127.0.0.1:99999\n", "c.yaml:7:8: error: \"99999\" is not a port. Ports are 0 to 65535."),
        BadFile("no port", "admin: 127.0.0.1\n", "c.yaml:7:8: error: \"127.0.0.1\" has no port. Write 127.0.0.1:443."),
        BadFile(
            "bad IPv4", "admin: 127.0.0.256:1\n",
            "c.yaml:7:8: error: \"127.0.0.256\" is not an IPv4 address. Write four numbers from 0 to 255."),
        BadFile(
            "IPv6 without brackets", "admin: \"::1:9000\"\n",
            "c.yaml:7:8: error: \"::1:9000\" is an IPv6 address without brackets. "
                + "Write it as [::1]:8443, in quotes if it stands at the beginning."),
        BadFile(
            "listening on a name", "admin: example.com:80\n",
            "c.yaml:7:8: error: \"example.com\" is not an address of this machine. "
                + "Listen on an IP address: 0.0.0.0 or [::] for every interface."),
        BadFile(
            "default site", "default-site: b.test\n",
            "c.yaml:7:15: error: no site has the domain \"b.test\". Did you mean \"a.test\"?"),
        BadFile(
            "log", "log: {level: verbose, format: jsno}\n",
            "c.yaml:7:14: error: \"verbose\" is not known here. "
                + "Known words: trace, debug, info, notice, warning, error.",
            "c.yaml:7:31: error: \"jsno\" is not known here. Did you mean \"json\"?"),
        BadFile(
            "limits",
            "limits:\n  connections: many\n  hello-bytes: 16\n  hello-timeout: 10\n  idle: 2d\n"
                + "  handshake-timeout: 24h\n  request_head_bytes: 1\n",
            "c.yaml:8:16: error: \"many\" where a whole number from 1 to 10000000 is expected",
            "c.yaml:9:16: error: 16 is out of range. The range is 1024 to 262144 bytes.",
            "c.yaml:10:18: error: \"10\" is not a duration. Did you mean \"10s\"? The units are ms, s, m, h.",
            "c.yaml:11:9: error: \"2d\" is not a duration. Write a whole number and a unit: 250ms, 2s, 5m or 24h.",
            "c.yaml:12:22: error: 24h is out of range. The range is 100ms to 5m.",
            "c.yaml:13:3: error: unknown key \"request_head_bytes\" in limits. Did you mean \"request-head-bytes\"?"),
        BadFile(
            "lowest rate", "limits: {minimum-rate: -1, minimum-rate-window: 500ms}\n",
            "c.yaml:7:24: error: \"-1\" where bytes (65536) or a size with a unit (64KiB, 1MiB, 10GiB) is expected",
            "c.yaml:7:49: error: 500ms is out of range. The range is 1s to 10m."),
        BadFile(
            "key holders without an identity", "keyholders: {home: {addresses: [\"h.test:1\"]}}\n",
            "c.yaml:7:1: error: key holders are named, and this edge has no identity for them. "
                + "Add \"identity\"; `latchstring certs` makes one."),
    ]

    @Test("Below a good edge", arguments: Self.edgeTail)
    func belowEdge(_ file: BadFile) {
        #expect(complaints(GoodFile.relayEdge + file.text) == file.complaints)
    }

    @Test("The line at fault is shown with a caret below the column")
    func caret() throws {
        let error = #expect(throws: SettingsError.self) {
            try Settings.parse(GoodFile.relayEdge + "thread: 2\n", file: "dir/c.yaml", checkingFiles: false)
        }
        #expect(
            error?.description == """
                dir/c.yaml:7:1: error: unknown key "thread" in an edge's file. Did you mean "threads"?
                    thread: 2
                    ^
                """)
    }

    @Test("A file of the other role is named as such")
    func otherRole() {
        let error = #expect(throws: SettingsError.self) {
            try Settings.parse(GoodFile.relayEdge, file: "c.yaml", role: .keyHolder, checkingFiles: false)
        }
        #expect(
            error?.diagnostics.map(\.headline) == [
                "c.yaml:1:7: error: this is an edge's file. Start it with `latchstring edge --config`."
            ])
    }
}
