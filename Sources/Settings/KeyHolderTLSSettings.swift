extension KeyHolderSettings {
    /// What the handshakes allow that the key holder makes for a site.
    public struct TLS: Hashable, Sendable {
        /// What clients must offer. Default: 1.2.
        public var minimumVersion: MinimumTLSVersion = .tls12
        /// The most that is agreed on. Default: 1.3.
        public var maximumVersion: MinimumTLSVersion = .tls13
        /// Of TLS 1.2; nil: all.
        public var suites: [TLS12Suite]?
        /// nil: all.
        public var groups: [KeyExchangeGroup]?
        /// Whether handoff takes TLS 1.2 clients that encrypt their secret to the certificate's key: no forward secrecy.
        public var allowsRSAKeyExchange: Bool = false
        /// 0: no tickets. Default: 48 hours.
        public var ticketLifetime: Duration = .seconds(48 * 3600)
        /// Path of a file with ticket keys that the site's key holders share; nil: this key holder has its own.
        public var ticketKeys: String?
        /// Files with OCSP responses.
        public var ocsp: [String] = []

        public init() {}
    }
}

/// ECDHE with an AEAD, by IANA's names.
public enum TLS12Suite: String, CaseIterable, Sendable {
    case ecdsaAES128 = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    case rsaAES128 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
    case ecdsaAES256 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    case rsaAES256 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
    case ecdsaChaCha20 = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
    case rsaChaCha20 = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"

    /// As it is on the wire.
    public var number: UInt16 {
        switch self {
        case .ecdsaAES128: 0xC02B
        case .rsaAES128: 0xC02F
        case .ecdsaAES256: 0xC02C
        case .rsaAES256: 0xC030
        case .ecdsaChaCha20: 0xCCA9
        case .rsaChaCha20: 0xCCA8
        }
    }
}
