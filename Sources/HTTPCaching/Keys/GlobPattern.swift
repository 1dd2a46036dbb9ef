/// A pattern in which `*` stands for any run of characters, `/` included, and everything else for itself. Matches the
/// whole text; letter case counts.
public struct GlobPattern: Hashable, Sendable, ExpressibleByStringLiteral {
    public let text: String
    private let bytes: [UInt8]

    public init(_ text: String) {
        self.text = text
        self.bytes = Array(text.utf8)
    }

    public init(stringLiteral text: String) {
        self.init(text)
    }

    /// Never takes longer than the product of both lengths: on a mismatch only the last `*` gives way.
    public func matches(_ candidate: some StringProtocol) -> Bool {
        let view = candidate.utf8
        var at = view.startIndex
        var pattern = 0
        var retry: (pattern: Int, at: Substring.UTF8View.Index)?
        while at < view.endIndex {
            if pattern < self.bytes.count, self.bytes[pattern] == UInt8(ascii: "*") {
                pattern += 1
                retry = (pattern, at)
            } else if pattern < self.bytes.count, self.bytes[pattern] == view[at] {
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
        return self.bytes[pattern...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
