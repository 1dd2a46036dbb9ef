internal import HTTPCaching
internal import Synchronization

/// What the memory store holds, in which order it goes, what it costs and whose it is.
///
/// The order is S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: FIFO Queues are All You Need for Cache Eviction, SOSP 2023):
/// newcomers pass through a small queue of a tenth of the bytes; those used there move on to the main queue, the others
/// leave and are remembered as ghosts; a ghost that comes back goes to the main queue at once, where what was used gets
/// another round. A hit only raises a counter of two bits, so it takes no lock here, and a scan washes through the small
/// queue without touching the main one.
///
/// Each site has the same two queues over its own entries, from which it is cut back to its share.
struct Ledger {
    /// Whose a slot's entry is, and in which of the two queues, in 32 bits.
    private struct Place {
        private var bits: Int32

        init(site: Int32 = .max, isMain: Bool = false) { self.bits = isMain ? ~site : site }

        var site: Int32 { self.isMain ? ~self.bits : self.bits }

        var isMain: Bool { self.bits < 0 }
    }

    private struct Queues {
        var small = SlotChains.Chain()
        var main = SlotChains.Chain()
        var bytes: Int { self.small.bytes + self.main.bytes }
        var count: Int { self.small.count + self.main.count }
    }

    private struct Account {
        var name: String
        var limit: Int
        var queues = Queues()
    }

    /// The small queue's share of the bytes is 1 over this.
    static let smallShare = 10
    /// Uses that lift an entry from the small queue to the main one.
    static let usesToStay: UInt8 = 1

    private var limits: StoreLimits
    /// By slot; what stands beside each other is in arrays of their own, since there are many.
    private var entries: [CachedResponse?] = []
    private var places: [Place] = []
    private var free: [Int32] = []
    private var chains = SlotChains()
    private var whole = Queues()
    private var accounts: [Account] = []
    private var freeAccounts: [Int32] = []
    private var accountOfSite: [String: Int32] = [:]
    private var ghosts = GhostList()
    private var slotsOfTag: [String: Set<Int32>] = [:]

    var log = PurgeLog()
    /// Disk rows of entries that were kept because they had been used, for the disk's own eviction. A hint, bounded.
    private var diskUses: [Int64] = []
    private static let diskUsesCapacity = 4096

    private(set) var insertions: UInt64 = 0
    private(set) var rejections: UInt64 = 0
    private(set) var promotions: UInt64 = 0
    private(set) var ghostReturns: UInt64 = 0
    private(set) var evictions: UInt64 = 0

    init(limits: StoreLimits) {
        self.limits = limits
    }

    /// Bytes and number of all entries.
    var bytes: Int { self.whole.bytes }
    var count: Int { self.whole.count }

    /// Bytes and number of entries by site.
    var usage: [String: SiteUsage] {
        self.accountOfSite.mapValues { index in
            let account: Account = self.accounts[Int(index)]
            return SiteUsage(bytes: account.queues.bytes, entries: account.queues.count, limit: account.limit)
        }
    }

    // MARK: changes

    /// Takes an entry in, and names those that give way to it.
    ///
    /// - Returns: nil if it is larger than it may ever be.
    mutating func insert(_ entry: CachedResponse) -> [CachedResponse]? {
        let cost: Int = entry.cost
        let site: String = entry.site
        let limit: Int = self.limits.shares.bytes(for: site, of: self.limits.memoryBytes)
        guard cost <= self.limits.memoryBytes, cost <= limit else {
            self.rejections += 1
            return nil
        }
        var victims: [CachedResponse] = []
        self.makeRoom(for: cost, account: self.account(for: site), victims: &victims)
        // Asked for again: a site whose last entry gave way was forgotten.
        let account: Int32 = self.account(for: site)

        let isGhost: Bool = self.ghosts.remove(Self.identity(of: entry))
        if isGhost { self.ghostReturns += 1 }
        let slot: Int32 = self.takeSlot()
        self.entries[Int(slot)] = entry
        self.places[Int(slot)] = Place(site: account, isMain: isGhost)
        self.enqueue(slot, cost: cost)
        entry.setSlot(slot)
        self.index(entry, at: slot)
        entry.lease?.list()
        self.insertions += 1
        return victims
    }

    /// Puts `new` in the place of `old`, which keeps its turn.
    ///
    /// - Returns: those that give way if `new` is larger, which may be itself; nil if `old` is not there.
    mutating func replace(_ old: CachedResponse, with new: CachedResponse) -> [CachedResponse]? {
        guard let slot = self.slot(of: old) else { return nil }
        self.unindex(old, at: slot)
        let difference: Int = new.cost - old.cost
        let place: Place = self.places[Int(slot)]
        let account = Int(place.site)
        if place.isMain {
            self.whole.main.changeCost(by: difference)
            self.accounts[account].queues.main.changeCost(by: difference)
        } else {
            self.whole.small.changeCost(by: difference)
            self.accounts[account].queues.small.changeCost(by: difference)
        }
        self.entries[Int(slot)] = new
        old.setSlot(-1)
        new.setSlot(slot)
        self.index(new, at: slot)
        // In this order: the body is the same as a rule, and stays counted here.
        new.lease?.list()
        old.lease?.unlist()
        var victims: [CachedResponse] = []
        self.makeRoom(for: 0, account: Int32(account), victims: &victims)
        return victims
    }

    /// - Returns: whether it was there.
    @discardableResult
    mutating func remove(_ entry: CachedResponse) -> Bool {
        guard let slot = self.slot(of: entry) else { return false }
        self.unindex(entry, at: slot)
        self.dequeue(slot, cost: entry.cost)
        self.release(slot)
        entry.lease?.unlist()
        return true
    }

    func holds(_ entry: CachedResponse) -> Bool { self.slot(of: entry) != nil }

    /// Whether it has moved on to the main queue.
    func isInMain(_ entry: CachedResponse) -> Bool {
        self.slot(of: entry).map { self.places[Int($0)].isMain } ?? false
    }

    func entries(tagged tag: String) -> [CachedResponse] {
        (self.slotsOfTag[tag] ?? []).compactMap { self.entries[Int($0)] }
    }

    /// Shares may have changed: everything is cut back to them.
    mutating func apply(_ limits: StoreLimits) -> [CachedResponse] {
        self.limits = limits
        var victims: [CachedResponse] = []
        for index in self.accounts.indices where self.accounts[index].queues.count > 0 {
            self.accounts[index].limit = limits.shares.bytes(
                for: self.accounts[index].name, of: limits.memoryBytes)
            self.makeRoom(for: 0, account: Int32(index), victims: &victims)
        }
        return victims
    }

    // MARK: eviction

    private mutating func makeRoom(for cost: Int, account: Int32, victims: inout [CachedResponse]) {
        let limit: Int = self.accounts[Int(account)].limit
        while self.accounts[Int(account)].queues.bytes + cost > limit,
            let victim = self.evict(from: account, smallBytes: limit / Self.smallShare)
        {
            victims.append(victim)
        }
        while self.whole.bytes + cost > self.limits.memoryBytes,
            let victim = self.evict(from: nil, smallBytes: self.limits.memoryBytes / Self.smallShare)
        {
            victims.append(victim)
        }
    }

    /// Evicts one entry of an account, or of all. Ends, for every step removes an entry, moves one out of the small
    /// queue or takes a use away.
    private mutating func evict(from account: Int32?, smallBytes: Int) -> CachedResponse? {
        while true {
            let queues: Queues = account.map { self.accounts[Int($0)].queues } ?? self.whole
            let takesSmall: Bool =
                queues.small.count > 0 && (queues.small.bytes >= smallBytes || queues.main.count == 0)
            let slot: Int32 = takesSmall ? queues.small.head : queues.main.head
            guard slot >= 0, let entry = self.entries[Int(slot)] else { return nil }
            let uses: UInt8 = entry.usesSoFar
            if takesSmall, uses >= Self.usesToStay {
                self.dequeue(slot, cost: entry.cost)
                self.places[Int(slot)] = Place(site: self.places[Int(slot)].site, isMain: true)
                self.enqueue(slot, cost: entry.cost)
                entry.setUses(0)
                self.promotions += 1
                self.noteDiskUse(of: entry)
            } else if !takesSmall, uses > 0 {
                self.dequeue(slot, cost: entry.cost)
                self.enqueue(slot, cost: entry.cost)
                entry.setUses(uses - 1)
                self.noteDiskUse(of: entry)
            } else {
                if takesSmall {
                    self.ghosts.insert(Self.identity(of: entry), limit: max(self.whole.main.count, 1024))
                }
                self.remove(entry)
                self.evictions += 1
                return entry
            }
        }
    }

    private mutating func noteDiskUse(of entry: CachedResponse) {
        let row: Int64 = entry.diskRowID
        if row != 0, self.diskUses.count < Self.diskUsesCapacity { self.diskUses.append(row) }
    }

    mutating func takeDiskUses() -> [Int64] {
        defer { self.diskUses = [] }
        return self.diskUses
    }

    mutating func noteDiskUse(row: Int64) {
        if self.diskUses.count < Self.diskUsesCapacity { self.diskUses.append(row) }
    }

    private static func identity(of entry: CachedResponse) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(entry.key)
        hasher.combine(entry.response.variant)
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    // MARK: slots and queues

    private func slot(of entry: CachedResponse) -> Int32? {
        let slot: Int32 = entry.slot
        guard slot >= 0, Int(slot) < self.entries.count, self.entries[Int(slot)] === entry else { return nil }
        return slot
    }

    private mutating func takeSlot() -> Int32 {
        if let slot = self.free.popLast() { return slot }
        if self.entries.count == self.entries.capacity {
            // By a quarter, where arrays double by themselves: this is a part of what each entry takes.
            let capacity: Int = self.entries.count + self.entries.count / 4 + 64
            self.entries.reserveCapacity(capacity)
            self.places.reserveCapacity(capacity)
            self.chains.reserve(capacity)
        }
        self.entries.append(nil)
        self.places.append(Place())
        self.chains.grow()
        return Int32(self.entries.count - 1)
    }

    private mutating func release(_ slot: Int32) {
        let site: Int32 = self.places[Int(slot)].site
        self.entries[Int(slot)]?.setSlot(-1)
        self.entries[Int(slot)] = nil
        self.places[Int(slot)] = Place()
        self.free.append(slot)
        let account = Int(site)
        // A site that is gone is forgotten, so that their number is bounded by that of the entries.
        if self.accounts[account].queues.count == 0 {
            self.accountOfSite[self.accounts[account].name] = nil
            self.freeAccounts.append(site)
        }
    }

    private mutating func enqueue(_ slot: Int32, cost: Int) {
        let place: Place = self.places[Int(slot)]
        let account = Int(place.site)
        if place.isMain {
            self.chains.append(slot, cost: cost, to: &self.whole.main, .whole)
            self.chains.append(slot, cost: cost, to: &self.accounts[account].queues.main, .site)
        } else {
            self.chains.append(slot, cost: cost, to: &self.whole.small, .whole)
            self.chains.append(slot, cost: cost, to: &self.accounts[account].queues.small, .site)
        }
    }

    private mutating func dequeue(_ slot: Int32, cost: Int) {
        let place: Place = self.places[Int(slot)]
        let account = Int(place.site)
        if place.isMain {
            self.chains.remove(slot, cost: cost, from: &self.whole.main, .whole)
            self.chains.remove(slot, cost: cost, from: &self.accounts[account].queues.main, .site)
        } else {
            self.chains.remove(slot, cost: cost, from: &self.whole.small, .whole)
            self.chains.remove(slot, cost: cost, from: &self.accounts[account].queues.small, .site)
        }
    }

    private mutating func account(for site: String) -> Int32 {
        if let index = self.accountOfSite[site] { return index }
        let account = Account(name: site, limit: self.limits.shares.bytes(for: site, of: self.limits.memoryBytes))
        if let index = self.freeAccounts.popLast() {
            self.accounts[Int(index)] = account
            self.accountOfSite[site] = index
            return index
        }
        self.accounts.append(account)
        self.accountOfSite[site] = Int32(self.accounts.count - 1)
        return Int32(self.accounts.count - 1)
    }

    // MARK: tags

    /// Tags that some entry bears.
    var tagCount: Int { self.slotsOfTag.count }

    private mutating func index(_ entry: CachedResponse, at slot: Int32) {
        for tag in entry.response.tags { self.slotsOfTag[tag, default: []].insert(slot) }
    }

    private mutating func unindex(_ entry: CachedResponse, at slot: Int32) {
        for tag in entry.response.tags {
            self.slotsOfTag[tag]?.remove(slot)
            if self.slotsOfTag[tag]?.isEmpty == true { self.slotsOfTag[tag] = nil }
        }
    }
}
