package import CacheStorage
package import Metrics
import NIOConcurrencyHelpers

/// The figures of the stores that all sites share, for metrics. The stores count by themselves; this asks them.
package final class StoreMetrics: Sendable {
    private let store: ResponseStore
    private let memoryBytes: Meter
    private let memoryEntries: Meter
    private let fillBytes: Meter
    private let diskBytes: Meter
    private let diskEntries: Meter
    private let diskWritable: Meter
    private let memoryEvictions: Counter
    private let diskEvictions: Counter
    private let diskFailures: Counter
    private let diskDamages: Counter
    private let joined: Counter
    private let purges: Counter
    private let last = NIOLockedValueBox(StoreStatistics?.none)

    package init(_ store: ResponseStore, factory: any MetricsFactory = MetricsSystem.factory) {
        func meter(_ name: String, _ labels: (String, String)...) -> Meter {
            Meter(label: "latchstring_cache_\(name)", dimensions: labels, factory: factory)
        }
        func counter(_ name: String, _ labels: (String, String)...) -> Counter {
            Counter(label: "latchstring_cache_\(name)", dimensions: labels, factory: factory)
        }
        self.store = store
        self.memoryBytes = meter("store_bytes", ("place", "memory"))
        self.memoryEntries = meter("store_entries", ("place", "memory"))
        self.fillBytes = meter("store_bytes", ("place", "fills"))
        self.diskBytes = meter("store_bytes", ("place", "disk"))
        self.diskEntries = meter("store_entries", ("place", "disk"))
        self.diskWritable = meter("disk_writable")
        self.memoryEvictions = counter("evictions_total", ("place", "memory"))
        self.diskEvictions = counter("evictions_total", ("place", "disk"))
        self.diskFailures = counter("disk_failures_total")
        self.diskDamages = counter("disk_damages_total")
        self.joined = counter("collapsed_total")
        self.purges = counter("purges_total")
    }

    package func update() {
        let figures = self.store.statistics
        let last = self.last.withLockedValue { last in
            defer { last = figures }
            return last
        }
        self.memoryBytes.set(figures.memoryBytes)
        self.memoryEntries.set(figures.memoryEntries)
        self.fillBytes.set(figures.fillBytes)
        Self.count(self.memoryEvictions, figures.evictions, last?.evictions)
        Self.count(self.joined, figures.joined, last?.joined)
        Self.count(self.purges, figures.purges, last?.purges)
        guard let disk = figures.disk else { return }
        self.diskBytes.set(disk.bytes)
        self.diskEntries.set(disk.entries)
        self.diskWritable.set(disk.isWritable ? 1 : 0)
        Self.count(self.diskEvictions, disk.evictions, last?.disk?.evictions)
        Self.count(self.diskFailures, disk.failures, last?.disk?.failures)
        Self.count(self.diskDamages, disk.damages, last?.disk?.damages)
    }

    private static func count(_ counter: Counter, _ now: UInt64, _ before: UInt64?) {
        let before = before ?? 0
        if now > before { counter.increment(by: Int64(clamping: now - before)) }
    }
}
