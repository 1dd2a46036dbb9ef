import HTTPCaching
import HTTPFields
import NIOCore
import Testing

/// Sun, 06 Nov 1994 08:49:37 GMT, in milliseconds: when every response in these tests arrives.
let arrival: Int64 = 784_111_777_000
let arrivalDate = "Sun, 06 Nov 1994 08:49:37 GMT"

func key(_ target: String = "/page") -> CacheKey {
    CacheKey(site: "s", scheme: "https", authority: "www.example.test", target: target)
}

/// A section as a parser gives it: without whitespace around values.
func section(
    _ fields: [(String, String)], sourceLocation: SourceLocation = #_sourceLocation
) -> FieldSection {
    section(fields.map { (Array($0.0.utf8), Array($0.1.utf8)) }, sourceLocation: sourceLocation)
}

/// The same of bytes, which need not be UTF-8.
func section(
    _ fields: [([UInt8], [UInt8])], sourceLocation: SourceLocation = #_sourceLocation
) -> FieldSection {
    var builder = FieldSectionBuilder()
    for (name, value) in fields {
        let trimmed = value.drop { $0 == 0x20 || $0 == 0x09 }.reversed().drop { $0 == 0x20 || $0 == 0x09 }.reversed()
        do {
            try builder.add(name: name, value: Array(trimmed))
        } catch {
            Issue.record("\(error): \(value)", sourceLocation: sourceLocation)
        }
    }
    return builder.section
}

func name(_ text: String) throws -> FieldName { try #require(FieldName(text)) }

func request(
    _ fields: [(String, String)] = [], method: RequestMethod = .get, rule: CacheRule = CacheRule()
) -> CacheRequest {
    let section = section(fields)
    var body = BodyFraming.none
    // What a parser makes of the framing fields.
    if let length = section["Content-Length"].first.flatMap({ Int64($0) }) { body = .length(length) }
    if section.contains(.transferEncoding) { body = .chunked }
    return CacheRequest(method: method, fields: section, rule: rule, body: body)
}

/// A response that arrives at `arrival`, at once.
func response(
    _ fields: [(String, String)], status: Int = 200, length: Int64? = 10, at time: Int64 = arrival
) -> OriginResponse {
    response(section(fields), status: status, length: length, at: time)
}

func response(
    _ fields: FieldSection, status: Int = 200, length: Int64? = 10, at time: Int64 = arrival
) -> OriginResponse {
    OriginResponse(
        status: status, reason: Array("Whatever".utf8), fields: fields, bodyLength: length, requestTime: time,
        responseTime: time)
}

/// The stored form of a response, which has to be storable.
func stored(
    _ fields: [(String, String)], status: Int = 200, length: Int64? = 10, to asked: CacheRequest = request(),
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> StoredResponse {
    try stored(section(fields), status: status, length: length, to: asked, sourceLocation: sourceLocation)
}

func stored(
    _ fields: FieldSection, status: Int = 200, length: Int64? = 10, to asked: CacheRequest = request(),
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

func rule(_ edit: (inout CacheRule) throws -> Void) rethrows -> CacheRule {
    var rule = CacheRule()
    try edit(&rule)
    return rule
}

extension FieldSection {
    /// The values of a name, as text.
    subscript(name: String) -> [String] {
        guard let name = FieldName(name) else { return [] }
        return self.filter { self.isNamed($0, name) }.map { self.text($0.value) }
    }

    func contains(name: String) -> Bool { !self[name].isEmpty }

    var names: [String] { self.map { self.text($0.name) } }

    var lines: [String] { self.map { "\(self.text($0.name)): \(self.text($0.value))" } }

    /// As it goes to the origin.
    func edited(by edits: OriginRequest) -> FieldSection {
        var builder = FieldSectionBuilder()
        for field in self where field.known.map({ !edits.removed.contains($0) }) ?? true {
            builder.add(field, of: self)
        }
        for field in edits.added { builder.add(field, of: edits.added) }
        return builder.section
    }
}

extension Answer {
    /// With `Age` and `Content-Length`.
    var fields: FieldSection {
        var head = self.head
        if let age { head.add(.age, age) }
        if let contentLength { head.add(.contentLength, contentLength) }
        return head.section
    }
}
