import HTTPCaching
import Testing

@Suite("Keys")
struct CacheKeyTests {
    static func key(_ target: String, _ query: QueryRules = QueryRules(), authority: String = "www.example.test")
        -> CacheKey
    {
        CacheKey(site: "s", scheme: "https", authority: authority, target: target, query: query)
    }

    @Test(
        "Scheme and host in lower case, default port and root dot dropped",
        arguments: [
            ("HTTPS", "WWW.Example.Test", "https://www.example.test/"),
            ("https", "www.example.test:443", "https://www.example.test/"),
            ("https", "www.example.test:", "https://www.example.test/"),
            ("https", "www.example.test.", "https://www.example.test/"),
            ("https", "www.example.test:80", "https://www.example.test:80/"),
            ("http", "www.example.test:80", "http://www.example.test/"),
            ("http", "www.example.test:8080", "http://www.example.test:8080/"),
            ("https", "[2001:DB8::1]", "https://[2001:db8::1]/"),
            ("https", "[2001:DB8::1]:8443", "https://[2001:db8::1]:8443/"),
        ])
    func origin(scheme: String, authority: String, uri: String) {
        let key = CacheKey(site: "s", scheme: scheme, authority: authority, target: "/")
        #expect(key.uri == uri)
        #expect(key.path == "/")
        #expect(key.origin + "/" == uri)
    }

    @Test(
        "Texts that Unicode takes for one are two",
        arguments: [
            ("/\u{212A}ey.js", "/Key.js"), ("/m\u{37E}v=1", "/m;v=1"), ("/\u{E9}", "/e\u{301}"),
            ("/a?x=\u{1FEF}", "/a?x=`"),
        ])
    func equivalents(one: String, other: String) {
        #expect(Self.key(one) != Self.key(other))
        #expect(Set([Self.key(one), Self.key(other)]).count == 2)
        #expect(CacheKey(site: one, uri: "x") != CacheKey(site: other, uri: "x"))
        #expect(Self.key(one) == Self.key(one) && Self.key(one).hashValue == Self.key(one).hashValue)
    }

    @Test func combiningMarksHideNoDelimiters() {
        #expect(Self.key("/p?\u{301}q").path == "/p")
        let rules = QueryRules(parameters: .except(["utm_*"]), sorts: true)
        #expect(Self.key("/p?b=1&\u{301}c=2&utm_x=\u{301}&a=3", rules).target == "/p?a=3&b=1&\u{301}c=2")
        #expect(Self.key("/p").resolving("/x/../y?\u{301}/../z", query: QueryRules())?.target == "/y?\u{301}/../z")
        #expect(Self.key("/d/p").resolving("../\u{301}x", query: QueryRules())?.target == "/\u{301}x")
    }

    @Test(
        "Targets without rules",
        arguments: [
            ("/", "/"), ("/a?b=2&a=1", "/a?b=2&a=1"), ("/a?", "/a?"), ("/%c3%a9", "/%C3%A9"), ("/%61", "/%61"),
            ("/a%2", "/a%2"), ("/%zz%", "/%zz%"), ("?x", "/?x"), ("/a/../b", "/a/../b"), ("//x", "//x"),
            ("/A?%e2=%2f", "/A?%E2=%2F"), ("/a#f", "/a"), ("/a?b#f?c", "/a?b"), (".evil.test/", "/.evil.test/"),
            ("*", "/*"), ("", "/"),
        ])
    func plain(target: String, normalised: String) {
        #expect(Self.key(target).target == normalised)
    }

    @Test(
        "Unreserved characters are decoded where the site says so; nothing that could change the meaning is",
        arguments: [
            ("/%61%7e%2D%5f", "/a~-_"), ("/%2e%2e/x", "/%2E%2E/x"), ("/a%2Fb", "/a%2Fb"), ("/%25%36%31", "/%2561"),
            ("/?%61=%26", "/?a=%26"), ("/%3f", "/%3F"), ("/%2%61", "/%2%61"), ("/%%36%31", "/%%361"),
            ("/?1%&%61", "/?1%&a"), ("/%g%61", "/%ga"),
        ])
    func unreserved(target: String, normalised: String) {
        #expect(Self.key(target, QueryRules(decodesUnreserved: true)).target == normalised)
    }

    @Test func queriesAreSortedByNameOnly() {
        let rules = QueryRules(sorts: true)
        #expect(Self.key("/p?b=2&a=1", rules).target == "/p?a=1&b=2")
        #expect(Self.key("/p?a=2&a=1&&", rules).target == "/p?a=2&a=1")
        #expect(Self.key("/p?", rules).target == "/p")
        #expect(Self.key("/p?ab&a=1&a", rules).target == "/p?a=1&a&ab")
    }

    @Test("A part in which an origin may see another parameter is part of the key")
    func partsThatMayHoldOthers() {
        let dropping = QueryRules(parameters: .except(["utm_*"]))
        for part in ["utm_source=x;callback=evil", "utm_x;callback=evil", "utm_source=x?callback=evil", "utm_source;"] {
            #expect(Self.key("/p?page=1&\(part)", dropping).target == "/p?page=1&\(part)")
        }
        #expect(Self.key("/p?page=1&utm_source=a%26b%3Bc", dropping).target == "/p?page=1")
        let keeping = QueryRules(parameters: .only(["id"]))
        #expect(Self.key("/p?x=1;id=2&y=1", keeping).target == "/p?x=1;id=2")
        #expect(Self.key("/p?x=1;id=2", QueryRules(parameters: .only([]))).target == "/p?x=1;id=2")
    }

    @Test func longQueriesAreNotSorted() {
        let rules = QueryRules(sorts: true)
        for (count, isSorted) in [(64, true), (65, false), (8_000, false)] {
            let parts = (0..<count).map { "\(9 - $0 % 10)" }
            let expected = isSorted ? parts.sorted() : parts
            #expect(
                Self.key("/?" + parts.joined(separator: "&"), rules).target
                    == "/?" + expected.joined(separator: "&"))
        }
    }

    @Test func parametersAreDroppedOrKept() {
        let dropping = QueryRules(parameters: .except(["utm_*", "fbclid"]))
        #expect(Self.key("/p?utm_source=x&id=7&fbclid=1&utm", dropping).target == "/p?id=7&utm")
        #expect(Self.key("/p?utm_source=x", dropping).target == "/p")
        let keeping = QueryRules(parameters: .only(["id", "page"]), sorts: true)
        #expect(Self.key("/p?x=1&page=2&id=7", keeping).target == "/p?id=7&page=2")
        #expect(Self.key("/p?x=1", QueryRules(parameters: .only([]))).target == "/p")
    }

    @Test(
        "References of the same origin",
        arguments: [
            ("https://www.example.test/x", "/x"), ("HTTPS://WWW.example.test:443/x?y#z", "/x?y"),
            ("//www.example.test", "/"),
            ("/x", "/x"), ("x", "/dir/x"), ("../x", "/x"), ("../../../x?q=/../", "/x?q=/../"), ("./", "/dir/"),
            ("?q", "/dir/page?q"), ("", "/dir/page?old"), ("#f", "/dir/page?old"), ("x/..", "/dir/"),
            ("x/.", "/dir/x/"),
            ("/a/b/../c/./d", "/a/c/d"), (" /x ", "/x"),
        ])
    func references(reference: String, target: String) {
        let base = Self.key("/dir/page?old")
        #expect(base.resolving(reference, query: QueryRules())?.target == Substring(target))
    }

    @Test(
        "References elsewhere",
        arguments: [
            "http://www.example.test/x", "https://other.test/x", "https://www.example.test:8443/", "mailto:a@b.test",
            "//evil.test/x", "https://me@www.example.test/", "https:x",
        ])
    func elsewhere(reference: String) {
        #expect(Self.key("/dir/page").resolving(reference, query: QueryRules()) == nil)
    }

    @Test(
        "Patterns",
        arguments: [
            ("*", "", true), ("*", "/x", true), ("/a/*", "/a/", true), ("/a/*", "/a", false),
            ("*.css", "/x/y.css", true),
            ("*.css", "/x/y.css2", false), ("/*/b/*c", "/a/b/b/xc", true), ("/*/b/*c", "/a/b/cd", false),
            ("", "", true),
            ("", "x", false), ("a**b", "ab", true), ("/a", "/A", false),
        ])
    func patterns(pattern: String, text: String, matches: Bool) {
        #expect(GlobPattern(pattern).matches(text) == matches)
    }

    @Test func hostilePatternsTakeNoExponentialTime() {
        let pattern = GlobPattern(String(repeating: "*a", count: 50) + "b")
        #expect(!pattern.matches(String(repeating: "a", count: 5000)))
    }

    @Test func theFirstPathRuleThatSetsSomethingDecidesIt() {
        let policy = CachePolicy(paths: [
            .init(pattern: "/api/*", bypass: true),
            .init(pattern: "*.css", bypass: false, overrideLifetime: 60_000),
            .init(pattern: "/api/*", defaultLifetime: 5000, overrideLifetime: 1000),
        ])
        let both = policy.rule(for: Self.key("/api/x.css?y")).rule
        #expect(both.bypass)
        #expect(both.overrideLifetime == 60_000)
        #expect(both.defaultLifetime == 5000)
        let style = policy.rule(for: Self.key("/x.css?/api/")).rule
        #expect(!style.bypass)
        #expect(style.defaultLifetime == nil)
        #expect(policy.rule(for: Self.key("/")).rule == policy.defaults)
    }
}
