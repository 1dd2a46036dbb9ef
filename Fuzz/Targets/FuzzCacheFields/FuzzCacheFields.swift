import FuzzDriver
import HTTPCaching
import HTTPFields
import NIOCore
import RawStructuredFieldValues

@main
enum FuzzCacheFields {
    static func main() {
        runFuzzer { fuzz(UnsafeBufferPointer(start: $0, count: $1)) }
    }
}

private let now: Int64 = 784_111_777_000

/// The first byte chooses what the rest is: a stored response as on disk (`c`), a list (`l`), or an exchange: the request line's
/// target, the request's fields, an empty line, the response's status, its fields, all of them lines of any bytes.
///
/// Whatever the bytes: no crash; what is decoded is encoded to a form that decodes to the same; what is stored may be
/// stored and can be encoded; no answer reaches outside the stored body, and its bytes are the origin's; every `Cache-Status`
/// is a structured field; no list grammar loses or invents a byte.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    guard let choice: UInt8 = input.first else { return 0 }
    let rest = Array(input.dropFirst())
    switch choice {
    case UInt8(ascii: "c"):
        if let decoded = try? StoredResponse(decoding: ByteBuffer(bytes: rest)) { checkCodec(decoded) }
    case UInt8(ascii: "l"): list(rest)
    default: exchange(rest, choice: choice)
    }
    return 0
}

/// Elements are in order, do not overlap, have no whitespace at either end, and between them is nothing but commas and whitespace.
private func list(_ value: [UInt8]) {
    let bytes = value.span
    for grammar in [FieldList.Grammar.tokens, .quoted, .commented] {
        var end = 0
        var count = 0
        FieldList.forEach(bytes, 0..<value.count, grammar) { element in
            precondition(element.lowerBound >= end && element.upperBound <= value.count, "in order, within the value")
            var commas = 0
            for byte in value[end..<element.lowerBound] {
                if byte == UInt8(ascii: ",") { commas += 1 } else { precondition(ByteClass.isWhitespace(byte)) }
            }
            precondition(commas == (count == 0 ? 0 : 1), "one comma separates")
            if let first = value[element].first, let last = value[element].last {
                precondition(!ByteClass.isWhitespace(first) && !ByteClass.isWhitespace(last), "trimmed")
            }
            if grammar == .tokens { precondition(!value[element].contains(UInt8(ascii: ",")), "a comma separates") }
            end = element.upperBound
            count += 1
        }
        precondition(value[end...].allSatisfy(ByteClass.isWhitespace), "to the end")
    }
    _ = Authority(bytes, 0..<value.count)
    if let date = HTTPDate.milliseconds(bytes, 0..<value.count, now: now) {
        let text = HTTPDate.bytes(date)
        precondition(
            HTTPDate.milliseconds(text.span, 0..<text.count, now: now) == date, "a date is read as it is written")
    }
    if let tag = EntityTag(bytes, 0..<value.count) {
        precondition(tag.matchesWeakly(bytes, tag, in: bytes), "a tag is itself")
    }
}

private func checkCodec(_ response: StoredResponse) {
    var buffer = ByteBuffer()
    guard (try? response.encode(into: &buffer)) != nil else { preconditionFailure("what is stored can be encoded") }
    guard let again = try? StoredResponse(decoding: buffer) else { preconditionFailure("and decoded") }
    precondition(again == response, "to the same")
}

private func lines(_ text: ArraySlice<UInt8>) -> ArraySlice<ArraySlice<UInt8>> {
    text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)[...]
}

private func exchange(_ text: [UInt8], choice: UInt8) {
    var half = text.count
    for index in text.indices.dropLast() where text[index] == 0x0A && text[index + 1] == 0x0A {
        half = index
        break
    }
    var requestLines = lines(text[..<half])
    var responseLines = lines(text[min(half + 2, text.count)...])
    // A target is visible ASCII when it gets here.
    let target = String(decoding: (requestLines.popFirst() ?? []).filter { (0x21...0x7E).contains($0) }, as: UTF8.self)
    let code = responseLines.popFirst().flatMap { Int(String(decoding: $0, as: UTF8.self)) } ?? 200

    let rules = QueryRules(
        parameters: choice & 1 == 0 ? .all : .except(["utm_*"]), sorts: choice & 2 == 0,
        decodesUnreserved: choice & 4 == 0)
    let key = CacheKey(site: "s", scheme: "https", authority: "a.test", target: target, query: rules)
    let again = CacheKey(site: "s", scheme: "https", authority: "a.test", target: String(key.target), query: rules)
    precondition(again == key, "normalising twice changes nothing more")

    let methods: [RequestMethod] = [.get, .get, .head, .post]
    var rule = CacheRule()
    rule.setCookie = CacheRule.SetCookiePolicy.allCases[Int(choice >> 4) % 4]
    let request = CacheRequest(method: methods[Int(choice >> 6)], fields: section(requestLines), rule: rule)
    let fields = section(responseLines)
    let response = OriginResponse(
        status: min(max(code, 100), 999), reason: [0xFF], fields: fields, bodyLength: choice & 8 == 0 ? nil : 5,
        requestTime: now, responseTime: now + 10)
    for key in Invalidation.keys(
        method: "PUT".utf8, status: response.status, fields: fields, key: key, query: rules)
    {
        precondition(key.origin == "https://a.test", "only what is of the same origin")
    }
    guard case .store(let stored, _) = request.decideStoring(response, key: key, query: rules) else { return }
    let isPrivate = fields.contains { field in
        field.known == .cacheControl && fields.withBytes(field.value) { $0.elementsEqual("private".utf8) }
    }
    precondition(!isPrivate || fields.contains(.cdnCacheControl), "private is never stored")
    precondition(stored.variant.matches(request), "its own request selects it")
    precondition(stored.variant.key(of: request) == stored.variant, "by the same values")
    precondition(stored.displaced(from: [stored], request: request) == [0], "and it displaces itself")
    checkBytes(stored, fields)
    checkCodec(stored)
    check(stored, request, response)
}

/// Every stored line is one of the origin's, but for those that the cache makes.
private func checkBytes(_ stored: StoredResponse, _ fields: FieldSection) {
    let kept = stored.fields
    for field in kept where field.known != .contentLength && field.known != .date {
        precondition(
            fields.contains {
                fields.copy($0.name) == kept.copy(field.name) && fields.copy($0.value) == kept.copy(field.value)
            }, "the origin's bytes")
    }
}

private func section(_ lines: ArraySlice<ArraySlice<UInt8>>) -> FieldSection {
    var builder = FieldSectionBuilder()
    for line in lines {
        let name = line.prefix { $0 != UInt8(ascii: ":") }
        let value = Array(line.dropFirst(name.count + 1))
        // What is no field does not get past the parser.
        try? builder.add(name: name, value: value[value.span.trimmed(0..<value.count)])
    }
    return builder.section
}

private func check(_ stored: StoredResponse, _ request: CacheRequest, _ response: OriginResponse) {
    let status = CacheStatus(name: "fuzz")
    for time in [now, now + 5000, now + 100_000_000_000, .max, .min] {
        let found = request.lookup([stored], now: time)
        if case .serve(let hit) = found {
            precondition(hit.allowance == .maxStale || hit.timeToLive > 0, "fresh or allowed")
            checkStatus(status.value(.hit(hit), now: time))
        }
        if case .fetch(let reason, _) = found {
            checkStatus(status.value(.forwarded(reason, status: 200, stored: stored), now: time))
        }
        checkAnswer(Answer(from: stored, to: request, now: time) { "b" }, stored)
        _ = request.staleIfError(stored, at: 0, status: nil, now: time)
    }
    let edits = request.originRequest(validating: stored)
    precondition(edits.added.contains(.ifNoneMatch) == (stored.entityTag != nil), "the validator that it has")
    switch request.freshen(stored, with: response) {
    case .renewed(let new, _):
        checkCodec(new)
        precondition(new.extent == stored.extent, "a 304 never changes the body")
    case .onlyOnce, .mismatch: break
    }
    let head = CacheRequest(method: .head, fields: request.fields, rule: request.rule)
    if case .renewed(let new) = head.update(stored, withHEAD: response) { checkCodec(new) }
}

private func checkAnswer(_ answer: Answer, _ stored: StoredResponse) {
    let length = stored.bodyLength
    switch answer.body {
    case .none: break
    case .whole: precondition(answer.length == length, "all of it")
    case .range(let range):
        guard let length else { preconditionFailure("ranges need a length") }
        precondition(range.lowerBound >= 0 && range.upperBound < length, "within the body")
    case .multipart(let multipart):
        guard let length else { preconditionFailure("ranges need a length") }
        var total = Int64(multipart.closing.count)
        for part in multipart.parts {
            precondition(part.range.lowerBound >= 0 && part.range.upperBound < length, "within the body")
            total += Int64(part.preamble.count) + part.range.upperBound - part.range.lowerBound + 1
        }
        precondition(total == answer.length, "the announced length")
    }
}

private func checkStatus(_ value: String) {
    var parser = StructuredFieldValueParser(Array(value.utf8))
    guard let members = try? parser.parseListFieldValue(), members.count == 1 else {
        preconditionFailure("a structured field")
    }
}
