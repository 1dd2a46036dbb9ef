internal import HTTPCaching
internal import NIOConcurrencyHelpers

/// One stripe of the memory store's index, behind a lock of its own that is held for the time of one table look-up.
final class MemoryShard: Sendable {
    struct FlightKey: Hashable {
        let key: CacheKey
        let variant: VariantKey
    }

    struct State {
        /// By the key's hash. Two keys with one hash would share a list, so readers compare.
        var entries: [UInt64: [CachedResponse]] = [:]
        var flights: [FlightKey: Fill] = [:]
        /// Hashes of keys whose responses turned out to be for one request only, and until when that is believed, in
        /// milliseconds since 1970.
        var unshared: [UInt64: Int64] = [:]
        var hits: UInt64 = 0
        var misses: UInt64 = 0
        var joined: UInt64 = 0
    }

    /// Remembered keys in `unshared`; when it is full, it starts anew.
    static let unsharedCapacity = 1024

    let state = NIOLockedValueBox(State())

    func find(_ hash: UInt64, _ key: CacheKey, counts: Bool) -> [CachedResponse] {
        let found: [CachedResponse]? = self.state.withLockedValue { state in
            let found: [CachedResponse]? = state.entries[hash]
            if counts {
                if found == nil { state.misses &+= 1 } else { state.hits &+= 1 }
            }
            return found
        }
        guard let found else { return [] }
        if found.count == 1 { return found[0].key == key ? found : [] }
        return found.allSatisfy { $0.key == key } ? found : found.filter { $0.key == key }
    }

    /// Newest first.
    func add(_ entry: CachedResponse, _ hash: UInt64) {
        self.state.withLockedValue { state in
            state.entries[hash, default: []].insert(entry, at: 0)
            state.unshared[hash] = nil
        }
    }

    func remove(_ entry: CachedResponse, _ hash: UInt64) {
        self.state.withLockedValue { state in
            guard let index = state.entries[hash]?.firstIndex(where: { $0 === entry }) else { return }
            if state.entries[hash]?.count == 1 {
                state.entries[hash] = nil
            } else {
                state.entries[hash]?.remove(at: index)
            }
        }
    }

    func replace(_ old: CachedResponse, with new: CachedResponse, _ hash: UInt64) {
        self.state.withLockedValue { state in
            guard let index = state.entries[hash]?.firstIndex(where: { $0 === old }) else { return }
            state.entries[hash]?[index] = new
        }
    }
}
