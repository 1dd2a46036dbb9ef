import CacheStorage
import EdgeHTTP
import EdgeModel
import Logging
import NIOCore

extension EdgeConfiguration {
    /// Whether any site stores responses.
    var stores: Bool { self.sites.contains { $0.mode.termination?.cache != nil } }

    /// The sites' shares of the stores.
    var storeShares: SiteShares {
        var shares: [String: Double] = [:]
        for site in self.sites {
            if let cache = site.mode.termination?.cache { shares[site.name] = cache.share }
        }
        return SiteShares(shares)
    }

    /// Opens the stores that the sites share; nil where no site stores anything.
    ///
    /// - Throws: if the disk's folder can't be used.
    func openStore(on group: any EventLoopGroup, logger: Logger) async throws -> ResponseStore? {
        guard self.stores else { return nil }
        let shares = self.storeShares
        let limits = StoreLimits(memoryBytes: self.cache.memoryBytes, shares: shares)
        let disk: DiskLimits? = self.cache.disk.map { disk in
            DiskLimits(
                path: disk.path, bytes: disk.size, objectBytes: self.cache.maximumObjectBytes,
                shares: shares)
        }
        return try await ResponseStore.open(
            limits: limits, disk: disk, eventLoops: group, logger: logger, now: CacheClock.now())
    }
}
