import HTTPCaching
import HTTPFields
import Testing

@Suite("Requests to the origin")
struct OriginRequestTests {
    static let conditional = [
        ("If-None-Match", "\"mine\""), ("If-Modified-Since", arrivalDate), ("Range", "bytes=0-1"),
        ("If-Range", "\"mine\""),
        ("Other", "1"),
    ]

    static func fields(_ asked: CacheRequest, _ stored: StoredResponse? = nil) -> [String] {
        asked.fields.edited(by: asked.originRequest(validating: stored)).lines
    }

    @Test func validationCarriesTheStoredValidatorsAlone() throws {
        let both = try stored([("ETag", "W/\"x\""), ("Last-Modified", arrivalDate)])
        #expect(
            Self.fields(request(Self.conditional), both) == [
                "Other: 1", "If-None-Match: W/\"x\"", "If-Modified-Since: \(arrivalDate)",
            ])
        #expect(request(Self.conditional).originRequest(validating: both).validates)
        let odd = try stored([("ETag", "x"), ("Last-Modified", arrivalDate)])
        #expect(Self.fields(request(), odd) == ["If-Modified-Since: \(arrivalDate)"])
    }

    @Test func aMissAsksForEverything() {
        let request = request(Self.conditional)
        #expect(Self.fields(request) == ["Other: 1"])
        #expect(request.originRequest().fillsRange)
        #expect(!request.originRequest().validates)
    }

    @Test(
        "What is not stored goes through as it came",
        arguments: [
            [("Authorization", "x")], [("Cache-Control", "no-store")], [("If-Match", "\"x\"")],
            [("Content-Length", "1")],
        ])
    func untouched(extra: [(String, String)]) {
        let all = Self.conditional + extra
        #expect(Self.fields(request(all)) == all.map { "\($0.0): \($0.1)" })
        #expect(Self.fields(request(Self.conditional, method: .head)).count == Self.conditional.count)
    }

    @Test(
        "Ranges that are fetched as a whole",
        arguments: [
            ("bytes=0-", true), ("bytes=1000000-1000001", true), ("bytes=0-1,500-600", true), ("bytes=-500", false),
            ("bytes=9000000-", false), ("bytes=0-1,-5", false),
        ])
    func fills(range: String, fills: Bool) {
        let plan = request([("Range", range), ("If-None-Match", "\"x\"")]).originRequest()
        #expect(plan.fillsRange == fills)
        #expect(plan.removed.isEmpty == !fills)
        let never = rule { $0.fillsRangesBefore = -1 }
        #expect(!request([("Range", range)], rule: never).originRequest().fillsRange)
    }

    @Test func whatIsNoRangeIsTakenAway() {
        #expect(Self.fields(request([("Range", "lines=1-2"), ("If-Range", "x")])) == [])
    }

    @Test func backgroundRequestsAreGetsForEverything() throws {
        let stale = try stored([("Cache-Control", "max-age=1"), ("ETag", "\"x\"")])
        let behind = request(Self.conditional, method: .head).inBackground()
        #expect(behind.method == .get)
        #expect(Self.fields(behind, stale) == ["Other: 1", "If-None-Match: \"x\""])
        let suffix = request([("Range", "bytes=-5")]).inBackground()
        #expect(Self.fields(suffix) == [])
    }

    @Test(
        "Invalidation",
        arguments: [
            ("POST", 200, ["/page", "/a", "/b"]), ("PUT", 204, ["/page", "/a", "/b"]),
            ("DELETE", 303, ["/page", "/a", "/b"]),
            ("M-SEARCH", 200, ["/page", "/a", "/b"]), ("FOO", 200, ["/page", "/a", "/b"]), ("POST", 404, []),
            ("POST", 500, []), ("POST", 999, []), ("GET", 200, []), ("HEAD", 200, []), ("OPTIONS", 200, []),
            ("TRACE", 200, []), ("PROPFIND", 207, []), ("QUERY", 200, []),
        ])
    func invalidation(method: String, status: Int, targets: [String]) {
        let keys = Invalidation.keys(
            method: method.utf8, status: status,
            fields: section([
                ("Location", "/a"), ("Content-Location", "b"), ("location", "https://elsewhere.test/c"), ("Link", "/d"),
            ]), key: key())
        #expect(keys.map { String($0.target) } == targets)
    }
}

@Suite("Collapsed forwarding")
struct CollapsingTests {
    @Test(
        "Who may wait",
        arguments: [
            ([], ForwardReason.uriMiss, true), ([], .varyMiss, true), ([], .stale(.expired), true),
            ([], .request(.noCache), false), ([], .bypass(.siteRule), false), ([], .partial, false),
            ([("Authorization", "x")], .uriMiss, false), ([("Cache-Control", "no-store")], .uriMiss, false),
            ([("Range", "bytes=0-1")], .uriMiss, true), ([("Range", "bytes=-1")], .uriMiss, false),
        ] as [([(String, String)], ForwardReason, Bool)])
    func mayWait(fields: [(String, String)], reason: ForwardReason, waits: Bool) {
        #expect(request(fields).mayWait(reason) == waits)
        #expect(!request(fields, method: .head).mayWait(reason))
    }

    @Test func verdicts() throws {
        let asked = request([("Foo", "1")])
        func verdict(_ outcome: Collapsing.Outcome, failures: Int = 0) -> Collapsing.Verdict {
            asked.verdict(on: outcome, failures: failures, now: arrival + 1000)
        }
        let fresh = ("Cache-Control", "max-age=10")
        #expect(verdict(.stored(try stored([fresh]))) == .serve)
        #expect(verdict(.stored(try stored([fresh, ("Vary", "Foo")], to: asked))) == .serve)
        #expect(verdict(.stored(try stored([fresh, ("Vary", "Foo")]))) == .lead)
        #expect(verdict(.stored(try stored([("Cache-Control", "no-cache"), ("ETag", "\"x\"")]))) == .goAlone)
        #expect(verdict(.stored(try stored([("ETag", "\"x\"")]))) == .goAlone)
        let part = try stored(
            [fresh, ("Content-Range", "bytes 0-4/10")], status: 206, length: 5, to: request([("Range", "bytes=0-4")]))
        #expect(verdict(.stored(part)) == .lead)
        #expect(verdict(.notStored) == .goAlone)
        #expect(verdict(.failed, failures: 1) == .lead)
        #expect(verdict(.failed, failures: 2) == .fail)
    }
}
