import Crypto
public import NIOCore

/// Secret bytes: overwritten with zeros when the last copy is released, compared in constant time, never printed.
///
/// The storage is swift-crypto's `SymmetricKey`, which keeps its bytes out of reach of copy-on-write surprises and
/// zeroes them.
public struct Secret: Sendable, Equatable {
    let key: SymmetricKey

    init(key: SymmetricKey) {
        self.key = key
    }

    /// Copies the bytes. The caller's own copy is the caller's to erase: prefer ``init(reading:length:)``.
    public init(_ bytes: some Collection<UInt8>) {
        if let secret: Secret = bytes.withContiguousStorageIfAvailable({ Secret(key: SymmetricKey(data: $0)) }) {
            self = secret
        } else {
            key = SymmetricKey(data: Array(bytes))
        }
    }

    /// Takes the next bytes off a buffer, without a copy in between; nil, and nothing taken, if there are fewer.
    public init?(reading buffer: inout ByteBuffer, length: Int) {
        guard length >= 0, buffer.readableBytes >= length else { return nil }
        key = buffer.withUnsafeReadableBytes { bytes in
            SymmetricKey(data: UnsafeRawBufferPointer(rebasing: bytes[..<length]))
        }
        buffer.moveReaderIndex(forwardBy: length)
    }

    /// Length in bytes.
    public var count: Int { key.bitCount / 8 }

    /// Lends the bytes to the closure; they must not outlive it.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try key.withUnsafeBytes(body)
    }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "Secret(\(count) bytes)" }
    public var debugDescription: String { description }
    /// Without children, so that `dump` shows nothing either.
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}
