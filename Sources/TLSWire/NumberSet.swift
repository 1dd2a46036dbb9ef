/// Numbers that were seen, such as the types of extensions. The usual ones take no memory of their own, and no number of others takes
/// more than constant time for each.
struct NumberSet {
    /// Below 128, where nearly all are.
    private var low: UInt64 = 0
    private var high: UInt64 = 0
    private var few: [UInt16] = []
    private var many: Set<UInt16> = []

    /// - Returns: false if it was seen before.
    mutating func insert(_ number: UInt16) -> Bool {
        switch number {
        case 0..<64: return Self.set(number, in: &low)
        case 64..<128: return Self.set(number - 64, in: &high)
        default:
            if few.contains(number) { return false }
            guard few.count >= 8 else {
                few.append(number)
                return true
            }
            return many.insert(number).inserted
        }
    }

    private static func set(_ number: UInt16, in bits: inout UInt64) -> Bool {
        let bit: UInt64 = 1 << UInt64(number)
        defer { bits |= bit }
        return bits & bit == 0
    }
}
