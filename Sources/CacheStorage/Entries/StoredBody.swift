public import HTTPFields
public import NIOCore

/// The bytes of one stored response: in memory, with its entry or as a few buffers ready to be written, or on disk.
public struct StoredBody: Sendable {
    /// A body that is in memory.
    public enum Whole: Sendable {
        /// A small one, in its entry's block: it is copied to where it is written.
        case packed(KeptBytes)
        /// In order, none of them empty, ready to be written without copying.
        case chunks([ByteBuffer])
    }

    enum Place: Sendable {
        case memory(Whole)
        case disk(any DiskBodySource)
    }

    /// Bytes.
    public let length: Int
    let place: Place
    /// What the buffers take up in memory, spare capacity included, in bytes; nothing for a body in its entry's block.
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
        self.place = .memory(.chunks(filled))
        self.lease = lease
    }

    /// A small body in its entry's block.
    init(packed bytes: KeptBytes) {
        self.length = bytes.count
        self.footprint = 0
        self.place = .memory(.packed(bytes))
        self.lease = nil
    }

    init(onDisk source: any DiskBodySource) {
        self.length = source.length
        self.footprint = 0
        self.place = .disk(source)
        self.lease = nil
    }

    var isInMemory: Bool { self.whole != nil }

    /// The whole body where it is in memory; nil where it is on disk.
    ///
    /// A reader that keeps these buffers keeps this value as well: a large body's memory is counted until it is let go of.
    public var whole: Whole? {
        guard case .memory(let whole) = self.place else { return nil }
        return whole
    }

    /// The same in buffers. A small body is copied to one.
    public var chunks: [ByteBuffer]? {
        switch self.whole {
        case .packed(let bytes): bytes.count == 0 ? [] : [bytes.withBytes { ByteBuffer(bytes: $0) }]
        case .chunks(let chunks): chunks
        case nil: nil
        }
    }

    /// - Parameter target: of the body's length. A body on disk is not copied.
    func copy(to target: UnsafeMutableRawBufferPointer) {
        switch self.whole {
        case .packed(let bytes): bytes.withBytes { target.copyMemory(from: $0) }
        case .chunks(let chunks):
            var end = 0
            for chunk in chunks {
                chunk.withUnsafeReadableBytes {
                    UnsafeMutableRawBufferPointer(rebasing: target[end...]).copyMemory(from: $0)
                }
                end += chunk.readableBytes
            }
        case nil: break
        }
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
        case .memory(.chunks(let chunks)):
            return BodyReader(chunks: chunks, range: wanted, lease: self.lease)
        case .memory(.packed(let bytes)):
            let part = bytes[wanted].withBytes { ByteBuffer(bytes: $0) }
            return BodyReader(chunks: [part], range: 0..<wanted.count)
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
