public import NIOCore
import TLSCrypto

/// Secret bytes: overwritten with zeros when the last copy is released, compared in constant time, never printed.
///
/// Copies share one allocation, which never moves and is never written again, so no stray copy is left behind.
public struct Secret: Sendable, Equatable {
    private let storage: Storage

    /// Fills `count` bytes, which are zero before, in place.
    init(count: Int, _ fill: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        storage = try Storage(count: count, fill)
    }

    /// Copies the bytes. The caller's own copy is the caller's to erase: prefer ``init(reading:length:)``.
    public init(_ bytes: some Collection<UInt8>) {
        storage = Storage(count: bytes.count) { $0.copyBytes(from: bytes) }
    }

    /// Takes the next bytes off a buffer, without a copy in between; nil, and nothing taken, if there are fewer.
    public init?(reading buffer: inout ByteBuffer, length: Int) {
        guard length >= 0, buffer.readableBytes >= length else { return nil }
        storage = buffer.withUnsafeReadableBytes { bytes in
            Storage(count: length) { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<length])) }
        }
        buffer.moveReaderIndex(forwardBy: length)
    }

    /// Length in bytes.
    public var count: Int { storage.bytes.count }

    /// Lends the bytes to the closure; they must not outlive it.
    public func withUnsafeBytes<Result: ~Copyable>(
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        defer { withExtendedLifetime(storage) {} }
        return try body(storage.bytes)
    }

    /// Compares in constant time; only the lengths, which are no secret, show.
    public static func == (left: Secret, right: Secret) -> Bool {
        left.withUnsafeBytes { left in
            right.withUnsafeBytes { right in SecretMemory.areEqual(left, right) }
        }
    }

    /// The bytes are written before the initialiser returns and never again, so any thread may read them.
    private final class Storage: @unchecked Sendable {
        let bytes: UnsafeRawBufferPointer

        init(count: Int, _ fill: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(count, 1), alignment: 8)
            memory.initializeMemory(as: UInt8.self, repeating: 0)
            bytes = UnsafeRawBufferPointer(rebasing: memory[..<count])
            try fill(UnsafeMutableRawBufferPointer(rebasing: memory[..<count]))
        }

        deinit {
            let memory = UnsafeMutableRawBufferPointer(mutating: bytes)
            SecretMemory.erase(memory)
            memory.deallocate()
        }
    }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "Secret(\(count) bytes)" }
    public var debugDescription: String { description }
    /// Without children, so that `dump` shows nothing either.
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}
