/// Bytes that stand in the memory of another object: which keeps them, unchanged, for as long as it lives. It lives as long as this value.
public struct KeptBytes: Sendable {
    // Nothing is asked of it but that it lives.
    private nonisolated(unsafe) let keeper: AnyObject
    private nonisolated(unsafe) let start: UnsafeRawPointer
    public let count: Int

    /// - Parameters:
    ///   - bytes: in `keeper`'s memory.
    ///   - keeper: never changes these bytes, and never moves them. May be let go of on any thread.
    package init(_ bytes: UnsafeRawBufferPointer, in keeper: AnyObject) {
        self.keeper = keeper
        // An empty buffer may have no address. Nothing is read then.
        self.start = bytes.baseAddress ?? UnsafeRawPointer(Unmanaged.passUnretained(keeper).toOpaque())
        self.count = bytes.count
    }

    /// - Parameter body: the pointer is valid until it returns.
    public func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(self.keeper) {} }
        return try body(UnsafeRawBufferPointer(start: self.start, count: self.count))
    }

    /// A part of them.
    public subscript(range: Range<Int>) -> KeptBytes {
        self.withBytes { KeptBytes(UnsafeRawBufferPointer(rebasing: $0[range]), in: self.keeper) }
    }
}
