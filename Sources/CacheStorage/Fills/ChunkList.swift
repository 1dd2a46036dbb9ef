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

    /// The position of the first byte still held.
    var start: Int { self.sealed.first?.start ?? self.tailStart }

    /// - Parameter expected: bytes still to come, as far as known: a small body gets a buffer of its own size at once.
    mutating func append(_ buffer: ByteBuffer, expected: Int?) {
        let count: Int = buffer.readableBytes
        guard count > 0 else { return }
        if count >= Self.adoptedBytes, buffer.storageCapacity <= count * 2 {
            self.sealTail()
            self.seal(buffer, start: self.end)
            self.end += count
            self.tailStart = self.end
            return
        }
        if self.tail.readableBytes + count > Self.chunkBytes { self.sealTail() }
        if self.tail.readableBytes == 0 {
            self.tailStart = self.end
            let wanted: Int = max(count, min(expected ?? 4096, Self.chunkBytes))
            self.tail = ByteBufferAllocator().buffer(capacity: wanted)
            self.footprint += self.tail.storageCapacity + MemoryCosts.buffer
        }
        let before: Int = self.tail.storageCapacity
        self.tail.writeImmutableBuffer(buffer)
        self.footprint += self.tail.storageCapacity - before
        self.end += count
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

    /// Everything held, in buffers that waste little, which replace the ones held so far. Positions stay as they are.
    mutating func compact() -> [ByteBuffer] {
        self.sealTail()
        let length: Int = self.end - self.start
        let spare: Int = self.footprint - self.sealed.count * MemoryCosts.buffer - length
        if spare > length / 8 + 256 || self.sealed.count > length / 4096 + 1 {
            self.rebuild()
        }
        return self.sealed.map(\.buffer)
    }

    /// Copies everything into chunks whose sizes are powers of two, for that is what buffers come in.
    private mutating func rebuild() {
        var old: Deque<Chunk> = []
        swap(&old, &self.sealed)
        var left: Int = self.end - (old.first?.start ?? self.tailStart)
        var position: Int = self.end - left
        self.footprint = 0
        var buffer = ByteBuffer()
        var room = 0
        while let chunk = old.popFirst() {
            var source: ByteBuffer = chunk.buffer
            while source.readableBytes > 0 {
                if room == 0 {
                    room = Self.pieceSize(for: left)
                    buffer = ByteBufferAllocator().buffer(capacity: room)
                }
                guard let piece = source.readSlice(length: min(room, source.readableBytes)) else { break }
                buffer.writeImmutableBuffer(piece)
                room -= piece.readableBytes
                left -= piece.readableBytes
                if room == 0 {
                    self.seal(buffer, start: position)
                    position += buffer.readableBytes
                    buffer = ByteBuffer()
                }
            }
        }
        self.tail = ByteBuffer()
        self.tailStart = self.end
    }

    /// How much of `left` bytes goes into the next buffer so that little of its capacity is wasted.
    static func pieceSize(for left: Int) -> Int {
        if left >= Self.chunkBytes { return Self.chunkBytes }
        if left <= 1024 { return left }
        let above: Int = 1 << (Int.bitWidth - (left - 1).leadingZeroBitCount)
        return above - left <= left / 8 ? left : above / 2
    }

    private mutating func sealTail() {
        guard self.tail.readableBytes > 0 else { return }
        self.sealed.append(Chunk(start: self.tailStart, buffer: self.tail))
        self.tail = ByteBuffer()
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
