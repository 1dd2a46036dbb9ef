public import TLSWire

/// What a site's owner wants of the handshakes that are made for it.
public struct HandshakeSettings: Hashable, Sendable {
    /// What clients must offer: ``TLSWire/TLSVersion/tls12`` or ``TLSWire/TLSVersion/tls13``.
    public var minimumVersion: UInt16
    /// The same for the most that is agreed on.
    public var maximumVersion: UInt16 = TLSVersion.tls13
    /// Whether TLS 1.2 clients may encrypt their secret to the certificate's key, where the grant says `handoff`. Such
    /// sessions have no forward secrecy. RSA certificates only.
    public var allowsRSAKeyExchange: Bool
    /// Suites of TLS 1.2, of ``forwardSecretSuites``, by IANA number; nil: all of them.
    public var tls12Suites: [UInt16]?
    /// Key exchange groups, of ``availableGroups``, by IANA number; nil: all of them.
    public var groups: [UInt16]?
    /// Seconds for which a ticket is good, at most two days; in TLS 1.2 two hours at most. 0: no tickets are made, and none is good.
    public var ticketLifetime: UInt32 = Self.longestTicketLifetime
    /// Path of a file with ticket keys that the site's key holders share (``TicketKeyFile``); nil: each has its own.
    public var ticketKeys: String?
    /// Paths of files with OCSP responses for the site's certificates.
    public var ocspResponses: [String] = []

    /// A secret of our own makes tickets for as long.
    public static let longestTicketLifetime: UInt32 = 2 * 86_400

    public init(minimumVersion: UInt16 = TLSVersion.tls12, allowsRSAKeyExchange: Bool = false) {
        self.minimumVersion = minimumVersion
        self.allowsRSAKeyExchange = allowsRSAKeyExchange
    }
}
