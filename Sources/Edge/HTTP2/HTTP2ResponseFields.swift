import HTTP2Wire
import HTTPFields
import HTTPForwarding
import NIOCore

/// A response's head as HTTP/2 spells it (RFC 9113 §8.3.2): `:status`, then the fields with names in lower case.
enum HTTP2ResponseFields {
    static func block(_ head: OutgoingHead, _ allocator: ByteBufferAllocator) -> ByteBuffer {
        var block = allocator.buffer(capacity: 256)
        FieldBlockWriter.writeStatus(head.status, to: &block)
        head.forEachField { name, value in FieldBlockWriter.write(name: name, value: value, to: &block) }
        return block
    }

    static func block(trailers: FieldSection, _ allocator: ByteBufferAllocator) -> ByteBuffer {
        var block = allocator.buffer(capacity: 64)
        FieldBlockWriter.write(trailers, to: &block)
        return block
    }
}
