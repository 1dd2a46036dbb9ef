import HTTPFields

/// A point in time as RFC 3339 writes it in UTC, with milliseconds: `2026-01-31T12:00:00.000Z`.
struct LogTimestamp: Sendable {
    /// Since 1970-01-01T00:00:00Z.
    var seconds: Int64
    /// 0...999.
    var milliseconds: Int

    init(seconds: Int64, milliseconds: Int) {
        self.seconds = seconds
        self.milliseconds = milliseconds
    }

    /// - Parameter milliseconds: since 1970 UTC.
    init(milliseconds: Int64) {
        self.seconds = CivilDate.floorDivide(milliseconds, 1000)
        self.milliseconds = Int(milliseconds - self.seconds * 1000)
    }

    func append(to text: inout String) {
        let days: Int64 = CivilDate.floorDivide(self.seconds, 86_400)
        let second = Int(self.seconds - days * 86400)
        let date = CivilDate(days: days)
        Self.pad(date.year, 4, &text)
        text += "-"
        Self.pad(date.month, 2, &text)
        text += "-"
        Self.pad(date.day, 2, &text)
        text += "T"
        Self.pad(second / 3600, 2, &text)
        text += ":"
        Self.pad(second / 60 % 60, 2, &text)
        text += ":"
        Self.pad(second % 60, 2, &text)
        text += "."
        Self.pad(self.milliseconds, 3, &text)
        text += "Z"
    }

    private static func pad(_ number: Int, _ width: Int, _ text: inout String) {
        let digits = String(number)
        for _ in 0..<max(0, width - digits.utf8.count) { text += "0" }
        text += digits
    }
}
