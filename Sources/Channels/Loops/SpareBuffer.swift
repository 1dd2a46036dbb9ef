public import NIOCore

/// Memory for bytes that are gone by the next time as a rule, as what a connection reads or writes within its turn is: the connections of one
/// event loop take it one after the other, so that none of them asks the allocator, and an idle one holds nothing. Lives on that loop.
///
/// Nothing is taken away from a connection that still holds what it was given: the next one gets other memory then.
public final class SpareBuffer {
    /// Bytes of storage, a piece for each: what is asked for gets no much larger one, since a connection that holds on to little, such as an
    /// answer that its client does not read, is not to hold much memory for it. Above the last nothing is kept.
    private static let sizes = (small: 2048, middle: 8192, large: 32_768)

    private var small = ByteBuffer()
    private var middle = ByteBuffer()
    private var large = ByteBuffer()

    public init() {}

    /// An empty buffer with room for so many bytes.
    public func take(_ count: Int) -> ByteBuffer {
        var taken = ByteBuffer()
        switch count {
        case ...Self.sizes.small: swap(&taken, &self.small)
        case ...Self.sizes.middle: swap(&taken, &self.middle)
        case ...Self.sizes.large: swap(&taken, &self.large)
        default: break
        }
        // Other memory, if something still holds this.
        taken.clear(minimumCapacity: count)
        return taken
    }

    /// For the next one to take, once nothing else holds it.
    public func keep(_ used: ByteBuffer) {
        switch used.storageCapacity {
        case ...Self.sizes.small: self.small = used
        case ...Self.sizes.middle: self.middle = used
        case ...Self.sizes.large: self.large = used
        default: break
        }
    }
}
