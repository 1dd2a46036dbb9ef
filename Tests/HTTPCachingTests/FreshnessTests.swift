import HTTPCaching
import HTTPFields
import Testing

@Suite("Lifetimes and ages")
struct FreshnessTests {
    @Test(
        "Lifetimes in seconds and where they come from (RFC 9111 §4.2.1)",
        arguments: [
            ([("Cache-Control", "max-age=3600")], 3600, Freshness.Source.maxAge),
            ([("Cache-Control", "MaX-aGe=3600")], 3600, .maxAge),
            ([("Cache-Control", "max-age=003600")], 3600, .maxAge),
            ([("Cache-Control", "max-age=\"3600\"")], 3600, .maxAge),
            ([("Cache-Control", "max-age='3600'"), ("ETag", "\"x\"")], 0, .maxAge),
            ([("Cache-Control", "max-age=3600.0"), ("ETag", "\"x\"")], 0, .maxAge),
            ([("Cache-Control", "max-age=-1"), ("ETag", "\"x\"")], 0, .maxAge),
            ([("Cache-Control", "max-age= 3600"), ("ETag", "\"x\"")], 0, .maxAge),
            ([("Cache-Control", "max-age"), ("ETag", "\"x\"")], 0, .maxAge),
            ([("Cache-Control", "max-age =3600"), ("ETag", "\"x\"")], 0, .none),
            ([("Cache-Control", "max-age=1, max-age=3600")], 1, .maxAge),
            ([("Cache-Control", "max-age=3600"), ("Cache-Control", "max-age=1")], 1, .maxAge),
            ([("Cache-Control", "extension=\"max-age=3600\", max-age=1")], 1, .maxAge),
            ([("Cache-Control", "max-age=1, extension=\"max-age=3600")], 1, .maxAge),
            ([("Cache-Control", "extension=\"a\\\", max-age=3600, \", max-age=1")], 1, .maxAge),
            ([("Cache-Control", "max-age=2147483648")], 366 * 86_400, .maxAge),
            ([("Cache-Control", "max-age=99999999999999999999999")], 366 * 86_400, .maxAge),
            ([("Cache-Control", "max-age=1, s-maxage=3600")], 3600, .sharedMaxAge),
            ([("Cache-Control", "s-maxage=1, max-age=3600")], 1, .sharedMaxAge),
            ([("Cache-Control", "s-maxage=1"), ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT")], 1, .sharedMaxAge),
            ([("Cache-Control", "max-age=1"), ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT")], 1, .maxAge),
            ([("Expires", "Sun, 06 Nov 1994 09:49:37 GMT")], 3600, .expires),
            // Minus Date, not minus now.
            (
                [
                    ("Expires", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Date", "Sun, 06 Nov 1994 07:49:37 GMT"),
                    ("ETag", "\"x\""),
                ],
                3600, .expires
            ),
            ([("Expires", "Sun, 06 Nov 1994 09:49:37 GMT"), ("Date", "yesterday")], 3600, .expires),
            ([("Expires", "0"), ("ETag", "\"x\"")], 0, .expires),
            ([("Expires", "Sun, 06 Nov 1994 07:49:37 GMT"), ("ETag", "\"x\"")], 0, .expires),
            (
                [
                    ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT"), ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT"),
                    ("ETag", "\"x\""),
                ], 0, .expires
            ),
            ([("Expires", "Thu, 31 Dec 9999 23:59:59 GMT")], 366 * 86_400, .expires),
            // A tenth of the time since the change.
            ([("Last-Modified", "Sun, 06 Nov 1994 07:49:37 GMT")], 360, .heuristic),
            ([("Last-Modified", "Sun, 06 Nov 1904 07:49:37 GMT")], 86_400, .heuristic),
            ([("Last-Modified", "Sun, 06 Nov 1994 09:49:37 GMT")], 0, .heuristic),
            ([("Last-Modified", "Sun, 06 Nov 1994 07:49:37 GMT"), ("Cache-Control", "max-age=0")], 0, .maxAge),
            ([("Last-Modified", "Sun, 06 Nov 1994 07:49:37 GMT"), ("Expires", "0")], 0, .expires),
            ([("ETag", "\"x\"")], 0, .none),
            ([("CDN-Cache-Control", "max-age=7"), ("Cache-Control", "max-age=3600")], 7, .targeted),
        ] as [([(String, String)], Int64, Freshness.Source)])
    func lifetimes(fields: [(String, String)], seconds: Int64, source: Freshness.Source) throws {
        let response = try stored(fields)
        #expect(response.freshness.lifetime == seconds * 1000)
        #expect(response.freshness.source == source)
    }

    @Test(
        "The site's lifetimes",
        arguments: [
            ([("ETag", "\"x\"")], 200, 60, Freshness.Source.siteDefault),
            ([("Last-Modified", "Sun, 06 Nov 1994 07:49:37 GMT")], 200, 60, .siteDefault),
            ([("Cache-Control", "max-age=5")], 200, 5, .maxAge), ([], 404, 30, .negative), ([], 503, 5, .negative),
            ([("Cache-Control", "max-age=100")], 503, 100, .maxAge),
        ] as [([(String, String)], Int, Int64, Freshness.Source)])
    func siteLifetimes(fields: [(String, String)], status: Int, seconds: Int64, source: Freshness.Source) throws {
        let rule = rule {
            $0.defaultLifetime = 60_000
            $0.negativeLifetimes = [404: 30_000, 503: 5000]
        }
        let response = try stored(fields, status: status, to: request(rule: rule))
        #expect(response.freshness.lifetime == seconds * 1000)
        #expect(response.freshness.source == source)
    }

    @Test func anOverrideReplacesLifetimesButNoProhibition() throws {
        let rule = rule {
            $0.overrideLifetime = 60_000
            $0.maximumLifetime = 30_000
        }
        let response = try stored([("Cache-Control", "max-age=0")], to: request(rule: rule))
        #expect(response.freshness.lifetime == 30_000)
        #expect(response.freshness.source == .siteOverride)
        #expect(refusal([("Cache-Control", "no-store")], to: request(rule: rule)) == .noStore)
        #expect(refusal([("Cache-Control", "private")], to: request(rule: rule)) == .isPrivate)
        #expect(
            try stored([("Cache-Control", "no-cache"), ("ETag", "\"x\"")], to: request(rule: rule)).isFresh(at: arrival)
                == false)
        #expect(refusal([], status: 403, to: request(rule: rule)) == .notExplicit)
    }

    @Test(
        "Age on arrival: the first member, or nothing",
        arguments: [
            ([], 0), (["7200"], 7200), (["0, 7200"], 0), (["7200, 0"], 7200), (["0", "7200"], 0),
            (["7200", "0"], 7200),
            (["abc"], 0), (["-7200"], 0), (["7200.0"], 0), (["2147483648"], 1 << 31),
            (["99999999999999999999"], 1 << 31),
            (["7200;a=b"], 0), (["'7200'"], 0), ([""], 0), ([" 7200 "], 7200),
        ] as [([String], Int64)])
    func ageField(lines: [String], seconds: Int64) throws {
        var fields = [("Cache-Control", "max-age=1"), ("ETag", "\"x\""), ("Date", arrivalDate)]
        fields += lines.map { ("Age", $0) }
        let response = try stored(fields)
        #expect(response.freshness.initialAge == seconds * 1000)
        #expect(!response.fields.contains(name: "Age"))
    }

    @Test func agesAddUp() throws {
        let asked = request()
        let late = OriginResponse(
            status: 200, reason: [],
            fields: section([
                ("Cache-Control", "max-age=100"), ("Date", "Sun, 06 Nov 1994 08:49:17 GMT"), ("Age", "5"),
            ]),
            bodyLength: 1, requestTime: arrival - 4000, responseTime: arrival + 900)
        guard case .store(let response, _) = asked.decideStoring(late, key: key()) else { throw NotStored() }
        // The apparent age, 20 s, is more than Age and the delay together, 9.9 s.
        #expect(response.freshness.initialAge == 20_000)
        #expect(response.currentAge(at: arrival + 10_900) == 30_000)
        #expect(response.timeToLive(at: arrival + 10_900) == 70_000)
        // The clock was set back: no younger than on arrival.
        #expect(response.currentAge(at: arrival - 1_000_000) == 20_000)
        #expect(response.currentAge(at: .max) == .max - arrival - 900 + 20_000)
        let fresh = response.isFresh(at: arrival + 900 + 79_999)
        let stale = response.isFresh(at: arrival + 900 + 80_000)
        #expect(fresh && !stale)
    }

    @Test func skewedClocksDoNoHarm() throws {
        // The origin's clock is ahead: no negative age.
        let ahead = try stored([("Cache-Control", "max-age=10"), ("Date", "Sun, 06 Nov 1994 10:49:37 GMT")])
        #expect(ahead.freshness.initialAge == 0)
        // Ours is at the end of time.
        let asked = request()
        let odd = OriginResponse(
            status: 200, reason: [], fields: section([("Cache-Control", "max-age=10"), ("Date", arrivalDate)]),
            bodyLength: nil,
            requestTime: .min, responseTime: .max)
        guard case .store(let response, _) = asked.decideStoring(odd, key: key()) else { return }
        #expect(response.currentAge(at: .max) > 0)
        #expect(response.timeToLive(at: .min) < 0)
    }

    @Test(
        "Stale windows in seconds",
        arguments: [
            ("max-age=1", 20, 30), ("max-age=1, stale-while-revalidate=5", 5, 30),
            ("max-age=1, stale-if-error=7", 20, 7), ("max-age=1, must-revalidate", 0, 0),
            ("max-age=1, proxy-revalidate, stale-if-error=7", 0, 0), ("max-age=1, s-maxage=1", 0, 0),
            ("s-maxage=1, stale-while-revalidate=5, stale-if-error=7", 5, 7), ("max-age=1, no-cache", 0, 0),
            ("max-age=0", 0, 0), ("max-age=0, stale-if-error=7", 0, 7),
            ("max-age=1, stale-if-error=x", 20, 0),
        ] as [(String, Int64, Int64)])
    func windows(directives: String, whileRevalidate: Int64, ifError: Int64) throws {
        let rule = rule {
            $0.staleWhileRevalidate = 20_000
            $0.staleIfError = 30_000
        }
        let response = try stored([("Cache-Control", directives), ("ETag", "\"x\"")], to: request(rule: rule))
        #expect(response.freshness.staleWhileRevalidate == whileRevalidate * 1000)
        #expect(response.freshness.staleIfError == ifError * 1000)
    }

    @Test(
        "CDN-Cache-Control: valid, it replaces Cache-Control and Expires; invalid, it is ignored whole (RFC 9213)",
        arguments: [
            (["max-age=3600"], 3600), (["max-age=99999999999"], 366 * 86_400), (["foobar, max-age=3600"], 3600),
            (["max-age=0"], 0), (["max-age=-5"], 0), (["max-age=10000, &&&&&"], nil), (["max-age=\"10000\""], nil),
            (["max-age=10.5"], nil), (["MaX-aGe=3600"], nil), (["max-age =100"], nil), (["max-age= 100"], nil),
            ([""], nil), (["max-age"], nil), (["max-age=(1 2)"], nil), (["foo=(1 2), max-age=3600"], 3600),
            (["max-age=3600", "foo"], 3600), (["no-cache=5, max-age=3600"], nil), (["max-age=3600;x=y"], 3600),
            (["no-store=?0, max-age=3600"], 3600), (["s-maxage=10, max-age=3600"], 10),
            (["max-age=1, max-age=3600"], 3600),
        ] as [([String], Int64?)])
    func targeted(lines: [String], seconds: Int64?) throws {
        var fields = lines.map { ("CDN-Cache-Control", $0) }
        fields += [("Cache-Control", "max-age=7"), ("Expires", "0"), ("ETag", "\"x\"")]
        let response = try stored(fields)
        #expect(response.freshness.lifetime == (seconds ?? 7) * 1000)
        #expect(response.fields["CDN-Cache-Control"] == lines)
    }

    @Test func targetedFieldsReplaceProhibitionsBothWays() throws {
        #expect(refusal([("CDN-Cache-Control", "max-age=10"), ("Cache-Control", "no-store, private")]) == nil)
        #expect(refusal([("CDN-Cache-Control", "no-store"), ("Cache-Control", "max-age=10")]) == .noStore)
        #expect(refusal([("CDN-Cache-Control", "private"), ("Cache-Control", "max-age=10")]) == .isPrivate)
        #expect(refusal([("CDN-Cache-Control", "foo"), ("Cache-Control", "max-age=10")]) == .useless)
        let none = rule { $0.targetedFields = [] }
        #expect(
            refusal([("CDN-Cache-Control", "no-store"), ("Cache-Control", "max-age=10")], to: request(rule: none))
                == nil)
        let ours = try rule {
            $0.targetedFields = [try name("latchstring-cache-control"), FieldName(.cdnCacheControl)]
        }
        #expect(
            refusal(
                [("CDN-Cache-Control", "max-age=10"), ("Latchstring-Cache-Control", "no-store")],
                to: request(rule: ours))
                == .noStore)
    }
}
