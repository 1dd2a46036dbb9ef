/// A point in time as RFC 3339 writes it in UTC, with milliseconds: `2026-01-31T12:00:00.000Z`.
struct LogTimestamp: Sendable {
    /// Since 1970-01-01T00:00:00Z.
    var seconds: Int64
    /// 0...999.
    var milliseconds: Int

    func append(to text: inout String) {
        let days: Int64 = self.seconds >= 0 ? self.seconds / 86400 : (self.seconds - 86399) / 86400
        let second = Int(self.seconds - days * 86400)
        let (year, month, day) = Self.civil(fromDays: days)
        Self.pad(year, 4, &text)
        text += "-"
        Self.pad(month, 2, &text)
        text += "-"
        Self.pad(day, 2, &text)
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

    /// The proleptic Gregorian date of a day number, 0 being 1970-01-01. Years begin on 1 March inside, which puts the
    /// leap day at the end.
    private static func civil(fromDays days: Int64) -> (year: Int, month: Int, day: Int) {
        let shifted: Int64 = days + 719_468
        let era: Int64 = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra: Int64 = shifted - era * 146_097
        let leapDays: Int64 = dayOfEra / 1460 - dayOfEra / 36_524 + dayOfEra / 146_096
        let yearOfEra: Int64 = (dayOfEra - leapDays) / 365
        let dayOfYear: Int64 = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth: Int64 = (5 * dayOfYear + 2) / 153
        let day: Int64 = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month: Int64 = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year: Int64 = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (Int(year), Int(month), Int(day))
    }

    private static func pad(_ number: Int, _ width: Int, _ text: inout String) {
        let digits = String(number)
        for _ in 0..<max(0, width - digits.utf8.count) { text += "0" }
        text += digits
    }
}
