import HTTPCaching
import HTTPFields
import Testing

@Suite("What is stored")
struct StoreDecisionTests {
    @Test(
        "By directive",
        arguments: [
            ("max-age=60", nil), ("no-store, max-age=60", .noStore), ("No-StOrE, max-age=60", .noStore),
            ("private, max-age=60", .isPrivate), ("private=\"set-cookie\", max-age=60", nil),
            ("private=\"\", max-age=60", .isPrivate), ("private=\"a b\", max-age=60", .isPrivate),
            ("extension=\"no-store\", max-age=60", nil), ("max-age=60, no-cache", .useless), ("no-cache", .useless),
            ("max-age=0", .useless), ("", .useless), ("public", .useless), ("must-understand, max-age=60", nil),
            ("must-understand, no-store, max-age=60", nil),
        ] as [(String, StoreRefusal?)])
    func directives(text: String, reason: StoreRefusal?) {
        #expect(refusal([("Cache-Control", text)]) == reason)
    }

    @Test(
        "Prohibitions hold where something else than commas divides them",
        arguments: [
            ("private; max-age=60", .isPrivate), ("private max-age=60", .isPrivate),
            ("max-age=60; private", .isPrivate),
            ("no-cache; no-store; must-revalidate", .noStore), ("public; no-store", .noStore),
            ("max-age=60;No-Store", .noStore), ("x=\"a\"; private=\"b\"", .isPrivate),
            ("max-age=60\tno-store", .noStore),
            ("no-cache; max-age=60", .useless), ("max-age=60; public", .useless), ("max-age=60, x y", .useless),
            ("x=\"; private\", max-age=60", nil), ("x=\"a; no-store\";y, max-age=60", .useless),
        ] as [(String, StoreRefusal?)])
    func dividedByMistake(text: String, reason: StoreRefusal?) {
        #expect(refusal([("Cache-Control", text)]) == reason)
    }

    @Test("A member that nothing is known of makes no response fresh, but by the site's own override")
    func brokenMembersAreNotFresh() throws {
        let fields = [
            ("Cache-Control", "public; max-age=60"), ("Last-Modified", "Sun, 06 Nov 1904 07:49:37 GMT"),
            ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT"),
        ]
        #expect(try stored(fields).freshness.lifetime == 0)
        #expect(try stored(fields, to: request(rule: rule { $0.defaultLifetime = 5_000 })).freshness.lifetime == 0)
        let overriding = rule { $0.overrideLifetime = 5_000 }
        #expect(try stored(fields, to: request(rule: overriding)).freshness.lifetime == 5_000)
    }

    @Test("A small range does not fill the store with a large body")
    func smallRanges() {
        let fresh = [("Cache-Control", "max-age=60")]
        func refused(_ range: String, _ length: Int64?) -> String? {
            refusal(fresh, length: length, to: request([("Range", range)]))?.rawValue
        }
        for range in ["bytes=0-0", "bytes=0-1048575", "bytes=0-0, 5-6"] {
            #expect(refused(range, 1 << 30) == "small-range")
            #expect(refused(range, 1 << 20) == nil && refused(range, nil) == nil)
        }
        for range in ["bytes=0-", "bytes=0-536870912", "bytes=1048576-"] { #expect(refused(range, 1 << 30) == nil) }
        #expect(refusal(fresh, length: 1 << 30) == nil)
    }

    @Test func whatHasNeitherFreshnessNorValidatorIsUseless() throws {
        #expect(refusal([]) == .useless)
        #expect(refusal([("ETag", "\"x\"")]) == nil)
        #expect(refusal([("Last-Modified", arrivalDate)]) == nil)
        #expect(refusal([("ETag", "unquoted")]) == .useless)
        #expect(try stored([("Cache-Control", "no-cache"), ("ETag", "\"x\"")]).freshness.flags.contains(.noCache))
        // Already older than its lifetime.
        #expect(
            refusal([("Cache-Control", "max-age=60"), ("Age", "60"), ("Cache-Control", "must-revalidate")]) == .useless)
    }

    @Test(
        "Any final status with explicit freshness",
        arguments: [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599, 999])
    func statuses(code: Int) {
        #expect(refusal([("Cache-Control", "max-age=60")], status: code) == nil)
        #expect(refusal([("Expires", "Sun, 06 Nov 1994 09:49:37 GMT")], status: code) == nil)
        let understood = code != 299 && code != 499 && code != 599 && code != 999
        #expect(
            refusal([("Cache-Control", "max-age=60, no-store, must-understand")], status: code)
                == (understood ? nil : .notUnderstood))
    }

    @Test(
        "Heuristically, only these",
        arguments: [
            (200, true), (201, false), (202, false), (203, true), (204, true), (299, false), (300, true), (301, true),
            (302, false), (307, false), (308, true), (400, false), (403, false), (404, true), (405, true), (410, true),
            (414, true), (500, false), (501, true), (502, false), (503, false), (504, false), (599, false),
        ])
    func heuristics(code: Int, isStored: Bool) {
        let modified = ("Last-Modified", "Sat, 05 Nov 1994 08:49:37 GMT")
        #expect((refusal([modified], status: code) == nil) == isStored)
        #expect(refusal([modified, ("Cache-Control", "public")], status: code) == nil)
    }

    @Test func interimAndNotModifiedAreNot() {
        #expect(refusal([("Cache-Control", "max-age=60")], status: 103) == .interim)
        #expect(refusal([("Cache-Control", "max-age=60")], status: 304) == .notModified)
    }

    @Test(
        "Authorization (RFC 9111 §3.5)",
        arguments: [
            ("max-age=60", .authorization), ("max-age=60, public", nil), ("max-age=60, must-revalidate", nil),
            ("s-maxage=60", nil), ("max-age=60, proxy-revalidate", .authorization),
        ] as [(String, StoreRefusal?)])
    func authorization(text: String, reason: StoreRefusal?) {
        #expect(refusal([("Cache-Control", text)], to: request([("Authorization", "Basic x")])) == reason)
    }

    @Test(
        "Cookies by policy",
        arguments: [
            (.refuseUnlessShared, "max-age=60", .setCookie), (.refuseUnlessShared, "max-age=60, public", nil),
            (.refuseUnlessShared, "s-maxage=60", nil), (.refuse, "s-maxage=60, public", .setCookie),
            (.store, "max-age=60", nil), (.store, "", .setCookie), (.strip, "max-age=60", nil),
        ] as [(CacheRule.SetCookiePolicy, String, StoreRefusal?)])
    func cookies(policy: CacheRule.SetCookiePolicy, text: String, reason: StoreRefusal?) throws {
        let asked = request(rule: rule { $0.setCookie = policy })
        let fields = [("Cache-Control", text), ("Set-Cookie", "a=b"), ("ETag", "\"x\""), ("Set-Cookie", "c=d")]
        #expect(refusal(fields, to: asked) == reason)
        guard reason == nil else { return }
        guard case .store(let stored, let withheld) = asked.decideStoring(response(fields), key: key()) else { return }
        #expect(stored.fields["Set-Cookie"].count == (policy == .strip ? 0 : 2))
        #expect((withheld?["Set-Cookie"] ?? []) == (policy == .strip ? ["a=b", "c=d"] : []))
    }

    @Test func cookiesWithATargetedLifetimeAreMeantForSharing() {
        let asked = request(rule: rule { $0.setCookie = .refuseUnlessShared })
        #expect(refusal([("CDN-Cache-Control", "max-age=60"), ("Set-Cookie", "a=b")], to: asked) == nil)
        #expect(
            refusal([("CDN-Cache-Control", "foo"), ("ETag", "\"x\""), ("Set-Cookie", "a=b")], to: asked) == .setCookie)
    }

    @Test(
        "A response that sets a cookie hands one visitor's session to the next: not stored, unless the site asks for it",
        arguments: ["public, max-age=60", "s-maxage=60", "max-age=60"])
    func setCookieByDefault(text: String) {
        #expect(refusal([("Cache-Control", text), ("Set-Cookie", "session=1")]) == .setCookie)
    }

    @Test(
        "What a request with a cookie gets is stored only if the origin or a rule of the site says how long",
        arguments: [
            ([("Last-Modified", "Sun, 06 Nov 1994 07:49:37 GMT")], .cookie), ([("Cache-Control", "max-age=60")], nil),
            ([("Expires", "Sun, 06 Nov 1994 09:49:37 GMT")], nil),
            ([("Cache-Control", "public"), ("ETag", "\"x\"")], nil),
            ([("Last-Modified", "Sun, 06 Nov 1994 07:49:37 GMT"), ("Vary", "Cookie")], nil),
            ([("ETag", "\"x\"")], .cookie),
        ] as [([(String, String)], StoreRefusal?)])
    func cookieInTheRequest(fields: [(String, String)], reason: StoreRefusal?) {
        let cookie = [("Cookie", "session=1")]
        #expect(refusal(fields, to: request(cookie)) == reason)
        #expect(refusal(fields) == nil)
        #expect(refusal(fields, to: request(cookie, rule: rule { $0.cookieRequests = .any })) == nil)
        #expect(refusal(fields, to: request(cookie, rule: rule { $0.defaultLifetime = 1000 })) == reason)
        #expect(refusal(fields, to: request(cookie, rule: rule { $0.overrideLifetime = 1000 })) == nil)
    }

    @Test func fieldsForOneHopAndNamedOnesAreNotStored() throws {
        let fields = [
            ("Connection", "a, B"), ("A", "1"), ("b", "2"), ("c", "3"), ("Keep-Alive", "x"),
            ("Proxy-Authenticate", "x"),
            ("Proxy-Authentication-Info", "x"), ("Proxy-Connection", "x"), ("TE", "x"), ("Trailer", "x"),
            ("Transfer-Encoding", "chunked"), ("Upgrade", "x"), ("Content-Length", "10"), ("Age", "0"),
            ("Cache-Control", "max-age=60, no-cache=\"d, E\", private=f"), ("d", "4"), ("E", "5"), ("F", "6"),
            ("g", "7"), ("Date", arrivalDate),
        ]
        guard case .store(let stored, let withheld) = request().decideStoring(response(fields), key: key()) else {
            throw NotStored()
        }
        #expect(stored.fields.names == ["c", "Cache-Control", "g", "Date"])
        #expect(withheld?.names == ["d", "E", "F"])
        #expect(stored.isFresh(at: arrival))
    }

    @Test func aMissingDateIsAdded() throws {
        #expect(try stored([("Cache-Control", "max-age=60")]).fields["Date"] == [arrivalDate])
        #expect(try stored([("Cache-Control", "max-age=60"), ("Date", "x")]).fields["Date"] == ["x"])
    }

    @Test func requestsThatBypass() throws {
        let fresh = [("Cache-Control", "max-age=60")]
        #expect(refusal(fresh, to: request([("Cache-Control", "no-store")])) == .requestNoStore)
        #expect(refusal(fresh, to: request([("If-Match", "\"x\"")])) == .bypass)
        #expect(refusal(fresh, to: request(rule: rule { $0.bypass = true })) == .bypass)
        #expect(refusal(fresh, to: request(method: .head)) == .method)
        #expect(refusal(fresh, to: request(method: .put)) == .method)
        #expect(refusal(fresh + [("Vary", "*")]) == .varyStar)
    }

    @Test func sizesAreBounded() {
        let small = request(rule: rule { $0.maximumObjectBytes = 9 })
        #expect(refusal([("Cache-Control", "max-age=60")], to: small) == .tooLarge)
        #expect(refusal([("Cache-Control", "max-age=60")], length: nil, to: small) == nil)
        let many = (0..<1024).map { ("x\($0)", "y") }
        #expect(refusal([("Cache-Control", "max-age=60")] + many) == .tooManyFields)
        let large = String(repeating: "x", count: StoredResponse.maximumFieldBytes)
        #expect(refusal([("Cache-Control", "max-age=60"), ("x", large)]) == .tooManyFields)
    }

    @Test func aPostThatSaysItIsThePageIsStored() {
        let fields = [("Cache-Control", "max-age=60"), ("Content-Location", "https://www.example.test/page")]
        let post = request(method: .post)
        #expect(refusal(fields, to: post) == nil)
        #expect(refusal(Array(fields.dropFirst()) + [("ETag", "\"x\"")], to: post) == .method)
        #expect(refusal([fields[0], ("Content-Location", "/other")], to: post) == .method)
        #expect(refusal([fields[0]], to: post) == .method)
        #expect(refusal(fields, status: 404, to: post) == .method)
        #expect(refusal(fields, to: request(method: .put)) == .method)
    }

    @Test(
        "Parts",
        arguments: [
            ("bytes 4-8/10", 5, "bytes=4-8", nil), ("bytes 4-8/*", 5, "bytes=4-8", nil),
            ("bytes 4-9/10", 5, "bytes=4-9", .partial), ("bytes 4-8/8", 5, "bytes=4-8", .partial),
            ("bytes 4-8/10", nil, "bytes=4-8", .partial), ("bytes */10", 5, "bytes=4-8", .partial),
            ("bytes 4-8/10", 5, "bytes=4-8,1-2", .partial), ("lines 4-8/10", 5, "bytes=4-8", .partial),
            ("bytes 8-4/10", 5, "bytes=4-8", .partial), ("bytes 4-8/10, bytes 4-8/10", 5, "bytes=4-8", .partial),
        ] as [(String, Int64?, String, StoreRefusal?)])
    func parts(range: String, length: Int64?, asked: String, reason: StoreRefusal?) {
        let fields = [("Cache-Control", "max-age=60"), ("Content-Range", range)]
        #expect(refusal(fields, status: 206, length: length, to: request([("Range", asked)])) == reason)
    }

    @Test func partsNeedExplicitFreshnessAndARange() {
        let range = ("Content-Range", "bytes 4-8/10")
        let asked = request([("Range", "bytes=4-8")])
        #expect(
            refusal([range, ("Last-Modified", "Sun, 06 Nov 1994 07:49:37 GMT")], status: 206, length: 5, to: asked)
                == .partial)
        #expect(refusal([range, ("Cache-Control", "max-age=60")], status: 206, length: 5) == .partial)
    }

    @Test func aPartIsAnAnswerOnlyWhereARangeWasSent() {
        let part = response(
            [("Cache-Control", "max-age=60"), ("Content-Range", "bytes 4-8/10")], status: 206, length: 5)
        let filling = request([("Range", "bytes=4-8")])
        #expect(!filling.originRequest().sendsRange)
        guard case .refuse(.partial) = filling.decideStoring(part, key: key()) else {
            Issue.record("stored")
            return
        }
    }

    @Test(
        "What answers a range with an error",
        arguments: [(200, nil), (416, .partial), (404, .partial), (301, .partial)] as [(Int, StoreRefusal?)])
    func rangesThatFail(status: Int, reason: StoreRefusal?) {
        let fresh = [("Cache-Control", "max-age=60")]
        #expect(refusal(fresh, status: status, to: request([("Range", "bytes=-5")])) == reason)
        #expect(refusal(fresh, status: status, to: request([("Range", "bytes=0-5")])) == nil)
    }

    @Test func anEndThatNothingVouchesForIsNotOne() {
        let fields = [("Cache-Control", "max-age=60"), ("Content-Location", "/page")]
        var cut = response(fields, length: nil)
        cut.endIsCertain = false
        for method: RequestMethod in [.get, .post] {
            guard case .refuse(.endNotCertain) = request(method: method).decideStoring(cut, key: key()) else {
                Issue.record("\(method): stored")
                continue
            }
        }
    }

    @Test func tagsAreCollected() throws {
        let response = try stored([
            ("Cache-Control", "max-age=60"), ("Surrogate-Key", "one  two\tthree"), ("Cache-Tag", "two, four five,,"),
        ])
        #expect(response.tags == ["one", "two", "three", "four five"])
    }

    @Test func newResponsesDisplaceWhatTheirRequestSelects() throws {
        let vary = ("Vary", "Foo")
        let fresh = ("Cache-Control", "max-age=60")
        let one = try stored([fresh, vary], to: request([("Foo", "1")]))
        let two = try stored([fresh, vary], to: request([("Foo", "2")]))
        let plain = try stored([fresh])
        #expect(one.displaced(from: [one, two, plain], request: request([("Foo", "1")])) == [0, 2])
        let asked = request([("Range", "bytes=0-4")])
        let part = try stored([fresh, ("Content-Range", "bytes 0-4/20")], status: 206, length: 5, to: asked)
        let overlap = try stored([fresh, ("Content-Range", "bytes 4-8/20")], status: 206, length: 5, to: asked)
        let apart = try stored([fresh, ("Content-Range", "bytes 5-9/20")], status: 206, length: 5, to: asked)
        let changed = try stored(
            [fresh, ("Content-Range", "bytes 5-9/20"), ("ETag", "\"x\"")], status: 206, length: 5, to: asked)
        #expect(part.displaced(from: [plain, overlap, apart, changed], request: request()) == [1, 3])
        #expect(plain.displaced(from: [part, apart], request: request()) == [0, 1])
    }

    @Test("What a response refuses by its own words is known before it is put together, and nothing else is")
    func refusedAtOnce() {
        let requests = [
            request(), request([("Authorization", "x")]), request([("Cache-Control", "no-store")]),
            request([("Cookie", "a=b")]), request([("Range", "bytes=0-1")]),
        ]
        var known = Set<StoreRefusal>()
        for asked in requests {
            for control in ["", "private", "no-store", "public", "max-age=60", "no-cache", "must-understand, no-store"]
            {
                for more in [[], [("Set-Cookie", "a=b")], [("Vary", "*")], [("Expires", arrivalDate)]] {
                    for status in [103, 200, 206, 304, 302, 404, 500, 599] {
                        let fields = [("Cache-Control", control)] + more
                        let early = asked.refusal(status: status, fields: section(fields))
                        if let early {
                            known.insert(early)
                            let decision = asked.decideStoring(response(fields, status: status), key: key())
                            guard case .refuse(let late) = decision, late == early else {
                                Issue.record("\(early) and then \(decision)")
                                continue
                            }
                        }
                    }
                }
            }
        }
        #expect(
            known == [
                .interim, .notModified, .requestNoStore, .noStore, .isPrivate, .notUnderstood, .authorization,
                .setCookie, .notExplicit,
            ])
        let post = request(method: .post)
        #expect(post.refusal(status: 200, fields: section([("Cache-Control", "no-store")])) == nil)
        let bypassing = request(rule: rule { $0.bypass = true })
        #expect(bypassing.refusal(status: 200, fields: section([("Cache-Control", "max-age=60")])) == .bypass)
    }
}
