public import HTTPCaching
public import NIOCore
import TLSWire

/// How a site whose TLS ends at this edge is served: the same in `keyless` and `handoff` mode, so that a site changes
/// from one to the other by one word.
public struct TerminationConfiguration: Hashable, Sendable {
    /// The name of the key holder, from the edge's configuration, that owns the site's private key.
    public var keyHolder: String
    /// Where requests go.
    public var origin: OriginConfiguration
    /// What is stored; nil: nothing, every request goes to the origin.
    public var cache: SiteCacheConfiguration?
    /// Made to every answer of the site: the origin's, stored ones, and the edge's own.
    public var responseFields = FieldEdits()
    /// Whether clients are offered HTTP/2. Default true.
    public var http2 = true

    /// What clients must offer: ``TLSWire/TLSVersion/tls12``, the default, or ``TLSWire/TLSVersion/tls13``.
    public var minimumTLSVersion: UInt16 = TLSVersion.tls12

    /// The age that a session ticket of this edge may have at most, and a chain of renewed ones; zero: clients of keyless sites
    /// do not resume. At most two days, since the TLS library makes none that are good for longer. Default 24 hours.
    public var ticketLifetime = TimeAmount.hours(24)

    /// Key exchange groups that clients of keyless sites may use in TLS 1.3, by IANA number; the client's order decides.
    public var groups: [UInt16] = Self.allGroups

    /// Files with OCSP responses in DER for the site's certificates, in `keyless` mode; each says itself for which one it is. Paths.
    public var ocspResponses: [String] = []

    public static let allGroups: [UInt16] = [
        TLSGroup.x25519MLKEM768, TLSGroup.x25519, TLSGroup.secp256r1, TLSGroup.secp384r1,
    ]

    public init(keyHolder: String, origin: OriginConfiguration, cache: SiteCacheConfiguration? = nil) {
        self.keyHolder = keyHolder
        self.origin = origin
        self.cache = cache
    }
}
