import NIOSSL
import Synchronization
public import TLSWire

/// What a site's owner wants of the handshakes that are made for it.
public struct HandshakeSettings: Hashable, Sendable {
    /// What clients must offer: ``TLSWire/TLSVersion/tls12`` or ``TLSWire/TLSVersion/tls13``.
    public var minimumVersion: UInt16
    /// Whether TLS 1.2 clients may encrypt their secret to the certificate's key, where the grant says `handoff`. Such
    /// sessions have no forward secrecy. RSA certificates only.
    public var allowsRSAKeyExchange: Bool

    public init(minimumVersion: UInt16 = TLSWire.TLSVersion.tls12, allowsRSAKeyExchange: Bool = false) {
        self.minimumVersion = minimumVersion
        self.allowsRSAKeyExchange = allowsRSAKeyExchange
    }
}

/// What a site needs to shake hands with clients itself: a TLS context for each list of protocols that edges ask for.
///
/// All edges and event loops share a context, so that a ticket made through one edge is good at another, and a reload
/// that leaves certificate and key as they were keeps it. Tickets are encrypted under keys that the library makes and
/// replaces by itself; no other process has them.
final class SiteHandoff: Sendable {
    let key: any StoredKey
    let settings: HandshakeSettings
    private let chain: [[UInt8]]

    private struct Kind: Hashable {
        var protocols: [String]
        var allowsRSAKeyExchange: Bool
    }

    private let contexts = Mutex<[Kind: HandoffContext]>([:])

    /// - Parameter chain: DER, leaf first.
    init(chain: [[UInt8]], key: any StoredKey, settings: HandshakeSettings = HandshakeSettings()) {
        self.chain = chain
        self.key = key
        self.settings = settings
    }

    /// Whether this is the same certificate and key, to be used in the same way: then its tickets stay good.
    func serves(chain: [[UInt8]], key: any StoredKey, settings: HandshakeSettings) -> Bool {
        self.chain == chain && self.key.publicKey == key.publicKey && self.settings == settings
    }

    /// The context for these protocols, preferred first; made when it is first asked for.
    ///
    /// - Parameter allowsRSAKeyExchange: Whether the grant allows it; the site's settings must, too.
    /// - Throws: if the TLS library does not take the chain.
    func context(for protocols: [String], allowsRSAKeyExchange: Bool) throws -> HandoffContext {
        let kind = Kind(
            protocols: protocols, allowsRSAKeyExchange: allowsRSAKeyExchange && self.settings.allowsRSAKeyExchange)
        return try self.contexts.withLock { contexts in
            if let context = contexts[kind] { return context }
            let context = try self.makeContext(kind)
            contexts[kind] = context
            return context
        }
    }

    private func makeContext(_ kind: Kind) throws -> HandoffContext {
        let log = KeyLog()
        let chain = try self.chain.map { try NIOSSLCertificate(bytes: $0, format: .der) }
        let key = NIOSSLPrivateKey(customPrivateKey: SiteTLSKey(self.key.type))
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = self.settings.minimumVersion == TLSWire.TLSVersion.tls13 ? .tlsv13 : .tlsv12
        configuration.cipherSuiteValues = Self.tls12Suites + (kind.allowsRSAKeyExchange ? Self.rsaSuites : [])
        configuration.applicationProtocols = kind.protocols
        configuration.keyLogCallback = { log.log($0) }
        // Groups stay the library's default, which begins with X25519MLKEM768.
        return HandoffContext(
            tls: try NIOSSLContext(configuration: configuration), log: log,
            allowsRSAKeyExchange: kind.allowsRSAKeyExchange)
    }

    /// The TLS 1.2 suites offered: ECDHE with an AEAD. TLS 1.3's are the library's own.
    static let tls12Suites: [NIOTLSCipher] = [
        .TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, .TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        .TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, .TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        .TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, .TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ]

    /// RSA key exchange, only where the configuration asks for it, and after all others.
    private static let rsaSuites: [NIOTLSCipher] = [
        .TLS_RSA_WITH_AES_128_GCM_SHA256, .TLS_RSA_WITH_AES_256_GCM_SHA384,
    ]
}

/// A TLS context and where it logs the secrets of the handshakes that are made with it.
struct HandoffContext: Sendable {
    let tls: NIOSSLContext
    let log: KeyLog
    let allowsRSAKeyExchange: Bool
    /// Whether the session of a handshake goes to the edge. If not, the handshake is all that there is: a challenge's.
    var lendsSessions = true
}
