import NIOCore
import TLSWire
import Testing

@Suite("ServerHello, alerts, names")
struct ServerHelloTests {
    static func message(
        version: UInt16 = 0x0303, random: [UInt8] = [UInt8](repeating: 5, count: 32), suite: UInt16 = 0x1301,
        extensions: [(UInt16, [UInt8])]?
    ) -> [UInt8] {
        var body: [UInt8] = uint16(version) + random + vector8([1, 2, 3]) + uint16(suite) + [0]
        if let extensions {
            body += vector16(extensions.flatMap { uint16($0.0) + vector16($0.1) })
        }
        return [2, 0] + vector16(body)
    }

    static func parse(_ message: [UInt8]) throws(ServerHelloError) -> ServerHello {
        try ServerHello(parsing: ByteBuffer(bytes: message))
    }

    @Test("TLS 1.3")
    func tls13() throws {
        let message: [UInt8] = Self.message(extensions: [
            (43, [3, 4]), (51, uint16(0x11EC) + vector16([1, 2, 3])), (41, [0, 0]),
        ])
        let hello = try Self.parse(message)
        #expect(hello.version == TLSVersion.tls13 && hello.cipherSuite == 0x1301)
        #expect(hello.group == TLSGroup.x25519MLKEM768 && !hello.isHelloRetryRequest && hello.selectsPreSharedKey)
        for count in 0..<message.count {
            #expect(throws: ServerHelloError.badLength) { try Self.parse(Array(message[..<count])) }
        }
    }

    @Test("HelloRetryRequest")
    func helloRetryRequest() throws {
        let random: [UInt8] = Hex.bytes("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
        let hello = try Self.parse(Self.message(random: random, extensions: [(43, [3, 4]), (51, [0, 23])]))
        #expect(hello.isHelloRetryRequest && hello.group == TLSGroup.secp256r1)
    }

    @Test("TLS 1.2, with and without extensions")
    func tls12() throws {
        let hello = try Self.parse(Self.message(suite: 0xC02B, extensions: [(16, vector16(vector8(Array("h2".utf8))))]))
        #expect(hello.version == TLSVersion.tls12 && hello.applicationProtocol == Array("h2".utf8))
        #expect(try Self.parse(Self.message(extensions: nil)).group == nil)
    }

    @Test("what is wrong with others")
    func bad() {
        #expect(throws: ServerHelloError.duplicateExtension(43)) {
            try Self.parse(Self.message(extensions: [(43, [3, 4]), (43, [3, 4])]))
        }
        #expect(throws: ServerHelloError.badLength) { try Self.parse(Self.message(extensions: [(51, [0, 23])])) }
        #expect(throws: ServerHelloError.badLength) { try Self.parse(Self.message(extensions: [(43, [3])])) }
        #expect(throws: ServerHelloError.notServerHello) { try Self.parse(HelloBuilder().message) }
    }

    @Test("alert records")
    func alerts() {
        let record: ByteBuffer = Alert(.unrecognizedName).record()
        #expect(Array(record.readableBytesView) == [21, 3, 3, 0, 2, 2, 112])
        #expect(Array(Alert(.closeNotify).record(version: 0x0301).readableBytesView) == [21, 3, 1, 0, 2, 1, 0])
        #expect(Alert(payload: ByteBuffer(bytes: [2, 70])) == Alert(.protocolVersion))
        #expect(Alert(payload: ByteBuffer(bytes: [2, 70, 0])) == nil)
        #expect(Alert(payload: ByteBuffer(bytes: [3, 70])) == nil)
        #expect(Alert(payload: ByteBuffer(bytes: [2, 255])) == nil)
        #expect(Set(Alert.Description.allCases.map(\.name)).count == Alert.Description.allCases.count)
        #expect(Alert.Description.unrecognizedName.name == "unrecognized_name")
    }

    @Test("names of numbers")
    func names() {
        #expect(TLSNames.version(0x0304) == "TLS 1.3")
        #expect(TLSNames.version(0x7F1C) == "0x7F1C")
        #expect(TLSNames.group(0x11EC) == "X25519MLKEM768")
        #expect(TLSNames.group(0x3A3A) == "GREASE")
        #expect(TLSNames.cipherSuite(0x1302) == "TLS_AES_256_GCM_SHA384")
        #expect(TLSNames.cipherSuite(0x0005) == "0x0005")
        #expect(TLSNames.alert(112) == "unrecognized_name" && TLSNames.alert(200) == "alert 200")
        #expect(TLSNames.signatureScheme(0x0804) == "rsa_pss_rsae_sha256")
        #expect(TLSNames.handshakeType(1) == "ClientHello" && TLSNames.handshakeType(77) == "handshake message 77")
        #expect(TLSNames.isGREASE(0xFAFA) && !TLSNames.isGREASE(0xFA0A) && !TLSNames.isGREASE(0x0A1A))
    }

    @Test("record headers")
    func recordHeaders() {
        let buffer = ByteBuffer(bytes: [9, 22, 3, 1, 0x40, 0x01])
        #expect(
            RecordHeader(in: buffer, at: 1) == RecordHeader(contentType: 22, version: 0x0301, payloadLength: 0x4001))
        #expect(RecordHeader(in: buffer, at: 2) == nil)
    }
}
