import HTTPCaching
import Testing

@Suite("Path rules hold for what the origin may take the path for")
struct PathFormsTests {
    private static let policy = CachePolicy(paths: [
        .init(pattern: "/account/open/*", bypass: false),
        .init(pattern: "/account/*", bypass: true),
        .init(pattern: "/Mixed/*", bypass: true),
        .init(pattern: "/caf%C3%A9/*", bypass: true),
        .init(pattern: "/static/*", overrideLifetime: 1000),
        .init(pattern: "/Static2/*", defaultLifetime: 2000),
    ])

    private func rule(_ target: String) -> CacheRule { Self.policy.rule(for: key(target)).rule }

    @Test(
        "A bypass rule matches in every disguise",
        arguments: [
            "/account/me", "/%61ccount/me", "/%2561ccount/me", "/account%2Fme", "/account%5cme", "//account/me",
            "/x/../account/me", "/x/%2e%2e/account/me", "/./account/me", "/x//..//../account/me", "/Account/me",
            "/ACCOUNT/me?x=1", "/account;v=1/me", "/x;/../account/me", "/x/..;/account/me", "\\account\\me",
            "/%2Faccount/me", "//account/%2e%2e/x", "/account/../x", "/mixed/me", "/Mixed/me", "/account/open/../me",
            "/account/open/%2e%2e/me",
            "/caf%C3%A9/me", "/%63af%c3%a9/me", "/CAF%C3%A9/me", "//caf%C3%A9/me",
        ])
    func disguises(target: String) {
        #expect(self.rule(target).bypass)
    }

    @Test(
        "Other paths are left alone",
        arguments: ["/", "/accounts/me", "/x/account/me", "/a.b/c%20d", "/account", "/.x/y"])
    func others(target: String) {
        #expect(!self.rule(target).bypass)
    }

    @Test("An exception from a bypass rule holds only if every form has it")
    func exceptions() {
        #expect(!self.rule("/account/open/list").bypass)
        #expect(!self.rule("/account/open/a%20b").bypass)
        #expect(self.rule("/account/open/../me").bypass)
    }

    @Test("A longer lifetime is given only if every form has it")
    func lifetimes() {
        #expect(self.rule("/static/a.css").overrideLifetime == 1000)
        #expect(self.rule("/static/%41.css").overrideLifetime == 1000)
        #expect(self.rule("/Static2/a").defaultLifetime == 2000)
        for target in ["/static/../me", "/static/%2e%2e/me", "/static/..%2fme", "/Static/a.css", "/x/../static/a.css"] {
            #expect(self.rule(target).overrideLifetime == nil, "\(target)")
        }
        #expect(self.rule("/static2/a").defaultLifetime == nil)
    }

    @Test(
        "What programs take for the end of a path hides nothing",
        arguments: [
            "/account/me%00.css", "/account/me%0A.css", "/account/me%0d.css", "/account/me%09.css",
            "/account/me%3F.css", "/account/me%23.css", "/account/me%253f.css", "/account/me;x%00.css",
        ])
    func ends(target: String) {
        let policy = CachePolicy(paths: [.init(pattern: "*.css", overrideLifetime: 1000)])
        #expect(policy.rule(for: key(target)).rule.overrideLifetime == nil)
        #expect(policy.rule(for: key("/account/a%20b.css")).rule.overrideLifetime == 1000)
    }

    @Test(
        "Dots and spaces behind a segment are no disguise",
        arguments: [
            "/account./me", "/account%20/me", "/account.%20./me", "/x/.../../../account./me", "/admin.", "/admin%20",
        ])
    func dots(target: String) {
        let policy = CachePolicy(paths: [
            .init(pattern: "/account/*", bypass: true), .init(pattern: "/admin", bypass: true),
        ])
        #expect(policy.rule(for: key(target)).rule.bypass)
        #expect(!policy.rule(for: key("/.../x")).rule.bypass && !policy.rule(for: key("/a.b/c.d")).rule.bypass)
    }

    @Test("A path is looked into up to a length, and as long as its forms are few")
    func work() {
        let policy = CachePolicy(paths: [.init(pattern: "/never/*", bypass: true)])
        func isUnknown(_ target: String) -> Bool { policy.rule(for: key(target)).rule.bypass }
        #expect(!isUnknown("/A" + String(repeating: "a", count: 510)))
        #expect(isUnknown("/A" + String(repeating: "a", count: 511)))
        #expect(!isUnknown("/a%41;x//y"))
        #expect(isUnknown("/A" + String(repeating: "a", count: 100) + ";x//y\\z%41"))
    }

    @Test("What is too long or has too many forms is taken for any path")
    func bounds() {
        let long = "/%41" + String(repeating: "a", count: 4096)
        #expect(self.rule(long).bypass)
        #expect(self.rule("/static/%41" + String(repeating: "a", count: 4096)).overrideLifetime == nil)
        #expect(!self.rule("/" + String(repeating: "a", count: 4096)).bypass)
        let many = "/" + String(repeating: "%252525252525251;A/..//.\\", count: 20)
        #expect(self.rule(many).bypass)
    }
}
