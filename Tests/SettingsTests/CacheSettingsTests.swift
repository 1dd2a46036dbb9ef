import EdgeModel
import HTTPCaching
import HTTPFields
import Settings
import Testing

@Suite("Settings of caches and of the admin port")
struct CacheSettingsTests {
    private static func file(site: String = "", top: String = "") -> String {
        """
        role: edge
        listen: [127.0.0.1:8443]
        identity: {certificate: e.pem, key: e.key, authority: a.pem}
        keyholders:
          home: {addresses: ["127.0.0.1:4433"]}
        sites:
          - domains: [a.test]
            mode: keyless
            keyholder: home
            origin: {url: "http://127.0.0.1:8080"}
        \(site.split(separator: "\n").map { "    " + $0 }.joined(separator: "\n"))
        \(top)
        """
    }

    private static func edge(_ text: String) throws -> EdgeSettings {
        guard case .edge(let settings) = try Settings.parse(text, file: "c.yaml", checkingFiles: false).party else {
            throw SettingsError(diagnostics: [])
        }
        return settings
    }

    @Test("A terminating site caches unless told otherwise")
    func defaults() throws {
        let settings = try Self.edge(Self.file())
        #expect(settings.cache == EdgeCacheConfiguration())
        var expected = SiteCacheConfiguration()
        expected.policy.defaults.maximumObjectBytes = Int64(EdgeCacheConfiguration().maximumObjectBytes)
        #expect(settings.sites[0].mode.termination?.cache == expected)
        for text in ["cache: false", "cache: {enabled: false, share: 10%}"] {
            let off = try Self.edge(Self.file(site: text))
            #expect(off.sites[0].mode.termination != nil && off.sites[0].mode.termination?.cache == nil)
        }
    }

    @Test("A body that a site stores is no larger than the edge's bound")
    func objects() throws {
        let settings = try Self.edge(Self.file(top: "cache: {object: 1MiB}"))
        #expect(settings.sites[0].mode.termination?.cache?.policy.defaults.maximumObjectBytes == 1_048_576)
    }

    @Test("Fields of every answer stand in the site, whether it stores anything or not", arguments: ["true", "false"])
    func fields(cache: String) throws {
        let settings = try Self.edge(
            Self.file(
                site: """
                    cache: \(cache)
                    add-fields: {X-Edge: paris}
                    remove-fields: [Server, X-Powered-By]
                    """))
        #expect(
            settings.sites[0].mode.termination?.responseFields
                == FieldEdits(
                    remove: ["server", "x-powered-by", "x-edge"].compactMap { FieldName($0) },
                    add: [.init(name: "X-Edge", value: "paris")]))
    }

    @Test("Everything that a site can say")
    func everything() throws {
        let settings = try Self.edge(
            Self.file(
                site: """
                    cache:
                      share: 50%
                      object: 1MiB
                      default: 5m
                      errors: 10s
                      rules:
                        - {path: /account/*, bypass: true}
                        - {path: "*.css", lifetime: 1h, default: 2h}
                      query: {ignore: ["utm_*", fbclid], sort: true}
                      set-cookie: strip
                      cookie-requests: any
                      unkeyed-fields: [RSC, X-Middleware-*]
                      codings: [zstd, GZIP]
                      stale-while-revalidate: 30s
                      stale-if-error: 24h
                      status: false
                    """,
                top: """
                    cache:
                      memory: 1GiB
                      disk: {path: /var/cache/l, size: 10GiB}
                      object: 128MiB
                    admin: {listen: "0.0.0.0:9000", token: admin.token}
                    """))
        let site = try #require(settings.sites[0].mode.termination?.cache)
        let rule = site.policy.defaults
        #expect(site.share == 0.5)
        #expect(rule.maximumObjectBytes == 1_048_576)
        #expect(rule.defaultLifetime == 300_000)
        // What isn't there and the server's own, not what may be about single requests.
        #expect(rule.negativeLifetimes.keys.sorted() == [404, 410, 500, 501, 502, 503, 504])
        #expect(rule.negativeLifetimes.values.allSatisfy { $0 == 10_000 })
        #expect(
            site.policy.paths == [
                .init(pattern: "/account/*", bypass: true),
                .init(pattern: "*.css", defaultLifetime: 7_200_000, overrideLifetime: 3_600_000),
            ])
        #expect(site.policy.query == QueryRules(parameters: .except(["utm_*", "fbclid"]), sorts: true))
        #expect(rule.setCookie == .strip)
        #expect(rule.cookieRequests == .any)
        #expect(
            rule.unkeyedFields
                == UnkeyedFields(allowing: ["rsc", "x-middleware-*"].compactMap { FieldName($0) }))
        #expect(rule.codings == ["zstd", "gzip"])
        #expect(rule.staleWhileRevalidate == 30_000)
        #expect(rule.staleIfError == 86_400_000)
        #expect(!site.reportsStatus)
        #expect(settings.cache.memoryBytes == 1_073_741_824)
        #expect(settings.cache.disk == .init(path: "/var/cache/l", size: 10_737_418_240))
        #expect(settings.cache.maximumObjectBytes == 134_217_728)
        #expect(settings.admin?.token == "admin.token")
    }

    @Test(
        "What is wrong is named, with its place and a remedy",
        arguments: [
            ("cache: {ttl: 5m}", "", "11:13: error: unknown key \"ttl\" in a site's cache. Write \"default\""),
            ("cache: {memory: 1GiB}", "", "11:13: error: \"memory\" is the edge's: all its sites share the stores"),
            ("cache: {share: 0%}", "", "11:20: error: \"0%\" where a percentage from 1% to 100% is expected"),
            ("cache: {rules: [{path: static/*, lifetime: 1h}]}", "", "11:28: error: \"static/*\" matches no path"),
            ("cache: {rules: [{path: /s}]}", "", "11:21: error: the rule says nothing but a path"),
            (
                "cache: {rules: [{path: /s, bypass: true, lifetime: 1h}]}", "",
                "11:46: error: \"lifetime\" has no meaning where nothing is stored"
            ),
            (
                "cache: {rules: [{path: \"/s?a\", bypass: true}]}", "",
                "11:28: error: a pattern is compared with the path"
            ),
            (
                "cache: {unkeyed-fields: [Accept]}", "",
                "11:30: error: \"accept\" does not keep requests out of the store"
            ),
            ("cache: {set-cookie: keep}", "", "11:25: error: \"keep\" is not known here"),
            ("add-fields: {Content-Length: 5}", "", "11:18: error: the edge sets \"Content-Length\" itself"),
            (
                "cache: {add-fields: {X-Edge: paris}}", "",
                "11:13: error: \"add-fields\" is about every answer of the site, stored or not"
            ),
            ("cache: {query: {ignore: a, only: b}}", "", "11:32: error: \"ignore\" and \"only\" exclude each other"),
            ("cache: {object: 1GiB}", "", "7:5: error: this site's \"object\" is larger than the edge's"),
            ("", "cache: {disk: {path: /c}}", "12:15: error: disk needs the key \"size\""),
            ("", "cache: {object: 1GiB}", "12:17: error: no store has room for an object of this size"),
            (
                "", "cache: {token: x}",
                "12:9: error: unknown key \"token\" in cache. The token belongs to the admin port"
            ),
            ("", "admin: {listen: \"0.0.0.0:9000\"}", "12:17: error: the admin port has no access control"),
            (
                "", "admin: {listen: \"0.0.0.0:9000\", token: t}",
                "12:17: warning: the admin port speaks plain HTTP: its token can be read on the network"
            ),
        ])
    func mistakes(site: String, top: String, complaint: String) {
        let found = complaints(Self.file(site: site, top: top))
        #expect(found.contains { $0.hasPrefix("c.yaml:" + complaint) }, "\(found)")
    }

    @Test("A relay site has no cache")
    func relay() {
        let found = complaints(
            """
            role: edge
            listen: [127.0.0.1:8443]
            sites:
              - domains: [a.test]
                mode: relay
                origin: {address: "127.0.0.1:9443"}
                cache: {share: 10%}
            """)
        #expect(found.first?.contains("7:5: error: a relay site's traffic is unreadable here") == true, "\(found)")
    }
}
