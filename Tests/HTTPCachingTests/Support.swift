import HTTPCaching
import NIOHTTP1
import Testing

/// Sun, 06 Nov 1994 08:49:37 GMT, in milliseconds: when every response in these tests arrives.
let arrival: Int64 = 784_111_777_000
let arrivalDate = "Sun, 06 Nov 1994 08:49:37 GMT"

func key(_ target: String = "/page") -> CacheKey {
    CacheKey(site: "s", scheme: "https", authority: "www.example.test", target: target)
}

func request(
    _ fields: [(String, String)] = [], method: HTTPMethod = .GET, rule: CacheRule = CacheRule()
) -> CacheRequest {
    CacheRequest(method: method, fields: HTTPHeaders(fields), rule: rule)
}

/// A response that arrives at `arrival`, at once.
func response(
    _ fields: [(String, String)], status: Int = 200, length: Int64? = 10, at time: Int64 = arrival
) -> OriginResponse {
    OriginResponse(
        status: HTTPResponseStatus(statusCode: status), fields: HTTPHeaders(fields), bodyLength: length,
        requestTime: time, responseTime: time)
}

/// The stored form of a response, which has to be storable.
func stored(
    _ fields: [(String, String)], status: Int = 200, length: Int64? = 10, to asked: CacheRequest = request(),
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> StoredResponse {
    let asked = forwardingRanges(asked, if: status == 206)
    let decision = asked.decideStoring(response(fields, status: status, length: length), key: key())
    guard case .store(let stored, _) = decision else {
        Issue.record("\(decision)", sourceLocation: sourceLocation)
        throw NotStored()
    }
    return stored
}

/// The same request at a site that never fetches everything for a range: parts answer nothing else.
private func forwardingRanges(_ asked: CacheRequest, if isPart: Bool) -> CacheRequest {
    guard isPart else { return asked }
    var rule = asked.rule
    rule.fillsRangesBefore = -1
    return CacheRequest(method: asked.method, fields: asked.fields, rule: rule)
}

struct NotStored: Error {}

func refusal(
    _ fields: [(String, String)], status: Int = 200, length: Int64? = 10, to asked: CacheRequest = request()
) -> StoreRefusal? {
    let asked = forwardingRanges(asked, if: status == 206)
    let decision = asked.decideStoring(response(fields, status: status, length: length), key: key())
    if case .refuse(let reason) = decision { return reason }
    return nil
}

func answer(
    _ stored: StoredResponse, to asked: CacheRequest, after seconds: Int64 = 0, source: Answer.Source = .store
) -> Answer {
    Answer(from: stored, to: asked, now: arrival + seconds * 1000, source: source) { "BOUNDARY" }
}

func rule(_ edit: (inout CacheRule) -> Void) -> CacheRule {
    var rule = CacheRule()
    edit(&rule)
    return rule
}
