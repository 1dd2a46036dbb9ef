import NIOCore
import Testing

@testable import StreamWire

@Suite struct StreamMachineTests {
    @Test func aStreamIsOpenedWithItsFirstBytesAndEndsByHalves() throws {
        var pair = MachinePair()
        let id = try pair.openByEdge()
        pair.edge.machine.send(text("hello"), on: id)
        try pair.exchange()
        let events0 = pair.holder.takeEvents()
        #expect(
            events0 == [
                .opened(id, introduction: text("client")), .data(id, text("hello")),
            ])
        pair.holder.machine.accept(id)
        pair.holder.machine.send(text("yes"), on: id)
        pair.holder.machine.end(id)
        try pair.exchange()
        let events1 = pair.edge.takeEvents()
        #expect(events1 == [.accepted(id), .data(id, text("yes")), .ended(id)])
        pair.edge.machine.send(text("more"), on: id)
        pair.edge.machine.end(id)
        try pair.exchange()
        let events2 = pair.holder.takeEvents()
        #expect(events2 == [.data(id, text("more")), .ended(id)])
        #expect(pair.edge.machine.streamCount == 0 && pair.holder.machine.streamCount == 0)
        #expect(pair.edge.left[id] == 9)
    }

    @Test func aCloseEndsBothWaysBehindWhatWasSent() throws {
        var pair = MachinePair()
        let id = try pair.open()
        pair.holder.machine.send(text("last words"), on: id)
        pair.holder.write()
        pair.holder.machine.close(id)
        pair.edge.machine.send(text("not read any more"), on: id)
        try pair.exchange()
        let events3 = pair.edge.takeEvents()
        #expect(events3 == [.data(id, text("last words")), .closed(id)])
        try pair.exchange()
        let events4 = pair.holder.takeEvents()
        #expect(events4 == [])
        #expect(pair.edge.machine.streamCount == 0 && pair.holder.machine.streamCount == 0)
    }

    @Test func aCloseComesBehindWhatWaitsToBeSent() throws {
        var pair = MachinePair()
        let id = try pair.open()
        pair.edge.machine.send(text("last words"), on: id)
        pair.edge.machine.close(id)
        try pair.exchange()
        let news = pair.holder.takeEvents()
        #expect(news == [.data(id, text("last words")), .closed(id)])
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
                pair.holder.machine.send(text("lost"), on: id)
                pair.edge.machine.reset(id, .broken)
            } else {
                pair.edge.machine.send(text("lost"), on: id)
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

    // MARK: Refusals and draining

    @Test func aDrainedLinkRefusesStreamsThatWereOnTheirWay() throws {
        var pair = MachinePair()
        let old = try pair.open()
        pair.holder.machine.drain()
        let late = try pair.openByEdge()
        pair.edge.machine.send(text("hello"), on: late)
        try pair.exchange()
        try pair.exchange()
        let events9 = pair.holder.takeEvents()
        #expect(events9 == [])
        let events10 = pair.edge.takeEvents()
        #expect(events10 == [.draining, .reset(late, .draining)])
        let more = pair.edge.machine.open(introduction: text("client"))
        #expect(more == nil)
        pair.edge.machine.send(text("goes on"), on: old)
        try pair.exchange()
        let events11 = pair.holder.takeEvents()
        #expect(events11 == [.data(old, text("goes on"))])
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
}
