import HTTPCaching
import HTTPFields
import RawStructuredFieldValues
import Testing

@Suite("Cache-Status")
struct CacheStatusTests {
    static let now = arrival + 5000

    static func events() throws -> [(CacheStatus.Event, String)] {
        let response = try stored([("Cache-Control", "max-age=60"), ("Date", arrivalDate)])
        let hit = Hit(index: 0, age: 5000, timeToLive: 55_000, allowance: .fresh)
        let stale = Hit(index: 0, age: 5000, timeToLive: -1, allowance: .staleWhileRevalidate)
        let error = Hit(index: 0, age: 5000, timeToLive: -5000, allowance: .staleIfError)
        return [
            (.hit(hit), "hit; ttl=55"), (.hit(stale), "hit; ttl=-1; detail=stale-while-revalidate"),
            (
                .forwarded(.uriMiss, status: 200, stored: response),
                "fwd=uri-miss; fwd-status=200; stored; ttl=55; detail=max-age"
            ),
            (
                .forwarded(.varyMiss, status: 200, stored: response, collapsed: true),
                "fwd=vary-miss; fwd-status=200; stored; ttl=55; collapsed; detail=max-age"
            ),
            (
                .forwarded(.bypass(.siteCookie), status: 404, stored: nil, refusal: .bypass),
                "fwd=bypass; fwd-status=404; detail=site-rule-cookie/bypass"
            ),
            (
                .forwarded(.uriMiss, status: 200, stored: nil, refusal: .setCookie),
                "fwd=uri-miss; fwd-status=200; detail=set-cookie"
            ),
            (.forwarded(.method, status: nil, stored: nil), "fwd=method"),
            (
                .validated(.stale(.expired), response), "fwd=stale; fwd-status=304; ttl=55; detail=expired/max-age"
            ),
            (
                .staleIfError(.stale(.expired), error, status: 503),
                "fwd=stale; fwd-status=503; ttl=-5; detail=stale-if-error"
            ), (.onlyIfCached, "detail=only-if-cached"),
        ]
    }

    @Test func valuesSayWhatHappened() throws {
        let status = CacheStatus(name: "Latchstring")
        for (event, expected) in try Self.events() {
            #expect(status.value(event, now: Self.now) == "Latchstring; " + expected)
        }
    }

    @Test(arguments: ["Latchstring", "edge.example.test", "an edge \"in\" Paris\\", "1", "é\u{1}", ""])
    func everyValueIsAStructuredFieldList(name: String) throws {
        let status = CacheStatus(name: name)
        for (event, _) in try Self.events() {
            var parser = StructuredFieldValueParser(Array(status.value(event, now: .max).utf8))
            let members = try parser.parseListFieldValue()
            #expect(members.count == 1)
        }
    }

    @Test func everyReasonCanBeAToken() {
        let reasons =
            StoreRefusal.allCases.map(\.rawValue) + BypassReason.allCases.map(\.rawValue)
            + Freshness.Source.allCases.map(\.text) + ForwardReason.RequestWish.allCases.map(\.rawValue)
            + ForwardReason.StaleReason.allCases.map(\.rawValue) + Hit.Allowance.allCases.map(\.rawValue)
        for reason in reasons { #expect(reason.structuredHeadersIsValidToken, "\(reason)") }
    }

    /// There is room for the longest of everything, whatever the cache is called.
    @Test func noPartIsLeftOut() throws {
        let response = try stored([("Cache-Control", "max-age=60"), ("Date", arrivalDate)])
        let reasons =
            BypassReason.allCases.map { ForwardReason.bypass($0) }
            + ForwardReason.StaleReason.allCases.map { .stale($0) }
            + ForwardReason.RequestWish.allCases.map { .request($0) }
        for name in ["x", String(repeating: "long", count: 200)] {
            let status = CacheStatus(name: name)
            for reason in reasons {
                for refusal in StoreRefusal.allCases {
                    let value = status.value(
                        .forwarded(reason, status: 200, stored: response, collapsed: true, refusal: refusal),
                        now: Int64.min / 4)
                    let details = [reason.detail ?? "", refusal.rawValue, "max-age"].joined(separator: "/")
                    #expect(
                        value.hasPrefix("\(name); fwd=\(reason.token); fwd-status=200; stored; ttl=")
                            && value.hasSuffix("; collapsed; detail=\(details)"))
                }
            }
        }
    }
}
