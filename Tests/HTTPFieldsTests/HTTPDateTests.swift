import HTTPFields
import Testing

@Suite("HTTP-date")
struct HTTPDateTests {
    static let now: Int64 = 1_790_000_000_000

    private static func parse(_ text: String, now: Int64) -> Int64? {
        let bytes = Array(text.utf8)
        return HTTPDate.milliseconds(bytes.span, 0..<bytes.count, now: now)
    }

    private static func format(_ milliseconds: Int64) -> String {
        String(decoding: HTTPDate.bytes(milliseconds), as: UTF8.self)
    }

    @Test(
        "Three formats, any letter case",
        arguments: [
            "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
            "sun, 06 nov 1994 08:49:37 gmt", "SUNDAY, 06-NOV-94 08:49:37 GMT", "sun nov  6 08:49:37 1994",
            "Mon, 06 Nov 1994 08:49:37 GMT",
        ])
    func valid(text: String) {
        #expect(Self.parse(text, now: Self.now) == 784_111_777_000)
    }

    @Test(
        "Nothing else",
        arguments: [
            "", "0", "now", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 AEST",
            "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 94 08:49:37 GMT", "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun,  06 Nov 1994 08:49:37 GMT", "Sun, 06  Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994  08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37  GMT", "Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06 Nov 1994 08.49.37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06-Nov-1994 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ",
            " Sun, 06 Nov 1994 08:49:37 GMT", "Son, 06 Nov 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994", "Sunday, 06 Nov 1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 +0000", "1994-11-06T08:49:37Z", "Sun, 29 Feb 1900 00:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 0６ Nov 1994 08:49:37 GMT",
        ])
    func invalid(text: String) {
        #expect(Self.parse(text, now: Self.now) == nil)
    }

    @Test func twoDigitYearsAreWithinFiftyYears() {
        // 2026-09: 76 is 2076, 77 would be 51 years ahead.
        #expect(
            Self.parse("Sunday, 01-Nov-76 00:00:00 GMT", now: Self.now).map(Self.format)
                == "Sun, 01 Nov 2076 00:00:00 GMT")
        #expect(
            Self.parse("Sunday, 01-Nov-77 00:00:00 GMT", now: Self.now).map(Self.format)
                == "Tue, 01 Nov 1977 00:00:00 GMT")
    }

    @Test func formatsAndReadsBack() {
        #expect(Self.format(0) == "Thu, 01 Jan 1970 00:00:00 GMT")
        #expect(Self.format(784_111_777_999) == "Sun, 06 Nov 1994 08:49:37 GMT")
        #expect(Self.format(-1) == "Wed, 31 Dec 1969 23:59:59 GMT")
        #expect(Self.format(.max) == "Fri, 31 Dec 9999 23:59:59 GMT")
        #expect(Self.format(.min) == "Sat, 01 Jan 0000 00:00:00 GMT")
        var time: Int64 = -62_167_219_200_000
        while time < 253_402_300_800_000 {
            #expect(Self.parse(Self.format(time), now: Self.now) == time / 1000 * 1000)
            time += 86_400_000 * 997 + 61_000
        }
    }
}
