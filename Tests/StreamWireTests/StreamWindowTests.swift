import NIOCore
import Testing

@testable import StreamWire

/// How much may be on its way, be held, and be sent, on each stream and for each party.
@Suite struct StreamWindowTests {
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

    /// - Parameter closes: rather than being read, the stream is closed by its owner.
    @Test(arguments: [false, true])
    func whatIsReadBehindTheEndOfTheLinkCountsUntilThen(closes: Bool) throws {
        var limits = StreamMachine.Limits()
        limits.window = 1000
        limits.growth = 10_000
        var pair = MachinePair(limits)
        let (ended, open) = (try pair.open(), try pair.open())
        for id in [ended, open] { pair.holder.machine.send(ByteBuffer(repeating: 1, count: 7000), on: id) }
        pair.holder.machine.end(ended)
        var unread: [StreamFrame.ID: Int] = [:]
        for round in 0..<20 {
            try pair.exchange()
            for case .data(let id, let bytes) in pair.edge.takeEvents() {
                unread[id, default: 0] += bytes.readableBytes
            }
            guard round < 3 else { continue }
            for (id, count) in unread { pair.edge.machine.consumed(count, on: id) }
            unread = [:]
        }
        #expect(unread[ended, default: 0] > 0 && unread[open, default: 0] > 0)
        #expect(pair.edge.machine.budgetLeft == 8000)
        pair.edge.machine.end()
        // The other one's is given back.
        #expect(pair.edge.machine.budgetLeft == 9000)
        #expect(pair.edge.machine.streamCount == 0 && !pair.edge.machine.hasOutput)
        if closes {
            pair.edge.machine.close(ended)
        } else {
            pair.edge.machine.consumed(unread[ended, default: 0], on: ended)
        }
        pair.edge.machine.consumed(unread[open, default: 0], on: open)
        #expect(pair.edge.machine.budgetLeft == 10_000)
        #expect(!pair.edge.machine.hasOutput)
    }

    @Test func whatAnEndedStreamLeftUnreadCountsAmongStreams() throws {
        var limits = StreamMachine.Limits()
        limits.streams = 3
        var pair = MachinePair(limits)
        for _ in 0..<3 {
            let id = try pair.open()
            pair.edge.machine.send(text("unread"), on: id)
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
        let more = pair.edge.machine.open(introduction: text("client"))
        #expect(more == nil)
    }
}
