internal import HTTPCaching
internal import NIOConcurrencyHelpers
internal import Synchronization

extension MemoryStore {
    /// Joins the fill under way for a key and variant, or starts it.
    func flight(for key: CacheKey, variant: VariantKey, now: Int64) -> Flight {
        let hash: UInt64 = Self.hash(key)
        let flightKey = MemoryShard.FlightKey(key: key, variant: variant)
        return self.shard(hash).state.withLockedValue { state in
            if let until = state.unshared[hash] {
                if until > now { return .alone }
                state.unshared[hash] = nil
            }
            if let fill = state.flights[flightKey] {
                state.joined &+= 1
                return .join(fill)
            }
            // Read under the stripe's lock: a purge counts up first and then visits the stripes, so that it either finds
            // this fill here or was counted before the fill began.
            let fill = Fill(
                key: key, variant: variant, generation: self.generation.load(ordering: .acquiring), store: self)
            state.flights[flightKey] = fill
            return .lead(FillWriter(fill))
        }
    }

    /// A fill that no reader can join.
    ///
    /// - Parameter generation: the purges that had taken place when its response was asked for.
    func soloFill(for key: CacheKey, since generation: UInt64) -> FillWriter {
        FillWriter(Fill(key: key, variant: .invariant, generation: generation, isSolo: true, store: self))
    }

    /// Newcomers don't find this fill any more.
    func detach(_ fill: Fill) {
        if fill.isSolo { return }
        let hash: UInt64 = Self.hash(fill.key)
        let flightKey = MemoryShard.FlightKey(key: fill.key, variant: fill.variant)
        self.shard(hash).state.withLockedValue { state in
            if state.flights[flightKey] === fill { state.flights[flightKey] = nil }
        }
    }

    func markUnshared(_ key: CacheKey, until: Int64) {
        let hash: UInt64 = Self.hash(key)
        self.shard(hash).state.withLockedValue { state in
            if state.unshared.count >= MemoryShard.unsharedCapacity { state.unshared.removeAll() }
            state.unshared[hash] = until
        }
    }

    // MARK: purging

    /// Takes effect before it returns: no look-up that begins afterwards finds what was purged, and nothing that was
    /// asked for before is stored as if there had been no purge.
    ///
    /// - Returns: also the purge's number.
    func purge(_ scope: PurgeScope, _ kind: PurgeKind) -> (result: PurgeResult, generation: UInt64) {
        let generation: UInt64 = self.ledger.withLockedValue { ledger in
            ledger.log.append(scope, kind, hasDisk: self.disk != nil)
            self.generation.store(ledger.log.generation, ordering: .releasing)
            return ledger.log.generation
        }
        var result = PurgeResult()
        switch scope {
        case .key(let key):
            let hash: UInt64 = Self.hash(key)
            let shard: MemoryShard = self.shard(hash)
            result.fills += self.detachFlights(in: shard, scope)
            result.memoryEntries += self.apply(kind, to: Array(shard.find(hash, key, counts: false)))
        case .tag(let tag, let site):
            for shard in self.shards { result.fills += self.detachFlights(in: shard, scope) }
            let tagged: [CachedResponse] = self.ledger.withLockedValue { $0.entries(tagged: tag) }
            result.memoryEntries += self.apply(kind, to: tagged.filter { site == nil || $0.site == site })
        case .prefix, .hosts, .site, .tags, .everything:
            for shard in self.shards {
                result.fills += self.detachFlights(in: shard, scope)
                let covered: [CachedResponse] = shard.state.withLockedValue { state in
                    state.all.filter { scope.covers($0.key, tags: $0.response.tags) }
                }
                result.memoryEntries += self.apply(kind, to: covered)
            }
        }
        return (result, generation)
    }

    /// Makes the fills that a purge means go on without newcomers. One whose tags aren't known yet is meant by a purge
    /// by tag: it may turn out to bear it.
    private func detachFlights(in shard: MemoryShard, _ scope: PurgeScope) -> Int {
        shard.state.withLockedValue { state in
            state.unshared.removeAll()
            var count = 0
            for (flightKey, fill) in state.flights {
                let covered: Bool =
                    scope.covers(flightKey.key) ?? fill.tags.map { scope.covers(flightKey.key, tags: $0) } ?? true
                if covered {
                    state.flights[flightKey] = nil
                    count += 1
                }
            }
            return count
        }
    }
}
