import HTTPWire
public import NIOCore

/// Bounds for what one client connection may cost.
public struct ProxyLimits: Sendable {
    /// The largest request head (or trailer section), in bytes: beyond it 431. Default 64 KiB.
    public var maximumHeadBytes: Int = 65_536
    /// The largest number of fields: beyond it 431. Default 128.
    public var maximumFields: Int = 128
    /// The longest request target, in bytes: beyond it 414. Default 16 KiB.
    public var maximumTargetBytes: Int = 16_384
    /// From the start of the connection to the end of its first request's head. Default 20 s.
    public var firstRequestTimeout: TimeAmount = .seconds(20)
    /// From the end of a response to the end of the next request's head: bytes that trickle in don't extend it.
    /// Default 60 s.
    public var idleTimeout: TimeAmount = .seconds(60)
    /// Between two parts of a request's body: beyond it 408. Default 60 s.
    public var bodyTimeout: TimeAmount = .seconds(60)
    /// How long a client may take nothing of a response. Default 60 s.
    public var writeTimeout: TimeAmount = .seconds(60)
    /// Bytes per second that a client sends of a request's body, or takes of a response, while it is what the edge waits for:
    /// below it 408, or the response is aborted. The requests of one HTTP/2 connection share it, up to ``rateShares`` of
    /// them. 0 turns it off. Default 1 KiB.
    public var minimumRate: Int = 1024
    /// What ``minimumRate`` is measured over, again and again; so also the time of grace. Default 30 s.
    public var rateWindow: TimeAmount = .seconds(60)
    /// Requests on one connection before it is closed. Default 10,000.
    public var requestsPerConnection: Int = 10_000
    /// How long a connection that changed its protocol may be silent. Default 10 minutes.
    public var tunnelIdleTimeout: TimeAmount = .minutes(10)
    /// After an answer that comes before the request is complete: how long the rest is read and dropped, so that the answer
    /// arrives. Default 2 s.
    public var lingerTime: TimeAmount = .seconds(2)
    /// And how much of it. Default 2 MiB.
    public var lingerBytes: Int = 2_097_152
    /// For HTTP/2 connections.
    public var http2 = HTTP2Limits()

    public init() {}

    /// The least part of ``minimumRate`` that one of an HTTP/2 connection's requests has to keep up is one in so many.
    static let rateShares = 16

    /// A method and a version stand beside the target.
    var wireLimits: WireLimits {
        WireLimits(
            startLineBytes: self.maximumTargetBytes + 64, headBytes: self.maximumHeadBytes,
            fields: self.maximumFields, trailerBytes: self.maximumHeadBytes, trailers: self.maximumFields)
    }

    var reading: TransferPace.Limits { .init(silence: self.writeTimeout, window: self.rateWindow) }

    var sending: TransferPace.Limits { .init(silence: self.bodyTimeout, window: self.rateWindow) }
}
