/// HTTP-date (RFC 9110 §5.6.7), read strictly: the three formats and nothing else, letter case of names free.
///
/// Caches that guess at broken dates disagree with each other about what is fresh. Here a broken one is `nil`, and the
/// response counts as already expired (RFC 9111 §5.3).
public enum HTTPDate {
    /// Milliseconds since 1970 UTC.
    ///
    /// - Parameters:
    ///   - range: where the date stands in `bytes`.
    ///   - now: milliseconds since 1970 UTC, for the two-digit years of the RFC 850 format: more than 50 years ahead means
    ///     the past.
    public static func milliseconds(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>, now: Int64) -> Int64? {
        var reader = DateReader(range)
        guard let name = reader.name(bytes) else { return nil }
        if reader.skip(bytes, ", ") {
            guard Self.isName(bytes, name, of: Self.shortDays) else {
                return Self.isName(bytes, name, of: Self.longDays) ? Self.rfc850(bytes, &reader, now: now) : nil
            }
            // Sun, 06 Nov 1994 08:49:37 GMT
            guard let day = reader.number(bytes, 2), reader.skip(bytes, " "), let month = reader.month(bytes),
                reader.skip(bytes, " "), let year = reader.number(bytes, 4), reader.skip(bytes, " "),
                let time = reader.time(bytes), reader.skipGMT(bytes), reader.isAtEnd
            else { return nil }
            return Self.milliseconds(year: year, month: month, day: day, time: time)
        }
        // Sun Nov  6 08:49:37 1994
        guard Self.isName(bytes, name, of: Self.shortDays), reader.skip(bytes, " "), let month = reader.month(bytes),
            reader.skip(bytes, " "), let day = reader.paddedNumber(bytes), reader.skip(bytes, " "),
            let time = reader.time(bytes), reader.skip(bytes, " "), let year = reader.number(bytes, 4), reader.isAtEnd
        else { return nil }
        return Self.milliseconds(year: year, month: month, day: day, time: time)
    }

    /// Sunday, 06-Nov-94 08:49:37 GMT, after the comma and space.
    private static func rfc850(_ bytes: borrowing Span<UInt8>, _ reader: inout DateReader, now: Int64) -> Int64? {
        guard let day = reader.number(bytes, 2), reader.skip(bytes, "-"), let month = reader.month(bytes),
            reader.skip(bytes, "-"), let short = reader.number(bytes, 2), reader.skip(bytes, " "),
            let time = reader.time(bytes), reader.skipGMT(bytes), reader.isAtEnd
        else { return nil }
        let thisYear = CivilDate(days: CivilDate.floorDivide(now, 86_400_000)).year
        var year = thisYear - thisYear % 100 + short
        if year > thisYear + 50 { year -= 100 }
        return Self.milliseconds(year: year, month: month, day: day, time: time)
    }

    /// The weekday is not checked against the date: nothing depends on it.
    private static func milliseconds(year: Int, month: Int, day: Int, time: Int) -> Int64? {
        CivilDate(year: year, month: month, day: day).map { ($0.days * 86_400 + Int64(time)) * 1000 }
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT`: 29 bytes. Parts of a second are dropped; what lies outside the years 0 to 9999 is
    /// taken to be the nearest of them.
    public static func bytes(_ milliseconds: Int64) -> [UInt8] {
        let seconds = min(max(CivilDate.floorDivide(milliseconds, 1000), -62_167_219_200), 253_402_300_799)
        let days = CivilDate.floorDivide(seconds, 86_400)
        let time = Int(seconds - days * 86_400)
        let date = CivilDate(days: days)
        let weekday = Int(((days % 7) + 11) % 7)
        var out: [UInt8] = []
        out.reserveCapacity(29)
        func append(_ value: Int, digits: Int) {
            var divisor = 1
            for _ in 1..<digits { divisor *= 10 }
            while divisor > 0 {
                out.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / divisor % 10))
                divisor /= 10
            }
        }
        func append(_ names: StaticString, _ index: Int, _ end: StaticString) {
            out.append(contentsOf: UnsafeBufferPointer(start: names.utf8Start + index * 3, count: 3))
            out.append(contentsOf: UnsafeBufferPointer(start: end.utf8Start, count: end.utf8CodeUnitCount))
        }
        append("SunMonTueWedThuFriSat", weekday, ", ")
        append(date.day, digits: 2)
        out.append(ByteClass.space)
        append("JanFebMarAprMayJunJulAugSepOctNovDec", date.month - 1, " ")
        append(date.year, digits: 4)
        out.append(ByteClass.space)
        append(time / 3600, digits: 2)
        out.append(UInt8(ascii: ":"))
        append(time / 60 % 60, digits: 2)
        out.append(UInt8(ascii: ":"))
        append(time % 60, digits: 2)
        out.append(contentsOf: " GMT".utf8)
        return out
    }

    fileprivate static let shortDays: [StaticString] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
    fileprivate static let longDays: [StaticString] = [
        "sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday",
    ]
    fileprivate static let months: [StaticString] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ]

    private static func isName(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>, of names: [StaticString]) -> Bool {
        for name in names where bytes.equals(range, name) { return true }
        return false
    }
}

/// Takes a date's parts off the front of its bytes.
private struct DateReader {
    private var position: Int
    private let end: Int

    init(_ range: Range<Int>) {
        self.position = range.lowerBound
        self.end = range.upperBound
    }

    var isAtEnd: Bool { self.position == self.end }

    /// One or more letters.
    mutating func name(_ bytes: borrowing Span<UInt8>) -> Range<Int>? {
        let start = self.position
        while self.position < self.end, ByteClass.lowercased(bytes[self.position]) &- UInt8(ascii: "a") < 26 {
            self.position += 1
        }
        return start == self.position ? nil : start..<self.position
    }

    mutating func skip(_ bytes: borrowing Span<UInt8>, _ text: StaticString) -> Bool {
        guard bytes.begins(self.position..<self.end, text) else { return false }
        self.position += text.utf8CodeUnitCount
        return true
    }

    /// A space and `GMT`, in any letter case.
    mutating func skipGMT(_ bytes: borrowing Span<UInt8>) -> Bool {
        guard self.skip(bytes, " "), let zone = self.name(bytes) else { return false }
        return bytes.equals(zone, "gmt")
    }

    /// Exactly so many digits.
    mutating func number(_ bytes: borrowing Span<UInt8>, _ digits: Int) -> Int? {
        guard self.end - self.position >= digits else { return nil }
        var value = 0
        for offset in 0..<digits {
            let byte = bytes[self.position + offset]
            guard ByteClass.isDigit(byte) else { return nil }
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
        }
        self.position += digits
        return value
    }

    /// Two digits, or a space and one digit.
    mutating func paddedNumber(_ bytes: borrowing Span<UInt8>) -> Int? {
        self.skip(bytes, " ") ? self.number(bytes, 1) : self.number(bytes, 2)
    }

    /// 1...12.
    mutating func month(_ bytes: borrowing Span<UInt8>) -> Int? {
        guard let name = self.name(bytes) else { return nil }
        for (index, month) in HTTPDate.months.enumerated() where bytes.equals(name, month) { return index + 1 }
        return nil
    }

    /// `hh:mm:ss`, as seconds of the day. A leap second counts as the one after it.
    mutating func time(_ bytes: borrowing Span<UInt8>) -> Int? {
        guard let hour = self.number(bytes, 2), hour < 24, self.skip(bytes, ":"), let minute = self.number(bytes, 2),
            minute < 60, self.skip(bytes, ":"), let second = self.number(bytes, 2), second <= 60
        else { return nil }
        return hour * 3600 + minute * 60 + second
    }
}
