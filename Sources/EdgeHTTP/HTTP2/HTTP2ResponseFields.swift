import CacheStorage
import HTTP2Wire
import HTTPCaching
import HTTPFields
import HTTPForwarding
import NIOCore

/// A response's head as HTTP/2 spells it (RFC 9113 §8.3.2): `:status`, then the fields with names in lower case.
enum HTTP2ResponseFields {
    /// - Parameter block: takes it behind what is there.
    static func write(_ head: OutgoingHead, to block: inout ByteBuffer) {
        block.reserveCapacity(minimumWritableBytes: 256)
        FieldBlockWriter.writeStatus(head.status, to: &block)
        head.forEachField { name, value in FieldBlockWriter.write(name: name, value: value, to: &block) }
    }

    /// The head of a stored response. Where it is the one that is stored, its block is kept with it, and what a hit adds follows.
    static func write(_ answer: borrowing StoredAnswer, to block: inout ByteBuffer) {
        guard answer.answer.isStoredHead, !answer.request.showsName else {
            return self.write(answer.response(closing: false).head, to: &block)
        }
        let stored = answer.cache.store.fieldBlock(of: answer.entry) {
            self.encode($0, length: answer.answer.contentLength)
        }
        block.reserveCapacity(minimumWritableBytes: stored.count + 128)
        block.writeBytes(stored)
        if let age = answer.answer.age { self.write(.age, .number(age), to: &block) }
        if let status = answer.cacheStatus { self.write(.cacheStatus, status, to: &block) }
    }

    private static func write(_ name: KnownField, _ value: AddedFields.Value, to block: inout ByteBuffer) {
        value.withBytes { FieldBlockWriter.write(name, $0, to: &block) }
    }

    private static func encode(_ head: EncodedHead, length: Int64?) -> [UInt8] {
        var block = ByteBuffer()
        FieldBlockWriter.writeStatus(head.status, to: &block)
        head.withBytes { bytes in
            head.forEachField { field in
                FieldBlockWriter.write(
                    name: UnsafeRawBufferPointer(rebasing: bytes[field.name]),
                    value: UnsafeRawBufferPointer(rebasing: bytes[field.value]), to: &block)
            }
        }
        if let length { self.write(.contentLength, .number(length), to: &block) }
        return Array(buffer: block)
    }

    static func write(trailers: FieldSection, to block: inout ByteBuffer) {
        FieldBlockWriter.write(trailers, to: &block)
    }
}
