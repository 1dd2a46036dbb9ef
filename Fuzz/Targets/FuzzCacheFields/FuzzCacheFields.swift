import CLibFuzzer
import HTTPCaching
import NIOCore
import NIOHTTP1
import RawStructuredFieldValues

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

@main
enum FuzzCacheFields {
    static func main() {
        var count: CInt = CommandLine.argc
        var arguments = CommandLine.unsafeArgv.withMemoryRebound(
            to: UnsafeMutablePointer<CChar>?.self, capacity: Int(count)
        ) { Optional($0) }
        exit(LLVMFuzzerRunDriver(&count, &arguments) { fuzz(UnsafeBufferPointer(start: $0, count: $1)) })
    }
}

private let now: Int64 = 784_111_777_000

/// The first byte chooses what the rest is: a stored response as on disk, or an exchange in text: the request line's
/// target, the request's fields, an empty line, the response's status, its fields.
///
/// Whatever the bytes: no crash; what is decoded is encoded to a form that decodes to the same; what is stored may be
/// stored and can be encoded; no answer reaches outside the stored body; every `Cache-Status` is a structured field.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    guard let choice: UInt8 = input.first else { return 0 }
    let rest = input.dropFirst()
    if choice == UInt8(ascii: "c") {
        if let decoded = try? StoredResponse(decoding: ByteBuffer(bytes: rest)) { checkCodec(decoded) }
    } else {
        exchange(String(decoding: rest, as: UTF8.self), choice: choice)
    }
    return 0
}

private func checkCodec(_ response: StoredResponse) {
    var buffer = ByteBuffer()
    guard (try? response.encode(into: &buffer)) != nil else { preconditionFailure("what is stored can be encoded") }
    guard let again = try? StoredResponse(decoding: buffer) else { preconditionFailure("and decoded") }
    precondition(again == response, "to the same")
}

private func exchange(_ text: String, choice: UInt8) {
    let halves = text.split(separator: "\n\n", maxSplits: 1, omittingEmptySubsequences: false)
    var requestLines = halves[0].split(separator: "\n", omittingEmptySubsequences: false)[...]
    var responseLines = halves.count > 1 ? halves[1].split(separator: "\n", omittingEmptySubsequences: false)[...] : []
    let target = String(requestLines.popFirst() ?? "/")
    let status = Int(responseLines.popFirst() ?? "") ?? 200

    let rules = QueryRules(
        parameters: choice & 1 == 0 ? .all : .except(["utm_*"]), sorts: choice & 2 == 0,
        decodesUnreserved: choice & 4 == 0)
    let key = CacheKey(site: "s", scheme: "https", authority: "a.test", target: target, query: rules)
    let again = CacheKey(site: "s", scheme: "https", authority: "a.test", target: String(key.target), query: rules)
    precondition(again == key, "normalising twice changes nothing more")

    let methods: [HTTPMethod] = [.GET, .GET, .HEAD, .POST]
    var rule = CacheRule()
    rule.setCookie = CacheRule.SetCookiePolicy.allCases[Int(choice >> 4) % 4]
    let request = CacheRequest(method: methods[Int(choice >> 6)], fields: headers(requestLines), rule: rule)
    let fields = headers(responseLines)
    let response = OriginResponse(
        status: HTTPResponseStatus(statusCode: min(max(status, 100), 999)), fields: fields,
        bodyLength: choice & 8 == 0 ? nil : 5, requestTime: now, responseTime: now + 10)
    for key in Invalidation.keys(
        method: .PUT, status: response.status, fields: fields, key: key, query: rules)
    {
        precondition(key.origin == "https://a.test", "only what is of the same origin")
    }
    guard case .store(let stored, _) = request.decideStoring(response, key: key, query: rules) else { return }
    let plain = fields["cache-control"]
    precondition(
        !plain.contains("private") || fields.contains(name: "cdn-cache-control"), "private is never stored")
    precondition(stored.variant.matches(request.fields), "its own request selects it")
    precondition(stored.displaced(from: [stored], request: request.fields) == [0], "and it displaces itself")
    checkCodec(stored)
    check(stored, request, response)
}

private func headers(_ lines: ArraySlice<Substring>) -> HTTPHeaders {
    HTTPHeaders(
        lines.map { line in
            let name = line.prefix { $0 != ":" }
            return (String(name), String(line.dropFirst(name.count + 1).drop { $0 == " " }))
        })
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
    var sent = request.fields
    request.originRequest(validating: stored).apply(to: &sent)
    switch request.freshen(stored, with: response) {
    case .renewed(let new, _):
        checkCodec(new)
        precondition(new.extent == stored.extent, "a 304 never changes the body")
    case .onlyOnce, .mismatch: break
    }
    let head = CacheRequest(method: .HEAD, fields: request.fields, rule: request.rule)
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
        var total = Int64(multipart.closing.utf8.count)
        for part in multipart.parts {
            precondition(part.range.lowerBound >= 0 && part.range.upperBound < length, "within the body")
            total += Int64(part.preamble.utf8.count) + part.range.upperBound - part.range.lowerBound + 1
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
