internal import HTTPCaching
internal import NIOConcurrencyHelpers

/// One stripe of the memory store's index, behind a lock of its own that is held for the time of one table look-up.
final class MemoryShard: Sendable {
    struct FlightKey: Hashable {
        let key: CacheKey
        let variant: VariantKey
    }

    struct State {
        /// By half of the key's hash, where it has one entry.
        private var entries = EntryTable()
        /// Where it has more: newest first.
        private var lists: [UInt32: [CachedResponse]] = [:]
        var flights: [FlightKey: Fill] = [:]
        /// Hashes of keys whose responses turned out to be for one request only, and until when that is believed, in
        /// milliseconds since 1970.
        var unshared: [UInt64: Int64] = [:]
        var hits: UInt64 = 0
        var misses: UInt64 = 0
        var joined: UInt64 = 0

        /// Two keys may have one hash: readers compare.
        func variants(_ hash: UInt64) -> StoredVariants? {
            let hash = UInt32(truncatingIfNeeded: hash)
            if let one = self.entries[hash] { return StoredVariants(one) }
            return self.lists.isEmpty ? nil : self.lists[hash].map { StoredVariants($0) }
        }

        /// All entries, in no order.
        var all: [CachedResponse] {
            var all: [CachedResponse] = self.lists.values.flatMap { $0 }
            self.entries.forEach { all.append($0) }
            return all
        }

        fileprivate mutating func add(_ entry: CachedResponse, _ hash: UInt32) {
            if self.lists[hash] != nil {
                self.lists[hash]?.insert(entry, at: 0)
            } else if let other = self.entries[hash] {
                self.entries.set(nil, for: hash)
                self.lists[hash] = [entry, other]
            } else {
                self.entries.set(entry, for: hash)
            }
        }

        /// - Parameter new: nil: nothing takes its place.
        fileprivate mutating func replace(_ old: CachedResponse, with new: CachedResponse?, _ hash: UInt32) {
            if self.entries[hash] === old { return self.entries.set(new, for: hash) }
            guard var list = self.lists[hash], let index = list.firstIndex(where: { $0 === old }) else { return }
            if let new { list[index] = new } else { list.remove(at: index) }
            self.lists[hash] = list.count > 1 ? list : nil
            if list.count == 1 { self.entries.set(list[0], for: hash) }
        }
    }

    /// Remembered keys in `unshared`; when it is full, it starts anew.
    static let unsharedCapacity = 1024

    let state = NIOLockedValueBox(State())

    func find(_ hash: UInt64, _ key: CacheKey, counts: Bool) -> StoredVariants {
        self.find(hash, counts: counts) { $0.isKey(key) }
    }

    /// What a request is answered from.
    func find(_ hash: UInt64, _ key: RequestKey) -> StoredVariants {
        self.find(hash, counts: true) { $0.isKey(key) }
    }

    @inline(__always)
    private func find(_ hash: UInt64, counts: Bool, _ isWanted: (CachedResponse) -> Bool) -> StoredVariants {
        let found: StoredVariants? = self.state.withLockedValue { state in
            let found: StoredVariants? = state.variants(hash)
            if counts {
                if found == nil { state.misses &+= 1 } else { state.hits &+= 1 }
            }
            return found
        }
        guard let found else { return StoredVariants() }
        if let only = found.only { return isWanted(only) ? found : StoredVariants() }
        return found.allSatisfy(isWanted) ? found : StoredVariants(found.filter(isWanted))
    }

    /// Newest first.
    func add(_ entry: CachedResponse, _ hash: UInt64) {
        self.state.withLockedValue { state in
            state.add(entry, UInt32(truncatingIfNeeded: hash))
            state.unshared[hash] = nil
        }
    }

    func remove(_ entry: CachedResponse, _ hash: UInt64) {
        self.state.withLockedValue { $0.replace(entry, with: nil, UInt32(truncatingIfNeeded: hash)) }
    }

    func replace(_ old: CachedResponse, with new: CachedResponse, _ hash: UInt64) {
        self.state.withLockedValue { $0.replace(old, with: new, UInt32(truncatingIfNeeded: hash)) }
    }
}
