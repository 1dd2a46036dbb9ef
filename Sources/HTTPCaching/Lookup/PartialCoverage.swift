extension CacheRequest {
    /// Whether a stored part holds every byte that the request asks for.
    func isCovered(by stored: StoredResponse) -> Bool {
        guard case .partial(let first, let last, let total) = stored.extent else { return true }
        // Without a range, everything is asked for.
        guard let ranges = self.ranges else { return false }
        if !self.rangeHolds(for: stored) { return false }
        guard let resolved = Self.resolve(ranges, total: total), !resolved.isEmpty else { return false }
        return resolved.allSatisfy { $0.lowerBound >= first && $0.upperBound <= last }
    }

    /// The bytes asked for; nil if that depends on a total that is not known.
    static func resolve(_ ranges: [RangeSpec], total: Int64?) -> [ClosedRange<Int64>]? {
        if let total { return RangeField.resolve(ranges, length: total) }
        let isBounded = ranges.allSatisfy { spec in
            if case .from(_, .some) = spec { true } else { false }
        }
        return isBounded ? RangeField.resolve(ranges, length: .max) : nil
    }
}
