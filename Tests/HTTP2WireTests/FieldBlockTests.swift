import HTTPFields
import NIOCore
import NIOHPACK
import Testing

@testable import HTTP2Wire

/// HPACK over bytes: RFC 7541's own examples, the library's coder on the other side, and blocks that no encoder makes.
@Suite struct FieldBlockTests {
    static let limits = FieldBlockLimits(sectionBytes: 65_536, fields: 128)

    private static func bytes(_ hex: String) -> ByteBuffer {
        let digits = hex.utf8.filter { $0 != UInt8(ascii: " ") }
        var buffer = ByteBuffer()
        for index in stride(from: 0, to: digits.count, by: 2) {
            buffer.writeInteger(UInt8(String(decoding: digits[index..<(index + 2)], as: UTF8.self), radix: 16) ?? 0)
        }
        return buffer
    }

    /// Pseudo-fields first, in one order; then the others.
    static func list(_ block: FieldBlock) -> [String] {
        let pseudo: [(String, Range<Int>?)] = [
            (":method", block.method), (":scheme", block.scheme), (":path", block.path),
            (":authority", block.authority),
        ]
        return pseudo.compactMap { name, range in range.map { "\(name): \(block.fields.text($0))" } }
            + block.fields.map { "\(block.fields.text($0.name)): \(block.fields.text($0.value))" }
    }

    /// RFC 7541 C.3 and C.4: three requests of one connection, without and with Huffman codes.
    @Test(arguments: [
        [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ],
        [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ],
    ])
    func requestsOfTheRFC(blocks: [String]) throws {
        var decoder = FieldBlockDecoder(limits: Self.limits)
        let base = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"]
        #expect(Self.list(try decoder.decode(Self.bytes(blocks[0]))) == base)
        #expect(Self.list(try decoder.decode(Self.bytes(blocks[1]))) == base + ["cache-control: no-cache"])
        #expect(
            Self.list(try decoder.decode(Self.bytes(blocks[2]))) == [
                ":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com",
                "custom-key: custom-value",
            ])
    }

    /// A client whose encoder is the library's: indexed, Huffman-coded and evicted fields, over many requests.
    @Test func theLibrarysBlocksAreRead() throws {
        var decoder = FieldBlockDecoder(limits: Self.limits)
        var encoder = HPACKEncoder(allocator: ByteBufferAllocator())
        var random = SystemRandomNumberGenerator()
        for round in 0..<400 {
            var fields = [
                (":method", "GET"), (":scheme", "https"), (":path", "/\(round % 7)"), (":authority", "www.example.com"),
            ]
            for _ in 0..<Int.random(in: 0...12, using: &random) {
                let number = Int.random(in: 0...9, using: &random)
                let value = String(
                    (0..<Int.random(in: 0...300, using: &random)).map { _ in
                        Character(Unicode.Scalar(UInt8.random(in: 0x21...0x7E, using: &random)))
                    })
                fields.append(("x-field-\(number)", number < 5 ? "the same each time" : value))
            }
            var block = ByteBuffer()
            try encoder.encode(headers: HPACKHeaders(fields), to: &block)
            if round.isMultiple(of: 3) { decoder.releaseMemory() }
            let decoded = try decoder.decode(block)
            #expect(decoded.malformation == nil && !decoded.isTooLarge)
            #expect(Self.list(decoded) == fields.map { "\($0.0): \($0.1)" })
        }
    }

    /// What is written, the library reads; and twice the same block means twice the same.
    @Test func theLibraryReadsWhatIsWritten() throws {
        var random = SystemRandomNumberGenerator()
        var decoder = HPACKDecoder(
            allocator: ByteBufferAllocator(), maxDynamicTableSize: 4096, maxHeaderListSize: 1 << 20)
        for status in [200, 204, 206, 304, 400, 404, 500, 103, 451, 999] {
            var expected = [(":status", String(status))]
            var fields: [(name: String, value: String)] = []
            for _ in 0..<20 {
                let name =
                    [
                        "Content-Type", "ETag", "X-Powered-By", "x-other-name", "Set-Cookie", "Cache-Status", "QZ-!",
                    ]
                    .randomElement(using: &random) ?? ""
                let value = String(
                    (0..<Int.random(in: 0...400, using: &random)).map { _ in
                        Character(Unicode.Scalar(UInt8.random(in: 0x21...0x7E, using: &random)))
                    })
                fields.append((name, value))
                expected.append((name.lowercased(), value))
            }
            fields.append(("Connection", "close"))
            fields.append(("Transfer-Encoding", "chunked"))
            let section = try FieldSection(fields)
            var block = ByteBuffer()
            FieldBlockWriter.writeStatus(status, to: &block)
            FieldBlockWriter.write(section, to: &block)
            for _ in 0..<2 {
                var copy = block
                let read = try decoder.decodeHeaders(from: &copy)
                #expect(read.map { "\($0.name): \($0.value)" } == expected.map { "\($0.0): \($0.1)" })
            }
        }
    }

    /// Bytes that are no UTF-8, and a replacement character that was sent as one, both ways.
    @Test func bytesPassAsTheyAre() throws {
        let value: [UInt8] = [0x63, 0xFF, 0xFE, 0x80, 0xC3, 0x28, 0xEF, 0xBF, 0xBD]
        for isHuffman in [false, true] {
            var block = Self.bytes("8287 8441 0161 0003 78 2d 62")
            if isHuffman {
                let count = value.withUnsafeBytes { Huffman.encodedCount($0, lowercasing: false) }
                block.writeInteger(0x80 | UInt8(count))
                _ = block.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
                    value.withUnsafeBytes { Huffman.encode($0, lowercasing: false, into: target) }
                    return count
                }
            } else {
                block.writeInteger(UInt8(value.count))
                block.writeBytes(value)
            }
            var decoder = FieldBlockDecoder(limits: Self.limits)
            let decoded = try decoder.decode(block)
            let field = try #require(decoded.fields.first)
            #expect(decoded.fields.copy(field.value) == value)
            var written = Self.bytes("8287 8441 0161")
            FieldBlockWriter.write(field, of: decoded.fields, to: &written)
            let again = try decoder.decode(written)
            #expect(try again.fields.copy(#require(again.fields.first).value) == value)
        }
    }

    @Test(arguments: [
        ("80", CompressionFault.badIndex), ("be", .badIndex), ("7e 0161", .badIndex), ("ff", .truncated),
        ("ffff ffff ffff ff7f", .integerTooLarge), ("41 0f77", .truncated), ("00", .truncated),
        ("41 83ff ffff", .badHuffmanCode),  // padding of more than seven bits
        ("41 8400 0000 00 82 41 8100", .badHuffmanCode),  // zeros behind a code
        ("41 84ff ffff ff", .badHuffmanCode),  // EOS
        ("3fe1 3f", .badTableSize), ("20 20 20", .badTableSize), ("82 20", .badTableSize),
    ])
    func brokenBlocks(hex: String, fault: CompressionFault) {
        var decoder = FieldBlockDecoder(limits: Self.limits)
        #expect(throws: FieldBlockFault.compression(fault)) { _ = try decoder.decode(Self.bytes(hex)) }
    }

    @Test(arguments: [
        ([(":method", "GET"), (":method", "GET")], HTTP2Malformation.badPseudoField),
        ([("a", "b"), (":method", "GET")], .badPseudoField), ([(":status", "200")], .badPseudoField),
        ([(":protocol", "websocket")], .badPseudoField), ([("Upper", "x")], .badFieldName),
        ([("a b", "x")], .badFieldName), ([("a", "b\r\nc: d")], .badFieldValue), ([("a", "b\0")], .badFieldValue),
        ([("a", " b")], .badFieldValue), ([("a", "b\t")], .badFieldValue), ([(":path", "/\n")], .badFieldValue),
        ([("connection", "x")], .connectionField), ([("transfer-encoding", "chunked")], .connectionField),
        ([("te", "gzip")], .connectionField), ([("keep-alive", "1")], .connectionField),
    ])
    func malformedSections(fields: [(String, String)], malformation: HTTP2Malformation) throws {
        var decoder = FieldBlockDecoder(limits: Self.limits)
        var encoder = HPACKEncoder(allocator: ByteBufferAllocator())
        // Once as literals, once by the table.
        for _ in 0..<2 {
            var block = ByteBuffer()
            try encoder.encode(headers: HPACKHeaders(fields), to: &block)
            #expect(try decoder.decode(block).malformation == malformation)
        }
        var block = ByteBuffer()
        try encoder.encode(headers: HPACKHeaders([("te", "Trailers"), ("x", "y")]), to: &block)
        let fine = try decoder.decode(block)
        #expect(fine.malformation == nil && fine.fields.contains(.te))
    }

    /// A section beyond the limits is left out, and its fields are in the table all the same.
    @Test func aSectionThatIsTooLargeKeepsTheTablesInStep() throws {
        for limits in [FieldBlockLimits(sectionBytes: 300, fields: 128), .init(sectionBytes: 65_536, fields: 5)] {
            var decoder = FieldBlockDecoder(limits: limits)
            var encoder = HPACKEncoder(allocator: ByteBufferAllocator())
            let many = (0..<20).map { ("x-\($0)", "value \($0)") }
            var block = ByteBuffer()
            try encoder.encode(headers: HPACKHeaders([(":method", "GET")] + many), to: &block)
            let decoded = try decoder.decode(block)
            #expect(decoded.isTooLarge && decoded.method != nil)
            #expect(decoded.fields.bytes.readableBytes < 300)
            block.clear()
            try encoder.encode(headers: HPACKHeaders([("x-19", "value 19"), ("x-0", "value 0")]), to: &block)
            #expect(block.readableBytes < 5)
            #expect(Self.list(try decoder.decode(block)) == ["x-19: value 19", "x-0: value 0"])
        }
    }

    /// A client's table makes kilobytes of a byte: what is decoded only to keep it in step ends at four times the limit.
    @Test(arguments: ["be", "7e 00", "0f 2f 00", "40 00 00", "00 01 61 00"])
    func aSectionFarBeyondTheLimitIsNotDecodedToItsEnd(field: String) throws {
        let limits = FieldBlockLimits(sectionBytes: 1_000, fields: 128)
        let start = Self.bytes("40 3c" + String(repeating: "61", count: 60) + "00")
        let step = ["be", "7e 00", "0f 2f 00"].contains(field) ? 60 + 32 : field == "00 01 61 00" ? 33 : 32
        let most = (4 * limits.sectionBytes - 92) / step
        for (count, isFault) in [(most, false), (most + 1, true), (100_000, true)] {
            var block = start
            for _ in 0..<count { block.writeImmutableBuffer(Self.bytes(field)) }
            // Not even looked at.
            if count > most + 1 { block.writeInteger(0x80 as UInt8) }
            var decoder = FieldBlockDecoder(limits: limits)
            if isFault {
                #expect(throws: FieldBlockFault.tooLarge) { _ = try decoder.decode(block) }
            } else {
                #expect(try decoder.decode(block).isTooLarge)
            }
        }
    }

    /// RFC 9113 §8.2.3.
    @Test func theCookieIsOneField() throws {
        var decoder = FieldBlockDecoder(limits: Self.limits)
        var encoder = HPACKEncoder(allocator: ByteBufferAllocator())
        var block = ByteBuffer()
        let fields = [
            (":method", "GET"), (":path", "/a"), ("x", "1"), ("cookie", "a=b"), ("y", "2"), ("cookie", "c=d"),
            ("cookie", "e"),
        ]
        try encoder.encode(headers: HPACKHeaders(fields), to: &block)
        let expected = [":method: GET", ":path: /a", "x: 1", "Cookie: a=b; c=d; e", "y: 2"]
        #expect(Self.list(try decoder.decode(block)) == expected)
    }

    /// A part without a byte takes nothing away from the others.
    @Test(arguments: [
        (["a=1", ""], "a=1"), (["", "a=1"], "a=1"), (["", "a=1", "", "b=2", ""], "a=1; b=2"), (["", ""], ""),
    ])
    func emptyPartsOfTheCookie(parts: [String], expected: String) throws {
        var decoder = FieldBlockDecoder(limits: Self.limits)
        var encoder = HPACKEncoder(allocator: ByteBufferAllocator())
        var block = ByteBuffer()
        try encoder.encode(headers: HPACKHeaders(parts.map { ("cookie", $0) }), to: &block)
        #expect(Self.list(try decoder.decode(block)) == ["Cookie: \(expected)"])
    }

    /// RFC 7541 §4.3: a smaller table, then a larger one.
    @Test func theClientResizesItsTable() throws {
        var decoder = FieldBlockDecoder(limits: Self.limits)
        // x: y into the table; then size 0, and 4096 again: it is gone.
        #expect(Self.list(try decoder.decode(Self.bytes("40 0178 0179"))) == ["x: y"])
        #expect(Self.list(try decoder.decode(Self.bytes("be"))) == ["x: y"])
        #expect(throws: FieldBlockFault.compression(.badIndex)) { _ = try decoder.decode(Self.bytes("20 3fe1 1f be")) }
        #expect(Self.list(try decoder.decode(Self.bytes("40 0161 0162 be"))) == ["a: b", "a: b"])
    }

    /// Every byte has a code, and every code is read again.
    @Test func huffmanCodesOfAllBytes() {
        for byte in UInt8.min...UInt8.max {
            for count in 1...9 {
                let text = [UInt8](repeating: byte, count: count)
                var encoded = ByteBuffer()
                let size = text.withUnsafeBytes { Huffman.encodedCount($0, lowercasing: false) }
                _ = encoded.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { target in
                    text.withUnsafeBytes { Huffman.encode($0, lowercasing: false, into: target) }
                    return size
                }
                var decoded = ByteBuffer()
                _ = decoded.writeWithUnsafeMutableBytes(minimumWritableBytes: Huffman.decodedBound(size)) {
                    Huffman.decode(encoded.readableBytesUInt8Span, 0..<size, into: $0) ?? 0
                }
                #expect(Array(buffer: decoded) == text)
            }
        }
    }
}
