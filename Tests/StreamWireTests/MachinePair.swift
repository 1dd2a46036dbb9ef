import NIOCore
import Testing

@testable import StreamWire

/// Numbers that look random, and are the same for the same seed.
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { self.state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        self.state ^= self.state << 13
        self.state ^= self.state >> 7
        self.state ^= self.state << 17
        return self.state
    }
}

/// Two ends of a link, and what is on its way between them.
struct MachinePair {
    struct End {
        var machine: StreamMachine
        var reader = StreamFrameReader()
        /// From this end, not delivered yet.
        var wire = ByteBuffer()
        var events: [StreamMachine.Event] = []
        /// Bytes of data that were written, by stream.
        var left: [StreamFrame.ID: Int] = [:]

        /// Writes what is to be sent.
        mutating func write(upTo size: Int = .max) {
            var buffer = ByteBuffer()
            var left: [(StreamFrame.ID, Int)] = []
            self.machine.write(into: &buffer, upTo: size) { left.append(($0, $1)) }
            for (id, count) in left { self.left[id, default: 0] += count }
            self.wire.writeBuffer(&buffer)
        }

        mutating func receive(_ bytes: ByteBuffer) throws {
            self.reader.receive(bytes)
            while let frame = try self.reader.next() {
                if let event = try self.machine.receive(frame) { self.events.append(event) }
            }
        }

        mutating func takeEvents() -> [StreamMachine.Event] {
            defer { self.events = [] }
            return self.events
        }
    }

    var edge: End
    var holder: End

    /// - Parameter budget: the edge's.
    init(_ limits: StreamMachine.Limits = StreamMachine.Limits(), budget: WindowBudget? = nil) {
        self.edge = End(machine: StreamMachine(role: .opener, limits: limits, budget: budget))
        self.holder = End(machine: StreamMachine(role: .accepter, limits: limits))
    }

    /// Carries everything that either end has to say to the other, once.
    mutating func exchange() throws {
        self.edge.write()
        let there = self.edge.wire
        self.edge.wire = ByteBuffer()
        try self.holder.receive(there)
        self.holder.write()
        let back = self.holder.wire
        self.holder.wire = ByteBuffer()
        try self.edge.receive(back)
    }

    /// A stream of which the other end has yet to hear.
    mutating func openByEdge() throws -> StreamFrame.ID {
        let id = self.edge.machine.open(introduction: ByteBuffer(string: "client"))
        return try #require(id)
    }

    /// A stream that both ends have.
    mutating func open() throws -> StreamFrame.ID {
        let id = try self.openByEdge()
        try self.exchange()
        let events1 = self.holder.takeEvents()
        #expect(events1 == [.opened(id, introduction: ByteBuffer(string: "client"))])
        self.holder.machine.accept(id)
        try self.exchange()
        try self.exchange()
        let events2 = self.edge.takeEvents()
        #expect(events2 == [.accepted(id)])
        return id
    }
}

func text(_ text: String) -> ByteBuffer { ByteBuffer(string: text) }
