import NIOCore
import TLSWire

/// What was written since the last flush, in order, cut into records: each is full as long as there is enough, whatever buffers the bytes
/// stand in.
struct PlaintextWrites {
    private var first: ByteBuffer?
    /// Behind the first. There is hardly ever one, and then this takes no memory.
    private var rest = CircularBuffer<ByteBuffer>(initialCapacity: 0)
    private var promise: EventLoopPromise<Void>?
    private var others: [EventLoopPromise<Void>] = []

    /// What is protected in one go.
    enum Part: Equatable {
        /// Any length: one record after the other.
        case whole(ByteBuffer)
        /// One record of several buffers; the last may be empty.
        case record(ByteBuffer, ByteBuffer, ByteBuffer)

        /// In bytes.
        var count: Int {
            switch self {
            case .whole(let bytes): bytes.readableBytes
            case .record(let first, let second, let third):
                first.readableBytes + second.readableBytes + third.readableBytes
            }
        }
    }

    var isEmpty: Bool { self.first == nil }
    /// Nothing written waits, and no promise either.
    var holdsNothing: Bool { self.first == nil && self.promise == nil }

    mutating func append(_ buffer: ByteBuffer, _ promise: EventLoopPromise<Void>?) {
        if self.first == nil { self.first = buffer } else { self.rest.append(buffer) }
        guard let promise else { return }
        if self.promise == nil {
            self.promise = promise
        } else {
            self.others.append(promise)
        }
    }

    /// One promise for all that were made so far.
    mutating func takePromise(on eventLoop: any EventLoop) -> EventLoopPromise<Void>? {
        guard let first = self.promise else { return nil }
        self.promise = nil
        for other in self.others { first.futureResult.cascade(to: other) }
        self.others.removeAll()
        return first
    }

    /// The next bytes to protect in one go; nil if there are none.
    mutating func next() -> Part? {
        guard var first = self.first else { return nil }
        if self.rest.isEmpty {
            self.first = nil
            return .whole(first)
        }
        let maximum = RecordHeader.maximumPlaintextLength
        if first.readableBytes >= maximum {
            let length = first.readableBytes / maximum * maximum
            guard let records = first.readSlice(length: length) else { return nil }
            self.first = first.readableBytes > 0 ? first : self.rest.popFirst()
            return .whole(records)
        }
        self.first = self.rest.popFirst()
        let second = self.take(upTo: maximum - first.readableBytes)
        let third = self.take(upTo: maximum - first.readableBytes - second.readableBytes)
        var room = maximum - first.readableBytes - second.readableBytes - third.readableBytes
        if room == 0 || self.first == nil { return .record(first, second, third) }
        // Many small ones: a copy costs less than a record.
        var joined = ByteBuffer()
        joined.reserveCapacity(maximum)
        for part in [first, second, third] { joined.writeImmutableBuffer(part) }
        while room > 0, self.first != nil {
            let part = self.take(upTo: room)
            room -= part.readableBytes
            joined.writeImmutableBuffer(part)
        }
        return .whole(joined)
    }

    /// At most so many bytes of the next buffer.
    private mutating func take(upTo count: Int) -> ByteBuffer {
        guard count > 0, var next = self.first else { return ByteBuffer() }
        if next.readableBytes <= count {
            self.first = self.rest.popFirst()
            return next
        }
        let part = next.readSlice(length: count) ?? ByteBuffer()
        self.first = next
        return part
    }

    /// For one that is not used any more.
    func failPromises(_ error: any Error) {
        self.promise?.fail(error)
        for other in self.others { other.fail(error) }
    }
}
