import KeyProtocol
import NIOCore
import TLSWire
import Testing

@Suite("Key protocol: payloads of the custom functions")
struct FunctionPayloadTests {
    static let answer = CertificateAnswer(
        modes: [.keyless, .relay], rate: 2000,
        chains: [
            CertificateChain(
                certificates: [[1, 2, 3], [UInt8](repeating: 4, count: 1500)], ski: [UInt8](0..<20),
                schemes: [.rsaPSSSHA256, .rsaPKCS1SHA256], notAfter: 1_900_000_000),
            CertificateChain(
                certificates: [[5]], ski: [UInt8](1...20), schemes: [.ecdsaP256SHA256], notAfter: 1_800_000_000),
        ])

    @Test("A certificate answer survives the wire", arguments: [Set<TrustMode>(), [.relay], Set(TrustMode.allCases)])
    func certificateAnswer(modes: Set<TrustMode>) throws {
        var answer = Self.answer
        answer.modes = modes
        #expect(try CertificateAnswer(decoding: try answer.encoded()) == answer)
        for count in 1...8 {
            answer.chains = (0..<count).map { index in
                var chain = Self.answer.chains[0]
                chain.ski[0] = UInt8(100 + index)
                return chain
            }
            #expect(try CertificateAnswer(decoding: try answer.encoded()) == answer)
        }
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
        // Modes 1, rate 4, chains 1; then not-after 8, key identifier 20, schemes 1.
        #expect(throws: KeyPayloadError.badValue("modes")) { try CertificateAnswer(decoding: changed(0, 0x08)) }
        for count: UInt8 in [0, 9, 255] {
            #expect(throws: KeyPayloadError.badValue("number of chains")) {
                try CertificateAnswer(decoding: changed(5, count))
            }
        }
        for count: UInt8 in [0, 33, 255] {
            #expect(throws: KeyPayloadError.badValue("number of schemes")) {
                try CertificateAnswer(decoding: changed(34, count))
            }
        }
        for count: UInt8 in [0, 11, 255] {
            #expect(throws: KeyPayloadError.badValue("number of certificates")) {
                try CertificateAnswer(decoding: changed(39, count))
            }
        }
        var empty: ByteBuffer = bytes
        empty.setInteger(UInt16(0), at: 40)
        #expect(throws: KeyPayloadError.badValue("empty certificate")) { try CertificateAnswer(decoding: empty) }
        // Operations name a chain by its key identifier: two of them cannot share it.
        var twins = ByteBuffer(bytes: bytes.readableBytesView.prefix(5))
        twins.writeInteger(UInt8(2))
        var one = Self.answer
        one.chains = [Self.answer.chains[1]]
        let chain = try one.encoded().readableBytesView.dropFirst(6)
        twins.writeBytes(chain)
        twins.writeBytes(chain)
        #expect(throws: KeyPayloadError.badValue("key identifier")) { try CertificateAnswer(decoding: twins) }
    }

    @Test("What does not fit cannot be encoded")
    func answerBounds() {
        func refused(_ change: (inout CertificateAnswer) -> Void) -> Bool {
            var answer = Self.answer
            change(&answer)
            return (try? answer.encoded()) == nil
        }
        #expect(refused { $0.chains = [] })
        #expect(refused { $0.chains[1].ski = $0.chains[0].ski })
        #expect(
            refused { answer in
                answer.chains = (0..<9).map { index in
                    var chain = answer.chains[0]
                    chain.ski[0] = UInt8(100 + index)
                    return chain
                }
            })
        #expect(refused { $0.chains[0].certificates = [] })
        #expect(refused { $0.chains[0].certificates = [[]] })
        #expect(
            refused { $0.chains[0].certificates = Array(repeating: [UInt8](repeating: 0, count: 30_000), count: 3) })
        #expect(refused { $0.chains[0].ski = [] })
        #expect(refused { $0.chains[0].schemes = [] })
        #expect(!refused { _ in })
    }

    @Test("A lease's request and answer survive the wire, and nothing else passes for them")
    func lease() throws {
        for generation: UInt64 in [0, 1, .max] {
            let request = LeaseRequest(generation: generation)
            #expect(try LeaseRequest(decoding: request.encoded()) == request)
            #expect(request.encoded().readableBytes == 8)
        }
        let answer = LeaseAnswer(milliseconds: 600_000, generation: 7)
        let bytes: ByteBuffer = answer.encoded()
        #expect(Array(bytes.readableBytesView) == [0, 0x09, 0x27, 0xC0, 0, 0, 0, 0, 0, 0, 0, 7])
        #expect(try LeaseAnswer(decoding: bytes) == answer)
        for length in 0..<12 {
            #expect(throws: KeyPayloadError.truncated) {
                try LeaseAnswer(decoding: ByteBuffer(repeating: 1, count: length))
            }
            guard length != 8 else { continue }
            let error: KeyPayloadError = length < 8 ? .truncated : .trailingBytes
            #expect(throws: error) { try LeaseRequest(decoding: ByteBuffer(repeating: 1, count: length)) }
        }
        #expect(throws: KeyPayloadError.trailingBytes) {
            try LeaseAnswer(decoding: ByteBuffer(repeating: 1, count: 13))
        }
        for milliseconds: UInt32 in [0, 999, 604_800_001, .max] {
            let answer = LeaseAnswer(milliseconds: milliseconds, generation: 7)
            #expect(throws: KeyPayloadError.badValue("time of the lease")) {
                try LeaseAnswer(decoding: answer.encoded())
            }
        }
        #expect(throws: KeyPayloadError.badValue("generation")) {
            try LeaseAnswer(decoding: LeaseAnswer(milliseconds: 1000, generation: 0).encoded())
        }
    }

    @Test("Stock peers get no code that they don't know")
    func stockCodes() {
        for code in KeyErrorCode.allCases where code != .noGrant { #expect(code.stock.rawValue <= 10) }
        #expect(KeyErrorCode.expired.stock == .expired)
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
}
