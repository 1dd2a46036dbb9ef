import Settings
import Testing

@Suite("Bad configuration files: an edge's sites")
struct BadSiteTests {
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
        #expect(complaints(GoodFile.keylessEdge + file.text) == file.complaints)
    }
}
