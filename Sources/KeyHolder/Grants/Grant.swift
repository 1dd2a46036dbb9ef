import Admission
public import KeyProtocol
import NIOCore
import Synchronization
public import TLSWire

/// A grant as the configuration names it: what one edge may do for some sites. Nothing is allowed that no grant allows.
public struct GrantConfiguration: Hashable, Sendable {
    /// The name in the edge's identity certificate.
    public var edge: String
    /// Domains of sites. Granting one domain of a site grants the site: all its domains share the key.
    public var sites: [ServerNamePattern]
    public var operations: Set<KeyProtocol.Operation>
    /// Operations per second for this edge and site, with bursts of twice as many.
    public var rate: Int
    /// The same for operations that have a rate of their own beside ``rate``.
    public var rates: [KeyProtocol.Operation: Int]
    /// When it counts.
    public var times: GrantTimes

    public init(
        edge: String, sites: [ServerNamePattern], operations: Set<KeyProtocol.Operation>, rate: Int,
        rates: [KeyProtocol.Operation: Int] = [:], times: GrantTimes = .always
    ) {
        self.edge = edge
        self.sites = sites
        self.operations = operations
        self.rate = rate
        self.rates = rates
        self.times = times
    }
}

/// What one edge may do with one site.
final class Grant: Sendable {
    let site: Site
    private let operations: Set<KeyProtocol.Operation>
    private let rate: Int
    private let rates: [KeyProtocol.Operation: Int]
    private let bucket: Mutex<TokenBucket>
    /// Of operations with a rate of their own.
    private let buckets: Mutex<[KeyProtocol.Operation: TokenBucket]>
    /// Native handshakes have their own, so that clients of the one cannot starve those of the other.
    private let nativeBucket: Mutex<TokenBucket>
    /// Chains have their own: an edge that cannot ask for them while its clients use the rate up would lose its lease.
    private let chainBucket: Mutex<TokenBucket>
    /// Answers to ``KeyFunction/certificate`` per second, and at once.
    static let chainRate: (perSecond: Int, burst: Int) = (100, 1000)
    /// Tokens of authorities have their own, since their orders come when they come.
    private let challengeBucket: Mutex<TokenBucket>
    /// Tokens of authorities that are given out per second, and at once: a few addresses of an authority ask, once for each order.
    static let challengeRate: (perSecond: Int, burst: Int) = (10, 50)
    /// The answer to ``KeyFunction/certificate``, encoded once.
    let certificateAnswer: ByteBuffer

    init(
        site: Site, operations: Set<KeyProtocol.Operation>, rate: Int, rates: [KeyProtocol.Operation: Int] = [:],
        previous: Grant?, now: UInt64, wallSeconds: Int64
    ) throws(SiteLoadError) {
        self.site = site
        self.operations = operations
        self.rate = rate
        self.rates = rates
        let keptBuckets: [KeyProtocol.Operation: TokenBucket]? = previous.flatMap { previous in
            previous.rates == rates ? previous.buckets.withLock { $0 } : nil
        }
        self.buckets = Mutex(
            keptBuckets ?? rates.mapValues { TokenBucket(perSecond: $0, burst: 2 * $0, now: now) })
        // A reload must not hand out a fresh burst.
        let kept: Grant? = previous.flatMap { $0.rate == rate ? $0 : nil }
        let fresh = TokenBucket(perSecond: rate, burst: 2 * rate, now: now)
        self.bucket = Mutex(kept?.bucket.withLock { $0 } ?? fresh)
        self.nativeBucket = Mutex(kept?.nativeBucket.withLock { $0 } ?? fresh)
        self.chainBucket = Mutex(
            previous?.chainBucket.withLock { $0 }
                ?? TokenBucket(perSecond: Self.chainRate.perSecond, burst: Self.chainRate.burst, now: now))
        self.challengeBucket = Mutex(
            previous?.challengeBucket.withLock { $0 }
                ?? TokenBucket(perSecond: Self.challengeRate.perSecond, burst: Self.challengeRate.burst, now: now))
        let modes: Set<TrustMode> = site.modes.filter { mode in
            switch mode {
            case .relay: true
            case .handoff: operations.contains(.handoff)
            case .keyless: operations.contains(.signTLS13)
            }
        }
        let shown: CredentialSet = site.shown(at: wallSeconds)
        let chains = site.credentials.enumerated().filter { shown.contains($0.offset) }.map(\.element).map { one in
            CertificateChain(
                certificates: one.chain, ski: one.ski, schemes: one.key.type.schemes, notAfter: one.notAfter)
        }
        let answer = CertificateAnswer(modes: modes, rate: UInt32(clamping: rate), chains: chains)
        do { self.certificateAnswer = try answer.encoded() } catch { throw .chainTooLong(site.chainName) }
    }

    func allows(_ operation: KeyProtocol.Operation) -> Bool {
        switch operation {
        case .signTLS13: self.operations.contains(.signTLS13) && self.site.modes.contains(.keyless)
        case .handoff: self.operations.contains(.handoff) && self.site.modes.contains(.handoff)
        case .handshakeTLS12:
            self.allows(.handoff)
                || self.operations.contains(.handshakeTLS12) && self.site.modes.contains(.keyless)
        case .certificate, .native, .rsaSign, .ecdsaSign, .ed25519Sign, .rsaDecrypt:
            self.operations.contains(operation)
        }
    }

    /// Under which operation a handshake with this client is made; nil: it is not. What the operation allows is not only
    /// which clients: an RSA key exchange is for ``KeyProtocol/Operation/handoff`` alone.
    func operation(forHandshakeWith hello: ClientHello) -> KeyProtocol.Operation? {
        if self.allows(.handoff) { return .handoff }
        // An authority's check gets neither the site's key nor a session.
        guard self.allows(.handshakeTLS12), !hello.offersTLS13 || hello.isAuthorityCheck else { return nil }
        return .handshakeTLS12
    }

    /// Whether an edge that knows the other grant need not ask again.
    func isSame(as other: Grant) -> Bool {
        self.operations == other.operations && self.site.domains == other.site.domains
            && self.certificateAnswer == other.certificateAnswer
    }

    /// Counts one operation against the rate limit. False: over it.
    func takeToken(now: UInt64) -> Bool {
        self.bucket.withLock { $0.take(now: now) }
    }

    /// Counts the operation against a rate of its own, if it has one. False: over it.
    func takeToken(of operation: KeyProtocol.Operation, now: UInt64) -> Bool {
        guard !self.rates.isEmpty else { return true }
        return self.buckets.withLock { $0[operation]?.take(now: now) ?? true }
    }

    /// The same for a chain.
    func takeChainToken(now: UInt64) -> Bool {
        self.chainBucket.withLock { $0.take(now: now) }
    }

    /// The same for a token of an authority.
    func takeChallengeToken(now: UInt64) -> Bool {
        self.challengeBucket.withLock { $0.take(now: now) }
    }

    /// The same for a native handshake.
    func takeNativeToken(now: UInt64) -> Bool {
        self.nativeBucket.withLock { $0.take(now: now) }
    }
}
