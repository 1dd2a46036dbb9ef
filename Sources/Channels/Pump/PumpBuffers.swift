public import NIOCore

/// How much a pump between sockets reads at once, and how much it keeps for a slow reader.
///
/// One direction holds at most ``highWaterMark`` plus one ``maximumRead`` bytes, apart from the system's socket buffers. A
/// peer that has already closed its output is the exception: NIO then reads its socket's buffer dry.
public enum PumpBuffers {
    /// Bytes of one read: as few as a quiet connection needs, as many as a busy one can use; twice as many after each full one.
    static let minimumRead = 2048
    static let initialRead = 4096
    static let maximumRead = 262_144
    /// The other side is not read while this side has more unsent bytes.
    static let highWaterMark = 262_144
    static let lowWaterMark = 65_536

    static var allocator: any RecvByteBufferAllocator {
        AdaptiveRecvByteBufferAllocator(minimum: minimumRead, initial: initialRead, maximum: maximumRead)
    }

    static var waterMark: ChannelOptions.Types.WriteBufferWaterMark {
        ChannelOptions.Types.WriteBufferWaterMark(low: lowWaterMark, high: highWaterMark)
    }

    /// Applies the sizes to a connection. Call it on its event loop.
    public static func apply(to channel: any Channel) throws {
        guard let options = channel.syncOptions else { return }
        try options.setOption(.recvAllocator, value: self.allocator)
        // Each read is written on before the next one, so that the buffer can be used again.
        try options.setOption(.maxMessagesPerRead, value: 1)
        try options.setOption(.writeBufferWaterMark, value: self.waterMark)
    }
}
