import NIOCore

/// What goes to the client, in its order: small frames together in one buffer, large payloads as they are.
///
/// TLS makes a record of each buffer, with 22 bytes and an encryption of its own; so a response's HEADERS and DATA are written into one, and
/// large bodies are not copied. Takes no memory before something is written.
struct FrameOutput: Sendable {
    /// From here on a copy costs more than a record.
    static let copyLimit = 8192
    /// A TLS record holds no more.
    static let recordSize = 16_384
    /// A small response, with its head.
    private static let usual = 1536

    private var pending = ByteBuffer()
    private var hasPending = false
    /// Buffers that are complete, before what is pending.
    private var complete: [ByteBuffer] = []

    var isEmpty: Bool { !self.hasPending && self.complete.isEmpty }
    var hasComplete: Bool { !self.complete.isEmpty }

    /// The next buffer.
    ///
    /// - Parameter all: also one to which more may be added.
    mutating func next(all: Bool) -> ByteBuffer? {
        if !self.complete.isEmpty { return self.complete.removeFirst() }
        guard all, self.hasPending else { return nil }
        self.hasPending = false
        return self.pending
    }

    /// Writes about so many bytes behind what is there.
    mutating func write(_ count: Int, _ body: (inout ByteBuffer) -> Void) {
        self.begin(count)
        body(&self.pending)
    }

    /// A DATA frame.
    mutating func writeData(_ payload: ByteBuffer, endsStream: Bool, on id: HTTP2StreamID) {
        let header = FrameHeader(
            length: payload.readableBytes, type: FrameHeader.data, flags: endsStream ? FrameHeader.endStream : 0,
            stream: id)
        let isLarge = payload.readableBytes >= Self.copyLimit
        self.begin(FrameHeader.count + (isLarge ? 0 : payload.readableBytes))
        header.write(to: &self.pending)
        if isLarge {
            self.complete(with: payload)
        } else {
            self.pending.writeImmutableBuffer(payload)
        }
    }

    /// A HEADERS frame, and CONTINUATION frames where the block is larger than a frame of the client's may be (RFC 9113 §4.3, §6.10).
    mutating func writeHeaders(
        endsStream: Bool, on id: HTTP2StreamID, maximum: Int, _ write: (inout ByteBuffer) -> Void
    ) {
        self.begin(Self.usual / 2)
        let start = self.pending.writerIndex
        var header = FrameHeader(
            length: 0, type: FrameHeader.headers, flags: endsStream ? FrameHeader.endStream : 0, stream: id)
        header.write(to: &self.pending)
        write(&self.pending)
        header.length = self.pending.writerIndex - start - FrameHeader.count
        if header.length <= maximum {
            header.flags |= FrameHeader.endHeaders
            header.set(in: &self.pending, at: start)
            return
        }
        var block = self.pending.getSlice(at: start + FrameHeader.count, length: header.length) ?? ByteBuffer()
        self.pending.moveWriterIndex(to: start)
        while block.readableBytes > 0 {
            header.length = min(maximum, block.readableBytes)
            if header.length == block.readableBytes { header.flags |= FrameHeader.endHeaders }
            header.write(to: &self.pending)
            if let part = block.readSlice(length: header.length) { self.pending.writeImmutableBuffer(part) }
            header.type = FrameHeader.continuation
            header.flags = 0
        }
    }

    /// Gives back the memory that only the next write needs.
    mutating func releaseMemory() {
        if !self.hasPending { self.pending = ByteBuffer() }
        if self.complete.isEmpty { self.complete = [] }
    }

    /// Makes room for so many bytes.
    private mutating func begin(_ count: Int) {
        if self.hasPending, self.pending.readableBytes + count > Self.recordSize { self.seal() }
        guard !self.hasPending else { return }
        // What was written last is gone by now, and its memory taken again, unless the one that writes it still holds it.
        self.pending.clear(minimumCapacity: max(count, Self.usual))
        self.hasPending = true
    }

    private mutating func seal() {
        self.complete.append(self.pending)
        self.hasPending = false
    }

    private mutating func complete(with payload: ByteBuffer) {
        self.seal()
        self.complete.append(payload)
    }
}
