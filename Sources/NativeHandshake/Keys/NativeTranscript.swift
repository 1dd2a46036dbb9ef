import Crypto
import NIOCore

/// A hash over all handshake records so far, as they travelled, headers included.
///
/// The hash function is the suite's, which is known only from the second message on: until then the bytes are kept.
struct NativeTranscript: Sendable {
    private enum State {
        case bytes(ByteBuffer)
        case sha256(SHA256)
        case sha384(SHA384)
    }

    private var state = State.bytes(ByteBuffer())

    mutating func add(_ record: ByteBuffer) {
        switch self.state {
        case .bytes(var bytes):
            var record: ByteBuffer = record
            bytes.writeBuffer(&record)
            self.state = .bytes(bytes)
        case .sha256(var hash):
            record.withUnsafeReadableBytes { hash.update(bufferPointer: $0) }
            self.state = .sha256(hash)
        case .sha384(var hash):
            record.withUnsafeReadableBytes { hash.update(bufferPointer: $0) }
            self.state = .sha384(hash)
        }
    }

    mutating func chose(_ suite: NativeSuite) {
        guard case .bytes(let bytes) = self.state else { return }
        self.state = suite.usesSHA384 ? .sha384(SHA384()) : .sha256(SHA256())
        self.add(bytes)
    }

    var hash: [UInt8] {
        switch self.state {
        case .bytes(let bytes): bytes.withUnsafeReadableBytes { Array(SHA256.hash(data: $0)) }
        case .sha256(let hash): Array(hash.finalize())
        case .sha384(let hash): Array(hash.finalize())
        }
    }
}
