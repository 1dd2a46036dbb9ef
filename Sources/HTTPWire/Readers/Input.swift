public import NIOCore

/// What was received and not yet consumed.
@usableFromInline
struct Input: Sendable {
    @usableFromInline var buffer = ByteBuffer()

    /// Adds what the connection received. What came alone stays where it is; bytes are copied only behind an unfinished rest.
    mutating func append(_ bytes: ByteBuffer) {
        if self.buffer.readableBytes == 0 {
            self.buffer = bytes
            return
        }
        // Moving the rest to the front pays where at least as much was consumed.
        if self.buffer.readerIndex >= self.buffer.readableBytes { self.buffer.discardReadBytes() }
        self.buffer.writeImmutableBuffer(bytes)
    }

    /// Lets go of memory of which everything was consumed.
    mutating func releaseIfEmpty() {
        if self.buffer.readableBytes == 0 { self.buffer = ByteBuffer() }
    }

    /// At most `count` bytes, without a copy; `nil` if there are none.
    mutating func take(_ count: Int64) -> ByteBuffer? {
        let count = Int(min(count, Int64(self.buffer.readableBytes)))
        return count > 0 ? self.buffer.readSlice(length: count) : nil
    }

    mutating func takeAll() -> ByteBuffer {
        let all = self.buffer
        self.buffer = ByteBuffer()
        return all
    }
}
