import FleetBus

/// What the admin port and `latchstring purge` and `cache` say to each other, as JSON.

/// `POST /cache/purge`.
struct PurgeOrder: Codable, Equatable {
    var urls: [String]?
    var prefixes: [String]?
    var hosts: [String]?
    var tags: [String]?
    var everything: Bool?
    /// Marks as stale instead of removing.
    var soft: Bool?
    /// At every edge of this one's fleet.
    var fleet: Bool?

    /// The largest number of things in one order.
    static let maximum = 1000

    var count: Int {
        (self.urls?.count ?? 0) + (self.prefixes?.count ?? 0) + (self.hosts?.count ?? 0) + (self.tags?.count ?? 0)
            + (self.everything == true ? 1 : 0)
    }
}

extension PurgeOrder {
    /// The same for a fleet.
    var fleetPurge: FleetPurge {
        var targets: [FleetPurge.Target] = []
        for url in self.urls ?? [] { targets.append(.url(url)) }
        for url in self.prefixes ?? [] { targets.append(.prefix(url)) }
        for host in self.hosts ?? [] { targets.append(.host(host)) }
        for tag in self.tags ?? [] { targets.append(.tag(tag)) }
        if self.everything == true { targets.append(.everything) }
        return FleetPurge(targets: targets, isSoft: self.soft == true)
    }
}

struct PurgeReport: Codable, Equatable {
    var memory: Int
    var disk: Int
    /// Responses that were on their way into the store.
    var fetches: Int
    var soft: Bool
}

/// `GET /cache/entries?url=…`.
struct EntriesReport: Codable, Equatable {
    var key: String
    var site: String
    var entries: [EntryReport]
}

struct EntryReport: Codable, Equatable {
    var place: String
    var status: UInt
    /// Of the body; missing while it is not known.
    var bytes: Int64?
    /// `complete`, or the part: `bytes 0-99/200`.
    var extent: String
    /// Seconds.
    var age: Int64
    /// Seconds that it stays fresh, negative if it is stale.
    var timeToLive: Int64
    /// `fresh`, `stale`, `softly-purged` (stale since then), `validated-on-use` or `invalidated`.
    var state: String
    /// Where its lifetime comes from.
    var lifetimeFrom: String
    /// Seconds.
    var lifetime: Int64
    var staleWhileRevalidate: Int64
    var staleIfError: Int64
    /// Which values of the fields in `Vary` select it; null for an absent field.
    var selectedBy: [String: String?]
    var entityTag: String?
    var lastModified: String?
    var tags: [String]
    /// What it takes up in the store, in bytes.
    var cost: Int
}

/// `GET /cache`.
struct StoreReport: Codable, Equatable {
    struct Site: Codable, Equatable {
        var bytes: Int
        var entries: Int
        var limit: Int
    }

    struct Disk: Codable, Equatable {
        var bytes: Int
        var entries: Int
        /// False for a while after a write failed.
        var isWritable: Bool
    }

    var memoryBytes: Int
    var memoryEntries: Int
    var evictions: UInt64
    var purges: UInt64
    var fetches: Int
    var sites: [String: Site]
    var disk: Disk?
}

/// Every answer but 200.
struct AdminFailure: Codable, Equatable {
    var error: String
    var remedy: String?
}
