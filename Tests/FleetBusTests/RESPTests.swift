import FleetBus
import NIOCore
import Testing

@Suite("RESP3 is read in any cut, and within bounds")
struct RESPTests {
    private static func decode(_ text: String, segment: Int? = nil, limits: RESPLimits = RESPLimits()) throws
        -> [RESPValue]
    {
        var decoder = RESPDecoder(limits: limits)
        var values: [RESPValue] = []
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: segment ?? max(bytes.count, 1)) {
            decoder.receive(ByteBuffer(bytes: bytes[start..<min(start + (segment ?? bytes.count), bytes.count)]))
            while let value = try decoder.next() { values.append(value) }
        }
        return values
    }

    private static let samples: [(String, [RESPValue])] = [
        ("+OK\r\n", [.string("OK")]),
        ("-ERR no\r\n", [.error("ERR no")]),
        (":-42\r\n:+7\r\n", [.integer(-42), .integer(7)]),
        ("$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n", [.string("a\r\nbc"), .string(""), .null]),
        (
            "_\r\n#t\r\n#f\r\n,1.5\r\n,inf\r\n",
            [.null, .boolean(true), .boolean(false), .double(1.5), .double(.infinity)]
        ),
        (
            "!5\r\nE\r\nxy\r\n=7\r\ntxt:abc\r\n(123456789012345678901\r\n",
            [.error("E  xy"), .string("abc"), .string("123456789012345678901")]
        ),
        ("*2\r\n:1\r\n*0\r\n*-1\r\n", [.array([.integer(1), .array([])]), .null]),
        ("%1\r\n+a\r\n~1\r\n:1\r\n", [.map([.init(.string("a"), .array([.integer(1)]))])]),
        (">1\r\n+hello\r\n:1\r\n", [.push([.string("hello")]), .integer(1)]),
        ("*2\r\n|1\r\n+ttl\r\n:1\r\n:5\r\n|1\r\n+x\r\n+y\r\n:6\r\n", [.array([.integer(5), .integer(6)])]),
        ("|1\r\n+x\r\n*1\r\n:1\r\n:6\r\n", [.integer(6)]),
    ]

    @Test("Every type, whatever the cut", arguments: samples.indices)
    func types(_ index: Int) throws {
        let (text, values) = Self.samples[index]
        for segment in 1...max(1, text.utf8.count) {
            #expect(try Self.decode(text, segment: segment) == values)
        }
    }

    @Test(
        "What is no RESP3 is refused, for good",
        arguments: [
            "x\r\n", "\r\n", ":\r\n", ":1x\r\n", ":1\n", "+a\rb\r\n", "$3\r\nabcd\r\n", "$-2\r\n", "*-2\r\n", "#x\r\n",
            "_x\r\n",
            "=2\r\nab\r\n", "*1\r\n>1\r\n+a\r\n", ",x\r\n", "$?\r\n", "*?\r\n", "$1_0\r\n", "$ 1\r\na\r\n",
        ])
    func malformed(_ text: String) throws {
        for segment in [1, 2, 100] {
            var decoder = RESPDecoder()
            #expect(throws: RESPError.self) {
                let bytes = Array(text.utf8)
                for start in stride(from: 0, to: bytes.count, by: segment) {
                    decoder.receive(ByteBuffer(bytes: bytes[start..<min(start + segment, bytes.count)]))
                    while try decoder.next() != nil {}
                }
            }
            decoder.receive(ByteBuffer(string: "+OK\r\n"))
            #expect(throws: RESPError.self) { try decoder.next() }
        }
    }

    private static var narrow: RESPLimits {
        var limits = RESPLimits()
        limits.depth = 3
        limits.text = 10
        limits.values = 8
        limits.bytes = 40
        limits.line = 16
        return limits
    }

    @Test("Depth, lines and counts are bounded")
    func bounds() throws {
        #expect(try Self.decode("*1\r\n*1\r\n*1\r\n:1\r\n", limits: Self.narrow).count == 1)
        for text in [
            "*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "+" + String(repeating: "a", count: 17), "$9999999999999999999\r\n",
            "*9223372036854775807\r\n", "%9223372036854775807\r\n",
        ] {
            #expect(throws: RESPError.self, "\(text)") { try Self.decode(text, limits: Self.narrow) }
        }
        // Bounds are those of one reply.
        let many = String(repeating: "*2\r\n:1\r\n:2\r\n", count: 50)
        #expect(try Self.decode(many, limits: Self.narrow).count == 50)
    }

    @Test("What is too much of a reply is read past, whatever the cut, and what comes behind it is there")
    func dropping() throws {
        let long = String(repeating: "x", count: 11)
        let ten = "$10\r\n0123456789\r\n"
        let kept = RESPValue.string("0123456789")
        let cases: [(String, RESPValue)] = [
            ("$11\r\n\(long)\r\n", .dropped),
            ("*3\r\n:1\r\n$11\r\n\(long)\r\n:2\r\n", .array([.integer(1), .dropped, .integer(2)])),
            ("*9\r\n" + String(repeating: ":1\r\n", count: 9), .dropped),
            ("%5\r\n" + String(repeating: ":1\r\n", count: 10), .dropped),
            (
                "*2\r\n*9\r\n" + String(repeating: "*1\r\n$11\r\n\(long)\r\n", count: 9) + ":7\r\n",
                .array([.dropped, .integer(7)])
            ),
            // In all: the fifth does not fit, and what is shorter does.
            (
                "*6\r\n" + String(repeating: ten, count: 5) + ":1\r\n",
                .array([kept, kept, kept, kept, .dropped, .integer(1)])
            ),
            ("*2\r\n=11\r\n\(long)\r\n!11\r\n\(long)\r\n", .array([.dropped, .dropped])),
        ]
        for (text, value) in cases {
            for segment in 1...text.utf8.count {
                #expect(
                    try Self.decode(text + "+OK\r\n", segment: segment, limits: Self.narrow) == [value, .string("OK")])
            }
        }
        // Nothing of it is held.
        var decoder = RESPDecoder(limits: Self.narrow)
        decoder.receive(ByteBuffer(string: "$1000000\r\n"))
        for _ in 0..<100 {
            decoder.receive(ByteBuffer(repeating: 0x61, count: 10_000))
            #expect(try decoder.next() == nil)
            #expect(decoder.bufferedBytes < 10)
        }
        #expect(throws: RESPError.self) { try Self.decode("$11\r\n\(long)xy+OK\r\n", limits: Self.narrow) }
    }

    @Test("Commands are arrays of bulk strings, bytes as they are")
    func commands() {
        var buffer = ByteBuffer()
        RESPCommand("SET", "é").adding([0, 13, 10]).encode(into: &buffer)
        #expect(
            Array(buffer.readableBytesView) == Array("*3\r\n$3\r\nSET\r\n$2\r\né\r\n$3\r\n".utf8) + [0, 13, 10, 13, 10])
    }

    @Test("Stream ids are two plain numbers, and entries have one field of ours")
    func streams() throws {
        #expect(StreamID("12-3") == StreamID(12, 3))
        #expect(StreamID("18446744073709551615-0")?.milliseconds == .max)
        for text in ["12", "12-", "-1", "+1-1", "1-1-1", "18446744073709551616-0", " 1-1", ""] {
            #expect(StreamID(text) == nil)
        }
        #expect(StreamID(9, 5) < StreamID(10, 0))
        func entry(_ id: String, _ fields: String...) -> RESPValue {
            .array([.string(id), .array(fields.map { .string($0) })])
        }
        let list = RESPValue.array([entry("1-0", "e", "x"), entry("2-0", "e", "x", "f", "y"), entry("3-0", "f", "x")])
        #expect(StreamEntry.list(list)?.map(\.payload) == [Array("x".utf8), nil, nil])
        #expect(StreamEntry.list(.array([entry("2-0", "e", "x"), entry("1-0", "e", "x")])) == nil)
        #expect(StreamEntry.list(.array([.integer(1)])) == nil)
        #expect(StreamEntry.read(.map([.init(.string("k"), list)]))?.count == 3)
        #expect(StreamEntry.read(.null) == [])
        #expect(StreamEntry.read(.map([])) == nil)
    }
}
