public import NIOCore

/// Writes the chunks of a chunked body (RFC 9112 §7.1). The last one, with trailers, is ``HeadWriter``'s.
public enum ChunkWriter {
    /// A whole chunk, its data copied. Writes nothing for no data: a chunk of 0 bytes would end the content.
    public static func write(_ data: ByteBuffer, to buffer: inout ByteBuffer) {
        guard self.writeStart(ofChunk: data.readableBytes, to: &buffer) else { return }
        buffer.writeImmutableBuffer(data)
        self.writeEnd(to: &buffer)
    }

    /// What stands in front of a chunk's data, for data that is sent without a copy; ``writeEnd(to:)`` has to follow it.
    ///
    /// - Returns: false, with nothing written, if there is no data: then nothing may follow either.
    @discardableResult
    public static func writeStart(ofChunk count: Int, to buffer: inout ByteBuffer) -> Bool {
        guard count > 0 else { return false }
        var digits = 1
        while digits < 16, count >> (4 * digits) > 0 { digits += 1 }
        for index in stride(from: digits - 1, through: 0, by: -1) {
            let digit = UInt8(truncatingIfNeeded: count >> (4 * index)) & 15
            buffer.writeInteger(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
        buffer.writeStaticString("\r\n")
        return true
    }

    /// What stands behind a chunk's data.
    public static func writeEnd(to buffer: inout ByteBuffer) {
        buffer.writeStaticString("\r\n")
    }
}
