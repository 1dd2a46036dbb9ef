import CacheStorage
import EdgeHTTP
import EdgeModel
import FleetBus
import HTTPCaching
import HTTPFields
import NIOCore
import TLSWire
import Testing

@testable import Edge

@Suite("A fleet's purges meet what this edge stores")
struct FleetCacheTests {
    private let store = ResponseStore()
    private let cache: FleetCache

    init() throws {
        let administration = CacheAdministration()
        func site(_ domains: String...) throws -> Site {
            Site(
                domains: try domains.map { try ServerNamePattern($0) },
                mode: .keyless(
                    TerminationConfiguration(
                        keyHolder: "home", origin: OriginConfiguration(scheme: .http, host: "127.0.0.1", port: 1),
                        cache: SiteCacheConfiguration())))
        }
        administration.opened(self.store, for: [try site("www.test", "www2.test"), try site("*.shop.test")])
        self.cache = FleetCache(store: self.store, administration: administration)
    }

    private func fill(_ host: String, _ path: String, site: String, tags: [String] = []) {
        let key = CacheKey(site: site, scheme: "https", authority: host, target: path)
        let now = self.cache.administration.now
        guard case .lead(let writer) = self.store.flight(for: key, now: now) else { return }
        guard var head = try? EncodedHead(status: 200, reason: "OK".utf8) else { return }
        try? head.add(name: "ETag".utf8, value: "\"1\"".utf8)
        writer.begin(
            StoredResponse(
                head: head, requestTime: now, responseTime: now, variant: .invariant, extent: .complete(length: 1),
                freshness: Freshness(initialAge: 0, lifetime: 3_600_000, source: .maxAge), tags: tags))
        _ = writer.append(ByteBuffer(string: "x"))
        writer.finish()
    }

    private func holds(_ host: String, _ path: String, site: String) -> Bool {
        !self.store.lookup(CacheKey(site: site, scheme: "https", authority: host, target: path)).isEmpty
    }

    private func purge(_ targets: FleetPurge.Target..., soft: Bool = false) async throws -> [Bool] {
        try await self.cache.carryOut([FleetPurge(targets: targets, isSoft: soft)])
    }

    @Test("URLs, prefixes, hosts, tags and everything, as the edge's own purges mean them")
    func kinds() async throws {
        func fillAll() {
            self.fill("www.test", "/a", site: "www.test", tags: ["t"])
            self.fill("www.test", "/a/b", site: "www.test")
            self.fill("www2.test", "/a", site: "www.test")
            self.fill("x.shop.test", "/a", site: "*.shop.test", tags: ["t"])
        }
        let cases: [(FleetPurge.Target, [Bool])] = [
            (.url("https://WWW.test:443/a"), [false, true, true, true]),
            (.prefix("https://www.test/a/"), [true, false, true, true]),
            (.host("www.test"), [false, false, true, true]),
            (.tag("t"), [false, true, true, false]), (.everything, [false, false, false, false]),
        ]
        for (target, remains) in cases {
            fillAll()
            #expect(try await self.purge(target) == [true])
            #expect(
                [
                    self.holds("www.test", "/a", site: "www.test"), self.holds("www.test", "/a/b", site: "www.test"),
                    self.holds("www2.test", "/a", site: "www.test"),
                    self.holds("x.shop.test", "/a", site: "*.shop.test"),
                ] == remains, "\(target)")
        }
        fillAll()
        #expect(try await self.purge(.url("https://www.test/a"), soft: true) == [true])
        let key = CacheKey(site: "www.test", scheme: "https", authority: "www.test", target: "/a")
        #expect(self.store.lookup(key).first?.response.freshness.flags.contains(.softlyPurged) == true)
    }

    @Test("What a site had that this edge has no more is removed by its host; what is no URL is refused")
    func unknownHosts() async throws {
        self.fill("old.test", "/a", site: "old.test")
        self.fill("old.test:8443", "/a", site: "old.test")
        #expect(try await self.purge(.url("https://OLD.test:443/a")) == [true])
        #expect(!self.holds("old.test", "/a", site: "old.test"))
        #expect(self.holds("old.test:8443", "/a", site: "old.test"))
        #expect(try await self.purge(.host("old.test:8443")) == [true])
        #expect(!self.holds("old.test:8443", "/a", site: "old.test"))
        for target in [FleetPurge.Target.url("no url"), .host("a/b"), .tag("a b,c"), .prefix("http://www.test/")] {
            #expect(try await self.purge(target) == [false], "\(target)")
        }
        // The rest of such an order is done.
        self.fill("www.test", "/a", site: "www.test")
        #expect(try await self.purge(.tag(" "), .url("https://www.test/a")) == [false])
        #expect(!self.holds("www.test", "/a", site: "www.test"))
    }

    @Test(
        "What a signer may purge is its hosts, whatever the port, and what bears its tags: not all of the sites they are of"
    )
    func rights() async throws {
        func fillAll() {
            self.fill("www.test", "/a", site: "www.test", tags: ["product-1", "x"])
            self.fill("www.test:8443", "/a", site: "www.test")
            self.fill("x.shop.test", "/a", site: "*.shop.test", tags: ["product"])
            self.fill("y.shop.test", "/a", site: "*.shop.test", tags: ["y"])
        }
        let cases: [([String], [String], [Bool])] = [
            (["www.test"], [], [false, false, true, true]), (["*.test"], [], [false, false, true, true]),
            (["x.shop.test"], [], [true, true, false, true]), (["*.shop.test"], [], [true, true, false, false]),
            (["shop.test", "else.test"], [], [true, true, true, true]),
            ([], ["product-*"], [false, true, true, true]), ([], ["product*"], [false, true, false, true]),
            ([], ["product"], [true, true, false, true]), (["www.test"], ["y"], [false, false, true, false]),
            ([], ["*"], [false, true, false, false]),
        ]
        for (hosts, tags, remains) in cases {
            fillAll()
            try await self.cache.remove(.some(hosts: hosts, tags: tags))
            #expect(
                [
                    self.holds("www.test", "/a", site: "www.test"), self.holds("www.test:8443", "/a", site: "www.test"),
                    self.holds("x.shop.test", "/a", site: "*.shop.test"),
                    self.holds("y.shop.test", "/a", site: "*.shop.test"),
                ] == remains, "\(hosts) \(tags)")
        }
        fillAll()
        try await self.cache.confirm(.some(hosts: ["x.shop.test"], tags: []))
        func flags(_ host: String) -> Freshness.Flags? {
            self.store.lookup(CacheKey(site: "*.shop.test", scheme: "https", authority: host, target: "/a")).first?
                .response
                .freshness.flags
        }
        #expect(flags("x.shop.test")?.contains(.invalidated) == true)
        #expect(flags("y.shop.test")?.contains(.invalidated) == false)
    }

    @Test("However many hosts an order names, soft or hard, each is met")
    func manyHosts() async throws {
        for number in 0..<50 { self.fill("h\(number).shop.test", "/a", site: "*.shop.test") }
        let hard = FleetPurge(targets: (0..<40).map { .host("h\($0).shop.test") }, isSoft: false)
        let soft = FleetPurge(targets: (40..<45).map { .host("h\($0).shop.test") }, isSoft: true)
        #expect(try await self.cache.carryOut([hard, soft]) == [true, true])
        for number in 0..<50 {
            let key = CacheKey(site: "*.shop.test", scheme: "https", authority: "h\(number).shop.test", target: "/a")
            let found = self.store.lookup(key).first
            #expect((found == nil) == (number < 40))
            #expect(found?.response.freshness.flags.contains(.softlyPurged) ?? false == (40..<45).contains(number))
        }
    }

    @Test("Doubt keeps what is stored, and has it confirmed")
    func doubt() async throws {
        #expect(self.cache.isEmpty)
        self.fill("www.test", "/a", site: "www.test")
        #expect(!self.cache.isEmpty)
        try await self.cache.confirm(.everything)
        let key = CacheKey(site: "www.test", scheme: "https", authority: "www.test", target: "/a")
        #expect(self.store.lookup(key).first?.response.freshness.flags.contains(.invalidated) == true)
        try await self.cache.remove(.everything)
        #expect(self.cache.isEmpty)
    }
}
