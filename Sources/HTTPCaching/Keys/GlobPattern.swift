import HTTPFields

/// A pattern in which `*` stands for any run of characters, `/` included, and everything else for itself. Matches the
/// whole text; letter case counts.
public struct GlobPattern: Hashable, Sendable, ExpressibleByStringLiteral {
    public let text: String
    private let bytes: [UInt8]
    /// Percent-decoded, with its letters in lower case, and both, as far as these differ from the pattern: what stands for
    /// it where a path was normalised.
    private let normalised: [[UInt8]]

    public init(_ text: String) {
        self.text = text
        self.bytes = Array(text.utf8)
        let decoded = PathForms.decoded(self.bytes)
        let others = [self.bytes.map(ByteClass.lowercased), decoded, decoded.map(ByteClass.lowercased)]
        self.normalised = Set(others).subtracting([self.bytes]).sorted { $0.lexicographicallyPrecedes($1) }
    }

    public init(stringLiteral text: String) {
        self.init(text)
    }

    /// Never takes longer than the product of both lengths: on a mismatch only the last `*` gives way.
    public func matches(_ candidate: some StringProtocol) -> Bool {
        Self.matches(candidate.utf8, self.bytes)
    }

    func matches(_ candidate: [UInt8]) -> Bool {
        Self.matches(candidate, self.bytes)
    }

    func matches(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) -> Bool {
        bytes.withUnsafeBufferPointer { Self.matches($0[range], self.bytes) }
    }

    /// Whether the pattern matches when it is normalised itself; false if it is normalised as it stands.
    func matchesNormalised(_ candidate: some Collection<UInt8>) -> Bool {
        self.normalised.contains { Self.matches(candidate, $0) }
    }

    private static func matches<Bytes: Collection<UInt8>>(_ view: Bytes, _ bytes: [UInt8]) -> Bool {
        var at = view.startIndex
        var pattern = 0
        var retry: (pattern: Int, at: Bytes.Index)?
        while at < view.endIndex {
            if pattern < bytes.count, bytes[pattern] == UInt8(ascii: "*") {
                pattern += 1
                retry = (pattern, at)
            } else if pattern < bytes.count, bytes[pattern] == view[at] {
                pattern += 1
                view.formIndex(after: &at)
            } else if let last = retry {
                at = view.index(after: last.at)
                retry = (last.pattern, at)
                pattern = last.pattern
            } else {
                return false
            }
        }
        return bytes[pattern...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
