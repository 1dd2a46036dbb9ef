import CRelaySockets
import NIOCore

/// The bytes of a relayed connection in one direction: what was read from one socket and the other has not taken yet.
///
/// Nothing is read while something waits: what a slow reader makes the edge keep is one read, ``RelayTools/bufferSize`` bytes, or what a pipe
/// holds, ``PipePool/size`` bytes. The bytes that the owner sends on itself come first, and are not counted.
struct RelayDirection {
    enum Outcome: Equatable {
        /// Until the poller tells of one of the two sockets.
        case waits
        /// There may be more, but others have their turn first.
        case more
        /// The reader's peer has said everything, and all of it was passed on.
        case ended
        case readerBroke
        case writerBroke(Int32)
    }

    /// Reads in one turn; a pipeful is as much as four of them.
    static let turns = 16

    private(set) var bytes = 0
    /// Something moved since this was last set to false.
    var moved = false
    private var held: ByteBuffer?
    private var pipe: PipePool.Pipe?
    private var piped = 0
    private var meter = FlowMeter()

    /// Whether everything that was read was written.
    var isDrained: Bool { self.held == nil && self.piped == 0 }

    /// Bytes to be written before all others.
    init(first: ByteBuffer? = nil) { self.hold(first) }

    /// Bytes that are written after those that wait already.
    mutating func hold(_ bytes: ByteBuffer?) {
        guard var bytes, bytes.readableBytes > 0 else { return }
        if self.held?.writeBuffer(&bytes) == nil { self.held = bytes }
    }

    /// Reads and writes as much as the sockets give and take.
    mutating func run(from reader: RelayEnd, to writer: RelayEnd, _ tools: RelayTools) -> Outcome {
        defer { if self.piped == 0 { self.giveBack(tools) } }
        var turns = Self.turns
        while true {
            if let outcome = self.drain(to: writer) { return outcome }
            guard let source = reader.descriptor, let sink = writer.descriptor, reader.isReadable, !reader.inputEnded,
                writer.isWritable, !writer.outputEnded
            else { return .waits }
            guard turns > 0 else { return .more }
            turns -= 1
            if self.meter.isBulk, let pipe = self.pipe ?? tools.pipes.take() {
                turns -= 3
                self.pipe = pipe
                if let outcome = self.fill(pipe, from: source, reader, tools) { return outcome }
            } else if let outcome = self.copy(from: source, reader, to: sink, writer, tools) {
                return outcome
            }
        }
    }

    /// Writes what waits.
    ///
    /// - Returns: nil: nothing waits any more.
    mutating func drain(to writer: RelayEnd) -> Outcome? {
        while let bytes = self.held {
            guard let sink = writer.descriptor, writer.isWritable else { return .waits }
            let result = bytes.withUnsafeReadableBytes { latchstring_send(sink.number, $0.baseAddress, $0.count) }
            guard case .bytes(let count) = SystemResult(result) else { return Self.refused(result, writer) }
            self.moved = true
            if count == bytes.readableBytes { self.held = nil } else { self.held?.moveReaderIndex(forwardBy: count) }
        }
        while self.piped > 0, let pipe {
            guard let sink = writer.descriptor, writer.isWritable else { return .waits }
            let result = latchstring_splice(pipe.output.number, sink.number, self.piped)
            guard case .bytes(let count) = SystemResult(result), count > 0 else { return Self.refused(result, writer) }
            self.moved = true
            self.piped -= count
        }
        return nil
    }

    private mutating func copy(
        from source: Descriptor, _ reader: RelayEnd, to sink: Descriptor, _ writer: RelayEnd, _ tools: RelayTools
    ) -> Outcome? {
        let buffer = tools.buffer
        let result = latchstring_receive(source.number, buffer.baseAddress, buffer.count)
        guard case .bytes(let count) = SystemResult(result), count > 0 else { return Self.ended(result, reader) }
        self.received(count)
        self.meter.read(count)
        // Less than there is room for: all there was. What comes later, an end included, the poller tells.
        if count < buffer.count, !reader.isEnding { reader.isReadable = false }
        let answer = latchstring_send(sink.number, buffer.baseAddress, count)
        var written = 0
        switch SystemResult(answer) {
        case .bytes(let taken) where taken == count: return nil
        case .bytes(let taken): written = taken
        case .later: break
        case .unsupported, .failed: return Self.refused(answer, writer)
        }
        writer.isWritable = false
        self.held = ByteBuffer(bytes: UnsafeRawBufferPointer(rebasing: buffer[written..<count]))
        return .waits
    }

    private mutating func fill(
        _ pipe: PipePool.Pipe, from source: Descriptor, _ reader: RelayEnd, _ tools: RelayTools
    ) -> Outcome? {
        let result = latchstring_splice(source.number, pipe.input.number, PipePool.size)
        switch SystemResult(result) {
        case .bytes(let count) where count > 0:
            self.received(count)
            self.meter.moved(count)
            self.piped = count
            return nil
        case .unsupported:
            // Copied from now on.
            tools.pipes.turnOff()
            self.giveBack(tools)
            return nil
        case .bytes, .later, .failed: return Self.ended(result, reader)
        }
    }

    /// What a call says that wrote nothing.
    private static func refused(_ result: Int, _ writer: RelayEnd) -> Outcome {
        switch SystemResult(result) {
        case .bytes, .later:
            writer.isWritable = false
            return .waits
        case .unsupported, .failed: return .writerBroke(Int32(-result))
        }
    }

    /// What a call says that read nothing.
    private static func ended(_ result: Int, _ reader: RelayEnd) -> Outcome {
        switch SystemResult(result) {
        case .bytes: return .ended
        case .later:
            reader.isReadable = false
            return .waits
        case .unsupported, .failed: return .readerBroke
        }
    }

    private mutating func received(_ count: Int) {
        self.bytes += count
        self.moved = true
    }

    private mutating func giveBack(_ tools: RelayTools) {
        guard let pipe else { return }
        tools.pipes.give(pipe, isEmpty: self.piped == 0)
        self.pipe = nil
        self.piped = 0
    }

    /// Nothing of it is wanted any more.
    mutating func discard(_ tools: RelayTools) {
        self.held = nil
        self.giveBack(tools)
    }
}
