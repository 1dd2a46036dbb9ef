import NIOCore

/// How fast a client of HTTP/1.1 reads: what its system has acknowledged, since a response may wait in large pieces in the
/// buffers of ours.
struct ReadingProgress {
    var pace: TransferPace
    private var acknowledged: UInt64 = 0

    init(_ limits: TransferPace.Limits) {
        self.pace = TransferPace(limits)
    }

    /// Notes what the client has acknowledged since the last time.
    mutating func look(at channel: (any Channel)?, now: NIODeadline) {
        guard let channel, let bytes = AcknowledgedBytes.count(on: channel), bytes > self.acknowledged else { return }
        self.pace.moved(Int(clamping: bytes - self.acknowledged), now: now)
        self.acknowledged = bytes
    }
}

/// What the peer of a TCP connection has acknowledged: `tcpi_bytes_acked` of Linux' TCP_INFO (RFC 4898,
/// tcpEStatsAppHCThruOctetsAcked).
enum AcknowledgedBytes {
    /// The first 128 bytes of `struct tcp_info`, whose later fields the C library's headers do not have.
    private struct Info: Sendable {
        var others: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
        var more: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
        var bytesAcknowledged: UInt64
    }

    /// Bytes since the connection began; nil where the system does not say. Call on the channel's event loop.
    static func count(on channel: any Channel) -> UInt64? {
        guard let provider = channel as? any SocketOptionProvider else { return nil }
        var count: UInt64?
        let info: EventLoopFuture<Info> = provider.unsafeGetSocketOption(level: .tcp, name: .tcp_info)
        // Known at once, since this is the channel's event loop.
        info.assumeIsolated().whenSuccess { count = $0.bytesAcknowledged }
        return count
    }
}
