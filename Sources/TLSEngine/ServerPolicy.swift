public import RecordLayer
public import TLSWire

/// What a server's handshakes allow. The defaults are what suits every site: TLS 1.2 and 1.3, ephemeral key exchange, AEAD.
public struct ServerPolicy: Sendable {
    public var versions: ClosedRange<Version> = .tls12 ... .tls13
    /// The suites of TLS 1.2 that are allowed. Of those with forward secrecy the client's order decides; the others come after all of
    /// them, and need certificates whose key is here (``ServerCredential/Key/local(pkcs8:)``).
    ///
    /// TLS 1.3 has three suites, all of them strong, and BoringSSL no switch for a single one of them.
    public var tls12Suites: [RecordSuite] = Self.forwardSecretSuites
    /// Key exchange groups that are allowed; the client's order decides.
    public var groups: [UInt16] = [
        TLSGroup.x25519MLKEM768, TLSGroup.x25519, TLSGroup.secp256r1, TLSGroup.secp384r1,
    ]
    /// Application protocols (ALPN), preferred first, 1 to 255 bytes each. A client that names some, and none of these, is refused with
    /// `no_application_protocol` (RFC 7301 §3.2). Empty: what clients name is ignored.
    public var applicationProtocols: [[UInt8]] = []
    /// Nil: no session is resumed, and no ticket made.
    public var tickets: TicketPolicy?
    /// Who verifies the client's Finished of TLS 1.3. Off: the taker of the session, which has all that takes, as one that is lent
    /// needs. On: ``AwaitedFinished`` alone, and the session begins behind it: for who keeps both.
    public var verifiesFinished = false

    public enum Version: UInt16, Comparable, Sendable {
        case tls12 = 0x0303
        case tls13 = 0x0304

        public static func < (left: Version, right: Version) -> Bool { left.rawValue < right.rawValue }
    }

    /// ECDHE with an AEAD.
    public static let forwardSecretSuites: [RecordSuite] = RecordSuite.allCases.filter {
        $0.version == .tls12 && $0.hasForwardSecrecy
    }

    public init() {}
}

/// Session tickets of one site.
public struct TicketPolicy: Sendable {
    /// Shared by every context of the site, whatever protocols it offers.
    public var keys: SiteTicketKeys
    /// Seconds that a session of TLS 1.3 can be resumed after its ticket was made, at most 604,800 (RFC 8446 §4.6.1). A resumption
    /// makes new tickets, up to 7 days after the full handshake.
    public var lifetime: UInt32 = 2 * 86_400
    /// The same for TLS 1.2, whose resumptions use the old secret again.
    public var tls12Lifetime: UInt32 = 2 * 3_600
    /// Tickets for each handshake of TLS 1.3, 1 to 16: a client should use each of them once.
    public var count = 2

    public init(keys: SiteTicketKeys) { self.keys = keys }
}

/// A certificate chain that a server shows, and who signs with its key.
public struct ServerCredential: Sendable {
    public enum Key: Sendable {
        /// Elsewhere: ``HandshakeTurn/needsSignature(_:)`` asks for each signature. The schemes, preferred first.
        case remote([SignatureScheme])
        /// Here, as PKCS #8 in DER: BoringSSL signs by itself, while the handshake's thread waits. For RSA key exchange, where it
        /// also decrypts, and takes the padding off in constant time; there is no other way to RSA key exchange.
        case local(pkcs8: Secret)
    }

    /// DER, the leaf first.
    public var chain: [[UInt8]]
    public var key: Key
    /// A whole OCSPResponse in DER, shown to clients that ask for one (RFC 6066 §8).
    public var ocspResponse: [UInt8]?

    public init(chain: [[UInt8]], key: Key, ocspResponse: [UInt8]? = nil) {
        self.chain = chain
        self.key = key
        self.ocspResponse = ocspResponse
    }
}
