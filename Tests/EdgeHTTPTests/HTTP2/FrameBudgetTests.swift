import HTTP2Wire
import NIOCore
import Testing

@testable import EdgeHTTP

@Suite struct FrameBudgetTests {
    private static func at(_ seconds: Double) -> NIODeadline {
        .uptimeNanoseconds(UInt64(1_000_000_000_000 + seconds * 1_000_000_000))
    }

    private func budget(_ limit: Int = 10) -> FrameBudget {
        FrameBudget(limit: limit, window: .seconds(30), now: Self.at(0))
    }

    /// How many frames of a kind the client may still send, each read by itself.
    private static func left(_ budget: FrameBudget, _ kind: FrameKind = .other) -> Int {
        var budget = budget
        var count = 0
        while count < 1_000 {
            budget.received(kind)
            guard budget.settle(unfinished: nil, now: at(0)) else { break }
            count += 1
        }
        return count
    }

    @Test func framesCostWhatRequestsAndReadingEarn() {
        var budget = self.budget()
        #expect(Self.left(budget) == 10)
        #expect(Self.left(budget, .continuation) == 1_000)
        for _ in 0..<10 { budget.received(.other) }
        #expect(Self.left(budget) == 0)
        // A request pays for its HEADERS and eight more.
        budget.received(.other)
        budget.opened()
        #expect(Self.left(budget) == 8)
        for _ in 0..<8 { budget.received(.other) }
        budget.sent(300, isAll: false)
        #expect(Self.left(budget) == 0)
        budget.sent(300, isAll: false)
        #expect(Self.left(budget) == 1)
        budget.sent(1 << 30, isAll: false)
        #expect(Self.left(budget) == 10)
    }

    /// A proxy that acknowledges each frame at once, for the connection and for the stream, and an origin with small news.
    @Test func smallEventsMayBeAcknowledgedOneByOne() {
        var budget = self.budget(1_000)
        for event in 0..<6_000 {
            budget.sent(40, isAll: true)
            budget.received(.other)
            budget.received(.other)
            #expect(budget.settle(unfinished: nil, now: Self.at(Double(event) / 100)) == true)
        }
        // A window that opens byte by byte makes small frames, too: they are the client's doing. There is what was there, and what
        // the time has paid.
        var frames = 0
        while frames < 10_000 {
            budget.sent(1, isAll: false)
            budget.received(.other)
            guard budget.settle(unfinished: nil, now: Self.at(60)) else { break }
            frames += 1
        }
        #expect(frames < 2_100)
    }

    @Test func dataPaysForItselfOnceAFrame() {
        var budget = self.budget()
        for _ in 0..<100 {
            budget.received(.data)
            budget.dataTaken()
            budget.dataTaken()
            budget.dataTaken()
        }
        #expect(Self.left(budget) == 10)
        // Not for frames that came before it and brought nothing.
        for _ in 0..<5 { budget.received(.data) }
        #expect(budget.settle(unfinished: nil, now: Self.at(0)) == true)
        for _ in 0..<5 { budget.dataTaken() }
        #expect(Self.left(budget) == 5)
        // The last one may still come to something.
        for _ in 0..<3 { budget.received(.data) }
        #expect(budget.settle(unfinished: .data, now: Self.at(0)) == true)
        for _ in 0..<5 { budget.dataTaken() }
        #expect(Self.left(budget) == 3)
    }

    @Test func timePaysALittle() {
        var budget = self.budget(30)
        for _ in 0..<35 { budget.received(.other) }
        let early = budget.settle(unfinished: nil, now: Self.at(3))
        #expect(!early)
        var patient = self.budget(30)
        for _ in 0..<35 { patient.received(.other) }
        let late = patient.settle(unfinished: nil, now: Self.at(10))
        #expect(late)
        #expect(Self.left(patient) == 5)
    }

    @Test func placesAreKeptWhileThereIsWorkAndAWhileLonger() {
        var places = OriginPlaces(cooling: .seconds(1))
        #expect(places.taken(now: Self.at(0)) == 0)
        places.reset(now: Self.at(0))
        places.resetAtWork()
        #expect(places.taken(now: Self.at(0.9)) == 2)
        #expect(places.taken(now: Self.at(1)) == 1)
        places.workEnded(now: Self.at(5))
        places.workEnded(now: Self.at(5))
        #expect(places.taken(now: Self.at(5.9)) == 1)
        #expect(places.taken(now: Self.at(6)) == 0)
    }
}
