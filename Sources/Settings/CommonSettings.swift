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

/// A key exchange group that clients may use.
public enum KeyExchangeGroup: String, CaseIterable, Sendable {
    case x25519MLKEM768 = "X25519MLKEM768"
    case x25519 = "X25519"
    case p256 = "P-256"
    case p384 = "P-384"

    /// As it is on the wire.
    public var number: UInt16 {
        switch self {
        case .x25519MLKEM768: TLSGroup.x25519MLKEM768
        case .x25519: TLSGroup.x25519
        case .p256: TLSGroup.secp256r1
        case .p384: TLSGroup.secp384r1
        }
    }
}

/// The process that takes over at SIGUSR2.
public struct HandOverSettings: Hashable, Sendable {
    /// An absolute path; nil: the path that the process was started by.
    public var program: String?
    /// For the successor to be ready. Default: 30 s.
    public var timeout: Duration

    public init(program: String? = nil, timeout: Duration = .seconds(30)) {
        self.program = program
        self.timeout = timeout
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
