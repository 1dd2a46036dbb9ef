public import NIOCore

/// Between a library that writes HTTP/2 frames and the client: puts field blocks in the place of the library's, and splits those that
/// are larger than the client's frames (RFC 9113 §4.3, §6.10). Pure.
///
/// The library writes a HEADERS frame whole, with a block that only it reads. Our bug: a HEADERS frame for which there is no block; the
/// connection cannot go on, since the client would wait for it.
public struct ServerFrames: Sendable {
    /// A HEADERS frame came without a block.
    public struct MissingBlock: Error {}

    /// Bytes of a frame's payload that follow.
    private var passing = 0
    private var saysTableSize = false
    /// The block of the HEADERS frame that the library writes next.
    public var block: ByteBuffer?
    /// The memory of the block that was written last.
    private var spare = ByteBuffer()

    public init() {}

    /// What the library writes next is a frame's payload.
    public var isPayload: Bool { self.passing > 0 }

    /// Memory for another block, empty.
    public mutating func takeSpare() -> ByteBuffer {
        let spare = self.spare
        self.spare = ByteBuffer()
        return spare
    }

    /// - Parameters:
    ///   - bytes: what the library writes: from the start of a frame, or a payload behind it.
    ///   - buffer: takes a HEADERS frame, and CONTINUATION frames where needed.
    /// - Returns: the bytes, if they go out as they are.
    public mutating func write(
        _ bytes: ByteBuffer, _ settings: ClientFrameSettings, to buffer: inout ByteBuffer
    ) throws(MissingBlock) -> ByteBuffer? {
        if self.passing > 0 {
            self.passing -= min(self.passing, bytes.readableBytes)
            return bytes
        }
        guard let header = FrameHeader(bytes, at: bytes.readerIndex) else { return bytes }
        guard header.type == FrameHeader.headers else {
            self.passing = max(0, FrameHeader.count + header.length - bytes.readableBytes)
            return bytes
        }
        guard var block = self.block else { throw MissingBlock() }
        self.block = nil
        if settings.hasSmallTable, !self.saysTableSize {
            // RFC 7541 §4.2: nothing is ever put into the table, so the smallest size is said once and for all.
            self.saysTableSize = true
            var announced = ByteBufferAllocator().buffer(capacity: block.readableBytes + 1)
            announced.writeInteger(0x20 as UInt8)
            announced.writeImmutableBuffer(block)
            block = announced
        }
        Self.write(&block, header, settings.maximumFrameSize, to: &buffer)
        block.clear()
        self.spare = block
        return nil
    }

    private static func write(
        _ block: inout ByteBuffer, _ original: FrameHeader, _ maximum: Int, to buffer: inout ByteBuffer
    ) {
        var header = original
        header.flags &= ~FrameHeader.endHeaders
        repeat {
            let count = min(maximum, block.readableBytes)
            if count == block.readableBytes { header.flags |= FrameHeader.endHeaders }
            header.length = count
            header.write(to: &buffer)
            if let part = block.readSlice(length: count) { buffer.writeImmutableBuffer(part) }
            header.type = FrameHeader.continuation
            header.flags = 0
        } while block.readableBytes > 0
    }
}
