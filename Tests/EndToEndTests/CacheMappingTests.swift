import HTTPCaching
import Settings
import Testing

@testable import latchstring

@Suite("A site's cache settings as the cache gets them")
struct CacheMappingTests {
    @Test("`errors` is about what isn't there and the server's own, not about single requests")
    func errors() {
        var settings = SiteCacheSettings()
        #expect(CacheRule(settings, edge: EdgeCacheSettings()).negativeLifetimes.isEmpty)
        settings.errorLifetime = .seconds(10)
        let lifetimes = CacheRule(settings, edge: EdgeCacheSettings()).negativeLifetimes
        #expect(lifetimes.keys.sorted() == [404, 410, 500, 501, 502, 503, 504])
        #expect(lifetimes.values.allSatisfy { $0 == 10_000 })
    }
}
