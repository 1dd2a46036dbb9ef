internal import DequeModule
public import NIOCore

/// Bytes that wait, in the pieces in which they came.
///
/// A piece may be a slice of a much larger buffer, which it keeps as a whole: one byte of a read of the connection's, say. What waits for long is
/// therefore copied, small pieces together (``settle()``). What is settled holds no more than about four times its bytes and 16 KiB. What is given
/// away may wait elsewhere: it is taken by ``popForReader()``, and holds no more than about sixteen times its bytes.
public struct ByteQueue: Sendable {
    private var pieces = Deque<ByteBuffer>()
    /// So many of the first pieces are settled.
    private var settled = 0
    /// The last of those is a copy, to which more may be appended.
    private var lastIsCopy = false
    public private(set) var readableBytes = 0

    /// Smaller pieces are copied, in bytes.
    private static let small = 4096
    /// Copies are joined up to this size, in bytes.
    private static let joined = 16_384
    /// A piece may keep so many times its bytes.
    private static let slack = 4
    /// And so many where its reader gets it at once: not each frame of a large read is to be copied.
    private static let readerSlack = 16

    public init() {}

    public var isEmpty: Bool { self.pieces.isEmpty }

    var pieceCount: Int { self.pieces.count }

    /// What is kept for the pieces, in bytes; a buffer that several are part of counts for each.
    var keptBytes: Int { self.pieces.reduce(0) { $0 + $1.storageCapacity } }

    public mutating func append(_ bytes: ByteBuffer) {
        self.pieces.append(bytes)
        self.readableBytes += bytes.readableBytes
    }

    /// What there is now will wait: copies what would keep much more than itself.
    public mutating func settle() {
        guard self.settled < self.pieces.count else { return }
        let fresh = Array(self.pieces[self.settled...])
        self.pieces.removeLast(fresh.count)
        for piece in fresh { self.keep(piece) }
        self.settled = self.pieces.count
    }

    private mutating func keep(_ piece: ByteBuffer) {
        let count = piece.readableBytes
        if count >= Self.small, piece.storageCapacity <= Self.slack * count {
            self.lastIsCopy = false
            return self.pieces.append(piece)
        }
        if self.lastIsCopy, let last = self.pieces.indices.last, self.pieces[last].writerIndex + count <= Self.joined {
            self.pieces[last].writeImmutableBuffer(piece)
            return
        }
        var copy = ByteBuffer()
        copy.reserveCapacity(count)
        copy.writeImmutableBuffer(piece)
        self.pieces.append(copy)
        self.lastIsCopy = true
    }

    public mutating func popFirst() -> ByteBuffer? {
        guard let piece = self.pieces.popFirst() else { return nil }
        self.readableBytes -= piece.readableBytes
        self.forgetFirst()
        return piece
    }

    /// The first piece, for a reader that may keep it for as long as it likes. What would keep much more than itself is copied, together with
    /// what follows and would so, too.
    public mutating func popForReader() -> ByteBuffer? {
        guard let first = self.popFirst() else { return nil }
        guard Self.keepsMuch(first) else { return first }
        var count = first.readableBytes
        var joins = 0
        for piece in self.pieces {
            guard Self.keepsMuch(piece), count + piece.readableBytes <= Self.joined else { break }
            count += piece.readableBytes
            joins += 1
        }
        var copy = ByteBuffer()
        copy.reserveCapacity(count)
        copy.writeImmutableBuffer(first)
        for _ in 0..<joins {
            if let piece = self.popFirst() { copy.writeImmutableBuffer(piece) }
        }
        return copy
    }

    private static func keepsMuch(_ piece: ByteBuffer) -> Bool {
        piece.storageCapacity > Self.readerSlack * piece.readableBytes
    }

    /// Moves so many bytes, or all if there are fewer, to the end of the buffer.
    public mutating func move(_ count: Int, into buffer: inout ByteBuffer) {
        var missing = count
        while missing > 0, let first = self.pieces.first {
            let part = min(missing, first.readableBytes)
            if let slice = first.getSlice(at: first.readerIndex, length: part) { buffer.writeImmutableBuffer(slice) }
            missing -= part
            self.readableBytes -= part
            if part == first.readableBytes {
                self.pieces.removeFirst()
                self.forgetFirst()
            } else {
                self.pieces[self.pieces.startIndex].moveReaderIndex(forwardBy: part)
            }
        }
    }

    private mutating func forgetFirst() {
        self.settled = max(0, self.settled - 1)
        if self.settled == 0 { self.lastIsCopy = false }
    }

    public mutating func removeAll() { self = ByteQueue() }
}
