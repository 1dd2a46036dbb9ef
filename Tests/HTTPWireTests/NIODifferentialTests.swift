import HTTPFields
import HTTPWire
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

/// The same bytes through swift-nio's parser: same verdict, same fields, same framing, but for what is listed.
@Suite struct NIODifferentialTests {
    @Test func corpusDiffersAsListed() {
        var stricter: Set<WireFault> = []
        var looser: Set<String> = []
        for input in requestCases.map(\.input) + smugglingCorpus.map(\.input) {
            check(input, IntendedDifferences.nio, &stricter, &looser)
        }
        #expect(stricter == IntendedDifferences.nio.stricter, "listed, or seen, but not both")
        #expect(looser == Set(IntendedDifferences.nio.looser.map(\.why)), "listed, or seen, but not both")
    }

    /// Accepted requests with a few bytes changed, taken out or put in.
    @Test func mutationsDifferAsListed() {
        let accepted = requestCases.filter { if case .contents = $0.verdict { true } else { false } }.map(\.input)
        var random = TestRandom(seed: 7)
        let alphabet = bytes("\r\n\t \0:;,=\"0159afxAZ/?#%+-_.\u{80}\u{FF}\u{7F}\u{1}")
        var stricter: Set<WireFault> = []
        var looser: Set<String> = []
        for _ in 0..<6000 {
            var input = bytes(accepted.randomElement(using: &random)!)
            for _ in 0..<Int.random(in: 1...3, using: &random) where !input.isEmpty {
                let position = Int.random(in: input.indices, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: input[position] = alphabet.randomElement(using: &random)!
                case 1: input.remove(at: position)
                default: input.insert(alphabet.randomElement(using: &random)!, at: position)
                }
            }
            check(latin1(input), IntendedDifferences.nio, &stricter, &looser)
        }
        #expect(!stricter.isEmpty)
    }
}

private func check(
    _ input: String, _ intended: IntendedDifferences, _ stricter: inout Set<WireFault>, _ looser: inout Set<String>
) {
    let comparison = Comparison(
        ours: readRequests(bytes(input)).map(asNIOSeesIt), theirs: readRequestsWithNIO(bytes(input)))
    switch comparison.result {
    case .same: break
    case .stricter(let fault):
        stricter.insert(fault)
        #expect(intended.stricter.contains(fault), "\(input.debugDescription): \(fault), NIO: \(comparison.theirs)")
    case .looser:
        let reason = intended.reason(comparison, input)
        #expect(reason != nil, "\(input.debugDescription): \(comparison.ours), NIO: \(comparison.theirs)")
        if let reason { looser.insert(reason) }
    case .differs:
        Issue.record("\(input.debugDescription): \(comparison.ours), NIO: \(comparison.theirs)")
    }
}

/// Strings replace what is no UTF-8, and framing is not said.
private func asNIOSeesIt(_ item: Item) -> Item {
    func lossy(_ text: String) -> String { String(decoding: bytes(text), as: UTF8.self) }
    if case .end(let trailers) = item { return .end(trailers: trailers.map { trimmed(lossy($0)) }) }
    guard case .head(let line, let fields, _) = item else { return item }
    return .head(line: lossy(line), fields: fields.map { trimmed(lossy($0)) }, framing: .none)
}

/// Without the whitespace behind a value that NIO leaves there (RFC 9110 §5.5: it is not the value's).
private func trimmed(_ field: String) -> String {
    var scalars = field.unicodeScalars
    while let last = scalars.last, last == " " || last == "\t" { scalars.removeLast() }
    return String(scalars)
}

private func readRequestsWithNIO(_ input: [UInt8]) -> [Item] {
    let channel = EmbeddedChannel(handler: ByteToMessageHandler(HTTPRequestDecoder()))
    defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
    var items: [Item] = []
    func drain() {
        while let part = try? channel.readInbound(as: HTTPServerRequestPart.self) {
            switch part {
            case .head(let head):
                items.append(
                    .head(
                        line: "\(head.method.rawValue) \(head.uri) 1.\(min(head.version.minor, 1))",
                        fields: head.headers.map { trimmed("\($0.name): \($0.value)") }, framing: .none))
            case .body(let part): items.add(body: latin1(part.readableBytesView))
            case .end(let trailers):
                items.append(.end(trailers: (trailers ?? [:]).map { trimmed("\($0.name): \($0.value)") }))
            }
        }
    }
    do {
        try channel.writeInbound(ByteBuffer(bytes: input))
        drain()
    } catch {
        drain()
        items.append(.refused(.badMethod, 400))
    }
    return items
}
