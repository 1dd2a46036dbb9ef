/// Bounds of the memory store. Bytes count everything an entry stands for: metadata, spare capacity of buffers, and the
/// store's own bookkeeping.
public struct StoreLimits: Sendable {
    /// All entries together.
    public var memoryBytes: Int
    /// The largest body kept in memory. Larger ones pass through, and go to disk where there is one.
    public var memoryObjectBytes: Int
    /// All fills together, and large bodies that are read but no longer stored. A fill that finds no room passes through
    /// instead of being stored, and its readers can be no more than 64 KiB apart.
    public var fillBytes: Int
    /// What is held of a body that passes through, and so how far its readers can be apart.
    public var windowBytes: Int
    /// All heads that are kept in HTTP/2's form as well. What finds no room is put into that form each time.
    public var fieldBlockBytes: Int
    /// Responses kept for one key; the least recently stored one gives way.
    public var variantsPerKey: Int
    /// What each site may take of `memoryBytes`.
    public var shares: SiteShares

    /// - Parameters:
    ///   - memoryBytes: at least 1 MiB is taken.
    ///   - memoryObjectBytes: if nil, 64 MiB; never more than an eighth of `memoryBytes`.
    ///   - fillBytes: if nil, a quarter of `memoryBytes`, which comes on top of them.
    ///   - fieldBlockBytes: if nil, a sixteenth of `memoryBytes`, which comes on top of them.
    public init(
        memoryBytes: Int = 256 << 20, memoryObjectBytes: Int? = nil, fillBytes: Int? = nil, fieldBlockBytes: Int? = nil,
        windowBytes: Int = 1 << 20, variantsPerKey: Int = 32, shares: SiteShares = SiteShares()
    ) {
        let memoryBytes: Int = max(memoryBytes, 1 << 20)
        self.memoryBytes = memoryBytes
        self.memoryObjectBytes = min(memoryObjectBytes ?? 64 << 20, memoryBytes / 8)
        self.fillBytes = fillBytes ?? memoryBytes / 4
        self.fieldBlockBytes = fieldBlockBytes ?? memoryBytes / 16
        self.windowBytes = max(windowBytes, 65_536)
        self.variantsPerKey = max(variantsPerKey, 1)
        self.shares = shares
    }
}

/// What parts of a store sites may take.
public struct SiteShares: Sendable {
    /// By the site's name in the configuration, 0…1. They may add up to more than 1.
    public var sites: [String: Double]
    /// For sites that `sites` doesn't name.
    public var others: Double

    public init(_ sites: [String: Double] = [:], others: Double = 1) {
        self.sites = sites
        self.others = others
    }

    /// How much of `whole` a site may take.
    func bytes(for site: String, of whole: Int) -> Int {
        Int(Double(whole) * min(max(self.sites[site] ?? self.others, 0), 1))
    }
}
