import NIOCore
import Testing

@testable import StreamWire

@Suite struct StreamMachineTests {
    private func text(_ text: String) -> ByteBuffer { ByteBuffer(string: text) }

    @Test func aStreamIsOpenedWithItsFirstBytesAndEndsByHalves() throws {
        var pair = MachinePair()
        let id = try pair.openByEdge()
        pair.edge.machine.send(self.text("hello"), on: id)
        try pair.exchange()
        let events0 = pair.holder.takeEvents()
        #expect(
            events0 == [
                .opened(id, introduction: self.text("client")), .data(id, self.text("hello")),
            ])
        pair.holder.machine.accept(id)
        pair.holder.machine.send(self.text("yes"), on: id)
        pair.holder.machine.end(id)
        try pair.exchange()
        let events1 = pair.edge.takeEvents()
        #expect(events1 == [.accepted(id), .data(id, self.text("yes")), .ended(id)])
        pair.edge.machine.send(self.text("more"), on: id)
        pair.edge.machine.end(id)
        try pair.exchange()
        let events2 = pair.holder.takeEvents()
        #expect(events2 == [.data(id, self.text("more")), .ended(id)])
        #expect(pair.edge.machine.streamCount == 0 && pair.holder.machine.streamCount == 0)
        #expect(pair.edge.left[id] == 9)
    }

    @Test func aCloseEndsBothWaysBehindWhatWasSent() throws {
        var pair = MachinePair()
        let id = try pair.open()
        pair.holder.machine.send(self.text("last words"), on: id)
        pair.holder.write()
        pair.holder.machine.close(id)
        pair.edge.machine.send(self.text("not read any more"), on: id)
        try pair.exchange()
        let events3 = pair.edge.takeEvents()
        #expect(events3 == [.data(id, self.text("last words")), .closed(id)])
        try pair.exchange()
        let events4 = pair.holder.takeEvents()
        #expect(events4 == [])
        #expect(pair.edge.machine.streamCount == 0 && pair.holder.machine.streamCount == 0)
    }

    @Test func aCloseComesBehindWhatWaitsToBeSent() throws {
        var pair = MachinePair()
        let id = try pair.open()
        pair.edge.machine.send(self.text("last words"), on: id)
        pair.edge.machine.close(id)
        try pair.exchange()
        let news = pair.holder.takeEvents()
        #expect(news == [.data(id, self.text("last words")), .closed(id)])
        try pair.exchange()
        #expect(pair.edge.machine.streamCount == 0 && pair.holder.machine.streamCount == 0)
    }

    @Test func aCloseOverMoreThanThePeerTakesIsABreak() throws {
        var pair = MachinePair()
        let id = try pair.open()
        pair.edge.machine.send(ByteBuffer(repeating: 1, count: 100_000), on: id)
        pair.edge.machine.close(id)
        try pair.exchange()
        let events5 = pair.holder.takeEvents()
        #expect(events5 == [.reset(id, .broken)])
    }

    @Test func aResetIsPassedOnAndDropsWhatWaits() throws {
        for fromEdge in [true, false] {
            var pair = MachinePair()
            let id = try pair.open()
            if fromEdge {
                pair.holder.machine.send(self.text("lost"), on: id)
                pair.edge.machine.reset(id, .broken)
            } else {
                pair.edge.machine.send(self.text("lost"), on: id)
                pair.holder.machine.reset(id, .withdrawn)
            }
            try pair.exchange()
            try pair.exchange()
            if fromEdge {
                let events6 = pair.holder.takeEvents()
                #expect(events6 == [.reset(id, .broken)])
                let events7 = pair.edge.takeEvents()
                #expect(events7 == [])
            } else {
                let events8 = pair.edge.takeEvents()
                #expect(events8 == [.reset(id, .withdrawn)])
            }
            #expect(pair.edge.machine.streamCount == 0 && pair.holder.machine.streamCount == 0)
        }
    }

    @Test func endsAndClosesThatCrossAreForgottenByBoth() throws {
        var pair = MachinePair()
        let id = try pair.open()
        pair.edge.machine.end(id)
        pair.holder.machine.end(id)
        pair.edge.write()
        pair.holder.write()
        // Said before the other end's end has come.
        pair.edge.machine.close(id)
        pair.holder.machine.reset(id, .broken)
        try pair.exchange()
        try pair.exchange()
        #expect(pair.edge.machine.streamCount == 0 && pair.holder.machine.streamCount == 0)
        let next = try pair.open()
        #expect(next == id + 1)
    }

    // MARK: Windows

    @Test func aReaderThatDoesNotReadIsSentAWindowAndNoMore() throws {
        var pair = MachinePair()
        let (slow, fast) = (try pair.open(), try pair.open())
        pair.holder.machine.send(ByteBuffer(repeating: 1, count: 1 << 20), on: slow)
        pair.holder.machine.send(ByteBuffer(repeating: 2, count: 1 << 20), on: fast)
        var fastBytes = 0
        var slowBytes = 0
        for _ in 0..<200 {
            try pair.exchange()
            for case .data(let id, let bytes) in pair.edge.takeEvents() {
                if id == fast {
                    fastBytes += bytes.readableBytes
                    pair.edge.machine.consumed(bytes.readableBytes, on: fast)
                } else {
                    slowBytes += bytes.readableBytes
                }
            }
        }
        #expect(fastBytes == 1 << 20)
        #expect(slowBytes == pair.edge.machine.limits.window)
        #expect(!pair.holder.machine.hasOutput)
        // And goes on where it was.
        pair.edge.machine.consumed(slowBytes, on: slow)
        for _ in 0..<200 {
            try pair.exchange()
            for case .data(let id, let bytes) in pair.edge.takeEvents() where id == slow {
                slowBytes += bytes.readableBytes
                pair.edge.machine.consumed(bytes.readableBytes, on: slow)
            }
        }
        #expect(slowBytes == 1 << 20)
    }

    @Test func beforeAcceptanceAnAccepterTakesAHelloAndNoMore() throws {
        var pair = MachinePair()
        let id = try pair.openByEdge()
        pair.edge.machine.send(ByteBuffer(repeating: 1, count: 100_000), on: id)
        try pair.exchange()
        let size = pair.holder.takeEvents().reduce(0) { sum, event in
            if case .data(_, let bytes) = event { sum + bytes.readableBytes } else { sum }
        }
        #expect(size == pair.edge.machine.limits.beforeAcceptance)
        pair.holder.machine.accept(id)
        try pair.exchange()
        try pair.exchange()
        let more = pair.holder.takeEvents().reduce(0) { sum, event in
            if case .data(_, let bytes) = event { sum + bytes.readableBytes } else { sum }
        }
        #expect(size + more == pair.holder.machine.limits.window)
    }

    @Test func streamsTakeTurns() throws {
        var pair = MachinePair()
        let ids = try (0..<3).map { _ in try pair.open() }
        for id in ids { pair.edge.machine.send(ByteBuffer(repeating: 0, count: 40_000), on: id) }
        var order: [StreamFrame.ID] = []
        var buffer = ByteBuffer()
        pair.edge.machine.write(into: &buffer, upTo: .max) { id, _ in order.append(id) }
        #expect(order == [1, 2, 3, 1, 2, 3, 1, 2, 3])
    }

    @Test func whatAnEndedStreamLeftUnreadCountsUntilItIsRead() throws {
        var limits = StreamMachine.Limits()
        limits.window = 1000
        limits.growth = 8000
        var pair = MachinePair(limits)
        // The first one takes what one may take of the budget, and ends unread.
        let first = try pair.open()
        pair.holder.machine.send(ByteBuffer(repeating: 1, count: 7000), on: first)
        pair.edge.machine.end(first)
        pair.holder.machine.end(first)
        var unread = 0
        for round in 0..<20 {
            try pair.exchange()
            for case .data(_, let bytes) in pair.edge.takeEvents() {
                unread += bytes.readableBytes
                if round < 3 {
                    pair.edge.machine.consumed(unread, on: first)
                    unread = 0
                }
            }
        }
        #expect(unread > 0 && pair.edge.machine.streamCount == 0)
        #expect(pair.edge.machine.budgetLeft == 7000)
        pair.edge.machine.consumed(unread, on: first)
        #expect(pair.edge.machine.budgetLeft == 8000)
    }

    @Test func whatAnEndedStreamLeftUnreadCountsAmongStreams() throws {
        var limits = StreamMachine.Limits()
        limits.streams = 3
        var pair = MachinePair(limits)
        for _ in 0..<3 {
            let id = try pair.open()
            pair.edge.machine.send(self.text("unread"), on: id)
            pair.edge.machine.end(id)
            pair.holder.machine.end(id)
            try pair.exchange()
            try pair.exchange()
            _ = pair.holder.takeEvents()
            _ = pair.edge.takeEvents()
        }
        #expect(pair.holder.machine.streamCount == 0)
        let id = try pair.openByEdge()
        try pair.exchange()
        let news = pair.edge.takeEvents()
        #expect(news == [.reset(id, .busy)])
        // One of them is read.
        pair.holder.machine.consumed(6, on: 1)
        try pair.exchange()
        _ = try pair.open()
    }

    @Test func streamsOfSeveralLinksShareABudget() throws {
        var limits = StreamMachine.Limits()
        limits.window = 1000
        let budget = WindowBudget(9200)
        var pairs = [MachinePair(limits, budget: budget), MachinePair(limits, budget: budget)]
        for index in pairs.indices {
            let id = try pairs[index].open()
            pairs[index].holder.machine.send(ByteBuffer(repeating: 1, count: 50_000), on: id)
            for _ in 0..<100 {
                try pairs[index].exchange()
                for case .data(_, let bytes) in pairs[index].edge.takeEvents() {
                    pairs[index].edge.machine.consumed(bytes.readableBytes, on: id)
                }
            }
        }
        // The first has taken 1,000, and 2,000 more would be too much of what is left; the second takes 1,000.
        #expect(budget.left == 7200)
        pairs[0].edge.machine.end()
        #expect(budget.left == 8200)
        #expect(pairs[0].edge.machine.streamCount == 0 && !pairs[0].edge.machine.hasOutput)
        pairs[1].edge.machine.end()
        #expect(budget.left == 9200)
    }

    @Test func aPeerThatReadsNothingIsToldOnceWhatItMaySend() throws {
        var pair = MachinePair()
        let id = try pair.open()
        var taken = 0
        // It knows what it may send, and sends that; what it would be told from then on it does not read.
        for _ in 0..<10_000 {
            do throws(StreamLinkError) {
                _ = try pair.edge.machine.receive(.data(id, ByteBuffer(repeating: 1, count: 4096)))
            } catch {
                #expect(error == .overWindow(id))
                break
            }
            taken += 4096
            pair.edge.machine.consumed(4096, on: id)
            guard pair.edge.machine.waitingControl <= 1 else { break }
        }
        #expect(taken == pair.edge.machine.limits.window)
        #expect(pair.edge.machine.waitingControl == 1)
    }

    @Test func whatAStreamMaySendIsSaidInOneFrame() throws {
        var pair = MachinePair()
        let id = try pair.open()
        pair.holder.machine.send(ByteBuffer(repeating: 1, count: 65_536), on: id)
        try pair.exchange()
        for _ in 0..<4 { pair.edge.machine.consumed(16_384, on: id) }
        var buffer = ByteBuffer()
        pair.edge.machine.write(into: &buffer, upTo: .max) { _, _ in }
        var reader = StreamFrameReader()
        reader.receive(buffer)
        let first = try reader.next()
        guard case .window(id, let more)? = first else { return #expect(Bool(false), "\(String(describing: first))") }
        #expect(more >= 65_536)
        #expect(try reader.next() == nil)
    }

    @Test func singleBytesThatWaitAreKeptTogether() throws {
        var pair = MachinePair()
        let id = try pair.open()
        // Of reads of 2 KiB each, as a client has it that sends byte by byte.
        for _ in 0..<50_000 {
            var read = ByteBuffer()
            read.reserveCapacity(2048)
            read.writeInteger(UInt8(7))
            pair.edge.machine.send(read, on: id)
        }
        #expect(pair.edge.machine.keptBytes <= 4 * 50_000 + 16_384)
        try pair.exchange()
        let size = pair.holder.takeEvents().reduce(0) { sum, event in
            if case .data(_, let bytes) = event { sum + bytes.readableBytes } else { sum }
        }
        #expect(size == 50_000)
    }

    @Test func aLinkWhoseNumbersAreUsedUpTakesNoMoreStreams() throws {
        var limits = StreamMachine.Limits()
        limits.numbers = 3
        var pair = MachinePair(limits)
        for _ in 0..<3 {
            let id = try pair.open()
            pair.edge.machine.close(id)
            try pair.exchange()
            _ = pair.holder.takeEvents()
        }
        #expect(!pair.edge.machine.takesStreams && !pair.edge.machine.takesMoreEver)
        let more = pair.edge.machine.open(introduction: self.text("client"))
        #expect(more == nil)
    }

    // MARK: Refusals and draining

    @Test func aDrainedLinkRefusesStreamsThatWereOnTheirWay() throws {
        var pair = MachinePair()
        let old = try pair.open()
        pair.holder.machine.drain()
        let late = try pair.openByEdge()
        pair.edge.machine.send(self.text("hello"), on: late)
        try pair.exchange()
        try pair.exchange()
        let events9 = pair.holder.takeEvents()
        #expect(events9 == [])
        let events10 = pair.edge.takeEvents()
        #expect(events10 == [.draining, .reset(late, .draining)])
        let more = pair.edge.machine.open(introduction: self.text("client"))
        #expect(more == nil)
        pair.edge.machine.send(self.text("goes on"), on: old)
        try pair.exchange()
        let events11 = pair.holder.takeEvents()
        #expect(events11 == [.data(old, self.text("goes on"))])
        #expect(pair.holder.machine.streamCount == 1)
    }

    @Test func aRefusedStreamLeavesNothing() throws {
        var pair = MachinePair()
        let id = try pair.openByEdge()
        try pair.exchange()
        pair.holder.machine.reset(id, .busy)
        try pair.exchange()
        let events12 = pair.edge.takeEvents()
        #expect(events12 == [.reset(id, .busy)])
        try pair.exchange()
        #expect(pair.edge.machine.streamCount == 0 && pair.holder.machine.streamCount == 0)
    }

    @Test func pingsAreAnsweredTheLastOneOnly() throws {
        var pair = MachinePair()
        for number in UInt64(1)...1000 { pair.edge.machine.ping(number) }
        try pair.exchange()
        let events13 = pair.edge.takeEvents()
        #expect(events13 == [.pong(1000)])
    }

    // MARK: Peers that break the rules

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
        #expect(self.violation(.accepter, [.data(1, self.text("x"))]) == .unexpected(1))
        #expect(self.violation(.accepter, [.window(1, 1)]) == .unexpected(1))
        #expect(self.violation(.accepter, [.close(1)]) == .unexpected(1))
        #expect(self.violation(.accepter, [self.opening(1), .accept(1, window: 1)]) == .unexpected(1))
        #expect(self.violation(.accepter, [.drain]) == .badStream(0))
        #expect(self.violation(.accepter, [self.opening(1), .end(1), .end(1)]) == .unexpected(1))
        #expect(self.violation(.accepter, [self.opening(1), .end(1), .data(1, self.text("x"))]) == .unexpected(1))
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
        #expect(self.violation(.opener, prepare: open, [.data(1, self.text("x"))]) == .unexpected(1))
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
            self.violation(.opener, prepare: open, [.reset(1, .busy), .data(1, self.text("x"))]) == .unexpected(1),
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
