public import NIOCore

/// The payload of ``KeyFunction/lease``: generation u64.
///
/// The key holder answers at once if the edge's grants are of another generation, else when they change, or at half of the
/// lease. One request is held on a connection; a second one has the first answered.
public struct LeaseRequest: Equatable, Sendable {
    /// That of the last answer over the same connection; 0 where there was none.
    public var generation: UInt64

    public init(generation: UInt64) {
        self.generation = generation
    }

    public init(decoding payload: ByteBuffer) throws(KeyPayloadError) {
        var payload: ByteBuffer = payload
        guard let generation: UInt64 = payload.readInteger() else { throw .truncated }
        guard payload.readableBytes == 0 else { throw .trailingBytes }
        self.init(generation: generation)
    }

    public func encoded() -> ByteBuffer {
        ByteBuffer(integer: self.generation)
    }
}

/// That the edge has grants: the answer to ``KeyFunction/lease``. An edge without any gets ``KeyErrorCode/noGrant``.
///
/// Layout, big endian: milliseconds u32, generation u64.
public struct LeaseAnswer: Equatable, Sendable {
    /// How long the edge may go on serving under the grants that it has, from this answer on; 1,000 to 604,800,000.
    public var milliseconds: UInt32
    /// Another number than before: some grant of the edge's came, went or changed, or a certificate did. What the edge knows
    /// of its sites is to be asked for again. Never 0.
    public var generation: UInt64

    /// What a lease may last: a second to a week.
    public static let bounds: ClosedRange<UInt32> = 1000...604_800_000

    public init(milliseconds: UInt32, generation: UInt64) {
        self.milliseconds = milliseconds
        self.generation = generation
    }

    public init(decoding payload: ByteBuffer) throws(KeyPayloadError) {
        var payload: ByteBuffer = payload
        guard let milliseconds: UInt32 = payload.readInteger(), let generation: UInt64 = payload.readInteger() else {
            throw .truncated
        }
        guard payload.readableBytes == 0 else { throw .trailingBytes }
        guard Self.bounds.contains(milliseconds) else { throw .badValue("time of the lease") }
        guard generation != 0 else { throw .badValue("generation") }
        self.init(milliseconds: milliseconds, generation: generation)
    }

    public func encoded() -> ByteBuffer {
        var payload = ByteBuffer()
        payload.writeMultipleIntegers(self.milliseconds, self.generation)
        return payload
    }
}
