import HTTPCaching
import NIOCore
import Testing

@testable import CacheStorage

/// A request's key, looked up in the parts that it stands in.
@Suite struct RequestKeyTests {
    private static func asked(
        _ target: String, site: String = "www.example.test", scheme: String = "https",
        host: String = "www.example.test", _ query: QueryRules = QueryRules()
    ) -> RequestKey {
        // A slice within other bytes, as what was read.
        let line = ByteBuffer(string: "GET \(target) HTTP/1.1")
        return RequestKey(
            site: site, scheme: scheme, normalisedHost: host,
            target: line.getSlice(at: 4, length: target.utf8.count) ?? ByteBuffer(), query: query)
    }

    private static func hash(_ body: (inout Hasher) -> Void) -> Int {
        var hasher = Hasher()
        body(&hasher)
        return hasher.finalize()
    }

    private static let sorted = QueryRules(parameters: .except(["utm_*"]), sorts: true)

    private static let requests: [(RequestKey, CacheKey)] = [
        (asked("/a"), CacheKey(site: "www.example.test", uri: "https://www.example.test/a")),
        (asked("/"), CacheKey(site: "www.example.test", uri: "https://www.example.test/")),
        (asked("/a?b=2&a=1"), CacheKey(site: "www.example.test", uri: "https://www.example.test/a?b=2&a=1")),
        (asked("/a?b=2&a=1", sorted), CacheKey(site: "www.example.test", uri: "https://www.example.test/a?a=1&b=2")),
        (asked("/%c3%a9"), CacheKey(site: "www.example.test", uri: "https://www.example.test/%C3%A9")),
        (asked("/a#f"), CacheKey(site: "www.example.test", uri: "https://www.example.test/a")),
        (asked("/a", scheme: "http"), CacheKey(site: "www.example.test", uri: "http://www.example.test/a")),
        (
            asked("/a", host: "www.example.test:8443"),
            CacheKey(site: "www.example.test", uri: "https://www.example.test:8443/a")
        ),
        // Named after something else than the host, or after its beginning.
        (asked("/a", site: "shop"), CacheKey(site: "shop", uri: "https://www.example.test/a")),
        (asked("/a", site: "www"), CacheKey(site: "www", uri: "https://www.example.test/a")),
        (
            asked("/a/b", site: "www.example.test/a"),
            CacheKey(site: "www.example.test/a", uri: "https://www.example.test/a/b")
        ),
        (asked("/a", site: "ww"), CacheKey(site: "ww", uri: "https://www.example.test/a")),
        (asked("/a", site: "", host: "w"), CacheKey(site: "", uri: "https://w/a")),
        (
            asked("/abcdefghijklmnopqrstuvwxyz"),
            CacheKey(site: "www.example.test", uri: "https://www.example.test/abcdefghijklmnopqrstuvwxyz")
        ),
    ]

    @Test(arguments: 0..<requests.count) func isTheKeyThatItIsPutTogetherTo(index: Int) {
        let (asked, key) = Self.requests[index]
        #expect(asked.key == key)
        #expect(Self.hash { asked.hash(into: &$0) } == Self.hash { key.hash(into: &$0) })
        #expect(Self.hash { asked.key.hash(into: &$0) } == Self.hash { key.hash(into: &$0) })
    }

    /// Each request finds its own response among those for all others, whatever its site is called.
    @Test func findsItsOwnAndNoOther() throws {
        let store = ResponseStore()
        var bodies: [CacheKey: ByteBuffer] = [:]
        for (number, (_, key)) in Self.requests.enumerated() where bodies[key] == nil {
            let body = Sample.body(100 + number, seed: UInt64(number))
            bodies[key] = body
            store.fill(key, Sample.response(length: body.readableBytes), body)
        }
        for (asked, key) in Self.requests {
            let found = try #require(store.lookup(asked).first)
            #expect(found.key == key)
            #expect(found.bytes == bodies[key])
        }
        for absent in [
            Self.asked("/b"), Self.asked("/ab"), Self.asked("/", site: "shop"),
            Self.asked("/a", host: "www.example.tes"),
            Self.asked("/a", site: "www.example.test", host: "www.example.testa"),
            Self.asked("/a", site: "www.example"),
            Self.asked("/A"), Self.asked("/abcdefghijklmnopqrstuvwxyZ"),
        ] {
            #expect(store.lookup(absent).isEmpty, "\(absent.key)")
        }
    }

    /// Two keys with one hash are told apart by their bytes.
    @Test func comparesWhatHashesAlike() throws {
        let store = ResponseStore()
        let key = CacheKey(site: "www.example.test", uri: "https://www.example.test/a")
        store.fill(key, Sample.response(length: 5), ByteBuffer(string: "hello"))
        let entry = try #require(store.lookup(key).only)
        #expect(entry.isKey(Self.asked("/a")))
        for other in [
            Self.asked("/b"), Self.asked("/a/"), Self.asked("//a"), Self.asked("/a", scheme: "http"),
            Self.asked("/a", site: "shop"), Self.asked("/a", host: "xww.example.test"),
            Self.asked("/a", host: "www.example.test:8443"), Self.asked("/%61"),
        ] {
            #expect(!entry.isKey(other), "\(other.key)")
        }
    }
}
