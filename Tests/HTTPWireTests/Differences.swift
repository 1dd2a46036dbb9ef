import HTTPFields
import HTTPWire

/// How another parser differs from ours on purpose. `docs/http-wire.md` has each with its section of the RFC; a test that sees
/// a difference that is not here fails, and so does one that no longer sees one that is.
struct IntendedDifferences: Sendable {
    /// The other one takes what we refuse for this.
    var stricter: Set<WireFault>
    /// The other one refuses what we take, if this holds: for the first line that it does not take, or for the whole input.
    var looser: [(why: String, holds: @Sendable (_ line: String, _ input: String) -> Bool)]

    static let nio = IntendedDifferences(
        stricter: [
            // RFC 9112 §2.2
            .bareLineFeed, .bareCarriageReturn, .badMethod,
            // RFC 9112 §3, §3.2
            .badTarget, .whitespaceInStartLine, .missingVersion, .missingHost, .severalHosts,
            // RFC 9112 §6.1, §7, RFC 9110 §8.6
            .codingInHTTP10, .codingNotSupported, .badCoding, .badLength,
            // RFC 9112 §7.1
            .chunkTooLarge,
        ],
        looser: [
            ("methods that are on no list, RFC 9110 §9.1", { line, _ in !isCommon(line) }),
            ("minor versions above 1, RFC 9110 §2.5", { _, input in input.contains(/HTTP\/1\.[2-9]/) }),
            ("schemes and hosts with other characters, RFC 3986 §3", { line, _ in !line.contains(" /") }),
            (
                "chunk extensions with other characters, RFC 9112 §7.1.1",
                { _, input in input.contains(/\n[0-9A-Fa-f]+;/.matchingSemantics(.unicodeScalar)) }
            ),
        ])

    static let nginx = IntendedDifferences(
        stricter: [
            // RFC 9112 §2.2
            .bareLineFeed, .bareCarriageReturn, .badMethod,
            // RFC 9112 §2.3, §3, §3.2
            .badTarget, .whitespaceInStartLine, .missingVersion, .badVersion,
            // RFC 9110 §5.1, §5.5
            .badFieldName, .controlInValue,
            // RFC 9112 §7.1
            .badChunkSize, .chunkTooLarge, .badChunkExtension, .missingChunkEnd,
            // RFC 9112 §7.1.2, of trailers
            .foldedLine, .spaceBeforeColon,
        ],
        looser: [
            ("methods with other than capital letters, RFC 9110 §9.1", { line, _ in !isCommon(line) }),
            ("CONNECT, RFC 9110 §9.3.6", { line, _ in line.hasPrefix("CONNECT ") }),
            ("OPTIONS *, RFC 9112 §3.2.4", { line, _ in line.hasPrefix("OPTIONS *") }),
            ("HTAB in front of a value, RFC 9110 §5.6.3", { _, input in input.contains(":\t") }),
        ])

    private static func isCommon(_ line: String) -> Bool {
        let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"]
        return methods.contains { line.hasPrefix($0 + " ") }
    }

    /// Which of these the comparison is an instance of; `nil` if of none.
    func reason(_ comparison: Comparison, _ input: String) -> String? {
        let line = comparison.lacking ?? ""
        return self.looser.first { $0.holds(line, input) }?.why
    }
}

/// What both parsers made of one input, reduced to what decides where requests end.
struct Comparison {
    var ours: [Item]
    var theirs: [Item]

    enum Result: Equatable { case same, stricter(WireFault), looser, differs }

    var result: Result {
        let ourRequests = Self.complete(self.ours)
        let theirRequests = Self.complete(self.theirs)
        if ourRequests == theirRequests, (self.ours.fault == nil) == (self.theirs.fault == nil) { return .same }
        if let fault = self.ours.fault, theirRequests.starts(with: ourRequests) { return .stricter(fault) }
        if self.theirs.fault != nil, ourRequests.starts(with: theirRequests) { return .looser }
        return .differs
    }

    /// The first line of the first request that we take and the other one does not.
    var lacking: String? {
        let requests = Self.complete(self.ours).dropFirst(Self.complete(self.theirs).count)
        guard case .head(let line, _, _)? = requests.first?.first else { return nil }
        return line
    }

    /// The requests that came to their end: head, content, trailers.
    private static func complete(_ items: [Item]) -> [[Item]] {
        var requests: [[Item]] = []
        var current: [Item] = []
        for item in items {
            if case .refused = item { break }
            current.append(item)
            if case .end = item {
                requests.append(current)
                current = []
            }
        }
        return requests
    }
}
