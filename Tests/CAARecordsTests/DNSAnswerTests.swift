import Testing

@testable import CAARecords

/// What a hostile DNS message can do to its reader.
@Suite("DNS answers with CAA records")
struct DNSAnswerTests {
    private static let question: [UInt8] = Self.wire("www.a.test") + [1, 1, 0, 1]

    private static func wire(_ name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    private static func message(flags: [UInt8] = [0x81, 0x80], answers: Int, _ rest: [UInt8]) -> [UInt8] {
        [0, 1] + flags + [0, 1, UInt8(answers >> 8), UInt8(answers & 0xFF), 0, 0, 0, 0] + Self.question + rest
    }

    private static func record(_ owner: [UInt8], _ type: Int, _ data: [UInt8], length: Int? = nil, family: UInt8 = 1)
        -> [UInt8]
    {
        let length = length ?? data.count
        return owner + [UInt8(type >> 8), UInt8(type & 0xFF), 0, family, 0, 0, 0, 60]
            + [UInt8(length >> 8), UInt8(length & 0xFF)] + data
    }

    private static func caa(_ value: String, tag: String = "issue", flags: UInt8 = 0) -> [UInt8] {
        [flags, UInt8(tag.utf8.count)] + Array(tag.utf8) + Array(value.utf8)
    }

    private static let pointer: [UInt8] = [0xC0, 12]

    private static func read(_ message: [UInt8]) throws -> [CAARecord] {
        try DNSAnswer.records(in: message, of: "www.a.test")
    }

    @Test("Records of the name, compressed or not, in any case of letters; none of other names and classes")
    func records() throws {
        let records = try Self.read(
            Self.message(
                answers: 5,
                Self.record(Self.pointer, 257, Self.caa("ca.test"))
                    + Self.record(Self.wire("WWW.A.test"), 257, Self.caa("ca2.test", tag: "ISSUE", flags: 128))
                    + Self.record(Self.wire("other.test"), 257, Self.caa("no.test"))
                    + Self.record(Self.pointer, 257, Self.caa("no.test"), family: 3)
                    + Self.record(Self.pointer, 1, [127, 0, 0, 1])))
        #expect(
            records == [
                CAARecord(tag: "issue", value: Array("ca.test".utf8)),
                CAARecord(isCritical: true, tag: "issue", value: Array("ca2.test".utf8)),
            ])
        #expect(try Self.read(Self.message(answers: 0, [])) == [])
    }

    @Test("Aliases are followed to their end, and not in circles")
    func aliases() throws {
        let chain =
            Self.record(Self.pointer, 5, Self.wire("b.test")) + Self.record(Self.wire("b.test"), 5, Self.wire("c.test"))
        #expect(
            try Self.read(Self.message(answers: 3, chain + Self.record(Self.wire("c.test"), 257, Self.caa("ca"))))
                == [CAARecord(tag: "issue", value: Array("ca".utf8))])
        #expect(try Self.read(Self.message(answers: 2, chain)) == [])
        let circle = chain + Self.record(Self.wire("c.test"), 5, Self.pointer)
        #expect(throws: DNSAnswer.Malformed.aliases) { try Self.read(Self.message(answers: 3, circle)) }
        let long = (0..<40).flatMap { Self.record(Self.wire("n\($0).test"), 5, Self.wire("n\($0 + 1).test")) }
        #expect(throws: DNSAnswer.Malformed.aliases) {
            try Self.read(Self.message(answers: 41, Self.record(Self.pointer, 5, Self.wire("n0.test")) + long))
        }
    }

    @Test("Pointers into a circle, to themselves, forwards, and past the end")
    func pointers() {
        let start = 12 + Self.question.count
        func answer(_ owner: [UInt8]) -> [UInt8] { Self.message(answers: 1, owner + [1, 1, 0, 1, 0, 0, 0, 60, 0, 0]) }
        // To itself; to what lies ahead; past the end; two that lead to each other.
        for target in [start, start + 2, 0x3FFF] {
            let owner = [0xC0 | UInt8(target >> 8), UInt8(target & 0xFF)]
            #expect(throws: DNSAnswer.Malformed.self) { try Self.read(answer(owner)) }
        }
        let mutual: [UInt8] = [1, 0x61, 0xC0, UInt8(start)]
        #expect(throws: DNSAnswer.Malformed.name) { try Self.read(answer(mutual)) }
        // Labels of reserved types.
        for byte: UInt8 in [0x40, 0x80, 0xBF] {
            #expect(throws: DNSAnswer.Malformed.name) { try Self.read(answer([byte, 0])) }
        }
        // Longer than a name can be.
        let label: [UInt8] = [63] + [UInt8](repeating: 0x61, count: 63)
        let long: [UInt8] = label + label + label + label + label + [0]
        #expect(throws: DNSAnswer.Malformed.name) { try Self.read(answer(long)) }
    }

    @Test("Headers that are no answer")
    func headers() {
        // A question, a truncated answer, an error, another operation.
        for flags: [UInt8] in [[0x01, 0x80], [0x83, 0x80], [0x81, 0x83], [0x81, 0x82], [0xA1, 0x80]] {
            #expect(throws: DNSAnswer.Malformed.header) { try Self.read(Self.message(flags: flags, answers: 0, [])) }
        }
        #expect(throws: DNSAnswer.Malformed.header) {
            try Self.read([0, 1, 0x81, 0x80, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0])
        }
    }

    @Test("Lengths that lie")
    func lengths() {
        let data = Self.caa("ca.test")
        for length in [data.count + 1, 0xFFFF] {
            #expect(throws: DNSAnswer.Malformed.truncated) {
                try Self.read(Self.message(answers: 1, Self.record(Self.pointer, 257, data, length: length)))
            }
        }
        #expect(throws: DNSAnswer.Malformed.truncated) {
            try Self.read(Self.message(answers: 2, Self.record(Self.pointer, 257, data)))
        }
        #expect(throws: DNSAnswer.Malformed.record) {
            try Self.read(Self.message(answers: 1, Self.record(Self.pointer, 5, Self.wire("b.test") + [0])))
        }
        for data: [UInt8] in [[], [0], [0, 0], [0, 9, 0x61], [0, 1, 0x2D], [0, 2, 0x61, 0xFF]] {
            #expect(throws: DNSAnswer.Malformed.record) {
                try Self.read(Self.message(answers: 1, Self.record(Self.pointer, 257, data)))
            }
        }
    }

    @Test("Every prefix of a good message, and every change of one byte, ends quickly")
    func mutations() throws {
        let good = Self.message(
            answers: 3,
            Self.record(Self.pointer, 5, Self.wire("b.test"))
                + Self.record(Self.wire("b.test"), 257, Self.caa("ca.test; accounturi=x"))
                + Self.record([1, 0x63] + Self.pointer, 257, Self.caa("ca.test")))
        #expect(try Self.read(good).count == 1)
        for count in 0..<good.count { _ = try? Self.read(Array(good[..<count])) }
        for index in good.indices {
            for value: UInt8 in [0, 1, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFF] {
                var message = good
                message[index] = value
                _ = try? Self.read(message)
            }
        }
    }

    @Test("A message of the greatest length with as many records as fit, each name by a long way of pointers")
    func huge() throws {
        // 64 pointers one behind another, then records whose owner begins at the last of them.
        var rest: [UInt8] = [0]
        let base = 12 + Self.question.count
        var message = Self.message(answers: 0xFFFF, [])
        var target = 12
        for index in 0..<64 {
            rest = [0xC0 | UInt8(target >> 8), UInt8(target & 0xFF)]
            target = base + index * 2
            message += rest
        }
        while message.count < 65_000 {
            message += Self.record([0xC0 | UInt8(target >> 8), UInt8(target & 0xFF)], 1, [])
        }
        #expect(throws: DNSAnswer.Malformed.self) { try Self.read(message) }
        let many = Self.message(answers: 300, (0..<300).flatMap { _ in Self.record(Self.pointer, 257, Self.caa("ca")) })
        #expect(throws: DNSAnswer.Malformed.record) { try Self.read(many) }
    }
}
