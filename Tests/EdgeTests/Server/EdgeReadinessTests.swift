import EdgeHTTP
import EdgeModel
import TLSWire
import Testing

@testable import Edge
@testable import EdgeTLS

@Suite struct EdgeReadinessTests {
    private let one: ServerNamePattern
    private let two: ServerNamePattern
    private let served = SiteNews.served(ServedDomain(certificate: nil, excluded: [], rate: 1))

    init() throws {
        self.one = try ServerNamePattern("one.test")
        self.two = try ServerNamePattern("two.test")
    }

    @Test("What a new generation hears counts when it has become the current one, and what a former one hears no more")
    func generations() {
        let readiness = EdgeReadiness()
        readiness.becomesCurrent(1)
        readiness.begin(1, expecting: [self.one])
        #expect(readiness.problems == ["one.test": "no lease yet"])
        readiness.heard(self.one, self.served, in: 1)
        #expect(readiness.problems.isEmpty)
        readiness.begin(2, expecting: [self.one, self.two])
        // New domains are not those that would be lost.
        #expect(!readiness.isSettled(2))
        #expect(readiness.awaited(by: 2) == ["one.test"])
        #expect(readiness.problems.isEmpty)
        readiness.heard(self.one, self.served, in: 2)
        #expect(readiness.awaited(by: 2).isEmpty)
        readiness.becomesCurrent(2)
        #expect(readiness.problems == ["two.test": "no lease yet"])
        readiness.heard(self.one, .ended(LeaseEnd(.expired, "old news")), in: 1)
        #expect(readiness.problems == ["two.test": "no lease yet"])
        readiness.heard("home", LeaseEnd(.noGrant, "no grant"), in: 1)
        #expect(readiness.revokedBy.isEmpty)
    }

    @Test("A word from the key holder is no silence")
    func refused() {
        let readiness = EdgeReadiness()
        readiness.becomesCurrent(1)
        readiness.begin(1, expecting: [self.one])
        readiness.heard(self.one, self.served, in: 1)
        readiness.begin(2, expecting: [self.one])
        readiness.heard(self.one, .ended(LeaseEnd(.refused, "withdrawn")), in: 2)
        #expect(readiness.awaited(by: 2).isEmpty)
        // Another address may lease it still, for a while.
        #expect(!readiness.isSettled(2))
        readiness.heard(self.one, self.served, in: 2)
        #expect(readiness.isSettled(2))
        readiness.forget(2)
        #expect(readiness.problems.isEmpty)
    }

    @Test(
        "A site is unwell without a link, without a lease, and when its certificate has expired; relay sites need none of it"
    )
    func sites() throws {
        let readiness = EdgeReadiness()
        let trouble = OriginTrouble(cause: "connect-refused", since: 7, failures: 2)
        let keyless = Site(
            domains: [self.one, self.two],
            mode: .keyless(
                TerminationConfiguration(
                    keyHolder: "home", origin: OriginConfiguration(scheme: .http, host: "127.0.0.1"))))
        let relay = Site(
            domains: [try ServerNamePattern("relay.test")],
            mode: .relay(RelayConfiguration(origin: .fixed(host: "127.0.0.1", port: 9))))
        readiness.begin(
            1, expecting: [self.one], sites: [SiteFacts(keyless, origin: { trouble }), SiteFacts(relay)])
        readiness.becomesCurrent(1)
        func problems(at time: Int64) -> [[String]] { readiness.sites(at: time).map(\.problems) }
        let noLink = "there is no link to the key holder home"
        #expect(problems(at: 0) == [[noLink, "no lease yet"], []])
        readiness.heard(self.one, .pending(problem: "the key holder refused: expired"), in: 1)
        #expect(problems(at: 0) == [[noLink, "no lease yet: the key holder refused: expired"], []])
        #expect(!readiness.isSettled(1))
        readiness.heard("home", isConnected: true, in: 1)
        readiness.heard(
            self.one, .served(ServedDomain(certificate: nil, excluded: [], rate: 1, notAfter: 1000)), in: 1)
        #expect(problems(at: 999) == [[], []])
        #expect(problems(at: 1000) == [["its certificate has expired"], []])
        readiness.heard(self.two, .pending(problem: nil), in: 1)
        #expect(problems(at: 999) == [["two.test: no lease yet"], []])
        readiness.heard(self.two, self.served, in: 1)
        // A lease goes on for a while without a link; handshakes do not.
        readiness.heard("home", isConnected: false, in: 1)
        #expect(problems(at: 999) == [[noLink], []])
        let first = try #require(readiness.sites(at: 0).first)
        #expect(first.mode == "keyless" && first.notAfter == 1000 && first.origin == trouble)
        #expect(first.keyHolder == .init(name: "home", isConnected: false))
    }
}
