import HTTPCaching

/// Asks the decisions of a shared cache about one response: is it stored, for how long is it fresh, what answers the next request.
@main
struct CacheDecision {
    static func main() throws {
        // Milliseconds since 1970 UTC; the library has no clock.
        let arrival: Int64 = 1_767_225_600_000
        let key = CacheKey(site: "shop", scheme: "https", authority: "www.example.com", target: "/news?page=1")
        let request = CacheRequest(
            method: .get, fields: try Self.fields([("Accept-Encoding", "gzip")]), rule: CacheRule())
        let response = OriginResponse(
            status: 200, reason: Array("OK".utf8),
            fields: try Self.fields([
                ("Cache-Control", "max-age=60, stale-while-revalidate=30"), ("ETag", "\"1\""),
                ("Vary", "Accept-Encoding"),
            ]), bodyLength: 512, requestTime: arrival, responseTime: arrival)

        switch request.decideStoring(response, key: key) {
        case .refuse(let reason): print("not stored: \(reason.rawValue)")
        case .store(let stored, _):
            for seconds: Int64 in [0, 59, 75, 300] {
                print("after \(seconds) s: \(Self.text(request.lookup([stored], now: arrival + seconds * 1000)))")
            }
            let other = CacheRequest(
                method: .get, fields: try Self.fields([("Accept-Encoding", "br")]), rule: CacheRule())
            print("another coding: \(Self.text(other.lookup([stored], now: arrival)))")
        }
    }

    private static func text(_ lookup: Lookup) -> String {
        switch lookup {
        case .serve(let hit): "served, \(hit.allowance.rawValue), age \(hit.age / 1000) s"
        case .serveAndRevalidate(let hit): "served, \(hit.allowance.rawValue), and confirmed behind the client's back"
        case .validate(_, let reason): "the origin is asked whether it still holds: \(reason)"
        case .fetch(let reason, _): "fetched: \(reason)"
        case .unavailable: "504"
        }
    }

    private static func fields(_ fields: [(String, String)]) throws -> FieldSection {
        var builder = FieldSectionBuilder()
        for (name, value) in fields { try builder.add(name: name.utf8, value: Array(value.utf8)) }
        return builder.section
    }
}
