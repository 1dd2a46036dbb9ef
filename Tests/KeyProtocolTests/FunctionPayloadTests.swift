import KeyProtocol
import NIOCore
import TLSWire
import Testing

@Suite("Key protocol: payloads of the custom functions")
struct FunctionPayloadTests {
    static let answer = CertificateAnswer(
        chain: [[1, 2, 3], [UInt8](repeating: 4, count: 1500)], ski: [UInt8](0..<20), modes: [.keyless, .relay],
        schemes: [.rsaPSSSHA256, .rsaPKCS1SHA256], notAfter: 1_900_000_000)

    @Test("A certificate answer survives the wire", arguments: [Set<TrustMode>(), [.relay], Set(TrustMode.allCases)])
    func certificateAnswer(modes: Set<TrustMode>) throws {
        var answer = Self.answer
        answer.modes = modes
        #expect(try CertificateAnswer(decoding: try answer.encoded()) == answer)
    }

    @Test("A certificate answer cut anywhere, or with a byte more, is refused")
    func truncatedAnswer() throws {
        let bytes: ByteBuffer = try Self.answer.encoded()
        for length in 0..<bytes.readableBytes {
            let cut: ByteBuffer = try #require(bytes.getSlice(at: 0, length: length))
            #expect(throws: KeyPayloadError.self) { try CertificateAnswer(decoding: cut) }
        }
        var longer: ByteBuffer = bytes
        longer.writeInteger(UInt8(0))
        #expect(throws: KeyPayloadError.trailingBytes) { try CertificateAnswer(decoding: longer) }
    }

    @Test("Counts and bits outside their bounds are refused")
    func badAnswerValues() throws {
        let bytes: ByteBuffer = try Self.answer.encoded()
        func changed(_ offset: Int, _ value: UInt8) -> ByteBuffer {
            var copy: ByteBuffer = bytes
            copy.setInteger(value, at: offset)
            return copy
        }
        #expect(throws: KeyPayloadError.badValue("modes")) { try CertificateAnswer(decoding: changed(28, 0x08)) }
        for count: UInt8 in [0, 33, 255] {
            #expect(throws: KeyPayloadError.badValue("number of schemes")) {
                try CertificateAnswer(decoding: changed(29, count))
            }
        }
        for count: UInt8 in [0, 11, 255] {
            #expect(throws: KeyPayloadError.badValue("number of certificates")) {
                try CertificateAnswer(decoding: changed(34, count))
            }
        }
        var empty: ByteBuffer = bytes
        empty.setInteger(UInt16(0), at: 35)
        #expect(throws: KeyPayloadError.badValue("empty certificate")) { try CertificateAnswer(decoding: empty) }
    }

    @Test("What does not fit cannot be encoded")
    func answerBounds() {
        var answer = Self.answer
        answer.chain = []
        #expect(throws: KeyEncodingError.self) { try answer.encoded() }
        answer.chain = [[]]
        #expect(throws: KeyEncodingError.self) { try answer.encoded() }
        answer.chain = Array(repeating: [UInt8](repeating: 0, count: 30_000), count: 3)
        #expect(throws: KeyEncodingError.self) { try answer.encoded() }
        answer = Self.answer
        answer.ski = []
        #expect(throws: KeyEncodingError.self) { try answer.encoded() }
        answer = Self.answer
        answer.schemes = []
        #expect(throws: KeyEncodingError.self) { try answer.encoded() }
    }

    @Test("A TLS 1.3 request carries a hash of 32 or 48 bytes and nothing else")
    func signTLS13() throws {
        for length in 0...70 {
            var payload = ByteBuffer(integer: SignatureScheme.ecdsaP256SHA256.rawValue)
            payload.writeRepeatingByte(8, count: length)
            if length == 32 || length == 48 {
                let request = try SignTLS13Request(decoding: payload)
                #expect(request.scheme == .ecdsaP256SHA256)
                #expect(request.transcriptHash == [UInt8](repeating: 8, count: length))
                #expect(request.encoded() == payload)
            } else {
                #expect(throws: KeyPayloadError.self) { try SignTLS13Request(decoding: payload) }
            }
        }
        #expect(throws: KeyPayloadError.truncated) { try SignTLS13Request(decoding: ByteBuffer(bytes: [4])) }
    }

    /// Two randoms and x25519 parameters.
    static let exchange: [UInt8] =
        [UInt8](repeating: 1, count: 32) + [UInt8](repeating: 2, count: 32) + [3, 0, 29, 32]
        + [UInt8](repeating: 9, count: 32)

    @Test("A TLS 1.2 request carries checked parameters")
    func signTLS12() throws {
        let exchange = try TLS12ServerKeyExchange(signedContent: Self.exchange)
        let request = SignTLS12Request(scheme: .rsaPSSSHA256, exchange: exchange)
        #expect(try SignTLS12Request(decoding: request.encoded()) == request)
        for length in 0..<(2 + Self.exchange.count) {
            let cut: ByteBuffer = try #require(request.encoded().getSlice(at: 0, length: length))
            #expect(throws: KeyPayloadError.self) { try SignTLS12Request(decoding: cut) }
        }
        var longer: ByteBuffer = request.encoded()
        longer.writeInteger(UInt8(0))
        #expect(throws: KeyPayloadError.self) { try SignTLS12Request(decoding: longer) }
    }
}
