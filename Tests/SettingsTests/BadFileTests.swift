import Settings
import Testing

/// One wrong file, and the first lines of the complaints it must bring.
struct BadFile: Sendable, CustomTestStringConvertible {
    var name: String
    var text: String
    var complaints: [String]

    init(_ name: String, _ text: String, _ complaints: String...) {
        self.name = name
        self.text = text
        self.complaints = complaints
    }

    var testDescription: String { self.name }
}

/// Loads `text` as `c.yaml` without looking for files, and returns the complaints' first lines.
func complaints(_ text: String, checkingFiles: Bool = false) -> [String] {
    do {
        return try Settings.parse(text, file: "c.yaml", checkingFiles: checkingFiles).warnings.map(\.headline)
    } catch {
        return error.diagnostics.map(\.headline)
    }
}

private let relayEdge = """
    role: edge
    listen: [127.0.0.1:8443]
    sites:
      - domains: [a.test]
        mode: relay
        origin: {address: "127.0.0.1:9443"}

    """

private let keylessEdge = """
    role: edge
    listen: [127.0.0.1:8443]
    identity: {certificate: e.pem, key: e.key, authority: a.pem}
    keyholders:
      home: {addresses: ["127.0.0.1:4433"]}
    sites:
      - domains: [a.test]
        mode: keyless
        keyholder: home
        origin:
          url: http://127.0.0.1:8080

    """

private let keyHolder = """
    role: keyholder
    listen: 127.0.0.1:4433
    identity: {certificate: e.pem, key: e.key, authority: a.pem}
    sites:
      - {certificate: s.pem, key: s.key}
    grants:
      - {edge: paris, sites: [a.test], operations: [keyless]}

    """

@Suite("Bad configuration files")
struct BadFileTests {
    static let listenerFiles: [BadFile] = [
        BadFile(
            "others alone", relayEdge.replacing("[127.0.0.1:8443]", with: "[{address: 127.0.0.1:8443, others: serve}]"),
            "c.yaml:2:36: error: \"others\" says nothing without \"proxy-protocol-from\". "
                + "Name the networks whose connections begin with a PROXY header, or remove it."),
        BadFile(
            "no address",
            relayEdge.replacing("[127.0.0.1:8443]", with: "[{proxy-protocol-from: [10.0.0.1/8, 10.0.0.0/33, a]}]"),
            "c.yaml:2:10: error: a listener needs the key \"address\". Write address: 0.0.0.0:443.",
            "c.yaml:2:33: error: \"10.0.0.1/8\" is an address inside a network. Did you mean 10.0.0.0/8?",
            "c.yaml:2:45: error: \"10.0.0.0/33\" has no valid prefix length. The range behind the slash is 0 to 32.",
            "c.yaml:2:58: error: \"a\" is not a network. "
                + "Write an IP address, or a network such as 10.0.0.0/8 or 2001:db8::/32."),
        BadFile(
            "proxy-protocol in a listener",
            relayEdge.replacing("[127.0.0.1:8443]", with: "[{address: 127.0.0.1:8443, proxy-protocol: v2}]"),
            "c.yaml:2:36: error: unknown key \"proxy-protocol\" in a listener. Write proxy-protocol-from: "
                + "[10.0.0.0/8], with the networks of the balancers that send the header."),
    ]

    static let clientLimitFiles: [BadFile] = [
        BadFile(
            "bounds for one client",
            relayEdge
                + "limits: {connections: 10, connections-per-client: 11, handshakes-per-client: 0, ipv6-prefix: 16}\n",
            "c.yaml:7:51: error: one client may not have more connections than all, which is 10. "
                + "Make it smaller, or \"connections\" larger.",
            "c.yaml:7:78: error: 0 is out of range. The range is 1 to 1000000.",
            "c.yaml:7:94: error: 16 is out of range. The range is 32 to 128."),
        BadFile(
            "a site's share", relayEdge + "    connections: 101%\n",
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
        #expect(complaints(relayEdge) == [])
        #expect(complaints(keylessEdge) == [])
        #expect(complaints(keyHolder) == [])
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
            relayEdge + "admin: 127.0.0.1:1\nadmin: 127.0.0.1:2\nlog:\n  level: info\n  level: warn\n",
            "c.yaml:8:1: error: the key \"admin\" stands here again; it was first given in line 7. Keep one of them.",
            "c.yaml:11:3: error: the key \"level\" stands here again; it was first given in line 10. Keep one of them."),
        BadFile(
            "a key that is no word", relayEdge + "[a]: b\n",
            "c.yaml:7:1: error: a key must be a word. Write `key: value`, one on each line."),
        BadFile(
            "the same key three times", relayEdge + "threads: 1\nthreads: 1\nthreads: 1\n",
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
        #expect(complaints(relayEdge + file.text) == file.complaints)
    }

    static let sites: [BadFile] = [
        BadFile(
            "misspelt mode", "  - domains: [b.test]\n    moed: relay\n    origin: {address: \"b:1\"}\n",
            "c.yaml:12:5: error: a site needs the key \"mode\". "
                + "Write mode: handoff, mode: keyless or mode: relay.",
            "c.yaml:13:5: error: unknown key \"moed\" in a site. Did you mean \"mode\"?"),
        BadFile(
            "handoff without its parts", "  - domains: [b.test]\n    mode: handoff\n",
            "c.yaml:12:5: error: a site needs the key \"keyholder\". A handoff site names one of \"keyholders\".",
            "c.yaml:12:5: error: a site needs the key \"origin\". Write origin: with url: http://HOST:PORT below it."),
        .init(
            "relay's keys in handoff",
            "  - domains: [b.test]\n    mode: handoff\n    keyholder: home\n    origin:\n      address: b.test:1\n",
            "c.yaml:16:7: error: \"address\" belongs to relay sites, and this site is handoff. "
                + "Write url: http://HOST:PORT, or use mode: relay.",
            "c.yaml:16:7: error: a handoff site's origin needs the key \"url\". "
                + "Write url: http://HOST:PORT or https://HOST."),
        BadFile(
            "unknown mode", "  - domains: [b.test]\n    mode: keylass\n",
            "c.yaml:13:11: error: \"keylass\" is not a mode. Did you mean \"keyless\"?"),
        BadFile(
            "domain taken", "  - domains: [A.test]\n    mode: relay\n    origin: resolve\n",
            "c.yaml:12:15: error: the domain \"a.test\" is taken already, in line 7. "
                + "A domain belongs to one site; keep it in one."),
        BadFile(
            "bad domains",
            "  - domains: [10.0.0.1, b.test., \"b.*.test\", \"https://b.test\", bücher.test, -]\n    mode: relay\n"
                + "    origin: resolve\n",
            "c.yaml:12:15: error: \"10.0.0.1\" is not a domain name. "
                + "Clients send no server name for IP addresses; use a domain name.",
            "c.yaml:12:25: error: \"b.test.\" is not a domain name. Leave the dot at the end out.",
            "c.yaml:12:34: error: \"b.*.test\" is not a domain name. A wildcard is \"*.\" at the beginning and stands "
                + "for exactly one label: \"*.example.com\".",
            "c.yaml:12:46: error: \"https://b.test\" is not a domain name. "
                + "Write the name alone, without scheme, port or path.",
            "c.yaml:12:64: error: \"bücher.test\" is not a domain name. Write an international name in its xn-- form.",
            "c.yaml:12:77: error: \"-\" is not a domain name. "
                + "Labels are 1 to 63 letters, digits, dashes or underscores; 253 characters in all."),
        BadFile(
            "no domains", "  - domains: []\n    mode: relay\n    origin: resolve\n",
            "c.yaml:12:14: error: the list is empty. Write at least one domain."),
        BadFile(
            "undefined key holder",
            "  - domains: [b.test]\n    mode: keyless\n    keyholder: hoem\n    origin: {url: \"http://b\"}\n",
            "c.yaml:14:16: error: no key holder \"hoem\" is defined in this file. Did you mean \"home\"?"),
        BadFile(
            "keyless without its parts", "  - domains: [b.test]\n    mode: keyless\n",
            "c.yaml:12:5: error: a site needs the key \"keyholder\". A keyless site names one of \"keyholders\".",
            "c.yaml:12:5: error: a site needs the key \"origin\". Write origin: with url: http://HOST:PORT below it."),
        BadFile(
            "relay's keys in keyless",
            "  - domains: [b.test]\n    mode: keyless\n    keyholder: home\n    origin:\n      address: b.test:1\n"
                + "      proxy-protocol: v2\n",
            "c.yaml:16:7: error: \"address\" belongs to relay sites, and this site is keyless. "
                + "Write url: http://HOST:PORT, or use mode: relay.",
            "c.yaml:16:7: error: a keyless site's origin needs the key \"url\". "
                + "Write url: http://HOST:PORT or https://HOST.",
            "c.yaml:17:7: error: \"proxy-protocol\" belongs to relay sites, and this site is keyless. "
                + "Remove it, or use mode: relay."),
        BadFile(
            "keyless keys in relay",
            "  - domains: [b.test]\n    mode: relay\n    keyholder: home\n    origin: {url: \"https://b.test\"}\n",
            "c.yaml:14:5: error: a relay site uses no key holder. "
                + "Remove \"keyholder\", or use mode: handoff or mode: keyless.",
            "c.yaml:15:13: error: a relay site's origin needs \"address\" or \"resolve: true\". Write address: HOST:PORT.",
            "c.yaml:15:14: error: \"url\" belongs to handoff and keyless sites, and this site is a relay. "
                + "Write address: HOST:PORT, or use mode: handoff or mode: keyless."),
        BadFile(
            "HTTP/2 in relay",
            "  - domains: [b.test]\n    mode: relay\n    http2: false\n    origin: {address: \"b.test:443\"}\n",
            "c.yaml:14:5: error: a relay site's protocols are between the client and the origin. "
                + "Remove \"http2\", or use mode: handoff or mode: keyless."),
        BadFile(
            "TLS in relay",
            "  - domains: [b.test]\n    mode: relay\n    tls: {minimum-version: 1.3}\n    origin: {address: \"b.test:443\"}\n",
            "c.yaml:14:5: error: a relay site's TLS is between the client and the origin. "
                + "Remove \"tls\", or use mode: handoff or mode: keyless."),
        BadFile(
            "tickets in handoff",
            "  - domains: [b.test]\n    mode: handoff\n    keyholder: home\n    origin: {url: \"http://b.test\"}\n"
                + "    tls: {ticket-lifetime: 24h}\n",
            "c.yaml:16:11: error: a handoff site's tickets are the key holder's. "
                + "Remove \"ticket-lifetime\": each resumption asks the key holder."),
        BadFile(
            "TLS policy in handoff",
            "  - domains: [b.test]\n    mode: handoff\n    keyholder: home\n    origin: {url: \"http://b.test\"}\n"
                + "    tls: {session-tickets: false, groups: [P-256]}\n",
            "c.yaml:16:11: error: a handoff site's tickets are the key holder's. "
                + "Remove \"session-tickets\": each resumption asks the key holder.",
            "c.yaml:16:35: error: a handoff site's key exchange is the key holder's. Remove \"groups\"."),
        BadFile(
            "OCSP responses in handoff",
            "  - domains: [b.test]\n    mode: handoff\n    keyholder: home\n    origin: {url: \"http://b.test\"}\n"
                + "    tls: {ocsp: b.ocsp}\n",
            "c.yaml:16:11: error: a handoff site's certificate is shown by the key holder. "
                + "Write \"ocsp\" in the key holder's file."),
        BadFile(
            "TLS policy",
            "  - domains: [b.test]\n    mode: keyless\n    keyholder: home\n    origin: {url: \"http://b.test\"}\n"
                + "    tls:\n      groups: [P-256, P-255, P-256]\n      session-tickets: false\n      ticket-lifetime: 1h\n"
                + "      maximum-version: 1.2\n      cipher-suites: [x]\n",
            "c.yaml:17:23: error: \"P-255\" is not known here. Did you mean \"P-256\"?",
            "c.yaml:17:30: error: P-256 is there twice. Write each group once.",
            "c.yaml:19:7: error: without session tickets none has a lifetime. "
                + "Remove \"ticket-lifetime\", or write session-tickets: true.",
            "c.yaml:20:7: error: \"maximum-version\" is nothing that an edge chooses: it speaks TLS 1.3, and the key "
                + "holder all else. Remove it.",
            "c.yaml:21:7: error: \"cipher-suites\" is nothing that an edge chooses: TLS 1.3 has three, all of them "
                + "strong, and those of TLS 1.2 are the key holder's. Remove it."),
        BadFile(
            "a ticket's lifetime",
            "  - domains: [b.test]\n    mode: keyless\n    keyholder: home\n    origin: {url: \"http://b.test\"}\n"
                + "    tls: {ticket-lifetime: 49h}\n",
            "c.yaml:16:28: error: 49h is out of range. The range is 0ms to 48h."),
        BadFile(
            "TLS of the site",
            "  - domains: [b.test]\n    mode: keyless\n    keyholder: home\n    origin: {url: \"http://b.test\"}\n"
                + "    tls: {minimum-version: tls13, rsa-key-exchange: true}\n",
            "c.yaml:16:28: error: \"tls13\" is not known here. Known words: 1.2, 1.3.",
            "c.yaml:16:35: error: \"rsa-key-exchange\" belongs to the sites of a key holder's file. "
                + "The key holder decides how it shakes hands."),
        BadFile(
            "TLS options for http",
            "  - domains: [b.test]\n    mode: keyless\n    keyholder: home\n    origin:\n      url: http://b.test\n"
                + "      name: b.test\n      roots: r.pem\n",
            "c.yaml:17:7: error: \"name\" is about TLS, and the origin's URL is http://. Use https://, or remove it.",
            "c.yaml:18:7: error: \"roots\" is about TLS, and the origin's URL is http://. Use https://, or remove it."),
        BadFile(
            "a share of no size",
            "  - domains: [b.test]\n    mode: keyless\n    keyholder: home\n"
                + "    origin: {url: \"http://b.test\", share-per-client: 0%}\n",
            "c.yaml:15:54: error: \"0%\" where a percentage from 1% to 100% is expected"),
        BadFile(
            "redirects that are neither",
            "  - domains: [b.test]\n    mode: keyless\n    keyholder: home\n"
                + "    origin: {url: \"http://b.test\", rewrite-location: sometimes}\n",
            "c.yaml:15:54: error: \"sometimes\" where true or false is expected"),
        BadFile(
            "URL with a path",
            "  - domains: [b.test]\n    mode: keyless\n    keyholder: home\n    origin: {url: \"http://b.test/app\"}\n",
            "c.yaml:15:19: error: an origin's URL cannot have a path. "
                + "Keep scheme, host and port; requests bring their own paths."),
        BadFile(
            "URL without a scheme",
            "  - domains: [b.test]\n    mode: keyless\n    keyholder: home\n    origin: {url: b.test}\n",
            "c.yaml:15:19: error: \"b.test\" is not an http:// or https:// URL. Write http://127.0.0.1:8080."),
        BadFile(
            "relay with both destinations",
            "  - domains: [b.test]\n    mode: relay\n    origin: {address: \"b:1\", resolve: true}\n",
            "c.yaml:14:30: error: \"address\" and \"resolve: true\" exclude each other. Keep one of them."),
        BadFile(
            "resolve's options without it",
            "  - domains: [b.test]\n    mode: relay\n    origin: {address: \"b:1\", ports: [0], allow-private: yes}\n",
            "c.yaml:14:30: error: \"ports\" has no meaning without \"resolve: true\". "
                + "Remove it, or let the origin be resolved.",
            "c.yaml:14:38: error: 0 is out of range. The range is 1 to 65535.",
            "c.yaml:14:42: error: \"allow-private\" has no meaning without \"resolve: true\". "
                + "Remove it, or let the origin be resolved.",
            "c.yaml:14:57: error: \"yes\" where true or false is expected"),
        BadFile(
            "loop",
            "  - domains: [b.test]\n    mode: relay\n    origin: {address: \"127.0.0.1:8443\"}\n",
            "c.yaml:14:13: error: the origin 127.0.0.1:8443 is this edge's own listener. "
                + "Name the address of the origin server."),
        BadFile(
            "certificate files at an edge",
            "  - domains: [b.test]\n    mode: relay\n    origin: resolve\n    key: b.key\n",
            "c.yaml:15:5: error: unknown key \"key\" in a site: an edge has no site's certificate or key. "
                + "They belong to the key holder's file."),
        BadFile(
            "a site that is a word", "  - b.test\n",
            "c.yaml:12:5: error: \"b.test\" where a site, a mapping (`domains: …`), is expected"),
    ]

    @Test("Sites", arguments: Self.sites)
    func site(_ file: BadFile) {
        #expect(complaints(keylessEdge + file.text) == file.complaints)
    }

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
        let text = keyHolder.replacing(
            "{certificate: s.pem, key: s.key}", with: "{certificate: s.pem, key: s.key, tls: \(file.text)}")
        #expect(complaints(text) == file.complaints)
    }

    @Test("Below a good key holder", arguments: Self.keyHolderTail)
    func belowKeyHolder(_ file: BadFile) {
        #expect(complaints(keyHolder + file.text) == file.complaints)
    }

    @Test("The line at fault is shown with a caret below the column")
    func caret() throws {
        let error = #expect(throws: SettingsError.self) {
            try Settings.parse(relayEdge + "thread: 2\n", file: "dir/c.yaml", checkingFiles: false)
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
            try Settings.parse(relayEdge, file: "c.yaml", role: .keyHolder, checkingFiles: false)
        }
        #expect(
            error?.diagnostics.map(\.headline) == [
                "c.yaml:1:7: error: this is an edge's file. Start it with `latchstring edge --config`."
            ])
    }
}
