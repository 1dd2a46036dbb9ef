import NIOCore
import Testing

@testable import StreamWire

/// Peers that break the rules: the link is over, and what is held for them is bounded.
@Suite struct StreamViolationTests {
    private func violation(
        _ role: StreamMachine.Role, limits: StreamMachine.Limits = StreamMachine.Limits(),
        prepare: (inout StreamMachine) -> Void = { _ in }, _ frames: [StreamFrame]
    ) -> StreamLinkError? {
        var machine = StreamMachine(role: role, limits: limits)
        prepare(&machine)
        do throws(StreamLinkError) {
            for frame in frames { _ = try machine.receive(frame) }
            return nil
        } catch {
            return error
        }
    }

    private func opening(_ id: StreamFrame.ID) -> StreamFrame {
        .open(id, window: 1000, introduction: ByteBuffer())
    }

    @Test func anEdgeThatBreaksTheRulesIsCutOff() {
        #expect(self.violation(.accepter, [self.opening(2)]) == .badOpen(2))
        #expect(self.violation(.accepter, [self.opening(1), self.opening(1)]) == .badOpen(1))
        #expect(
            self.violation(.accepter, [self.opening(1), .reset(1, .broken), self.opening(1)]) == .badOpen(1),
            "a number is used once")
        #expect(self.violation(.accepter, [.data(1, text("x"))]) == .unexpected(1))
        #expect(self.violation(.accepter, [.window(1, 1)]) == .unexpected(1))
        #expect(self.violation(.accepter, [.close(1)]) == .unexpected(1))
        #expect(self.violation(.accepter, [self.opening(1), .accept(1, window: 1)]) == .unexpected(1))
        #expect(self.violation(.accepter, [.drain]) == .badStream(0))
        #expect(self.violation(.accepter, [self.opening(1), .end(1), .end(1)]) == .unexpected(1))
        #expect(self.violation(.accepter, [self.opening(1), .end(1), .data(1, text("x"))]) == .unexpected(1))
        let big = ByteBuffer(repeating: 0, count: 4097)
        #expect(self.violation(.accepter, [self.opening(1), .data(1, big)]) == .overWindow(1))
        #expect(
            self.violation(.accepter, [self.opening(1), .window(1, .max)]) == .windowOverflow(1))
        #expect(
            self.violation(.accepter, [.open(1, window: .max, introduction: ByteBuffer())]) == .windowOverflow(1))
    }

    @Test func aKeyHolderThatBreaksTheRulesIsCutOff() {
        let open: (inout StreamMachine) -> Void = { _ = $0.open(introduction: ByteBuffer()) }
        #expect(self.violation(.opener, [self.opening(1)]) == .badOpen(1))
        #expect(self.violation(.opener, prepare: open, [.data(1, text("x"))]) == .unexpected(1))
        #expect(self.violation(.opener, prepare: open, [.end(1)]) == .unexpected(1))
        #expect(self.violation(.opener, [.accept(1, window: 1)]) == .unexpected(1))
        #expect(
            self.violation(.opener, prepare: open, [.accept(1, window: 1), .accept(1, window: 1)]) == .unexpected(1))
        let part = ByteBuffer(repeating: 0, count: 16_384)
        #expect(
            self.violation(
                .opener, prepare: open,
                [.accept(1, window: 0)] + Array(repeating: .data(1, part), count: 5)) == .overWindow(1))
        #expect(
            self.violation(.opener, prepare: open, [.reset(1, .busy), .data(1, text("x"))]) == .unexpected(1),
            "it has said its last")
    }

    @Test func aStreamThatThisEndClosedTakesItsWindowAndNoMore() {
        let close: (inout StreamMachine) -> Void = {
            if let id = $0.open(introduction: ByteBuffer()) { $0.close(id) }
        }
        let part = ByteBuffer(repeating: 0, count: 16_384)
        #expect(
            self.violation(
                .opener, prepare: close, [.accept(1, window: 0)] + Array(repeating: .data(1, part), count: 4)) == nil)
        #expect(
            self.violation(
                .opener, prepare: close, [.accept(1, window: 0)] + Array(repeating: .data(1, part), count: 5))
                == .overWindow(1))
    }

    @Test func anEdgeThatOpensWithoutEndIsCutOff() {
        var limits = StreamMachine.Limits()
        limits.streams = 8
        #expect(self.violation(.accepter, limits: limits, (1...8).map { self.opening($0) }) == nil)
        #expect(self.violation(.accepter, limits: limits, (1...9).map { self.opening($0) }) == .tooManyStreams)
    }

    @Test func refusedStreamsThatThePeerNeverEndsCountAmongTheOthers() {
        var limits = StreamMachine.Limits()
        limits.streams = 8
        var machine = StreamMachine(role: .accepter, limits: limits)
        var failure: StreamLinkError?
        do throws(StreamLinkError) {
            for id in StreamFrame.ID(1)...9 {
                _ = try machine.receive(self.opening(id))
                machine.reset(id, .busy)
            }
        } catch { failure = error }
        #expect(failure == .tooManyStreams)
    }

    @Test func anEdgeThatOpensAndBreaksOffAndNeverReadsIsCutOff() {
        var limits = StreamMachine.Limits()
        limits.control = 100
        let frames = (1...102).flatMap { id -> [StreamFrame] in
            [self.opening(StreamFrame.ID(id)), .reset(StreamFrame.ID(id), .broken)]
        }
        #expect(self.violation(.accepter, limits: limits, frames) == .notReading)
    }
}
