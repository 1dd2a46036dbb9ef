import CacheStorage
import EdgeHTTP
import EdgeModel
import Logging
import NIOCore

extension EdgeConfiguration {
    /// Opens the stores that the sites share; nil where no site stores anything.
    ///
    /// - Throws: if the disk's folder can't be used.
    func openStore(on group: any EventLoopGroup, logger: Logger) async throws -> ResponseStore? {
        var shares: [String: Double] = [:]
        for site in self.sites {
            if let cache = site.mode.termination?.cache { shares[site.name] = cache.share }
        }
        guard !shares.isEmpty else { return nil }
        let limits = StoreLimits(memoryBytes: self.cache.memoryBytes, shares: SiteShares(shares))
        let disk: DiskLimits? = self.cache.disk.map { disk in
            DiskLimits(
                path: disk.path, bytes: disk.size, objectBytes: self.cache.maximumObjectBytes,
                shares: SiteShares(shares))
        }
        return try await ResponseStore.open(
            limits: limits, disk: disk, eventLoops: group, logger: logger, now: CacheClock.now())
    }
}
