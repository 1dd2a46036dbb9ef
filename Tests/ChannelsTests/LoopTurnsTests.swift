import NIOCore
import NIOEmbedded
import Testing

@testable import Channels

@Suite struct LoopTurnsTests {
    private final class Log {
        var lines: [String] = []
    }

    @Test func workThatGoesOnWaitsForTheOthersAndForTheLoop() {
        let loop = EmbeddedEventLoop()
        let turns = LoopTurns(eventLoop: loop)
        let log = Log()
        func work(_ name: String, _ left: Int) {
            turns.later {
                log.lines.append(name)
                if left > 1 { work(name, left - 1) }
            }
        }
        work("a", 3)
        work("b", 2)
        loop.run()
        #expect(log.lines.isEmpty)
        loop.advanceTime(by: .microseconds(50))
        #expect(log.lines == ["a", "b"])
        // Tasks that are due now come before it.
        loop.assumeIsolated().execute { log.lines.append("other") }
        loop.run()
        loop.advanceTime(by: .microseconds(50))
        #expect(log.lines == ["a", "b", "other", "a", "b"])
        loop.advanceTime(by: .microseconds(50))
        #expect(log.lines.last == "a" && log.lines.count == 6)
        loop.advanceTime(by: .milliseconds(50))
        #expect(log.lines.count == 6)
    }
}
