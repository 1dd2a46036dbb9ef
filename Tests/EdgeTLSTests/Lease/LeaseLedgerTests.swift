import Testing

@testable import EdgeTLS

/// What key holders say of leases, and what follows for a domain.
@Suite struct LeaseLedgerTests {
    private typealias Ledger = LeaseLedger<String>
    private static let noGrant = LeaseEnd(.noGrant, "no grant")
    private static let refused = LeaseEnd(.refused, "no such site")
    private static let expired = LeaseEnd(.expired, "run out")

    @Test func aDomainIsServedFromTheKeyHoldersAnswerToTheEndOfItsLease() {
        var ledger = Ledger(addresses: 1, domains: 2)
        #expect(ledger.verdict(0, showing: nil) == .pending)
        #expect(ledger.end == nil)
        ledger.renewed(0, for: 100, now: 0)
        #expect(ledger.verdict(0, showing: nil) == .pending)
        ledger.granted(0, by: 0, "chain", now: 10)
        ledger.refused(1, by: 0, Self.refused)
        #expect(ledger.verdict(0, showing: nil) == .served("chain", by: [0]))
        #expect(ledger.verdict(1, showing: nil) == .ended(Self.refused))
        let early = ledger.expire(now: 99, Self.expired)
        #expect(!early)
        let late = ledger.expire(now: 100, Self.expired)
        #expect(late)
        #expect(ledger.verdict(0, showing: nil) == .ended(Self.expired))
        #expect(ledger.end == Self.expired)
    }

    @Test func silenceAndBrokenConnectionsEndNothingBeforeItsTime() {
        var ledger = Ledger(addresses: 1, domains: 1)
        ledger.renewed(0, for: 100, now: 0)
        ledger.granted(0, by: 0, "chain", now: 0)
        ledger.disconnected(0)
        #expect(ledger.connected == [])
        #expect(ledger.verdict(0, showing: nil) == .served("chain", by: [0]))
        #expect(ledger.end == nil)
        _ = ledger.expire(now: 100, Self.expired)
        #expect(ledger.verdict(0, showing: nil) == .ended(Self.expired))
        // A new connection: the domain is asked for again, and until then its clients wait.
        ledger.renewed(0, for: 100, now: 200)
        ledger.granted(0, by: 0, "chain", now: 201)
        #expect(ledger.verdict(0, showing: nil) == .served("chain", by: [0]))
    }

    @Test func aLeaseThatIsRenewedDoesNotCarryADomainThatIsNeverAnsweredFor() {
        var ledger = Ledger(addresses: 1, domains: 1)
        ledger.renewed(0, for: 100, now: 0)
        ledger.granted(0, by: 0, "chain", now: 0)
        ledger.renewed(0, for: 100, now: 60)
        let late = ledger.expire(now: 100, Self.expired)
        #expect(late)
        #expect(ledger.verdict(0, showing: nil) == .ended(Self.expired))
        #expect(ledger.end == nil)
    }

    @Test func noGrantEndsEverythingAtOnce() {
        var ledger = Ledger(addresses: 1, domains: 2)
        ledger.renewed(0, for: 100, now: 0)
        ledger.granted(0, by: 0, "chain", now: 0)
        ledger.ended(0, Self.noGrant)
        #expect(ledger.verdict(0, showing: nil) == .ended(Self.noGrant))
        #expect(ledger.verdict(1, showing: nil) == .ended(Self.noGrant))
        #expect(ledger.end == Self.noGrant)
        // What was granted before means nothing when the lease comes back.
        ledger.renewed(0, for: 100, now: 10)
        #expect(ledger.verdict(0, showing: nil) == .pending)
    }

    @Test func aDomainIsServedWhileOneAddressLeasesIt() {
        var ledger = Ledger(addresses: 3, domains: 1)
        for address in 0..<3 {
            ledger.renewed(address, for: 100, now: 0)
            ledger.granted(0, by: address, "chain", now: 0)
        }
        #expect(ledger.verdict(0, showing: nil) == .served("chain", by: [0, 1, 2]))
        ledger.refused(0, by: 1, Self.refused)
        #expect(ledger.verdict(0, showing: nil) == .served("chain", by: [0, 2]))
        ledger.ended(0, Self.noGrant)
        #expect(ledger.verdict(0, showing: nil) == .served("chain", by: [2]))
        #expect(ledger.end == nil)
        ledger.refused(0, by: 2, Self.refused)
        #expect(ledger.verdict(0, showing: nil) == .ended(LeaseEnd(.noGrant, "no grant; no such site")))
    }

    @Test func anAddressThatWasNeverReachedDelaysNoRefusal() {
        var ledger = Ledger(addresses: 2, domains: 1)
        ledger.ended(0, Self.noGrant)
        #expect(ledger.verdict(0, showing: nil) == .ended(Self.noGrant))
        // One that is being asked does.
        ledger.renewed(1, for: 100, now: 0)
        #expect(ledger.verdict(0, showing: nil) == .pending)
    }

    @Test func aNewCertificateIsShownWhenNoConnectedAddressHasTheOldOne() {
        var ledger = Ledger(addresses: 2, domains: 1)
        for address in 0..<2 {
            ledger.renewed(address, for: 100, now: 0)
            ledger.granted(0, by: address, "old", now: 0)
        }
        ledger.granted(0, by: 0, "new", now: 1)
        #expect(ledger.verdict(0, showing: "old") == .served("old", by: [1]))
        ledger.granted(0, by: 1, "new", now: 2)
        #expect(ledger.verdict(0, showing: "old") == .served("new", by: [0, 1]))
        // The other order, and the second address goes away instead of following.
        ledger.granted(0, by: 0, "newer", now: 3)
        #expect(ledger.verdict(0, showing: "new") == .served("new", by: [1]))
        ledger.disconnected(1)
        #expect(ledger.verdict(0, showing: "new") == .served("newer", by: [0]))
    }

    @Test func theTimeOfTheShortestLeaseCounts() {
        var ledger = Ledger(addresses: 2, domains: 0)
        #expect(ledger.shortestLease == nil)
        ledger.renewed(0, for: 100, now: 0)
        ledger.renewed(1, for: 50, now: 0)
        #expect(ledger.shortestLease == 50)
        ledger.ended(1, Self.noGrant)
        #expect(ledger.shortestLease == 100)
    }
}
