public import NIOCore

/// The bytes of one stored response: in memory as a few buffers ready to be written, or on disk.
public struct StoredBody: Sendable {
    enum Place: Sendable {
        case memory([ByteBuffer])
        case disk(any DiskBodySource)
    }

    /// Bytes.
    public let length: Int
    let place: Place
    /// What the buffers take up in memory, spare capacity included, in bytes.
    let footprint: Int
    /// Counts the memory of a large body until the last reader has let go of it.
    let lease: BodyLease?

    /// A body in memory. Empty buffers are dropped.
    public init(chunks: [ByteBuffer]) {
        self.init(chunks: chunks, lease: nil)
    }

    init(chunks: [ByteBuffer], lease: BodyLease?) {
        let filled: [ByteBuffer] = chunks.filter { $0.readableBytes > 0 }
        self.length = filled.reduce(0) { $0 + $1.readableBytes }
        self.footprint = filled.reduce(0) { $0 + $1.storageCapacity + MemoryCosts.buffer }
        self.place = .memory(filled)
        self.lease = lease
    }

    init(onDisk source: any DiskBodySource) {
        self.length = source.length
        self.footprint = 0
        self.place = .disk(source)
        self.lease = nil
    }

    /// The whole body where it is in memory, in order, ready to be written without copying; nil where it is on disk.
    ///
    /// Whoever keeps these buffers keeps this value as well: a large body's memory is counted until it is let go of.
    public var chunks: [ByteBuffer]? {
        guard case .memory(let chunks) = self.place else { return nil }
        return chunks
    }

    /// Reads the body, or a part of it, piece by piece.
    ///
    /// - Parameters:
    ///   - range: the bytes wanted; all of them if nil. Clamped to the body.
    ///   - eventLoop: where `read` is called and `wake` is run.
    ///   - wake: run once after each `.pending`, when reading is worth another try. Never called for bodies in memory.
    public func reader(
        range: Range<Int>? = nil, on eventLoop: any EventLoop, wake: @escaping @Sendable () -> Void
    ) -> BodyReader {
        let wanted: Range<Int> = (range ?? 0..<self.length).clamped(to: 0..<self.length)
        switch self.place {
        case .memory(let chunks):
            return BodyReader(chunks: chunks, range: wanted, lease: self.lease)
        case .disk(let source):
            return BodyReader(disk: source.stream(range: wanted, on: eventLoop, wake: wake))
        }
    }
}

/// A body on disk, whole and open for reading.
protocol DiskBodySource: Sendable {
    /// Bytes.
    var length: Int { get }
    func stream(range: Range<Int>, on eventLoop: any EventLoop, wake: @escaping @Sendable () -> Void)
        -> any DiskBodyStream
}

/// Reads one body from disk, ahead of its consumer, on other threads than the consumer's. Used on one event loop.
protocol DiskBodyStream: AnyObject {
    func read(atMost limit: Int) -> BodyRead
    func cancel()
}
