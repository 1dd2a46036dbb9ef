internal import TLSWire

/// The files that show who this party is to the other end of a key link (mutual TLS).
public struct IdentitySettings: Hashable, Sendable {
    public var location: SourceLocation
    /// Path of the identity's chain, PEM, leaf first.
    public var certificate: String
    /// Path of the identity's private key, PEM.
    public var key: String
    /// Path of the fleet authority's certificate, PEM.
    public var authority: String
}

/// The oldest version of TLS that clients of a site may offer at best.
public enum MinimumTLSVersion: String, CaseIterable, Sendable {
    case tls12 = "1.2"
    case tls13 = "1.3"

    /// As it is on the wire.
    public var number: UInt16 {
        switch self {
        case .tls12: TLSVersion.tls12
        case .tls13: TLSVersion.tls13
        }
    }
}

public struct LogSettings: Hashable, Sendable {
    public enum Level: String, CaseIterable, Sendable {
        case trace, debug, info, notice, warning, error
    }

    public enum Format: String, CaseIterable, Sendable {
        /// Text on a terminal, JSON otherwise.
        case auto
        case text
        case json
    }

    /// Default: info.
    public var level: Level
    /// Default: auto.
    public var format: Format

    public init(level: Level = .info, format: Format = .auto) {
        self.level = level
        self.format = format
    }
}
