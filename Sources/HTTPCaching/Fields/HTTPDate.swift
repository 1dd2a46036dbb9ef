/// HTTP-date (RFC 9110 §5.6.7), read strictly: the three formats and nothing else, letter case of names free.
///
/// Caches that guess at broken dates disagree with each other about what is fresh; whoever asks for one here gets `nil`,
/// and treats the response as already expired (RFC 9111 §5.3).
enum HTTPDate {
    /// Milliseconds since 1970 UTC.
    ///
    /// - Parameter now: for the two-digit years of the RFC 850 format: more than 50 years ahead means the past.
    static func parse(_ text: some StringProtocol, now: Int64) -> Int64? {
        var reader = DateReader(Array(text.utf8))
        guard let name = reader.name() else { return nil }
        if reader.skip(", ") {
            guard name.count == 3, Self.isDay(name, long: false) else {
                return name.count > 3 && Self.isDay(name, long: true) ? Self.rfc850(&reader, now: now) : nil
            }
            // Sun, 06 Nov 1994 08:49:37 GMT
            guard let day = reader.number(2), reader.skip(" "), let month = reader.month(), reader.skip(" "),
                let year = reader.number(4), reader.skip(" "), let time = reader.time(), reader.skipGMT(),
                reader.atEnd
            else { return nil }
            return Self.milliseconds(year: year, month: month, day: day, time: time)
        }
        // Sun Nov  6 08:49:37 1994
        guard Self.isDay(name, long: false), reader.skip(" "), let month = reader.month(), reader.skip(" "),
            let day = reader.paddedNumber(), reader.skip(" "), let time = reader.time(), reader.skip(" "),
            let year = reader.number(4), reader.atEnd
        else { return nil }
        return Self.milliseconds(year: year, month: month, day: day, time: time)
    }

    /// Sunday, 06-Nov-94 08:49:37 GMT, after the comma and space.
    private static func rfc850(_ reader: inout DateReader, now: Int64) -> Int64? {
        guard let day = reader.number(2), reader.skip("-"), let month = reader.month(), reader.skip("-"),
            let short = reader.number(2), reader.skip(" "), let time = reader.time(), reader.skipGMT(), reader.atEnd
        else { return nil }
        let thisYear = Self.civil(fromDays: Self.floorDivide(now, 86_400_000)).year
        var year = thisYear - thisYear % 100 + short
        if year > thisYear + 50 { year -= 100 }
        return Self.milliseconds(year: year, month: month, day: day, time: time)
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT`. Parts of a second are dropped; what lies outside the years 0 to 9999 is taken
    /// to be the nearest of them.
    static func format(_ milliseconds: Int64) -> String {
        let seconds = min(max(Self.floorDivide(milliseconds, 1000), -62_167_219_200), 253_402_300_799)
        let days = Self.floorDivide(seconds, 86_400)
        let time = Int(seconds - days * 86_400)
        let date = Self.civil(fromDays: days)
        let weekday = Int(((days % 7) + 11) % 7)
        var out: [UInt8] = []
        out.reserveCapacity(29)
        func append(_ value: Int, digits: Int) {
            var divisor = 1
            for _ in 1..<digits { divisor *= 10 }
            var rest = value
            while divisor > 0 {
                out.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest / divisor % 10))
                rest %= divisor
                divisor /= 10
            }
        }
        out.append(contentsOf: Self.shortDays[weekday].utf8)
        out.append(contentsOf: ", ".utf8)
        append(date.day, digits: 2)
        out.append(UInt8(ascii: " "))
        out.append(contentsOf: Self.months[date.month - 1].utf8)
        out.append(UInt8(ascii: " "))
        append(date.year, digits: 4)
        out.append(UInt8(ascii: " "))
        append(time / 3600, digits: 2)
        out.append(UInt8(ascii: ":"))
        append(time / 60 % 60, digits: 2)
        out.append(UInt8(ascii: ":"))
        append(time % 60, digits: 2)
        out.append(contentsOf: " GMT".utf8)
        return String(decoding: out, as: UTF8.self)
    }

    static let shortDays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    static let longDays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
    static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    private static func isDay(_ name: ArraySlice<UInt8>, long: Bool) -> Bool {
        (long ? Self.longDays : Self.shortDays).contains { day in Self.same(name, day) }
    }

    fileprivate static func same(_ bytes: ArraySlice<UInt8>, _ name: String) -> Bool {
        bytes.count == name.utf8.count
            && bytes.elementsEqual(name.utf8) { FieldText.lowercase($0) == FieldText.lowercase($1) }
    }

    /// `nil` for days that no month has. The weekday is not checked against the date: nothing depends on it.
    private static func milliseconds(year: Int, month: Int, day: Int, time: Int) -> Int64? {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard day >= 1, day <= lengths[month - 1] else { return nil }
        let days = Self.days(year: year, month: month, day: day)
        return (days * 86_400 + Int64(time)) * 1000
    }

    /// Days since 1970-01-01 in the Gregorian calendar, counted in years that begin in March.
    private static func days(year: Int, month: Int, day: Int) -> Int64 {
        let shifted = Int64(month <= 2 ? year - 1 : year)
        let era = Self.floorDivide(shifted, 400)
        let yearOfEra = shifted - era * 400
        let dayOfYear = Int64((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1)
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    private static func civil(fromDays days: Int64) -> (year: Int, month: Int, day: Int) {
        let shifted = days.saturatingAdd(719_468)
        let era = Self.floorDivide(shifted, 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = Int(dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
        let month = Int(shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9)
        let year = Int(yearOfEra + era * 400) + (month <= 2 ? 1 : 0)
        return (year, month, day)
    }

    private static func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
        let quotient = value / divisor
        return value % divisor < 0 ? quotient - 1 : quotient
    }
}

/// Takes a date's parts off the front of its bytes.
private struct DateReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) {
        self.rest = bytes[...]
    }

    var atEnd: Bool { self.rest.isEmpty }

    /// One or more letters.
    mutating func name() -> ArraySlice<UInt8>? {
        let letters = self.rest.prefix { FieldText.lowercase($0) &- UInt8(ascii: "a") < 26 }
        self.rest = self.rest.dropFirst(letters.count)
        return letters.isEmpty ? nil : letters
    }

    mutating func skip(_ text: StaticString) -> Bool {
        let expected = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        guard self.rest.starts(with: expected) else { return false }
        self.rest = self.rest.dropFirst(expected.count)
        return true
    }

    /// A space and `GMT`, in any letter case.
    mutating func skipGMT() -> Bool {
        guard self.skip(" "), let zone = self.name() else { return false }
        return HTTPDate.same(zone, "GMT")
    }

    /// Exactly so many digits.
    mutating func number(_ digits: Int) -> Int? {
        guard self.rest.count >= digits else { return nil }
        var value = 0
        for byte in self.rest.prefix(digits) {
            guard FieldText.isDigit(byte) else { return nil }
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
        }
        self.rest = self.rest.dropFirst(digits)
        return value
    }

    /// Two digits, or a space and one digit.
    mutating func paddedNumber() -> Int? {
        if self.rest.first == UInt8(ascii: " ") {
            self.rest = self.rest.dropFirst()
            return self.number(1)
        }
        return self.number(2)
    }

    /// 1...12.
    mutating func month() -> Int? {
        guard let name = self.name() else { return nil }
        return HTTPDate.months.firstIndex { HTTPDate.same(name, $0) }.map { $0 + 1 }
    }

    /// `hh:mm:ss`, as seconds of the day. A leap second counts as the one after it.
    mutating func time() -> Int? {
        guard let hour = self.number(2), hour < 24, self.skip(":"), let minute = self.number(2), minute < 60,
            self.skip(":"), let second = self.number(2), second <= 60
        else { return nil }
        return hour * 3600 + minute * 60 + second
    }
}
