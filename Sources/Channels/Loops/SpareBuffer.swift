public import NIOCore

/// Memory for bytes that are gone by the next time as a rule, as what a connection reads or writes within its turn is: the connections of one
/// event loop take it one after the other, so that none of them asks the allocator, and an idle one holds nothing. Lives on that loop.
///
/// Nothing is taken away from a connection that still holds what it was given: the next one gets other memory then.
public final class SpareBuffer {
    /// More is not kept, in bytes: a connection that holds on to little is not to hold much memory for it.
    private static let most = 32_768

    private var buffer = ByteBuffer()

    public init() {}

    /// An empty buffer with room for so many bytes.
    public func take(_ count: Int) -> ByteBuffer {
        var taken = ByteBuffer()
        swap(&taken, &self.buffer)
        // Other memory, if something still holds this.
        taken.clear(minimumCapacity: count)
        return taken
    }

    /// For the next one to take, once nothing else holds it.
    public func keep(_ used: ByteBuffer) {
        if used.storageCapacity <= Self.most { self.buffer = used }
    }
}
