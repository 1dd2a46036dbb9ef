import TLSWire
import Testing

@Suite("What TLS servers sign")
struct SignedContentTests {
    static let randoms: ([UInt8], [UInt8]) = (
        [UInt8](repeating: 0x20, count: 32), [UInt8](repeating: 0x21, count: 32)
    )

    static func parameters(_ group: UInt16, _ count: Int, first: UInt8 = 4) -> [UInt8] {
        [3] + uint16(group) + vector8([first] + [UInt8](repeating: 9, count: count - 1))
    }

    static func error(_ parameters: [UInt8]) -> TLS12ParametersError? {
        do {
            _ = try TLS12ServerKeyExchange(clientRandom: randoms.0, serverRandom: randoms.1, parameters: parameters)
            return nil
        } catch {
            return error
        }
    }

    @Test("TLS 1.3: content and its inverse", arguments: [32, 48])
    func tls13(count: Int) {
        let hash: [UInt8] = (0..<count).map { UInt8($0) }
        let content: [UInt8] = TLS13ServerSignature.content(transcriptHash: hash)
        #expect(content.count == 98 + count)
        #expect(String(decoding: content[64..<97], as: UTF8.self) == "TLS 1.3, server CertificateVerify")
        #expect(content[97] == 0)
        #expect(TLS13ServerSignature.transcriptHash(fromContent: content) == hash)
        for index in 0..<98 {
            var changed: [UInt8] = content
            changed[index] ^= 1
            #expect(TLS13ServerSignature.transcriptHash(fromContent: changed) == nil)
        }
    }

    @Test("TLS 1.3: hashes of other lengths")
    func tls13Lengths() {
        for count in [0, 1, 20, 31, 33, 47, 49, 64] {
            let content: [UInt8] = TLS13ServerSignature.content(
                transcriptHash: [UInt8](repeating: 1, count: count))
            #expect(TLS13ServerSignature.transcriptHash(fromContent: content) == nil)
            #expect(TLS13ServerSignature.transcriptHash(fromContent: Array(content.prefix(count))) == nil)
        }
    }

    @Test("TLS 1.2: every group, round trip", arguments: [(29, 32), (23, 65), (24, 97)] as [(UInt16, Int)])
    func tls12(group: UInt16, count: Int) throws {
        let exchange = try TLS12ServerKeyExchange(
            clientRandom: Self.randoms.0, serverRandom: Self.randoms.1, parameters: Self.parameters(group, count))
        #expect(exchange.group == group)
        #expect(exchange.signedContent.count == 68 + count)
        #expect(try TLS12ServerKeyExchange(signedContent: exchange.signedContent) == exchange)
        // Neither one byte less nor one more.
        #expect(throws: TLS12ParametersError.pointLength) {
            try TLS12ServerKeyExchange(signedContent: exchange.signedContent.dropLast())
        }
        #expect(throws: TLS12ParametersError.pointLength) {
            try TLS12ServerKeyExchange(signedContent: exchange.signedContent + [0])
        }
        #expect(Self.error(Self.parameters(group, count - 1)) == .pointLength)
        #expect(Self.error(Self.parameters(group, count + 1)) == .pointLength)
    }

    @Test("TLS 1.2: parameters that are refused")
    func tls12Bad() {
        #expect(Self.error([]) == .parametersLength)
        #expect(Self.error([3, 0, 29]) == .parametersLength)
        #expect(Self.error([3, 0, 29, 0]) == .pointLength)
        var explicit: [UInt8] = Self.parameters(23, 65)
        explicit[0] = 1
        #expect(Self.error(explicit) == .notNamedCurve)
        #expect(Self.error(Self.parameters(30, 56)) == .unknownGroup(30))
        // No edge offers it, and it has the longest points: the most room for chosen bytes.
        #expect(Self.error(Self.parameters(25, 133)) == .unknownGroup(25))
        #expect(Self.error([3, 0, 29, 32] + [UInt8](repeating: 0, count: 32)) == .zeroKey)
        #expect(Self.error(Self.parameters(0x11EC, 32)) == .unknownGroup(0x11EC))
        #expect(Self.error(Self.parameters(23, 65, first: 2)) == .pointFormat)
        #expect(Self.error(Self.parameters(23, 33, first: 2)) == .pointLength)
        #expect(Self.error(Self.parameters(29, 32, first: 0)) == nil)
    }

    @Test("TLS 1.2: randoms")
    func tls12Randoms() {
        let parameters: [UInt8] = Self.parameters(29, 32)
        let spaces = [UInt8](repeating: 0x20, count: 32)
        #expect(throws: TLS12ParametersError.tls13Prefix) {
            try TLS12ServerKeyExchange(clientRandom: spaces, serverRandom: spaces, parameters: parameters)
        }
        #expect(throws: TLS12ParametersError.randomLength) {
            try TLS12ServerKeyExchange(clientRandom: spaces + [1], serverRandom: spaces, parameters: parameters)
        }
        #expect(throws: TLS12ParametersError.randomLength) {
            try TLS12ServerKeyExchange(clientRandom: spaces, serverRandom: [], parameters: parameters)
        }
        #expect(throws: TLS12ParametersError.contentLength) { try TLS12ServerKeyExchange(signedContent: spaces) }
        #expect(throws: TLS12ParametersError.contentLength) {
            try TLS12ServerKeyExchange(signedContent: [UInt8](repeating: 3, count: 100_000))
        }
    }

    @Test("neither kind of content can be taken for the other")
    func disjoint() throws {
        for count in [32, 48] {
            let content: [UInt8] = TLS13ServerSignature.content(transcriptHash: [UInt8](repeating: 3, count: count))
            #expect(throws: TLS12ParametersError.self) { try TLS12ServerKeyExchange(signedContent: content) }
        }
        for (group, count) in [(29, 32), (23, 65), (24, 97)] as [(UInt16, Int)] {
            let exchange = try TLS12ServerKeyExchange(
                clientRandom: Self.randoms.0, serverRandom: Self.randoms.1, parameters: Self.parameters(group, count))
            #expect(TLS13ServerSignature.transcriptHash(fromContent: exchange.signedContent) == nil)
        }
    }
}
