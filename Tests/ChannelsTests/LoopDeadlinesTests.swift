import Channels
import NIOCore
import NIOEmbedded
import Testing

@Suite struct LoopDeadlinesTests {
    private let loop = EmbeddedEventLoop()

    @Test func eachComesOnceAtItsTime() {
        let deadlines = LoopDeadlines(eventLoop: self.loop)
        var come: [Int] = []
        for number in 0..<3 {
            _ = deadlines.set(in: .seconds(10)) { come.append(number) }
            self.loop.advanceTime(by: .seconds(2))
        }
        _ = deadlines.set(in: .seconds(1)) { come.append(9) }
        self.loop.advanceTime(by: .seconds(1))
        #expect(come == [9])
        self.loop.advanceTime(by: .seconds(3))
        #expect(come == [9, 0])
        self.loop.advanceTime(by: .seconds(60))
        #expect(come == [9, 0, 1, 2])
    }

    @Test func whatIsCancelledDoesNotCome() {
        let deadlines = LoopDeadlines(eventLoop: self.loop)
        var come: [Int] = []
        let set = (0..<5).map { number in deadlines.set(in: .seconds(10)) { come.append(number) } }
        for number in [1, 0, 4, 1] { set[number].cancel() }
        self.loop.advanceTime(by: .seconds(10))
        #expect(come == [2, 3])
        // They have come: nothing of a later one is cancelled with them.
        _ = deadlines.set(in: .seconds(10)) { come.append(5) }
        for deadline in set { deadline.cancel() }
        self.loop.advanceTime(by: .seconds(10))
        #expect(come == [2, 3, 5])
    }

    @Test func whatIsCancelledIsHeldNoMore() {
        final class Owner {}
        let deadlines = LoopDeadlines(eventLoop: self.loop)
        weak var owner: Owner?
        // One before it stays, so that its place in the line does, too.
        _ = deadlines.set(in: .seconds(10)) {}
        let deadline: LoopDeadlines.Deadline
        do {
            let held = Owner()
            owner = held
            deadline = deadlines.set(in: .seconds(10)) { withExtendedLifetime(held) {} }
        }
        #expect(owner != nil)
        deadline.cancel()
        #expect(owner == nil)
    }

    @Test func theyMayBeSetAndCancelledWhileTheyCome() {
        let deadlines = LoopDeadlines(eventLoop: self.loop)
        var come: [Int] = []
        var second: LoopDeadlines.Deadline?
        _ = deadlines.set(in: .seconds(1)) {
            come.append(1)
            second?.cancel()
            _ = deadlines.set(in: .seconds(1)) { come.append(3) }
        }
        second = deadlines.set(in: .seconds(1)) { come.append(2) }
        self.loop.advanceTime(by: .seconds(1))
        #expect(come == [1])
        self.loop.advanceTime(by: .seconds(1))
        #expect(come == [1, 3])
    }

    @Test func whatIsSetWhileOneComesDelaysNoneThatIsDueBefore() {
        let deadlines = LoopDeadlines(eventLoop: self.loop)
        var come: [Int] = []
        _ = deadlines.set(in: .seconds(4)) {
            come.append(1)
            _ = deadlines.set(in: .seconds(4)) { come.append(3) }
        }
        self.loop.advanceTime(by: .seconds(2))
        _ = deadlines.set(in: .seconds(4)) { come.append(2) }
        self.loop.advanceTime(by: .seconds(2))
        #expect(come == [1])
        self.loop.advanceTime(by: .seconds(2))
        #expect(come == [1, 2])
        self.loop.advanceTime(by: .seconds(2))
        #expect(come == [1, 2, 3])
    }
}
