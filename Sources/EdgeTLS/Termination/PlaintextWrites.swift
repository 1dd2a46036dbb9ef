import NIOCore
import TLSWire

/// What was written since the last flush, in order. Small writes are put together, so that they share a record.
struct PlaintextWrites {
    private var first: ByteBuffer?
    /// Behind the first. There is hardly ever one, and then this takes no memory.
    private var rest = CircularBuffer<ByteBuffer>(initialCapacity: 0)
    private var promise: EventLoopPromise<Void>?
    private var others: [EventLoopPromise<Void>] = []

    var isEmpty: Bool { self.first == nil }

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
    mutating func next() -> ByteBuffer? {
        guard let first = self.first else { return nil }
        self.first = nil
        guard let second = self.rest.popFirst() else { return first }
        self.first = second
        let maximum = RecordHeader.maximumPlaintextLength
        var length = first.readableBytes + second.readableBytes
        guard length <= maximum else { return first }
        for buffer in self.rest {
            guard length + buffer.readableBytes <= maximum else { break }
            length += buffer.readableBytes
        }
        var joined = ByteBuffer()
        joined.reserveCapacity(length)
        joined.writeImmutableBuffer(first)
        while let next = self.first, joined.readableBytes + next.readableBytes <= maximum {
            joined.writeImmutableBuffer(next)
            self.first = self.rest.popFirst()
        }
        return joined
    }

    /// For one that is not used any more.
    func failPromises(_ error: any Error) {
        self.promise?.fail(error)
        for other in self.others { other.fail(error) }
    }
}
