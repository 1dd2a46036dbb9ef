public import NIOCore
import TLSCrypto

/// Secret bytes: overwritten with zeros when the last copy is released, compared in constant time, never printed.
///
/// Copies share one allocation, which never moves and is never written again, so no stray copy is left behind, and any thread may read it.
public struct Secret: @unchecked Sendable, Equatable {
    private let storage: Storage

    /// Fills `count` bytes, which are zero before, in place.
    init(count: Int, _ fill: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        storage = try Storage.make(count: count, fill)
    }

    /// Copies the bytes. The caller's own copy is the caller's to erase: prefer ``init(reading:length:)``.
    public init(_ bytes: some Collection<UInt8>) {
        storage = Storage.make(count: bytes.count) { $0.copyBytes(from: bytes) }
    }

    /// The same.
    public init(_ bytes: UnsafeRawBufferPointer) {
        storage = Storage.make(count: bytes.count) { $0.copyMemory(from: bytes) }
    }

    /// Takes the next bytes off a buffer, without a copy in between; nil, and nothing taken, if there are fewer.
    public init?(reading buffer: inout ByteBuffer, length: Int) {
        guard length >= 0, buffer.readableBytes >= length else { return nil }
        storage = buffer.withUnsafeReadableBytes { bytes in
            Storage.make(count: length) { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<length])) }
        }
        buffer.moveReaderIndex(forwardBy: length)
    }

    /// Length in bytes.
    public var count: Int { storage.header }

    /// Lends the bytes to the closure; they must not outlive it.
    public func withUnsafeBytes<Result: ~Copyable>(
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        try storage.withUnsafeMutablePointers { count, bytes in
            try body(UnsafeRawBufferPointer(start: bytes, count: count.pointee))
        }
    }

    /// Compares in constant time; only the lengths, which are no secret, show.
    public static func == (left: Secret, right: Secret) -> Bool {
        left.withUnsafeBytes { left in
            right.withUnsafeBytes { right in SecretMemory.areEqual(left, right) }
        }
    }

    /// How many bytes, and the bytes, in one block. They are written before ``make(count:_:)`` returns and never again.
    private final class Storage: ManagedBuffer<Int, UInt8> {
        static func make(count: Int, _ fill: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows -> Storage {
            let storage = unsafeDowncast(Self.create(minimumCapacity: count) { _ in count }, to: Storage.self)
            try storage.withUnsafeMutablePointerToElements { bytes in
                bytes.initialize(repeating: 0, count: count)
                try fill(UnsafeMutableRawBufferPointer(start: bytes, count: count))
            }
            return storage
        }

        deinit {
            withUnsafeMutablePointers { count, bytes in
                SecretMemory.erase(UnsafeMutableRawBufferPointer(start: bytes, count: count.pointee))
            }
        }
    }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "Secret(\(count) bytes)" }
    public var debugDescription: String { description }
    /// Without children, so that `dump` shows nothing either.
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}
