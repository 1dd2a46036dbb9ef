import NIOCore
import NIOEmbedded
import Testing

@testable import EdgeHTTP

@Suite struct ProxyTimerTests {
    private final class Owner: TimerOwner {
        private let action: () -> Void
        init(_ action: @escaping () -> Void) { self.action = action }
        func timedOut() { self.action() }
    }

    private let loop = EmbeddedEventLoop()

    @Test func laterDeadlinesCostNothingUntilTheEarlierOneHasPassed() {
        var fired = 0
        let timer = ProxyTimer(eventLoop: self.loop, owner: Owner { fired += 1 })
        let start = self.loop.now
        timer.move(to: start + .seconds(60))
        #expect(timer.wakeUp == start + .seconds(60))
        self.loop.advanceTime(by: .seconds(59))
        timer.move(to: start + .seconds(100))
        #expect(timer.wakeUp == start + .seconds(60))
        self.loop.advanceTime(by: .seconds(1))
        #expect(timer.wakeUp == start + .seconds(100))
        self.loop.advanceTime(by: .seconds(39))
        #expect(fired == 0)
        self.loop.advanceTime(by: .seconds(1))
        #expect(fired == 1)
        self.loop.advanceTime(by: .hours(1))
        #expect(fired == 1)
    }

    @Test func nearerDeadlineCounts() {
        var fired = 0
        let timer = ProxyTimer(eventLoop: self.loop, owner: Owner { fired += 1 })
        let start = self.loop.now
        timer.move(to: start + .seconds(60))
        timer.move(to: start + .seconds(2))
        timer.move(to: start + .seconds(3))
        self.loop.advanceTime(by: .seconds(2))
        #expect(fired == 0)
        self.loop.advanceTime(by: .seconds(1))
        #expect(fired == 1)
        // The first task comes to nothing, and a further deadline works.
        timer.move(to: start + .seconds(90))
        self.loop.advanceTime(by: .seconds(57))
        #expect(fired == 1)
        self.loop.advanceTime(by: .seconds(30))
        #expect(fired == 2)
    }

    /// An owner holds its timer, and the timer holds it: until its end.
    @Test func theOwnerIsLetGoOfAtItsEnd() {
        weak var first: Owner?
        weak var second: Owner?
        let timer = ProxyTimer(eventLoop: self.loop)
        do {
            let (one, two) = (Owner {}, Owner {})
            (first, second) = (one, two)
            timer.start(one)
            timer.move(to: self.loop.now + .seconds(1))
            timer.rest()
            timer.start(two)
            timer.move(to: self.loop.now + .seconds(1))
        }
        #expect(first == nil && second != nil)
        timer.cancel()
        #expect(second == nil)
    }

    @Test func cancelledTimerStaysQuiet() {
        var fired = 0
        let timer = ProxyTimer(eventLoop: self.loop, owner: Owner { fired += 1 })
        timer.move(to: self.loop.now + .seconds(1))
        timer.cancel()
        timer.move(to: self.loop.now + .milliseconds(1))
        self.loop.advanceTime(by: .seconds(2))
        #expect(fired == 0)
    }

    /// One request after the other takes the same timer, and only the first has to schedule a task.
    @Test func aTimerServesOneAfterAnother() {
        var fired: [Int] = []
        let timer = ProxyTimer(eventLoop: self.loop)
        let start = self.loop.now
        for number in 1...3 {
            timer.start(Owner { fired.append(number) })
            timer.move(to: self.loop.now + .seconds(10))
            #expect(timer.wakeUp == start + .seconds(10))
            self.loop.advanceTime(by: .seconds(1))
            if number < 3 { timer.rest() }
        }
        self.loop.advanceTime(by: .seconds(8))
        #expect(fired == [])
        self.loop.advanceTime(by: .seconds(1))
        #expect(fired == [3])
        // At rest it does nothing, and can be started again.
        timer.start(Owner { fired.append(4) })
        timer.move(to: self.loop.now + .seconds(1))
        timer.rest()
        self.loop.advanceTime(by: .seconds(2))
        #expect(fired == [3] && timer.wakeUp == .distantFuture)
        timer.start(Owner { fired.append(5) })
        timer.move(to: self.loop.now + .seconds(1))
        self.loop.advanceTime(by: .seconds(1))
        #expect(fired == [3, 5])
    }
}
