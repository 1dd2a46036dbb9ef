/// A set of known names: 128 bits.
public struct KnownFieldSet: Hashable, Sendable {
    private var low: UInt64 = 0
    private var high: UInt64 = 0

    public init() {}

    public init(_ fields: KnownField...) {
        for field in fields { self.insert(field) }
    }

    public var isEmpty: Bool { self.low | self.high == 0 }

    @inline(__always)
    public func contains(_ field: KnownField) -> Bool {
        let bit: UInt64 = 1 << UInt64(field.rawValue & 63)
        return (field.rawValue < 64 ? self.low : self.high) & bit != 0
    }

    /// Returns whether the field is new to the set.
    @inline(__always) @discardableResult
    public mutating func insert(_ field: KnownField) -> Bool {
        let bit: UInt64 = 1 << UInt64(field.rawValue & 63)
        if field.rawValue < 64 {
            defer { self.low |= bit }
            return self.low & bit == 0
        }
        defer { self.high |= bit }
        return self.high & bit == 0
    }

    /// Takes away what the other set has.
    public mutating func subtract(_ other: KnownFieldSet) {
        self.low &= ~other.low
        self.high &= ~other.high
    }

    /// Whether the sets have a field in common.
    public func intersects(_ other: KnownFieldSet) -> Bool {
        self.low & other.low | self.high & other.high != 0
    }
}

extension KnownFieldSet {
    /// The fields of both sets.
    public func union(_ other: KnownFieldSet) -> KnownFieldSet {
        var all = self
        all.low |= other.low
        all.high |= other.high
        return all
    }

    public mutating func remove(_ field: KnownField) {
        let bit: UInt64 = 1 << UInt64(field.rawValue & 63)
        if field.rawValue < 64 { self.low &= ~bit } else { self.high &= ~bit }
    }
}
