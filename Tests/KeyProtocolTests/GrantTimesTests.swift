import KeyProtocol
import Testing

@Suite("When a grant counts")
struct GrantTimesTests {
    /// Milliseconds since 1970 of an hour of a day; day 0 is Thursday, 1 January 1970.
    private static func time(_ day: Int64, _ hour: Int64, _ minute: Int64 = 0) -> Int64 {
        ((day * 24 + hour) * 60 + minute) * 60_000
    }

    @Test("To its end, and not at it")
    func until() {
        let times = GrantTimes(until: 1000)
        #expect(times.counts(at: 999))
        #expect(!times.counts(at: 1000))
        #expect(GrantTimes.always.counts(at: .max))
        #expect(GrantTimes.always.counts(at: -1))
    }

    @Test("Within its hours")
    func hours() {
        let times = GrantTimes(hours: .init(from: 8 * 60, to: 18 * 60))
        #expect(!times.counts(at: Self.time(20_000, 7, 59)))
        #expect(times.counts(at: Self.time(20_000, 8)))
        #expect(times.counts(at: Self.time(20_000, 17, 59)))
        #expect(!times.counts(at: Self.time(20_000, 18)))
        #expect(GrantTimes(hours: .init(from: 0, to: 1440)).counts(at: Self.time(20_000, 23, 59)))
        #expect(times.counts(at: Self.time(-1, 8)))
    }

    @Test("On its days")
    func days() {
        let times = GrantTimes(days: [.thursday, .sunday])
        #expect((0..<7).map { times.counts(at: Self.time($0, 12)) } == [true, false, false, true, false, false, false])
        #expect(times.counts(at: Self.time(-7, 0)))
        #expect(!times.counts(at: Self.time(-1, 23, 59)))
    }

    @Test("Hours that pass midnight belong to the day on which they begin")
    func night() {
        let times = GrantTimes(hours: .init(from: 22 * 60, to: 6 * 60), days: [.thursday])
        #expect(!times.counts(at: Self.time(0, 5)))
        #expect(!times.counts(at: Self.time(0, 21, 59)))
        #expect(times.counts(at: Self.time(0, 22)))
        #expect(times.counts(at: Self.time(1, 5, 59)))
        #expect(!times.counts(at: Self.time(1, 6)))
        #expect(!times.counts(at: Self.time(1, 22)))
    }
}
