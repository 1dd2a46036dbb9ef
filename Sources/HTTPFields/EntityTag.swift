/// An entity tag where it stands (RFC 9110 §8.8.3): `"x"` or `W/"x"`. Compared byte by byte, with the bytes that it stands in.
public struct EntityTag: Hashable, Sendable {
    public let isWeak: Bool
    private let start: UInt32
    private let end: UInt32

    /// A tag that was found before.
    ///
    /// - Parameter opaque: what stands between the quotes.
    package init(isWeak: Bool, opaque: Range<Int>) {
        self.isWeak = isWeak
        self.start = UInt32(truncatingIfNeeded: opaque.lowerBound)
        self.end = UInt32(truncatingIfNeeded: opaque.upperBound)
    }

    /// What stands between the quotes.
    public var opaque: Range<Int> { Int(self.start)..<Int(self.end) }

    /// `nil` for everything that is no entity tag and nothing else.
    public init?(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) {
        var start = range.lowerBound
        self.isWeak = range.count > 2 && bytes[start] == UInt8(ascii: "W") && bytes[start + 1] == UInt8(ascii: "/")
        if self.isWeak { start += 2 }
        guard range.upperBound - start >= 2, bytes[start] == UInt8(ascii: "\""),
            bytes[range.upperBound - 1] == UInt8(ascii: "\"")
        else { return nil }
        start += 1
        for position in start..<(range.upperBound - 1) {
            let byte = bytes[position]
            guard byte == 0x21 || (byte >= 0x23 && byte != ByteClass.delete) else { return nil }
        }
        self.start = UInt32(truncatingIfNeeded: start)
        self.end = UInt32(truncatingIfNeeded: range.upperBound - 1)
    }

    /// The same, weak or not: one will do for the other (RFC 9110 §8.8.3.2).
    public func matchesWeakly(
        _ bytes: borrowing Span<UInt8>, _ other: EntityTag, in otherBytes: borrowing Span<UInt8>
    ) -> Bool {
        bytes.equals(self.opaque, otherBytes, other.opaque)
    }

    /// Both strong and the same: the contents are equal byte by byte.
    public func matchesStrongly(
        _ bytes: borrowing Span<UInt8>, _ other: EntityTag, in otherBytes: borrowing Span<UInt8>
    ) -> Bool {
        !self.isWeak && !other.isWeak && self.matchesWeakly(bytes, other, in: otherBytes)
    }
}
