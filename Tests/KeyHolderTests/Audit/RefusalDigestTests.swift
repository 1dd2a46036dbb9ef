import Testing

@testable import KeyHolder

@Suite("Refusals in the audit log")
struct RefusalDigestTests {
    static func record(
        _ operation: String = "sign-tls13", _ outcome: AuditOutcome = .denied, edge: String? = "paris",
        site: String? = "a.test",
        time: Int64 = 5000
    ) -> AuditRecord {
        AuditRecord(time: time, edge: edge, site: site, operation: operation, outcome: outcome, duration: 3)
    }

    /// How many of `count` refusals, all at the time 0, have lines of their own.
    static func own(_ count: Int, in digest: inout RefusalDigest, _ record: (Int) -> AuditRecord) -> Int {
        var own: Int = 0
        for index in 0..<count where digest.note(record(index), now: 0) { own += 1 }
        return own
    }

    @Test("Repeats become one line with a count")
    func repeats() {
        var digest = RefusalDigest()
        let own: Int = Self.own(1000, in: &digest) { Self.record(time: 5000 + Int64($0)) }
        #expect(own == RefusalDigest.linesPerKind)
        #expect(digest.collect(now: RefusalDigest.interval - 1, time: 9).isEmpty)
        let lines: [AuditRecord] = digest.collect(now: RefusalDigest.interval, time: 9)
        #expect(lines.map(\.repeats) == [.init(count: 1000 - own, since: 5000 + Int64(own))])
        #expect(lines.map(\.operation) == ["sign-tls13"])
        #expect(lines.map(\.edge) == ["paris"])
        #expect(lines.map(\.site) == ["a.test"])
        #expect(lines.map(\.outcome) == [.denied])
        // Counted once.
        #expect(digest.collect(now: 2 * RefusalDigest.interval, time: 9, all: true).isEmpty)
    }

    @Test("Few refusals leave no count, and the end of the log is the end of intervals")
    func end() {
        var digest = RefusalDigest()
        _ = Self.own(3, in: &digest) { _ in Self.record() }
        #expect(digest.collect(now: 0, time: 9, all: true).isEmpty)
        _ = Self.own(30, in: &digest) { _ in Self.record() }
        #expect(digest.collect(now: 1, time: 9, all: true).map { $0.repeats?.count } == [20])
    }

    @Test("An edge's lines are bounded whatever kinds its refusals are of, and none is lost from the counts")
    func kinds() {
        var digest = RefusalDigest()
        let own: Int = Self.own(10_000, in: &digest) { Self.record(site: "\($0 % 500).test") }
        #expect(own == 10 * RefusalDigest.linesPerEdge)
        let lines: [AuditRecord] = digest.collect(now: RefusalDigest.interval, time: 9)
        #expect(lines.count <= RefusalDigest.kindsPerEdge + 1)
        #expect(lines.compactMap(\.repeats?.count).reduce(0, +) == 10_000 - own)
        #expect(lines.contains { $0.operation == "several" })
    }

    @Test("Another edge's refusals have lines of their own")
    func edges() {
        var digest = RefusalDigest()
        _ = Self.own(10_000, in: &digest) { _ in Self.record() }
        let own: Int = Self.own(3, in: &digest) { _ in Self.record(edge: "rome") }
        #expect(own == 3)
    }

    @Test("All edges' lines together are bounded, too, and none is lost from the counts")
    func total() {
        var digest = RefusalDigest()
        var own: Int = 0
        for edge in 0..<1000 {
            own += Self.own(100, in: &digest) { Self.record(edge: "edge-\(edge)", site: "\($0 % 50).test") }
        }
        #expect(own == 10 * RefusalDigest.linesOfEdges)
        let lines: [AuditRecord] = digest.collect(now: RefusalDigest.interval, time: 9)
        #expect(lines.count <= 1000)
        #expect(lines.compactMap(\.repeats?.count).reduce(0, +) == 100_000 - own)
        // Strangers do not use it up for edges, nor edges for them.
        #expect(Self.own(3, in: &digest) { _ in Self.record(edge: nil) } == 3)
    }

    @Test("A line that stands for several says so")
    func format() {
        var record: AuditRecord = Self.record()
        record.repeats = .init(count: 42, since: 0)
        #expect(
            AuditTests.line(record)
                == #"{"time":"1970-01-01T00:00:05.000Z","edge":"paris","site":"a.test","client":null,"operation":"sign-tls13","outcome":"denied","count":42,"since":"1970-01-01T00:00:00.000Z","us":3}"#
                + "\n")
    }
}
