import HTTPCaching
import HTTPFields
import Testing

@Suite("Lookup")
struct LookupTests {
    static func lookup(_ variants: [StoredResponse], _ asked: CacheRequest, after seconds: Int64) -> Lookup {
        asked.lookup(variants, now: arrival + seconds * 1000)
    }

    static func hit(_ allowance: Hit.Allowance, age: Int64, ttl: Int64, index: Int = 0) -> Hit {
        Hit(index: index, age: age * 1000, timeToLive: ttl * 1000, allowance: allowance)
    }

    @Test(
        "By response and time",
        arguments: [
            ("max-age=10", 3, .serve(hit(.fresh, age: 3, ttl: 7))),
            ("max-age=10", 10, .validate(index: 0, .stale(.expired))),
            ("max-age=10, no-cache", 3, .validate(index: 0, .stale(.noCache))),
            ("max-age=10, must-revalidate", 3, .serve(hit(.fresh, age: 3, ttl: 7))),
            ("max-age=10, must-revalidate", 11, .validate(index: 0, .stale(.expired))),
            (
                "max-age=10, stale-while-revalidate=5", 14,
                .serveAndRevalidate(hit(.staleWhileRevalidate, age: 14, ttl: -4))
            ),
            ("max-age=10, stale-while-revalidate=5", 15, .validate(index: 0, .stale(.expired))),
            ("max-age=10, stale-while-revalidate=5, must-revalidate", 12, .validate(index: 0, .stale(.expired))),
            ("max-age=10, stale-while-revalidate=5, no-cache", 12, .validate(index: 0, .stale(.noCache))),
        ] as [(String, Int64, Lookup)])
    func responses(directives: String, seconds: Int64, result: Lookup) throws {
        let response = try stored([("Cache-Control", directives), ("ETag", "\"x\"")])
        #expect(Self.lookup([response], request(), after: seconds) == result)
    }

    @Test(
        "By the request's directives (RFC 9111 §5.2.1)",
        arguments: [
            ([("Cache-Control", "max-age=0")], 3, .validate(index: 0, .request(.maxAge))),
            ([("Cache-Control", "max-age=3")], 3, .serve(hit(.fresh, age: 3, ttl: 7))),
            ([("Cache-Control", "max-age=2")], 3, .validate(index: 0, .request(.maxAge))),
            ([("Cache-Control", "max-age=x")], 3, .validate(index: 0, .request(.maxAge))),
            ([("Cache-Control", "min-fresh=7")], 3, .serve(hit(.fresh, age: 3, ttl: 7))),
            ([("Cache-Control", "min-fresh=8")], 3, .validate(index: 0, .request(.minFresh))),
            ([("Cache-Control", "no-cache")], 3, .validate(index: 0, .request(.noCache))),
            ([("Pragma", "no-cache")], 3, .validate(index: 0, .request(.noCache))),
            ([("Pragma", "no-cache"), ("Cache-Control", "foo")], 3, .serve(hit(.fresh, age: 3, ttl: 7))),
            ([("Pragma", "other")], 3, .serve(hit(.fresh, age: 3, ttl: 7))),
            ([("Cache-Control", "no-store")], 3, .serve(hit(.fresh, age: 3, ttl: 7))),
            ([("Cache-Control", "max-stale")], 1000, .serve(hit(.maxStale, age: 1000, ttl: -990))),
            ([("Cache-Control", "max-stale=5")], 15, .serve(hit(.maxStale, age: 15, ttl: -5))),
            ([("Cache-Control", "max-stale=5")], 16, .validate(index: 0, .stale(.expired))),
            ([("Cache-Control", "max-stale=5, max-age=12")], 15, .validate(index: 0, .stale(.expired))),
            ([("Cache-Control", "only-if-cached")], 3, .serve(hit(.fresh, age: 3, ttl: 7))),
            ([("Cache-Control", "only-if-cached")], 11, .unavailable),
            ([("Cache-Control", "only-if-cached, max-stale")], 11, .serve(hit(.maxStale, age: 11, ttl: -1))),
            ([("Cache-Control", "only-if-cached, no-cache")], 3, .unavailable),
        ] as [([(String, String)], Int64, Lookup)])
    func requests(fields: [(String, String)], seconds: Int64, result: Lookup) throws {
        let response = try stored([("Cache-Control", "max-age=10"), ("ETag", "\"x\"")])
        #expect(Self.lookup([response], request(fields), after: seconds) == result)
    }

    @Test func maxStaleGivesWayToMustRevalidate() throws {
        let asked = request([("Cache-Control", "max-stale")])
        for directives in ["max-age=1, must-revalidate", "max-age=1, proxy-revalidate", "s-maxage=1"] {
            let response = try stored([("Cache-Control", directives), ("ETag", "\"x\"")])
            #expect(Self.lookup([response], asked, after: 5) == .validate(index: 0, .stale(.expired)))
        }
    }

    @Test func whatNeverChangesIsNotAskedForOnReload() throws {
        let response = try stored([("Cache-Control", "max-age=10, immutable"), ("ETag", "\"x\"")])
        let reload = request([("Cache-Control", "max-age=0")])
        #expect(Self.lookup([response], reload, after: 3) == .serve(Self.hit(.fresh, age: 3, ttl: 7)))
        let force = request([("Cache-Control", "no-cache")])
        #expect(Self.lookup([response], force, after: 3) == .validate(index: 0, .request(.noCache)))
        #expect(Self.lookup([response], reload, after: 10) == .validate(index: 0, .stale(.expired)))
    }

    @Test func sitesLimitWhatRequestsCanDo() throws {
        let response = try stored([("Cache-Control", "max-age=10"), ("ETag", "\"x\"")])
        let reload = [("Cache-Control", "no-cache, max-age=0, min-fresh=100, only-if-cached")]
        let limited = rule { $0.requestDirectives = .limited }
        let ignoring = rule { $0.requestDirectives = .ignore }
        #expect(
            Self.lookup([response], request(reload, rule: limited), after: 1)
                == .serve(Self.hit(.fresh, age: 1, ttl: 9)))
        #expect(Self.lookup([], request(reload, rule: limited), after: 1) == .unavailable)
        #expect(Self.lookup([], request(reload, rule: ignoring), after: 1) == .fetch(.uriMiss, superseded: nil))
    }

    @Test func misses() throws {
        let varying = try stored([("Cache-Control", "max-age=10"), ("Vary", "Foo")], to: request([("Foo", "1")]))
        #expect(Self.lookup([], request(), after: 0) == .fetch(.uriMiss, superseded: nil))
        #expect(Self.lookup([varying], request(), after: 0) == .fetch(.varyMiss, superseded: nil))
        #expect(Self.lookup([varying], request([("Foo", "2")]), after: 0) == .fetch(.varyMiss, superseded: nil))
        #expect(Self.lookup([varying], request([("Foo", "1")]), after: 0) == .serve(Self.hit(.fresh, age: 0, ttl: 10)))
        #expect(Self.lookup([varying], request([("Foo", "1")]), after: 10) == .fetch(.stale(.expired), superseded: 0))
        #expect(Self.lookup([varying], request(method: .post), after: 0) == .fetch(.method, superseded: nil))
        #expect(Self.lookup([], request([("Cache-Control", "only-if-cached")]), after: 0) == .unavailable)
        let head = request([("Foo", "1")], method: .head)
        #expect(Self.lookup([varying], head, after: 0) == .serve(Self.hit(.fresh, age: 0, ttl: 10)))
    }

    @Test func aStaleHeadIsForwardedAsItIs() throws {
        let response = try stored([("Cache-Control", "max-age=10"), ("ETag", "\"x\"")])
        #expect(Self.lookup([response], request(method: .head), after: 10) == .fetch(.stale(.expired), superseded: 0))
    }

    @Test func theNewestMatchingVariantIsUsed() throws {
        let plain = try stored([("Cache-Control", "max-age=10"), ("Date", "Sun, 06 Nov 1994 08:49:30 GMT")])
        let varying = try stored([("Cache-Control", "max-age=10"), ("Date", arrivalDate), ("Vary", "Foo")])
        #expect(
            Self.lookup([plain, varying], request(), after: 0) == .serve(Self.hit(.fresh, age: 0, ttl: 10, index: 1)))
        #expect(Self.lookup([varying, plain], request(), after: 0) == .serve(Self.hit(.fresh, age: 0, ttl: 10)))
        #expect(
            Self.lookup([varying, plain], request([("Foo", "1")]), after: 0)
                == .serve(Self.hit(.fresh, age: 7, ttl: 3, index: 1)))
    }

    @Test(
        "Parts serve what they cover",
        arguments: [
            ("bytes=4-8", true), ("bytes=5-7", true), ("bytes=5-", false), ("bytes=-1", false), ("bytes=3-5", false),
            ("bytes=4-9", false), ("bytes=4-5,7-8", true), ("bytes=20-", false), ("lines=4-8", false),
        ])
    func parts(range: String, isServed: Bool) throws {
        let part = try stored(
            [("Cache-Control", "max-age=10"), ("Content-Range", "bytes 4-8/10")], status: 206, length: 5,
            to: request([("Range", "bytes=4-8")]))
        let expected: Lookup =
            isServed ? .serve(Self.hit(.fresh, age: 0, ttl: 10)) : .fetch(.partial, superseded: nil)
        #expect(Self.lookup([part], request([("Range", range)]), after: 0) == expected)
        #expect(Self.lookup([part], request(), after: 0) == .fetch(.partial, superseded: nil))
    }

    @Test func completeResponsesComeBeforeParts() throws {
        let range = request([("Range", "bytes=4-8")])
        let part = try stored(
            [("Cache-Control", "max-age=10"), ("Content-Range", "bytes 4-8/10")], status: 206, length: 5, to: range)
        let whole = try stored([("Cache-Control", "max-age=10"), ("Date", "Sun, 06 Nov 1994 08:49:30 GMT")])
        #expect(Self.lookup([part, whole], range, after: 0) == .serve(Self.hit(.fresh, age: 7, ttl: 3, index: 1)))
    }

    @Test(
        "What bypasses",
        arguments: [
            ([("If-Match", "\"x\"")], .precondition), ([("If-Unmodified-Since", arrivalDate)], .precondition),
            ([("Range", "bytes=0-1"), ("Range", "bytes=0-2")], .ambiguous), ([("Content-Length", "3")], .requestBody),
            ([("Transfer-Encoding", "chunked")], .requestBody), ([("X-HTTP-Method-Override", "DELETE")], .unkeyedField),
            ([("X-Original-URL", "/admin")], .unkeyedField), ([("X_HTTP_METHOD_OVERRIDE", "DELETE")], .unkeyedField),
            ([("X_Original_URL", "/admin")], .unkeyedField), ([("x-rewrite_url", "/admin")], .unkeyedField),
            ([("X_Http_Method", "DELETE")], .unkeyedField), ([("x_method_override", "DELETE")], .unkeyedField),
            ([("X-Host", "evil.test")], .unkeyedField), ([("x_host", "evil.test")], .unkeyedField),
            ([("X-HTTP-Host-Override", "evil.test")], .unkeyedField),
            ([("X_HTTP_HOST_OVERRIDE", "e.test")], .unkeyedField),
            ([("Cookie", "session=\u{301}")], .siteCookie), ([("Cookie", "a=\u{301};session=1")], .siteCookie),
            ([("Cookie", "a=b; session_id=1")], .siteCookie),
            ([("X-Debug", "1")], .siteField), ([("Content-Length", "0"), ("Cookie", "a=session")], nil),
        ] as [([(String, String)], BypassReason?)])
    func bypasses(fields: [(String, String)], reason: BypassReason?) throws {
        let rule = try rule {
            $0.bypassCookies = ["session*"]
            $0.bypassFields = [try name("x-debug")]
        }
        let asked = request(fields, rule: rule)
        #expect(asked.bypass == reason)
        let response = try stored([("Cache-Control", "max-age=10")])
        if let reason {
            #expect(Self.lookup([response], asked, after: 0) == .fetch(.bypass(reason), superseded: nil))
        } else {
            #expect(Self.lookup([response], asked, after: 0) == .serve(Self.hit(.fresh, age: 0, ttl: 10)))
        }
    }

    @Test(
        "Requests whose responses can't be stored renew nothing",
        arguments: [
            ("max-age=10", [("Cache-Control", "no-store")], false), ("max-age=10", [("Authorization", "x")], false),
            ("max-age=10, public", [("Authorization", "x")], true), ("max-age=10", [], true),
        ] as [(String, [(String, String)], Bool)])
    func renewing(directives: String, fields: [(String, String)], renews: Bool) throws {
        let response = try stored([("Cache-Control", directives), ("ETag", "\"x\"")])
        #expect(
            Self.lookup([response], request(fields), after: 11)
                == (renews ? .validate(index: 0, .stale(.expired)) : .fetch(.stale(.expired), superseded: 0)))
        let window = try stored([
            ("Cache-Control", directives + ", stale-while-revalidate=5"), ("ETag", "\"x\""),
        ])
        #expect(
            Self.lookup([window], request(fields), after: 11)
                == (renews
                    ? .serveAndRevalidate(Self.hit(.staleWhileRevalidate, age: 11, ttl: -1))
                    : .fetch(.stale(.expired), superseded: 0)))
        #expect(Self.lookup([response], request(fields), after: 9) == .serve(Self.hit(.fresh, age: 9, ttl: 1)))
    }

    @Test func whatConnectionListsSelectsNothing() throws {
        // The origin never saw Foo: what it sent must not be kept for those who send it.
        let hidden = request([("Connection", "keep-alive, foo"), ("Foo", "1"), ("Range", "bytes=0-1")])
        #expect(hidden.selectorValue(try name("foo")) == nil)
        let response = try stored([("Cache-Control", "max-age=10"), ("Vary", "Foo")], to: hidden)
        #expect(Self.lookup([response], request([("Foo", "1")]), after: 0) == .fetch(.varyMiss, superseded: nil))
        #expect(Self.lookup([response], request(), after: 0) == .serve(Self.hit(.fresh, age: 0, ttl: 10)))
    }

    @Test func aBodyWithoutFramingFieldsBypassesToo() {
        #expect(
            CacheRequest(method: .get, fields: FieldSection(), rule: CacheRule(), body: .chunked).bypass == .requestBody
        )
    }

    @Test func invalidatedResponsesAreValidatedWhateverElseIsAllowed() throws {
        let response = try stored([
            ("Cache-Control", "max-age=10, stale-while-revalidate=100, stale-if-error=100"), ("ETag", "\"x\""),
        ]).invalidated()
        #expect(Self.lookup([response], request(), after: 0) == .validate(index: 0, .stale(.invalidated)))
        let patient = request([("Cache-Control", "max-stale")])
        #expect(Self.lookup([response], patient, after: 0) == .validate(index: 0, .stale(.invalidated)))
        #expect(request().staleIfError(response, at: 0, status: nil, now: arrival) == nil)
    }

    @Test func aSoftPurgeEndsTheLifetimeNow() throws {
        let response = try stored([("Cache-Control", "max-age=100, stale-while-revalidate=10"), ("ETag", "\"x\"")])
        let purged = response.softlyPurged(at: arrival + 5000)
        #expect(
            Self.lookup([purged], request(), after: 7)
                == .serveAndRevalidate(Self.hit(.staleWhileRevalidate, age: 7, ttl: -2)))
        #expect(Self.lookup([purged], request(), after: 15) == .validate(index: 0, .stale(.expired)))
        #expect(purged.softlyPurged(at: arrival + 50_000) == purged)
        #expect(purged.freshness.flags == .softlyPurged)
        // What is stale already stays stale by itself.
        #expect(response.softlyPurged(at: arrival + 200_000) == response)
    }

    @Test(
        "Stale if the origin fails",
        arguments: [
            ("max-age=10", nil, 15, true), ("max-age=10", 503, 15, true), ("max-age=10", 500, 15, true),
            ("max-age=10", 501, 15, false), ("max-age=10", 404, 15, false), ("max-age=10", nil, 70, false),
            ("max-age=10, stale-if-error=100", nil, 109, true), ("max-age=10, stale-if-error=100", nil, 110, false),
            ("max-age=10, must-revalidate", nil, 15, false), ("max-age=10, proxy-revalidate", nil, 15, false),
            ("max-age=10, s-maxage=10", nil, 15, false), ("max-age=10, no-cache", nil, 15, false),
            ("max-age=10, stale-if-error=0", nil, 10, false), ("max-age=0", nil, 0, false),
            ("max-age=10", nil, 5, true),
        ] as [(String, Int?, Int64, Bool)])
    func staleIfError(directives: String, status: Int?, seconds: Int64, isServed: Bool) throws {
        let response = try stored([("Cache-Control", directives), ("ETag", "\"x\"")])
        let hit = request().staleIfError(response, at: 3, status: status, now: arrival + seconds * 1000)
        #expect((hit != nil) == isServed)
        if let hit {
            #expect(hit.index == 3)
            #expect(hit.allowance == (seconds < 10 ? .fresh : .staleIfError))
        }
        let insisting = request([("Cache-Control", "no-cache")])
        #expect(insisting.staleIfError(response, at: 0, status: status, now: arrival + seconds * 1000) == nil)
    }
}
