internal import DequeModule
internal import NIOCore

/// The bytes of a fill as they come: appended at the end, read at any position that is still held.
///
/// Large buffers are taken as they are. Small ones are gathered in a tail that grows in place, which is why readers get
/// copies from the tail: a slice of it in a reader's hand would make the next append copy all of it.
struct ChunkList {
    private struct Chunk {
        let start: Int
        let buffer: ByteBuffer
        var end: Int { self.start + self.buffer.readableBytes }
    }

    /// Bytes a chunk is cut at, and the least that is taken without copying.
    static let chunkBytes = 65_536
    static let adoptedBytes = 16_384

    private var sealed: Deque<Chunk> = []
    private var tail = ByteBuffer()
    private var tailStart = 0

    /// The position behind the last byte.
    private(set) var end = 0
    /// Memory held, spare capacity included, in bytes.
    private(set) var footprint = 0

    /// All that is held, as it is held.
    var buffers: [ByteBuffer] { self.sealed.map(\.buffer) + (self.tail.readableBytes > 0 ? [self.tail] : []) }

    /// The position of the first byte still held.
    var start: Int { self.sealed.first?.start ?? self.tailStart }

    /// - Parameters:
    ///   - expected: bytes still to come, as far as known: a small body gets a buffer of its own size at once.
    ///   - compactly: whether buffers that waste more than an eighth are copied, since all of this is going to be kept.
    mutating func append(_ buffer: ByteBuffer, expected: Int?, compactly: Bool = true) {
        let count: Int = buffer.readableBytes
        guard count > 0 else { return }
        if count >= Self.adoptedBytes, buffer.storageCapacity <= count + (compactly ? count / 8 : count) {
            self.sealTail(compactly: compactly)
            self.seal(buffer, start: self.end)
            self.end += count
            self.tailStart = self.end
            return
        }
        var rest: ByteBuffer = buffer
        var wanted: Int = max(count, expected ?? 4096)
        while let piece = rest.readSlice(length: min(rest.readableBytes, Self.chunkBytes - self.tail.readableBytes)),
            piece.readableBytes > 0
        {
            if self.tail.readableBytes == 0 {
                self.tailStart = self.end
                self.tail = ByteBufferAllocator().buffer(capacity: min(wanted, Self.chunkBytes))
                self.footprint += self.tail.storageCapacity + MemoryCosts.buffer
            }
            let before: Int = self.tail.storageCapacity
            self.tail.writeImmutableBuffer(piece)
            self.footprint += self.tail.storageCapacity - before
            self.end += piece.readableBytes
            wanted -= piece.readableBytes
            if self.tail.readableBytes == Self.chunkBytes { self.sealTail(compactly: false) }
        }
    }

    /// At most `limit` bytes from `position`; nil where nothing has come yet, or where it is no longer held.
    func read(at position: Int, atMost limit: Int) -> ByteBuffer? {
        guard position >= self.start, position < self.end, limit > 0 else { return nil }
        if position >= self.tailStart {
            let offset: Int = position - self.tailStart
            let count: Int = min(limit, self.tail.readableBytes - offset)
            return self.tail.viewBytes(at: self.tail.readerIndex + offset, length: count).map(ByteBuffer.init(bytes:))
        }
        let chunk: Chunk = self.sealed[self.index(of: position)]
        let count: Int = min(limit, chunk.end - position)
        return chunk.buffer.getSlice(at: chunk.buffer.readerIndex + position - chunk.start, length: count)
    }

    /// Lets go of whole chunks that end at or before `position`.
    mutating func drop(before position: Int) {
        while let first = self.sealed.first, first.end <= position {
            self.footprint -= first.buffer.storageCapacity + MemoryCosts.buffer
            self.sealed.removeFirst()
        }
        if self.sealed.isEmpty, position >= self.end, self.tail.readableBytes > 0 {
            self.footprint -= self.tail.storageCapacity + MemoryCosts.buffer
            self.tail = ByteBuffer()
            self.tailStart = self.end
        }
    }

    /// Everything held, in buffers that waste little if all of it was appended compactly: then no more than the tail is
    /// copied, which is 64 KiB at most. Positions stay as they are.
    mutating func compact() -> [ByteBuffer] {
        self.sealTail(compactly: true)
        return self.sealed.map(\.buffer)
    }

    /// How much of `left` bytes goes into the next buffer so that little of its capacity is wasted.
    static func pieceSize(for left: Int) -> Int {
        if left >= Self.chunkBytes { return Self.chunkBytes }
        if left <= 1024 { return left }
        let above: Int = 1 << (Int.bitWidth - (left - 1).leadingZeroBitCount)
        return above - left <= left / 8 ? left : above / 2
    }

    /// - Parameter compactly: whether a tail that wastes much is copied into buffers whose sizes are powers of two, for
    ///   that is what buffers come in.
    private mutating func sealTail(compactly: Bool) {
        let length: Int = self.tail.readableBytes
        guard length > 0 else { return }
        var rest = ByteBuffer()
        swap(&rest, &self.tail)
        var start: Int = self.tailStart
        if compactly, rest.storageCapacity - length > length / 8 + 256 {
            self.footprint -= rest.storageCapacity + MemoryCosts.buffer
            while let piece = rest.readSlice(length: Self.pieceSize(for: rest.readableBytes)), piece.readableBytes > 0 {
                var copy: ByteBuffer = ByteBufferAllocator().buffer(capacity: piece.readableBytes)
                copy.writeImmutableBuffer(piece)
                self.seal(copy, start: start)
                start += piece.readableBytes
            }
        } else {
            self.sealed.append(Chunk(start: start, buffer: rest))
        }
        self.tailStart = self.end
    }

    private mutating func seal(_ buffer: ByteBuffer, start: Int) {
        self.sealed.append(Chunk(start: start, buffer: buffer))
        self.footprint += buffer.storageCapacity + MemoryCosts.buffer
    }

    private func index(of position: Int) -> Int {
        var low = 0
        var high: Int = self.sealed.count - 1
        while low < high {
            let middle: Int = (low + high + 1) / 2
            if self.sealed[middle].start <= position { low = middle } else { high = middle - 1 }
        }
        return low
    }
}
