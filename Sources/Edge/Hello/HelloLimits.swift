public import Channels
public import NIOCore

/// Bounds on what a client may do before its ClientHello is complete, and after it was refused.
public struct HelloLimits: Sendable {
    /// The bytes read for one ClientHello, record headers included.
    public var maximumBytes = 65_536
    /// How long a client may take for its ClientHello, from the moment it is connected.
    public var timeout: TimeAmount = .seconds(10)
    /// After a refusal.
    public var linger = LingerLimits()

    public init() {}
}
