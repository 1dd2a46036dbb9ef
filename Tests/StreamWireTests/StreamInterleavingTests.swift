import NIOCore
import Testing

@testable import StreamWire

/// Two ends that do whatever they like, in whatever order their bytes arrive: what one sends the other gets, byte for byte.
@Suite struct StreamInterleavingTests {
    /// What one end of one stream has done and seen.
    private struct Account {
        var sent = 0
        var received = 0
        var unread = 0
        var hasEnded = false
        var peerHasEnded = false
        /// Closed or reset by either end.
        var isBroken = false
    }

    /// The byte at a place of what an end sends.
    private static func byte(_ id: StreamFrame.ID, _ place: Int, _ isEdge: Bool) -> UInt8 {
        UInt8(truncatingIfNeeded: Int(id) &* 31 &+ place &* 7 &+ (place >> 8) &+ (isEdge ? 0 : 128))
    }

    private struct World {
        var pair: MachinePair
        var numbers: SeededNumbers
        var edge: [StreamFrame.ID: Account] = [:]
        var holder: [StreamFrame.ID: Account] = [:]

        subscript(isEdge: Bool) -> [StreamFrame.ID: Account] {
            get { isEdge ? self.edge : self.holder }
            set { if isEdge { self.edge = newValue } else { self.holder = newValue } }
        }

        private mutating func change(_ isEdge: Bool, _ body: (inout StreamMachine) -> Void) {
            if isEdge { body(&self.pair.edge.machine) } else { body(&self.pair.holder.machine) }
        }

        mutating func step() throws {
            let isEdge = Bool.random(using: &self.numbers)
            switch Int.random(in: 0..<100, using: &self.numbers) {
            case 0..<8:
                if let id = self.pair.edge.machine.open(introduction: ByteBuffer(string: "client")) {
                    self.edge[id] = Account()
                }
            case 8..<40: self.send(isEdge)
            case 40..<65: self.read(isEdge)
            case 65..<68: self.end(isEdge)
            case 68..<70: self.breakOff(isEdge)
            default: try self.deliver(isEdge)
            }
        }

        private mutating func stream(_ isEdge: Bool) -> StreamFrame.ID? {
            self[isEdge].filter { !$0.value.isBroken }.keys.sorted().randomElement(using: &self.numbers)
        }

        private mutating func send(_ isEdge: Bool) {
            guard let id = self.stream(isEdge), let account = self[isEdge][id], !account.hasEnded else { return }
            let count = Int.random(in: 1...6000, using: &self.numbers)
            let bytes = (account.sent..<account.sent + count).map { StreamInterleavingTests.byte(id, $0, isEdge) }
            self.change(isEdge) { $0.send(ByteBuffer(bytes: bytes), on: id) }
            self[isEdge][id]?.sent += count
        }

        private mutating func read(_ isEdge: Bool) {
            guard let id = self.stream(isEdge), let account = self[isEdge][id], account.unread > 0 else { return }
            let count = Int.random(in: 1...account.unread, using: &self.numbers)
            self.change(isEdge) { $0.consumed(count, on: id) }
            self[isEdge][id]?.unread -= count
        }

        private mutating func end(_ isEdge: Bool) {
            guard let id = self.stream(isEdge) else { return }
            self.change(isEdge) { $0.end(id) }
            self[isEdge][id]?.hasEnded = true
        }

        private mutating func breakOff(_ isEdge: Bool) {
            guard let id = self.stream(isEdge) else { return }
            let closes = Bool.random(using: &self.numbers)
            self.change(isEdge) { if closes { $0.close(id) } else { $0.reset(id, .broken) } }
            self[isEdge][id]?.isBroken = true
        }

        /// Some bytes arrive, cut anywhere.
        mutating func deliver(_ toEdge: Bool) throws {
            let size = Int.random(in: 1...9000, using: &self.numbers)
            var from = toEdge ? self.pair.holder : self.pair.edge
            if toEdge { self.pair.holder.wire = ByteBuffer() } else { self.pair.edge.wire = ByteBuffer() }
            from.write(upTo: size)
            let part = from.wire.readSlice(length: min(size, from.wire.readableBytes)) ?? ByteBuffer()
            if toEdge { self.pair.holder = from } else { self.pair.edge = from }
            if toEdge { try self.pair.edge.receive(part) } else { try self.pair.holder.receive(part) }
            for event in toEdge ? self.pair.edge.takeEvents() : self.pair.holder.takeEvents() {
                self.happened(event, toEdge)
            }
        }

        private mutating func happened(_ event: StreamMachine.Event, _ isEdge: Bool) {
            switch event {
            case .opened(let id, let introduction):
                #expect(introduction == ByteBuffer(string: "client"))
                self.holder[id] = Account()
                self.pair.holder.machine.accept(id)
            case .accepted, .draining, .pong: break
            case .data(let id, let bytes):
                guard let account = self[isEdge][id] else { return #expect(Bool(false), "data of no stream") }
                #expect(!account.isBroken && !account.peerHasEnded)
                for (place, byte) in bytes.readableBytesView.enumerated()
                where byte != StreamInterleavingTests.byte(id, account.received + place, !isEdge) {
                    return #expect(Bool(false), "stream \(id), byte \(account.received + place)")
                }
                self[isEdge][id]?.received += bytes.readableBytes
                self[isEdge][id]?.unread += bytes.readableBytes
                #expect(account.unread + bytes.readableBytes <= 32_768)
            case .ended(let id): self[isEdge][id]?.peerHasEnded = true
            case .closed(let id), .reset(let id, _): self[isEdge][id]?.isBroken = true
            }
        }
    }

    @Test(arguments: 1...6) func everyByteArrivesInItsPlace(seed: UInt64) throws {
        var limits = StreamMachine.Limits()
        limits.streams = 40
        limits.window = 8192
        limits.largestWindow = 32_768
        limits.growth = 262_144
        var world = World(pair: MachinePair(limits), numbers: SeededNumbers(seed: seed))
        for _ in 0..<5000 { try world.step() }
        // What is under way arrives, is read, and ends.
        for isEdge in [true, false] {
            for (id, account) in world[isEdge] where !account.isBroken && !account.hasEnded {
                if isEdge { world.pair.edge.machine.end(id) } else { world.pair.holder.machine.end(id) }
                world[isEdge][id]?.hasEnded = true
            }
        }
        for _ in 0..<20_000 {
            try world.deliver(true)
            try world.deliver(false)
            // A stream that came in just now.
            for (id, account) in world.holder where !account.isBroken && !account.hasEnded {
                world.pair.holder.machine.end(id)
                world.holder[id]?.hasEnded = true
            }
            for isEdge in [true, false] {
                for (id, account) in world[isEdge] where account.unread > 0 {
                    if isEdge {
                        world.pair.edge.machine.consumed(account.unread, on: id)
                    } else {
                        world.pair.holder.machine.consumed(account.unread, on: id)
                    }
                    world[isEdge][id]?.unread = 0
                }
            }
            if world.pair.edge.machine.streamCount == 0, world.pair.holder.machine.streamCount == 0,
                !world.pair.edge.machine.hasOutput, !world.pair.holder.machine.hasOutput,
                world.pair.edge.wire.readableBytes + world.pair.holder.wire.readableBytes == 0
            {
                break
            }
        }
        #expect(world.pair.edge.machine.streamCount == 0)
        #expect(world.pair.holder.machine.streamCount == 0)
        #expect(world.edge.count > 50)
        for (id, edge) in world.edge where !edge.isBroken {
            guard let holder = world.holder[id], !holder.isBroken else { continue }
            #expect(edge.received == holder.sent && holder.received == edge.sent, "stream \(id)")
            #expect(edge.peerHasEnded && holder.peerHasEnded)
        }
    }
}
