import HTTPCaching
import HTTPFields
import NIOCore
import Testing

/// Prints what the cache's decisions about a hit cost; nothing is asserted about time. In release mode the figures mean something.
@Suite(.serialized) struct CacheBenchmark {
    /// What a browser sends for an image.
    private static let browser = [
        ("Host", "www.example.test"), ("Connection", "keep-alive"),
        ("sec-ch-ua", "\"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\", \"Google Chrome\";v=\"140\""),
        ("sec-ch-ua-mobile", "?0"),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
        ),
        ("sec-ch-ua-platform", "\"Linux\""),
        ("Accept", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"),
        ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image"),
        ("Referer", "https://www.example.test/products/winter"), ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Accept-Language", "en-GB,en;q=0.9,de;q=0.8"),
        ("Cookie", "session=0123456789abcdef0123456789abcdef; consent=all; theme=dark"),
    ]
    private static let loadTool = [("Host", "www.example.test"), ("User-Agent", "load/1"), ("Accept", "*/*")]
    private static let page = [
        ("Date", arrivalDate), ("Server", "origin"), ("Content-Type", "text/html; charset=utf-8"),
        ("Last-Modified", "Sun, 06 Nov 1994 08:00:00 GMT"), ("ETag", "\"5f3c-1\""),
        ("Cache-Control", "public, max-age=3600"), ("Vary", "Accept-Encoding"),
    ]

    @Test func aHit() throws {
        let policy = CachePolicy()
        let target = "/assets/images/header-background-1200.webp?v=8f2a91"
        for (name, fields) in [("browser", Self.browser), ("load tool", Self.loadTool)] {
            let fields = section(fields)
            func key() -> CacheKey {
                CacheKey(
                    site: "www.example.test", scheme: "https", authority: "www.example.test", target: target)
            }
            func asked(_ key: CacheKey) -> CacheRequest {
                CacheRequest(method: .get, fields: fields, rule: policy.rule(for: key))
            }
            let first = asked(key())
            let variants = [key(): [try stored(Self.page, length: 1024, to: first)]]
            let now = arrival + 5000
            let making = nanoseconds { key().hashValue }
            let reading = nanoseconds { asked(variants.keys[variants.startIndex]).asksForSeveralRanges ? 1 : 0 }
            let whole = nanoseconds {
                let key = key()
                let request = asked(key)
                guard let variants = variants[key], case .serve(let hit) = request.lookup(variants, now: now) else {
                    return 0
                }
                return Answer(from: variants[hit.index], to: request, now: now) { "" }.head.bytes.count
            }
            print("a hit, \(name), \(fields.count) fields: key \(making) ns, request \(reading) ns, all \(whole) ns")
        }
    }

    /// The best of several rounds, each long enough for the clock.
    private func nanoseconds(_ body: () -> Int) -> Int {
        var best = Int.max
        var sum = 0
        for _ in 0..<20 {
            var count = 0
            let clock = ContinuousClock()
            let start = clock.now
            var elapsed = Duration.zero
            while elapsed < .milliseconds(10) {
                for _ in 0..<50 { sum &+= body() }
                count += 50
                elapsed = clock.now - start
            }
            best = min(best, Int(elapsed / .nanoseconds(1)) / count)
        }
        return sum == .min ? 0 : best
    }
}
