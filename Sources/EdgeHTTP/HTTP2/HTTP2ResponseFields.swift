import HTTP2Wire
import HTTPFields
import HTTPForwarding
import NIOCore

/// A response's head as HTTP/2 spells it (RFC 9113 §8.3.2): `:status`, then the fields with names in lower case.
enum HTTP2ResponseFields {
    /// - Parameter memory: an empty buffer, for the block.
    static func block(_ head: OutgoingHead, in memory: ByteBuffer) -> ByteBuffer {
        var block = memory
        block.reserveCapacity(256)
        FieldBlockWriter.writeStatus(head.status, to: &block)
        head.forEachField { name, value in FieldBlockWriter.write(name: name, value: value, to: &block) }
        return block
    }

    static func block(trailers: FieldSection, in memory: ByteBuffer) -> ByteBuffer {
        var block = memory
        FieldBlockWriter.write(trailers, to: &block)
        return block
    }
}
