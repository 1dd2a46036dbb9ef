import Testing

@testable import EdgeTLS

@Suite struct TicketKeysTests {
    @Test func theyServeForOneLifetime() {
        var schedule = TicketKeySchedule(lifetime: 100, madeAt: 1000)
        #expect(!schedule.areOver(at: 1000) && !schedule.areOver(at: 1099))
        #expect(schedule.areOver(at: 1100) && schedule.areOver(at: 5000))
        schedule.made(at: 1100)
        #expect(!schedule.areOver(at: 1199) && schedule.areOver(at: 1200))
    }

    @Test func longestLifetime() {
        let schedule = TicketKeySchedule(lifetime: .max, madeAt: 1000)
        #expect(!schedule.areOver(at: .max - 1))
    }

    /// Two generations of an edge see to the same keys.
    @Test func keysAreReplacedOnceWhoeverComes() {
        let keys = TicketKeys(site: "www.test", lifetime: 100, now: 1000)
        #expect(keys.replaceIfOver(at: 1099) == 1100)
        #expect(keys.replaceIfOver(at: 1150) == 1250)
        #expect(keys.replaceIfOver(at: 1151) == 1250)
    }
}
