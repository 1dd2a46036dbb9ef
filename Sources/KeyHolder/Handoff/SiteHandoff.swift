import RecordLayer
import Stapling
import Synchronization
import TLSEngine
import TLSWire

/// What a site needs to shake hands with clients itself: a TLS context for each list of protocols that edges ask for.
///
/// All edges and event loops share a context, and all contexts the site's ticket keys, so that a ticket made through one edge is good
/// at another. A reload that leaves certificates, keys and where those are kept as they were keeps them.
final class SiteHandoff: Sendable {
    let settings: HandshakeSettings
    let tickets: SiteTickets
    private let credentials: [SiteCredential]

    private struct Kind: Hashable {
        var protocols: [String]
        var shown: CredentialSet
        var exchangesWithRSA: Bool
        /// Of the OCSP responses.
        var staples: Int
    }

    /// A few: an edge can name no protocols but those that are spoken (``KeyProtocol/HandshakeBegin``).
    private let contexts = Mutex<[Kind: HandoffContext]>([:])
    /// What is shown beside the certificates.
    let staples: SiteStaples

    /// - Parameter credentials: Preferred first.
    init(tickets: SiteTickets, credentials: [SiteCredential], settings: HandshakeSettings = HandshakeSettings()) {
        self.tickets = tickets
        self.credentials = credentials
        self.settings = settings
        self.staples = SiteStaples(settings.ocspResponses)
        // Where sites are loaded, files are read: they are there when the first client comes.
        _ = self.staples.read(self.leaves, now: Clock.wallMilliseconds() / 1000)
    }

    /// Reads the files with OCSP responses again, and shows what there is by now. Blocks, as files do.
    ///
    /// - Parameter now: seconds since 1970 UTC.
    func restaple(now: Int64) -> SiteStaples.News {
        // Contexts are made anew; handshakes under way end as they began.
        if self.staples.read(self.leaves, now: now) { self.contexts.withLock { $0 = [:] } }
        return self.staples.news()
    }

    private var leaves: [[UInt8]] { self.credentials.compactMap(\.chain.first) }

    /// Whether these are the same certificates and keys, wherever those are kept: then its tickets stay good.
    func serves(_ credentials: [SiteCredential]) -> Bool {
        self.credentials.elementsEqual(credentials) { $0.chain == $1.chain && $0.key.publicKey == $1.key.publicKey }
    }

    /// Whether its keys are from where these are from. A key that has moved, say from a file to a token, is to be used from there,
    /// and the one in memory is to be gone.
    func hasKeys(of credentials: [SiteCredential]) -> Bool {
        self.credentials.map(\.keySource) == credentials.map(\.keySource)
    }

    /// The credential that a client with this hello is likely to be shown.
    ///
    /// - Parameter set: Which certificates clients are shown now.
    func likelyCredential(for hello: ClientHello, showing set: CredentialSet) -> SiteCredential? {
        let shown = self.shown(set)
        return shown.first { $0.key.type.schemes.contains(where: hello.signatureSchemes.contains) } ?? shown.first
    }

    /// The context for this client and these protocols, preferred first; made when it is first asked for.
    ///
    /// - Parameters:
    ///   - shown: Which certificates clients are shown now.
    ///   - allowsRSAKeyExchange: Whether the grant allows it; the site's settings must, too.
    /// - Throws: if the TLS library does not take a chain.
    func context(
        for protocols: [String], _ hello: ClientHello, showing shown: CredentialSet, allowsRSAKeyExchange: Bool
    ) throws(EngineError) -> HandoffContext {
        let kind = Kind(
            protocols: protocols, shown: shown,
            exchangesWithRSA: allowsRSAKeyExchange && self.settings.allowsRSAKeyExchange
                && !self.canHaveForwardSecrecy(hello, shown), staples: self.staples.version)
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
        let shown = self.shown(kind.shown)
        let own =
            kind.exchangesWithRSA
            ? shown.lazy.compactMap { one in one.key.privateKeyInfo().map { (one, $0) } }.first : nil
        guard let (credential, secret) = own else {
            return HandoffContext(
                server: try ServerContext(
                    shown.map { self.credential($0, key: .remote($0.key.type.schemes)) }, policy: policy),
                credentials: shown)
        }
        // The key in it decrypts and nothing else: these suites sign nothing.
        policy.versions = .tls12 ... .tls12
        policy.tls12Suites = Self.rsaSuites
        policy.tickets = self.settings.tickets(self.tickets.rsaKeyExchangeKeys)
        return HandoffContext(
            server: try ServerContext([self.credential(credential, key: .local(pkcs8: secret))], policy: policy),
            credentials: [credential], libraryUsesKey: true)
    }

    private func credential(_ site: SiteCredential, key: ServerCredential.Key) -> ServerCredential {
        ServerCredential(chain: site.chain, key: key, ocspResponse: self.staples.response(for: site.chain))
    }

    private func shown(_ set: CredentialSet) -> [SiteCredential] {
        self.credentials.enumerated().filter { set.contains($0.offset) }.map(\.element)
    }

    /// Only clients that can do nothing better get RSA key exchange.
    private func canHaveForwardSecrecy(_ hello: ClientHello, _ set: CredentialSet) -> Bool {
        let policy: ServerPolicy = self.settings.policy
        guard policy.versions.upperBound == .tls12 || !hello.offersTLS13 else { return true }
        guard hello.supportedGroups.contains(where: policy.groups.contains) else { return false }
        return self.shown(set).contains { credential in
            let type: KeyType = credential.key.type
            return policy.tls12Suites.contains { $0.isRSA == type.isRSA && hello.cipherSuites.contains($0.rawValue) }
                && hello.signatureSchemes.contains(where: type.schemes.contains)
                && type.curve.map(hello.supportedGroups.contains) ?? true
        }
    }

    private static let rsaSuites: [RecordSuite] = RecordSuite.allCases.filter {
        $0.version == .tls12 && !$0.hasForwardSecrecy
    }
}

/// A TLS context, and what its handshakes are for.
struct HandoffContext: Sendable {
    let server: ServerContext
    /// Those of `server`, in its order; none where the handshake uses no key of a site.
    let credentials: [SiteCredential]
    /// Whether the session of a handshake goes to the edge. If not, the handshake is all that there is: a challenge's.
    var lendsSessions = true
    /// The TLS library has the site's key, and uses it when the client's key exchange comes.
    var libraryUsesKey = false
}
