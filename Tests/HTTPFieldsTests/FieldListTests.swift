import HTTPFields
import NIOCore
import Testing

@Suite("The list grammar")
struct FieldListTests {
    private static func elements(_ text: String, _ grammar: FieldList.Grammar) -> [String] {
        let bytes = Array(text.utf8)
        var elements: [String] = []
        FieldList.forEach(bytes.span, 0..<bytes.count, grammar) {
            elements.append(String(decoding: bytes[$0], as: UTF8.self))
        }
        return elements
    }

    @Test(
        "What separates, by grammar: tokens, quoted strings, comments",
        arguments: [
            ("a", ["a"], ["a"], ["a"]), ("", [""], [""], [""]), (" a , b\t,\tc ", ["a", "b", "c"], nil, nil),
            ("a,,b,", ["a", "", "b", ""], nil, nil), (",", ["", ""], nil, nil),
            ("\"a, b\", c", ["\"a", "b\"", "c"], ["\"a, b\"", "c"], ["\"a, b\"", "c"]),
            ("a=\"x\\\",y\", b", ["a=\"x\\\"", "y\"", "b"], ["a=\"x\\\",y\"", "b"], ["a=\"x\\\",y\"", "b"]),
            ("\"a, b", ["\"a", "b"], ["\"a, b"], ["\"a, b"]), ("a\\, b", ["a\\", "b"], ["a\\", "b"], ["a\\", "b"]),
            ("\"a\\", ["\"a\\"], ["\"a\\"], ["\"a\\"]),
            ("1.1 a (x, y), b", ["1.1 a (x", "y)", "b"], ["1.1 a (x", "y)", "b"], ["1.1 a (x, y)", "b"]),
            (
                "a (x (y, z), \"), b", ["a (x (y", "z)", "\")", "b"], ["a (x (y", "z)", "\"), b"],
                ["a (x (y, z), \")", "b"]
            ),
            ("a (\\), x), b", ["a (\\)", "x)", "b"], ["a (\\)", "x)", "b"], ["a (\\), x)", "b"]),
            (") , a", [")", "a"], [")", "a"], [")", "a"]),
            ("\"(\", a", ["\"(\"", "a"], ["\"(\"", "a"], ["\"(\"", "a"]),
            ("a(, no-store", ["a(", "no-store"], ["a(", "no-store"], ["a(, no-store"]),
        ] as [(String, [String], [String]?, [String]?)])
    func grammars(text: String, tokens: [String], quoted: [String]?, commented: [String]?) {
        #expect(Self.elements(text, .tokens) == tokens)
        #expect(Self.elements(text, .quoted) == quoted ?? tokens)
        #expect(Self.elements(text, .commented) == commented ?? tokens)
    }

    @Test(
        "Numbers are digits and nothing else",
        arguments: [
            ("0", 0), ("007", 7), ("9223372036854775806", .max - 1), ("", nil), ("-1", nil), ("+1", nil), ("1 ", nil),
            ("0x1", nil), ("1.0", nil), ("\u{661}", nil),
        ] as [(String, Int64?)])
    func numbers(text: String, number: Int64?) {
        let bytes = Array(text.utf8)
        let (exact, saturating) = (bytes.span.number(0..<bytes.count), bytes.span.saturatingNumber(0..<bytes.count))
        #expect(exact == number && saturating == number)
    }

    @Test func numbersThatAreTooLarge() {
        let bytes = Array("99999999999999999999999".utf8)
        let (exact, saturating) = (bytes.span.number(0..<bytes.count), bytes.span.saturatingNumber(0..<bytes.count))
        #expect(exact == nil && saturating == .max)
    }
}

@Suite("Authorities")
struct AuthorityTests {
    @Test(
        "A host with an optional port, and nothing else",
        arguments: [
            ("www.example.test", "name www.example.test -"), ("WWW.Example.test:8443", "name WWW.Example.test 8443"),
            ("a.test.", "name a.test -"), ("a.test.:443", "name a.test 443"), ("a.test:", "name a.test -"),
            ("192.0.2.1:80", "ipv4 192.0.2.1 80"), ("[2001:db8::1]", "ipv6 2001:db8::1 -"),
            ("[::ffff:192.0.2.1]:443", "ipv6 ::ffff:192.0.2.1 443"), ("a_b-c.test:0", "name a_b-c.test 0"),
            ("a:65535", "name a 65535"), ("a:65536", nil), ("a:123456", nil), ("a:-1", nil), ("a:8 ", nil), ("", nil),
            (":80", nil), ("user@a.test", nil), ("a.test/", nil), ("a b", nil), ("a%2eb", nil), ("[::1", nil),
            ("[]", nil), ("[1]", nil), ("[::1]x", nil), ("[::1]:", "ipv6 ::1 -"), ("[::g]", nil), ("a,b", nil),
            ("\u{FC}.test", nil), (".", "ipv4 . -"),
        ] as [(String, String?)])
    func forms(text: String, expected: String?) {
        let bytes = Array(text.utf8)
        let authority = Authority(bytes.span, 0..<bytes.count)
        let seen = authority.map { authority in
            let host = String(decoding: bytes[authority.host], as: UTF8.self)
            return "\(authority.kind) \(host) \(authority.port.map { String($0) } ?? "-")"
        }
        #expect(seen == expected)
    }
}

@Suite("The calendar")
struct CivilDateTests {
    @Test(
        arguments: [
            (0, 1970, 1, 1), (-1, 1969, 12, 31), (11_016, 2000, 2, 29), (11_017, 2000, 3, 1), (-719_528, 0, 1, 1),
            (20_786, 2026, 11, 29), (2_932_896, 9999, 12, 31), (-25_508, 1900, 2, 29),
        ] as [(Int64, Int, Int, Int)])
    func days(days: Int64, year: Int, month: Int, day: Int) {
        let date = CivilDate(days: days)
        // 1900 was no leap year: its 29 February is 1 March.
        if year == 1900 {
            #expect(CivilDate(year: 1900, month: 2, day: 29) == nil)
            #expect(date == CivilDate(year: 1900, month: 3, day: 1))
        } else {
            #expect(date == CivilDate(year: year, month: month, day: day))
        }
        #expect(date.days == days)
    }

    @Test func everyDayOfEightHundredYears() {
        var last = CivilDate(days: -150_000)
        for days: Int64 in -149_999...150_000 {
            let date = CivilDate(days: days)
            #expect(date.days == days)
            let isNext =
                date.day == last.day + 1 && date.month == last.month
                || date.day == 1 && (date.month == last.month + 1 || date.month == 1 && date.year == last.year + 1)
            #expect(isNext)
            last = date
        }
    }
}

@Suite("Encoded heads")
struct EncodedHeadTests {
    @Test func isWalkedAsItWasWritten() throws {
        var head = try EncodedHead(status: 299, reason: [0xFF, 0x20])
        try head.add(.etag, "\"x\"".utf8)
        try head.add(name: "Empty".utf8, value: [])
        try head.add(name: "x".utf8, value: [0x61, 0x09, 0xE9])
        head.add(.age, 7)
        #expect(head.status == 299 && Array(head.reason) == [0xFF, 0x20])
        let section = head.section
        #expect(section.map { section.copy($0.name).count } == [4, 5, 1, 3])
        #expect(section.map { section.copy($0.value) } == [Array("\"x\"".utf8), [], [0x61, 0x09, 0xE9], [0x37]])
        #expect(section.contains(.etag) && section.contains(.age) && !section.repeats(.etag))
        #expect(section.bytes.readableBytesView.elementsEqual(head.bytes))
        let filtered = head.filtered { field, _ in field.known == nil }
        #expect(filtered.section.count == 2 && filtered.status == 299)
    }

    @Test func nothingBeginsALineOfItsOwn() throws {
        #expect(throws: FieldFault.self) { try EncodedHead(status: 200, reason: "OK\r\nA: b".utf8) }
        #expect(throws: FieldFault.self) { try EncodedHead(status: 99, reason: []) }
        #expect(throws: FieldFault.self) { try EncodedHead(status: 1000, reason: []) }
        var head = try EncodedHead(status: 200, reason: [])
        for value in ["a\r\nb: c", "a\nb", "\0", " a", "a ", "\u{7F}"] {
            #expect(throws: FieldFault.badValue) { try head.add(.etag, value.utf8) }
            #expect(throws: FieldFault.badValue) { try head.add(name: "a".utf8, value: value.utf8) }
        }
        for name in ["", "a b", "a:", "a\r\n", "ä"] {
            #expect(throws: FieldFault.badName) { try head.add(name: name.utf8, value: []) }
        }
        #expect(head.bytes == Array("HTTP/1.1 200 \r\n".utf8))
    }
}
