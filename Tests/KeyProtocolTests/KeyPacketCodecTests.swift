import KeyProtocol
import NIOCore
import Testing

@Suite("Key packets: round trips and layout")
struct KeyPacketCodecTests {
    /// One packet for each item, and one with all of them.
    static let samples: [KeyPacket] = {
        let payload = ByteBuffer(bytes: 0..<48)
        let bodies: [KeyMessage] = [
            KeyMessage(opcode: .ping),
            KeyMessage(opcode: .pong, payload: payload),
            KeyMessage(opcode: .custom, payload: payload, function: KeyFunction.signTLS13.rawValue),
            KeyMessage(opcode: .rsaSignSHA256, serverName: "www.example.test"),
            KeyMessage(opcode: .rsaSignSHA256, clientIP: [192, 0, 2, 1]),
            KeyMessage(opcode: .rsaSignSHA256, clientIP: [UInt8](repeating: 7, count: 16)),
            KeyMessage(opcode: .rsaSignSHA256, serverIP: [198, 51, 100, 9]),
            KeyMessage(opcode: .rsaSignSHA256, serverIP: [UInt8](repeating: 9, count: 16)),
            KeyMessage(opcode: .ecdsaSignSHA256, ski: [UInt8](0..<20)),
            KeyMessage(opcode: .ecdsaSignSHA256, certificateDigest: [UInt8](0..<32)),
            KeyMessage(opcode: .ecdsaSignSHA256, certificateID: "site-17"),
            KeyMessage(opcode: .ecdsaSignSHA256, extra: ByteBuffer(bytes: [1, 2, 3])),
            KeyMessage(opcode: .ecdsaSignSHA256, extra: ByteBuffer()),
            KeyMessage(opcode: .ecdsaSignSHA256, deadline: 0),
            KeyMessage(opcode: .ecdsaSignSHA256, deadline: .max),
            KeyMessage(opcode: Opcode(rawValue: 0x99)),
            KeyMessage(
                opcode: .custom, payload: payload, function: "latchstring.certificate/2", serverName: "a.example",
                clientIP: [10, 0, 0, 1], serverIP: [10, 0, 0, 2], ski: [UInt8](repeating: 1, count: 20),
                certificateDigest: [UInt8](repeating: 2, count: 32), certificateID: "id", extra: payload, deadline: 1500
            ),
        ]
        return bodies.enumerated().map { KeyPacket(id: 0xFFFF_FF00 + UInt32($0.offset), body: $0.element) }
    }()

    @Test("What was encoded is what is decoded", arguments: samples, [true, false])
    func roundTrip(packet: KeyPacket, padded: Bool) throws {
        let bytes = try encode([packet], padded: padded)
        if padded { #expect(bytes.readableBytes == 1024) }
        #expect(try decode(bytes) == [.packet(packet)])
    }

    @Test("The bytes are those of the published layout")
    func layout() throws {
        let packet = KeyPacket(
            id: 0x0102_0304,
            body: KeyMessage(opcode: .rsaSignSHA256, payload: ByteBuffer(bytes: [0xAA, 0xBB]), clientIP: [1, 2, 3, 4]))
        let bytes = try encode([packet], padded: false)
        let expected: [UInt8] = [
            0x01, 0x00, 0x00, 0x10, 0x01, 0x02, 0x03, 0x04,
            0x11, 0x00, 0x01, 0x05,
            0x03, 0x00, 0x04, 1, 2, 3, 4,
            0x12, 0x00, 0x02, 0xAA, 0xBB,
        ]
        #expect(Array(bytes.readableBytesView) == expected)
    }

    @Test(
        "Padding fills up to 1,024 bytes and leaves larger packets alone",
        arguments: [0, 1, 1008, 1009, 1010, 1011, 1012, 1013, 3000])
    func padding(payloadSize: Int) throws {
        // Header 8, opcode item 4, payload item header 3.
        let bare: Int = payloadSize == 0 ? 12 : 15 + payloadSize
        let packet = KeyPacket(
            id: 1, body: KeyMessage(opcode: .success, payload: ByteBuffer(repeating: 5, count: payloadSize)))
        let bytes = try encode([packet], padded: true)
        #expect(bytes.readableBytes == (bare <= 1021 ? 1024 : bare))
        #expect(try decode(bytes) == [.packet(packet)])
    }

    @Test("A body that no length field can hold is refused and leaves the buffer as it was")
    func tooLarge() throws {
        var buffer = ByteBuffer(bytes: [1, 2, 3])
        let fits = KeyMessage(opcode: .success, payload: ByteBuffer(repeating: 0, count: 65_528))
        try KeyPacket(id: 1, body: fits).encode(into: &buffer)
        #expect(buffer.readableBytes == 3 + 8 + 65_535)
        let before: ByteBuffer = buffer
        let large = KeyMessage(opcode: .success, payload: ByteBuffer(repeating: 0, count: 65_529))
        #expect(throws: KeyEncodingError.bodyTooLarge(65_536)) {
            try KeyPacket(id: 1, body: large).encode(into: &buffer)
        }
        let larger = KeyMessage(opcode: .success, payload: ByteBuffer(repeating: 0, count: 70_000))
        #expect(throws: KeyEncodingError.badItem(tag: 0x12, length: 70_000)) {
            try KeyPacket(id: 1, body: larger).encode(into: &buffer)
        }
        #expect(buffer == before)
    }

    @Test(
        "Items of impossible length or text cannot be encoded",
        arguments: [
            KeyMessage(opcode: .ping, ski: [1]),
            KeyMessage(opcode: .ping, certificateDigest: []),
            KeyMessage(opcode: .ping, clientIP: [1, 2, 3]),
            KeyMessage(opcode: .ping, serverIP: [UInt8](repeating: 0, count: 17)),
            KeyMessage(opcode: .ping, function: ""),
            KeyMessage(opcode: .ping, serverName: String(repeating: "a", count: 256)),
            KeyMessage(opcode: .ping, serverName: "a b"),
            KeyMessage(opcode: .ping, certificateID: "é"),
        ])
    func badItems(message: KeyMessage) {
        var buffer = ByteBuffer()
        #expect(throws: KeyEncodingError.self) { try KeyPacket(id: 1, body: message).encode(into: &buffer) }
        #expect(buffer.readableBytes == 0)
    }

    @Test("Error answers name their code", arguments: KeyErrorCode.allCases)
    func errorCodes(code: KeyErrorCode) throws {
        let packet = KeyPacket.failure(id: 3, code)
        #expect(packet.body.errorCode == code)
        #expect(try decode(try encode([packet], padded: true)) == [.packet(packet)])
    }

    @Test("An error answer without a known code counts as internal error")
    func unknownErrorCode() {
        #expect(KeyMessage(opcode: .error, payload: ByteBuffer(bytes: [0])).errorCode == .internalError)
        #expect(KeyMessage(opcode: .error, payload: ByteBuffer(bytes: [2, 2])).errorCode == .internalError)
        #expect(KeyMessage(opcode: .error).errorCode == .internalError)
        #expect(KeyMessage(opcode: .success).errorCode == nil)
    }

    @Test("Opcodes print as in specifications")
    func opcodeText() {
        #expect(Opcode.rsaDecrypt.description == "01")
        #expect(Opcode.success.description == "F0")
    }
}

func encode(_ packets: [KeyPacket], padded: Bool) throws -> ByteBuffer {
    var buffer = ByteBuffer()
    for packet in packets { try packet.encode(into: &buffer, padded: padded) }
    return buffer
}

func decode(_ bytes: ByteBuffer) throws -> [KeyPacketEvent] {
    try decode(pieces: [bytes])
}

func decode(pieces: [ByteBuffer]) throws -> [KeyPacketEvent] {
    var decoder = KeyPacketDecoder()
    var events: [KeyPacketEvent] = []
    for piece in pieces {
        decoder.receive(piece)
        while let event = try decoder.next() { events.append(event) }
    }
    return events
}
