import CacheStorage
import EdgeModel
import HTTPCaching
import HTTPForwarding
import Logging
import NIOCore
import Synchronization

/// What the caching of one site needs: made once, shared by its connections on all event loops.
final class SiteCache: Sendable {
    /// As in cache keys, logs and metrics.
    let site: String
    let scheme: String
    let policy: CachePolicy
    /// Of the policy, for what each request asks: the policy itself is large, and is copied to be asked.
    private let query: QueryRules
    private let commonRule: SharedRule?
    let store: ResponseStore
    /// Writes `Cache-Status`; nil where the site wants none.
    let status: CacheStatus?
    let responses: ResponseRules
    let metrics: CacheMetrics
    let logger: Logger
    /// Milliseconds since 1970 UTC.
    let clock: @Sendable () -> Int64
    /// For requests that waited in vain.
    let releases = ReleaseGate()
    /// Requests to the origin that no client waits for: see ``CacheFetch``.
    private let unattended = Atomic<Int>(0)

    /// More than these at once are not begun, or are given up when their client leaves.
    static let maximumUnattended = 256

    init(
        site: String, scheme: String, configuration: SiteCacheConfiguration, status: CacheStatus?,
        store: ResponseStore, responses: ResponseRules, metrics: CacheMetrics, logger: Logger,
        clock: @escaping @Sendable () -> Int64
    ) {
        self.site = site
        self.scheme = scheme
        self.policy = configuration.policy
        self.query = configuration.policy.query
        self.commonRule = configuration.policy.commonRule
        self.store = store
        self.status = status
        self.responses = responses
        self.metrics = metrics
        self.logger = logger
        self.clock = clock
    }

    func key(_ request: CheckedRequest) -> RequestKey {
        RequestKey(
            site: self.site, scheme: self.scheme, normalisedHost: request.host, target: request.target,
            query: self.query)
    }

    /// Most sites have one for all paths.
    func rule(for key: RequestKey) -> SharedRule { self.commonRule ?? self.policy.rule(for: key.key) }

    /// Whether one more request without a client may go on. If so, `leaveUnattended` is due at its end.
    func enterUnattended() -> Bool {
        let count = self.unattended.wrappingAdd(1, ordering: .relaxed).newValue
        if count <= Self.maximumUnattended { return true }
        self.leaveUnattended()
        return false
    }

    func leaveUnattended() {
        self.unattended.wrappingSubtract(1, ordering: .relaxed)
    }
}
