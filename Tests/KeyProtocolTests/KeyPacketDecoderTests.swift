import KeyProtocol
import NIOCore
import Testing

@Suite("Key packets: splits and hostile bytes")
struct KeyPacketDecoderTests {
    @Test("Every split position of a stream gives the same packets")
    func everySplit() throws {
        let bytes = try encode(KeyPacketCodecTests.samples, padded: false)
        let expected: [KeyPacketEvent] = try decode(bytes)
        #expect(expected.count == KeyPacketCodecTests.samples.count)
        for position in 0...bytes.readableBytes {
            let first: ByteBuffer = try #require(bytes.getSlice(at: 0, length: position))
            let second: ByteBuffer = try #require(
                bytes.getSlice(at: position, length: bytes.readableBytes - position))
            #expect(try decode(pieces: [first, second]) == expected)
        }
    }

    @Test("One byte at a time")
    func oneByteAtATime() throws {
        let bytes = try encode(KeyPacketCodecTests.samples, padded: true)
        let pieces: [ByteBuffer] = bytes.readableBytesView.map { ByteBuffer(bytes: CollectionOfOne($0)) }
        #expect(try decode(pieces: pieces) == KeyPacketCodecTests.samples.map { .packet($0) })
    }

    @Test("The largest packet, one byte at a time, while earlier payloads are still held")
    func largestPacket() throws {
        let small = KeyPacket(id: 1, body: KeyMessage(opcode: .ping, payload: ByteBuffer(bytes: [1])))
        let large = KeyPacket(
            id: 2, body: KeyMessage(opcode: .success, payload: ByteBuffer(repeating: 3, count: 65_528)))
        let bytes = try encode([small, large, small], padded: false)
        var decoder = KeyPacketDecoder()
        var events: [KeyPacketEvent] = []
        var mostBuffered: Int = 0
        for byte in bytes.readableBytesView {
            decoder.receive(ByteBuffer(bytes: CollectionOfOne(byte)))
            while let event = try decoder.next() { events.append(event) }
            mostBuffered = max(mostBuffered, decoder.bufferedBytes)
        }
        #expect(events == [.packet(small), .packet(large), .packet(small)])
        #expect(mostBuffered < 8 + 65_535)
        #expect(decoder.bufferedBytes == 0)
    }

    @Test("Thousands of packets in one buffer")
    func manyPackets() throws {
        let packets: [KeyPacket] = (0..<20_000).map {
            KeyPacket(id: UInt32($0), body: KeyMessage(opcode: .ping, payload: ByteBuffer(integer: UInt32($0))))
        }
        #expect(try decode(try encode(packets, padded: false)) == packets.map { .packet($0) })
    }

    /// A body, and what its packet must be answered with.
    struct MalformedBody: Sendable, CustomTestStringConvertible {
        var name: String
        var body: [UInt8]
        var testDescription: String { self.name }
    }

    static let malformed: [MalformedBody] = {
        let opcode: [UInt8] = [0x11, 0, 1, 0xF1]
        func item(_ tag: UInt8, _ length: Int) -> [UInt8] {
            [tag, UInt8(length >> 8), UInt8(length & 0xFF)] + [UInt8](repeating: 0x61, count: length)
        }
        var shapes: [MalformedBody] = [
            MalformedBody(name: "empty body", body: []),
            MalformedBody(name: "no opcode", body: item(0x12, 4)),
            MalformedBody(name: "padding only", body: item(0x20, 4)),
            MalformedBody(name: "opcode of no byte", body: [0x11, 0, 0]),
            MalformedBody(name: "opcode of two bytes", body: [0x11, 0, 2, 0xF1, 0xF1]),
            MalformedBody(name: "lone tag", body: opcode + [0x12]),
            MalformedBody(name: "half a length", body: opcode + [0x12, 0]),
            MalformedBody(name: "value shorter than said", body: opcode + [0x12, 0, 2, 1]),
            MalformedBody(name: "length far beyond the body", body: opcode + [0x12, 0xFF, 0xFF, 1]),
            MalformedBody(name: "padding that overruns", body: opcode + [0x20, 0xFF, 0xFF]),
            MalformedBody(name: "unknown item that overruns", body: opcode + [0x77, 0, 9, 1]),
            MalformedBody(name: "control character in a name", body: opcode + [0x02, 0, 2, 0x61, 0x0A]),
            MalformedBody(name: "no ASCII in a name", body: opcode + [0x02, 0, 2, 0xC3, 0xA9]),
            MalformedBody(name: "space in a function", body: opcode + [0x13, 0, 1, 0x20]),
            MalformedBody(name: "deadline of three bytes", body: opcode + [0x15, 0, 3, 0, 0, 1]),
            MalformedBody(name: "two deadlines", body: opcode + item(0x15, 4) + item(0x15, 4)),
        ]
        for tag: UInt8 in [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x12, 0x13, 0x14] {
            let length: Int =
                switch tag {
                case 0x01: 32
                case 0x03, 0x05: 4
                case 0x04: 20
                default: 3
                }
            shapes.append(
                MalformedBody(name: "tag \(tag) twice", body: opcode + item(tag, length) + item(tag, length)))
        }
        shapes.append(MalformedBody(name: "opcode twice", body: opcode + opcode))
        let wrongLengths: [(UInt8, [Int])] = [
            (0x01, [0, 20, 31, 33, 64]), (0x02, [0, 256]), (0x03, [0, 1, 3, 5, 15, 17]), (0x04, [0, 19, 21, 32]),
            (0x05, [0, 3, 8, 17]), (0x06, [0, 256]), (0x13, [0, 300]),
        ]
        for (tag, lengths) in wrongLengths {
            for length in lengths {
                shapes.append(MalformedBody(name: "tag \(tag) of \(length) bytes", body: opcode + item(tag, length)))
            }
        }
        return shapes
    }()

    @Test("A malformed body is answered, and the next packet is served", arguments: malformed)
    func malformedBody(shape: MalformedBody) throws {
        var bytes = ByteBuffer()
        bytes.writeMultipleIntegers(UInt8(1), UInt8(0), UInt16(shape.body.count), UInt32(77))
        bytes.writeBytes(shape.body)
        let next = KeyPacket(id: 78, body: KeyMessage(opcode: .ping))
        try next.encode(into: &bytes)
        #expect(try decode(bytes) == [.malformed(id: 77, .formatError), .packet(next)])
    }

    @Test("Unknown items and padding are skipped, also several of a kind")
    func unknownItems() throws {
        let body: [UInt8] = [
            0x20, 0, 2, 0, 0, 0x00, 0, 1, 9, 0x99, 0, 0, 0x11, 0, 1, 0xF1, 0x99, 0, 1, 1, 0xFF, 0, 0, 0x20, 0, 0,
        ]
        var bytes = ByteBuffer()
        bytes.writeMultipleIntegers(UInt8(1), UInt8(0), UInt16(body.count), UInt32(5))
        bytes.writeBytes(body)
        #expect(try decode(bytes) == [.packet(KeyPacket(id: 5, body: KeyMessage(opcode: .ping)))])
    }

    @Test("Another minor version is read like this one")
    func minorVersion() throws {
        let bytes = ByteBuffer(bytes: [1, 9, 0, 4, 0, 0, 0, 5, 0x11, 0, 1, 0xF1])
        #expect(try decode(bytes) == [.packet(KeyPacket(id: 5, body: KeyMessage(opcode: .ping)))])
    }

    @Test("Another major version ends the stream for good", arguments: [UInt8(0), 2, 0x16, 0xFF])
    func majorVersion(major: UInt8) throws {
        let good = KeyPacket(id: 1, body: KeyMessage(opcode: .ping))
        var bytes = try encode([good], padded: false)
        bytes.writeBytes([major, 0, 0, 4, 0, 0, 1, 0])
        var decoder = KeyPacketDecoder()
        decoder.receive(bytes)
        #expect(try decoder.next() == .packet(good))
        let failure = KeyFramingError.versionMismatch(major: major, id: 256)
        #expect(throws: failure) { try decoder.next() }
        decoder.receive(try encode([good], padded: false))
        #expect(throws: failure) { try decoder.next() }
        #expect(decoder.bufferedBytes == 0)
    }

    @Test("A version is judged only when the id to answer is known")
    func majorVersionSplit() throws {
        var decoder = KeyPacketDecoder()
        decoder.receive(ByteBuffer(bytes: [9, 0, 0, 0, 0, 0, 0]))
        #expect(try decoder.next() == nil)
        decoder.receive(ByteBuffer(bytes: [42]))
        #expect(throws: KeyFramingError.versionMismatch(major: 9, id: 42)) { try decoder.next() }
    }
}
