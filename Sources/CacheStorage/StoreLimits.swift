/// Bounds of the memory store. Bytes count everything an entry stands for: metadata, spare capacity of buffers, and the
/// store's own bookkeeping.
public struct StoreLimits: Sendable {
    /// All entries together.
    public var memoryBytes: Int
    /// The largest body kept in memory. Larger ones pass through, and go to disk where there is one.
    public var memoryObjectBytes: Int
    /// All fills under way together; a fill that finds no room passes through instead of being stored.
    public var fillBytes: Int
    /// What is held of a body that passes through, and so how far its readers can be apart.
    public var windowBytes: Int
    /// Responses kept for one key; the least recently stored one gives way.
    public var variantsPerKey: Int
    /// The share of `memoryBytes` that a site may take if `siteShares` doesn't name it, 0…1.
    public var defaultSiteShare: Double
    /// The shares of sites, 0…1. They may add up to more than 1.
    public var siteShares: [String: Double]

    /// - Parameters:
    ///   - memoryBytes: at least 1 MiB is taken.
    ///   - memoryObjectBytes: if nil, 16 MiB, but no more than an eighth of `memoryBytes`.
    ///   - fillBytes: if nil, a quarter of `memoryBytes`, which comes on top of them.
    public init(
        memoryBytes: Int = 256 << 20, memoryObjectBytes: Int? = nil, fillBytes: Int? = nil, windowBytes: Int = 1 << 20,
        variantsPerKey: Int = 32, defaultSiteShare: Double = 1, siteShares: [String: Double] = [:]
    ) {
        let memoryBytes: Int = max(memoryBytes, 1 << 20)
        self.memoryBytes = memoryBytes
        self.memoryObjectBytes = min(memoryObjectBytes ?? 16 << 20, memoryBytes / 8)
        self.fillBytes = fillBytes ?? memoryBytes / 4
        self.windowBytes = max(windowBytes, 65_536)
        self.variantsPerKey = max(variantsPerKey, 1)
        self.defaultSiteShare = defaultSiteShare
        self.siteShares = siteShares
    }

    /// Bytes that a site's entries may take.
    func bytes(for site: String) -> Int {
        let share: Double = min(max(self.siteShares[site] ?? self.defaultSiteShare, 0), 1)
        return Int(Double(self.memoryBytes) * share)
    }
}
