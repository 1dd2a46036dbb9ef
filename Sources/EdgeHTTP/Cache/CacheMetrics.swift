import HTTPCaching
import Metrics

/// One site's counters of its caching. All are made once.
final class CacheMetrics: Sendable {
    private let byWord: [Counter]
    private let hitBytes: Counter
    private let originBytes: Counter
    private let stored: Counter
    private let notStored: Counter
    private let fillsFailed: Counter
    private let background: Counter

    init(site: String, factory: any MetricsFactory) {
        func counter(_ name: String, _ labels: (String, String)...) -> Counter {
            Counter(label: "latchstring_cache_\(name)", dimensions: [("site", site)] + labels, factory: factory)
        }
        self.byWord = CacheOutcome.Word.allCases.map { counter("requests_total", ("outcome", $0.rawValue)) }
        self.hitBytes = counter("bytes_total", ("from", "store"))
        self.originBytes = counter("bytes_total", ("from", "origin"))
        self.stored = counter("fills_total", ("outcome", "stored"))
        self.notStored = counter("fills_total", ("outcome", "not-stored"))
        self.fillsFailed = counter("fills_total", ("outcome", "failed"))
        self.background = counter("background_revalidations_total")
    }

    func request(_ outcome: CacheOutcome.Word, bytes: Int) {
        self.byWord[outcome.number].increment()
        guard bytes > 0 else { return }
        switch outcome {
        case .hit, .stale, .staleIfError, .revalidated, .collapsed: self.hitBytes.increment(by: bytes)
        case .miss, .bypass, .onlyIfCached, .failed: self.originBytes.increment(by: bytes)
        }
    }

    enum Fill {
        case stored, notStored, failed
    }

    func fill(_ outcome: Fill) {
        switch outcome {
        case .stored: self.stored.increment()
        case .notStored: self.notStored.increment()
        case .failed: self.fillsFailed.increment()
        }
    }

    func revalidatesInBackground() { self.background.increment() }
}
