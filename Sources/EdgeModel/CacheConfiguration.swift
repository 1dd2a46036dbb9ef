public import HTTPCaching

/// The stores that all sites of an edge share.
public struct EdgeCacheConfiguration: Hashable, Sendable {
    /// A folder on disk for what memory does not hold, or not for long.
    public struct Disk: Hashable, Sendable {
        public var path: String
        /// Bytes.
        public var size: Int

        public init(path: String, size: Int) {
            self.path = path
            self.size = size
        }
    }

    /// Bytes in memory, bookkeeping included. Default 256 MiB.
    public var memoryBytes: Int
    /// nil: responses are kept in memory only.
    public var disk: Disk?
    /// The largest body that is stored, in bytes. Default 64 MiB.
    public var maximumObjectBytes: Int

    public init(memoryBytes: Int = 256 << 20, disk: Disk? = nil, maximumObjectBytes: Int = 64 << 20) {
        self.memoryBytes = memoryBytes
        self.disk = disk
        self.maximumObjectBytes = maximumObjectBytes
    }
}

/// What one site stores, and what it says about it.
public struct SiteCacheConfiguration: Hashable, Sendable {
    public var policy: CachePolicy
    /// The part of the stores that the site's responses may take, 0…1.
    public var share: Double
    /// Whether responses say in `Cache-Status` (RFC 9211) what happened.
    public var reportsStatus: Bool

    /// By default: RFC 9111 as it stands, all of the stores, and `Cache-Status`.
    public init(policy: CachePolicy = CachePolicy(), share: Double = 1, reportsStatus: Bool = true) {
        self.policy = policy
        self.share = share
        self.reportsStatus = reportsStatus
    }
}
