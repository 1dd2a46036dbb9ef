package import Channels
package import NIOCore

/// Bounds on what a client may do before its ClientHello is complete, and after it was refused.
package struct HelloLimits: Sendable {
    /// The bytes read for one ClientHello, record headers included.
    package var maximumBytes = 65_536
    /// How long a client may take for its ClientHello, from the moment it is connected.
    package var timeout: TimeAmount = .seconds(10)
    /// After a refusal.
    package var linger = LingerLimits()

    package init() {}
}
