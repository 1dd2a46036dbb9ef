/// Durations as configuration files write them: `250ms`, `2s`, `5m`, `24h`.
enum DurationText {
    /// nil if `text` is not a whole number followed by a unit, or is longer than ten years.
    static func parse(_ text: String) -> Duration? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard !digits.isEmpty, digits.count <= 12, let number = Int64(digits) else { return nil }
        let milliseconds: Int64
        switch text.dropFirst(digits.count) {
        case "ms": milliseconds = 1
        case "s": milliseconds = 1000
        case "m": milliseconds = 60_000
        case "h": milliseconds = 3_600_000
        default: return nil
        }
        let (product, overflow) = number.multipliedReportingOverflow(by: milliseconds)
        guard !overflow, product <= 10 * 366 * 24 * 3_600_000 else { return nil }
        return .milliseconds(product)
    }

    /// The shortest text that `parse` reads back; durations are whole milliseconds.
    static func describe(_ duration: Duration) -> String {
        let parts = duration.components
        let milliseconds: Int64 = parts.seconds * 1000 + parts.attoseconds / 1_000_000_000_000_000
        for (size, unit) in [(3_600_000 as Int64, "h"), (60_000, "m"), (1000, "s")]
        where milliseconds >= size && milliseconds % size == 0 {
            return "\(milliseconds / size)\(unit)"
        }
        return "\(milliseconds)ms"
    }
}

/// Sizes as configuration files write them: bytes, or `64KiB`, `1MiB`, `10GiB`.
enum SizeText {
    static func parse(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard !digits.isEmpty, digits.count <= 12, let number = Int(digits) else { return nil }
        switch text.dropFirst(digits.count) {
        case "", "B": return number
        case "KiB": return number * 1024
        case "MiB": return number * 1024 * 1024
        case "GiB":
            let (bytes, overflow) = number.multipliedReportingOverflow(by: 1024 * 1024 * 1024)
            return overflow ? nil : bytes
        default: return nil
        }
    }
}
