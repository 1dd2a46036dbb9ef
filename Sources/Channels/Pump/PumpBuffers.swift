import NIOCore

/// How much a pump between sockets reads at once, and how much it keeps for a slow reader, once one side has sent more than a little at once:
/// most connections never do, and are as the system's channels are made.
///
/// One direction holds at most ``highWaterMark`` plus one ``maximumRead`` bytes, apart from the system's socket buffers. A
/// peer that has already closed its output is the exception: NIO then reads its socket's buffer dry.
enum PumpBuffers {
    /// Of one side, at once: from then on it is busy.
    static let busyBytes = 2048
    /// Bytes of one read: as few as a quiet connection needs, as many as a busy one can use; twice as many after each full one.
    private static let minimumRead = 2048
    private static let initialRead = 16_384
    private static let maximumRead = 262_144
    /// The other side is not read while this side has more unsent bytes.
    private static let highWaterMark = 262_144
    private static let lowWaterMark = 65_536

    /// Applies the sizes to a connection. Call it on its event loop. Fails only on a connection that is closed.
    static func apply(to channel: any Channel) throws {
        guard let options = channel.syncOptions else { return }
        let allocator = AdaptiveRecvByteBufferAllocator(
            minimum: minimumRead, initial: initialRead, maximum: maximumRead)
        try options.setOption(.recvAllocator, value: allocator)
        // Each read is written on before the next one, so that the buffer can be used again.
        try options.setOption(.maxMessagesPerRead, value: 1)
        try options.setOption(
            .writeBufferWaterMark,
            value: ChannelOptions.Types.WriteBufferWaterMark(low: lowWaterMark, high: highWaterMark))
    }
}
