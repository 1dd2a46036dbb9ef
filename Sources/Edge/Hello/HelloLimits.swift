public import NIOCore

/// Bounds on what a client may do before its ClientHello is complete, and after it was refused.
public struct HelloLimits: Sendable {
    /// The bytes read for one ClientHello, record headers included.
    public var maximumBytes = 65_536
    /// How long a client may take for its ClientHello, from the moment it is connected.
    public var timeout: TimeAmount = .seconds(10)
    /// After a refusal: how long the edge waits for the client to take the alert and close.
    public var lingerTime: TimeAmount = .seconds(2)
    /// After a refusal: how many more bytes of the client the edge reads, and drops, before it closes.
    public var lingerBytes = 262_144

    public init() {}
}
