import RecordLayer
import Synchronization
import TLSEngine
import TLSWire

/// What a site needs to shake hands with clients itself: a TLS context for each list of protocols that edges ask for.
///
/// All edges and event loops share a context, and all contexts the site's ticket keys, so that a ticket made through one edge is good
/// at another. A reload that leaves certificate and key as they were keeps them.
final class SiteHandoff: Sendable {
    let key: any StoredKey
    let settings: HandshakeSettings
    let tickets: SiteTickets
    private let chain: [[UInt8]]

    private struct Kind: Hashable {
        var protocols: [String]
        var exchangesWithRSA: Bool
    }

    /// A few: an edge can name no protocols but those that are spoken (``KeyProtocol/HandshakeBegin``).
    private let contexts = Mutex<[Kind: HandoffContext]>([:])

    /// - Parameter chain: DER, leaf first.
    init(
        tickets: SiteTickets, chain: [[UInt8]], key: any StoredKey, settings: HandshakeSettings = HandshakeSettings()
    ) {
        self.tickets = tickets
        self.chain = chain
        self.key = key
        self.settings = settings
    }

    /// Whether this is the same certificate and key: then its tickets stay good.
    func serves(chain: [[UInt8]], key: any StoredKey) -> Bool {
        self.chain == chain && self.key.publicKey == key.publicKey
    }

    /// The context for this client and these protocols, preferred first; made when it is first asked for.
    ///
    /// - Parameter allowsRSAKeyExchange: Whether the grant allows it; the site's settings must, too.
    /// - Throws: if the TLS library does not take the chain.
    func context(
        for protocols: [String], _ hello: ClientHello, allowsRSAKeyExchange: Bool
    ) throws(EngineError) -> HandoffContext {
        let kind = Kind(
            protocols: protocols,
            exchangesWithRSA: allowsRSAKeyExchange && self.settings.allowsRSAKeyExchange
                && !self.canHaveForwardSecrecy(hello))
        if let context = self.contexts.withLock({ $0[kind] }) { return context }
        let context = try self.makeContext(kind)
        return self.contexts.withLock { contexts in
            // Another event loop may have been faster.
            if let context = contexts[kind] { return context }
            contexts[kind] = context
            return context
        }
    }

    private func makeContext(_ kind: Kind) throws(EngineError) -> HandoffContext {
        var policy: ServerPolicy = self.settings.policy
        policy.tickets = self.settings.tickets(self.tickets.keys)
        policy.applicationProtocols = kind.protocols.map { Array($0.utf8) }
        guard kind.exchangesWithRSA, let secret = self.key.privateKeyInfo() else {
            let credential = ServerCredential(chain: self.chain, key: .remote(self.key.type.schemes))
            return HandoffContext(server: try ServerContext([credential], policy: policy))
        }
        // The key in it decrypts and nothing else: these suites sign nothing.
        policy.versions = .tls12 ... .tls12
        policy.tls12Suites = Self.rsaSuites
        policy.tickets = self.settings.tickets(self.tickets.rsaKeyExchangeKeys)
        let credential = ServerCredential(chain: self.chain, key: .local(pkcs8: secret))
        return HandoffContext(server: try ServerContext([credential], policy: policy), libraryUsesKey: true)
    }

    /// Only clients that can do nothing better get RSA key exchange.
    private func canHaveForwardSecrecy(_ hello: ClientHello) -> Bool {
        let policy: ServerPolicy = self.settings.policy
        guard policy.versions.upperBound == .tls12 || !hello.offersTLS13 else { return true }
        // Of an RSA certificate: no other has RSA key exchange.
        let suites: Set<UInt16> = Set(policy.tls12Suites.filter(\.isRSA).map(\.rawValue))
        return hello.cipherSuites.contains(where: suites.contains)
            && hello.supportedGroups.contains(where: policy.groups.contains)
            && hello.signatureSchemes.contains(where: self.key.type.schemes.contains)
    }

    private static let rsaSuites: [RecordSuite] = RecordSuite.allCases.filter {
        $0.version == .tls12 && !$0.hasForwardSecrecy
    }
}

/// A TLS context, and what its handshakes are for.
struct HandoffContext: Sendable {
    let server: ServerContext
    /// Whether the session of a handshake goes to the edge. If not, the handshake is all that there is: a challenge's.
    var lendsSessions = true
    /// The TLS library has the site's key, and uses it when the client's key exchange comes.
    var libraryUsesKey = false
}
