import EdgeModel
import HTTP2Wire
public import NIOCore

/// Bounds for what one HTTP/2 connection may cost, beside those of ``ProxyLimits`` that hold for every version.
public struct HTTP2Limits: Sendable {
    /// Requests under way at once; more are reset with `REFUSED_STREAM`. Default 100.
    public var concurrentStreams: Int = 100
    /// Bytes of one request's body that may be on their way to an origin that doesn't take them. Default 256 KiB.
    public var streamWindow: Int = 262_144
    /// The same for all requests of a connection together. Default 1 MiB.
    public var connectionWindow: Int = 1_048_576
    /// Bytes of one response that wait for the client before the origin is paused. Default 64 KiB.
    public var responseBuffer: Int = 65_536
    /// The same for all responses of a connection together; beyond it each may have an eighth of `responseBuffer`.
    /// Default 1 MiB.
    public var responseBuffers: Int = 1_048_576
    /// Memory for the fields of all requests under way on a connection. Default 1 MiB.
    public var heldSections: Int = 1_048_576
    /// How long GET and HEAD without `Content-Length` wait for the frame behind their fields, which says whether there is a body. Default
    /// 5 s, and no longer than `bodyTimeout`.
    public var endTimeout: TimeAmount = .seconds(5)
    /// RST_STREAM frames from the client in ``rateWindow`` (rapid reset, CVE-2023-44487). Default 400.
    public var resets: Int = 400
    /// Frames in ``rateWindow`` that make us reset a stream (CVE-2025-8671), and sections that are too large. Default 100.
    public var streamErrors: Int = 100
    /// PING, SETTINGS and PRIORITY frames in ``rateWindow``. Default 1,000.
    public var controlFrames: Int = 1_000
    /// DATA frames without data in a row. Default 4.
    public var emptyDataFrames: Int = 4
    /// CONTINUATION frames of one header block. Default 8.
    public var continuationFrames: Int = 8
    /// Frames that bring nothing, unknown ones included: so many at the start and again in each ``rateWindow``, and more for
    /// what is asked and read, see ``FrameBudget``. Default 1,000.
    public var idleFrames: Int = 1_000
    /// How long a request that the client has reset keeps its place among ``concurrentStreams`` when its work at the
    /// origin has ended. Default 1 s.
    public var resetCooling: TimeAmount = .seconds(1)
    /// What the rates above are counted in. Default 30 s.
    public var rateWindow: TimeAmount = .seconds(30)
    /// How long requests are still taken after the client was told to make no more. Default 1 s, or as soon as the client has
    /// surely heard it.
    public var goAwayGrace: TimeAmount = .seconds(1)

    public init() {}

    /// What of it concerns frames.
    func wire(_ limits: ProxyLimits) -> ServerConnection.Limits {
        ServerConnection.Limits(
            fields: FieldBlockLimits(sectionBytes: limits.maximumHeadBytes, fields: limits.maximumFields),
            concurrentStreams: self.concurrentStreams, streamWindow: self.streamWindow,
            connectionWindow: self.connectionWindow, continuations: self.continuationFrames,
            emptyDataFrames: self.emptyDataFrames, streamFaults: 2 * self.streamErrors)
    }
}
