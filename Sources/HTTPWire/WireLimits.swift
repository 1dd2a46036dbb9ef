/// How much a message's framing may take. All but `informationalResponses` are counted as the bytes stand on the wire, line
/// ends included, so that a verdict depends on the bytes alone.
///
/// Whatever is read before a message is refused, is bounded by these and by what one read of the connection brings.
public struct WireLimits: Sendable {
    /// Bytes of the request line or status line.
    public let startLineBytes: Int
    /// Bytes of a head: from the first byte of its first line to the end of its empty line.
    public let headBytes: Int
    /// Fields of a head.
    public let fields: Int
    /// Bytes of all trailers, with the empty line behind them.
    public let trailerBytes: Int
    /// Trailer fields.
    public let trailers: Int
    /// Bytes of the extensions of one chunk.
    public let chunkExtensionBytes: Int
    /// Bytes of the extensions of all chunks of a body, beyond one for each 64 bytes of data.
    public let bodyExtensionBytes: Int
    /// Informational responses before a final one.
    public let informationalResponses: Int

    /// A line of 16 KiB, a head of 64 KiB with 128 fields; trailers of 16 KiB with 64 fields; extensions of 1 KiB a chunk and
    /// 16 KiB a body; 16 informational responses. No value may be above 1 GiB; larger ones are cut to that.
    public init(
        startLineBytes: Int = 16 << 10, headBytes: Int = 64 << 10, fields: Int = 128, trailerBytes: Int = 16 << 10,
        trailers: Int = 64, chunkExtensionBytes: Int = 1 << 10, bodyExtensionBytes: Int = 16 << 10,
        informationalResponses: Int = 16
    ) {
        // Ranges are kept as 32-bit numbers.
        func bounded(_ value: Int) -> Int { min(max(value, 0), 1 << 30) }
        self.startLineBytes = bounded(startLineBytes)
        self.headBytes = bounded(headBytes)
        self.fields = bounded(fields)
        self.trailerBytes = bounded(trailerBytes)
        self.trailers = bounded(trailers)
        self.chunkExtensionBytes = bounded(chunkExtensionBytes)
        self.bodyExtensionBytes = bounded(bodyExtensionBytes)
        self.informationalResponses = bounded(informationalResponses)
    }
}
