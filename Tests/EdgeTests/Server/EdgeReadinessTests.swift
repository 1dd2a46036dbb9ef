import TLSWire
import Testing

@testable import Edge

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
}
