import NIOCore
import Testing

@testable import TLSWire

@Suite("ClientHello: strict parsing")
struct ClientHelloTests {
    static func parse(_ builder: HelloBuilder) throws(ClientHelloError) -> ClientHello {
        try ClientHello(parsing: ByteBuffer(bytes: builder.message))
    }

    static func parse(_ captured: CapturedHello) throws -> ClientHello {
        try ClientHello(parsing: ByteBuffer(bytes: captured.message))
    }

    static func error(_ builder: HelloBuilder) -> ClientHelloError? {
        do {
            _ = try parse(builder)
            return nil
        } catch {
            return error
        }
    }

    @Test("numbers are seen once, however large and however many")
    func numberSet() {
        for numbers in [[0, 63, 64, 127, 128, 0xFFFF], Array(stride(from: UInt16(1), to: 2000, by: 7))] {
            var seen = NumberSet()
            let first = numbers.filter { seen.insert($0) }
            let second = numbers.filter { seen.insert($0) }
            #expect(first == numbers && second.isEmpty)
        }
    }

    @Test("openssl, TLS 1.3")
    func openSSL13() throws {
        let hello = try Self.parse(.openSSL13)
        #expect(hello.serverName?.rawValue == "www.example.test")
        #expect(hello.applicationProtocols == [Array("h2".utf8), Array("http/1.1".utf8)])
        #expect(hello.supportedVersions.first == TLSVersion.tls13)
        #expect(hello.keyShareGroups == [TLSGroup.x25519])
        #expect(hello.supportedGroups.contains(TLSGroup.secp256r1))
        #expect(hello.signatureSchemes.contains(.ecdsaP256SHA256))
        #expect(hello.cipherSuites.contains(0x1302))
        #expect(hello.random == Array(CapturedHello.openSSL13.message[6..<38]))
        #expect(hello.offersTLS12OrLater && !hello.offersEarlyData && !hello.offersPreSharedKey)
    }

    @Test("openssl, TLS 1.2, name in upper case")
    func openSSL12() throws {
        let hello = try Self.parse(.openSSL12)
        #expect(hello.serverName?.rawValue == "old.example.test")
        #expect(hello.supportedVersions == [TLSVersion.tls12])
        #expect(hello.keyShareGroups.isEmpty && hello.offersTLS12OrLater)
    }

    @Test("TLS 1.0 only")
    func openSSL10() throws {
        let hello = try Self.parse(.openSSL10)
        #expect(hello.supportedVersions == [TLSVersion.tls10])
        #expect(!hello.offersTLS12OrLater)
    }

    @Test("other clients")
    func others() throws {
        #expect(try Self.parse(.openSSLWithoutName).serverName == nil)
        #expect(try Self.parse(.curl).serverName?.rawValue == "bank.example.test")
        #expect(try Self.parse(.node).serverName?.rawValue == "pq.example.test")
        let resuming = try Self.parse(.resuming)
        #expect(resuming.offersEarlyData && resuming.offersPreSharedKey)
        let postQuantum = try Self.parse(.postQuantum)
        #expect(postQuantum.keyShareGroups.contains(TLSGroup.x25519MLKEM768))
        #expect(postQuantum.serverName?.rawValue == "www.example.test")
    }

    @Test("truncated at every length", arguments: CapturedHello.all)
    func truncated(captured: CapturedHello) {
        for count in 0..<captured.message.count {
            #expect(throws: ClientHelloError.self) {
                try ClientHello(parsing: ByteBuffer(bytes: captured.message[..<count]))
            }
        }
    }

    @Test("a truncation that the outer lengths agree with", arguments: CapturedHello.all)
    func consistentlyTruncated(captured: CapturedHello) {
        // Cut, and put the message's length right: something inside must still be found wrong, but for the cut right
        // behind the compression methods, where TLS 1.2 lets a hello end.
        var accepted = 0
        for count in 4..<captured.message.count {
            var message: [UInt8] = Array(captured.message[..<count])
            message[2] = UInt8((count - 4) >> 8)
            message[3] = UInt8((count - 4) & 0xFF)
            if (try? ClientHello(parsing: ByteBuffer(bytes: message))) != nil { accepted += 1 }
        }
        #expect(accepted == 1)
    }

    @Test("minimal hellos")
    func minimal() throws {
        var builder = HelloBuilder()
        #expect(try Self.parse(builder).serverName == nil)
        builder.extensions = nil
        let hello = try Self.parse(builder)
        #expect(hello.supportedVersions == [TLSVersion.tls12] && hello.applicationProtocols.isEmpty)
    }

    @Test("lengths of the fixed part")
    func fixedPart() {
        var builder = HelloBuilder()
        builder.trailing = [0]
        #expect(Self.error(builder) == .badLength(.message))
        builder = HelloBuilder()
        builder.sessionID = [UInt8](repeating: 1, count: 33)
        #expect(Self.error(builder) == .badLength(.sessionID))
        builder = HelloBuilder()
        builder.cipherSuites = [0x13]
        #expect(Self.error(builder) == .badLength(.cipherSuites))
        builder.cipherSuites = []
        #expect(Self.error(builder) == .badLength(.cipherSuites))
        builder = HelloBuilder()
        builder.compressionMethods = []
        #expect(Self.error(builder) == .badLength(.compressionMethods))
        var message: [UInt8] = HelloBuilder().message
        message[3] &+= 1
        #expect(throws: ClientHelloError.badLength(.message)) { try ClientHello(parsing: ByteBuffer(bytes: message)) }
        message = HelloBuilder().message + [0]
        #expect(throws: ClientHelloError.badLength(.message)) { try ClientHello(parsing: ByteBuffer(bytes: message)) }
        message[0] = 2
        #expect(throws: ClientHelloError.notClientHello) { try ClientHello(parsing: ByteBuffer(bytes: message)) }
    }

    @Test("compression methods")
    func compression() {
        var builder = HelloBuilder()
        builder.compressionMethods = [1]
        #expect(Self.error(builder) == .badCompressionMethods)
        builder.compressionMethods = [1, 0]
        #expect(Self.error(builder) == nil)
        builder.extensions = [(43, vector8([3, 4]))]
        #expect(Self.error(builder) == .badCompressionMethods)
    }

    @Test("duplicate extensions, known and unknown")
    func duplicates() {
        #expect(Self.error(HelloBuilder(sni("a.test"), sni("a.test"))) == .duplicateExtension(0))
        #expect(
            Self.error(HelloBuilder((0xABCD, []), (0, vector16([0] + vector16([97]))), (0xABCD, [])))
                == .duplicateExtension(0xABCD))
        #expect(Self.error(HelloBuilder((0x0A0A, []), (0x1A1A, [0]))) == nil)
    }

    @Test("an extension's length that lies")
    func extensionLengths() {
        // The block says one byte less than the extension in it needs.
        var builder = HelloBuilder()
        builder.extensions = nil
        builder.trailing = vector16([0xAB, 0xCD, 0, 2, 9])
        #expect(Self.error(builder) == .badLength(.extensions))
        builder.trailing = vector16([0xAB, 0xCD, 0])
        #expect(Self.error(builder) == .badLength(.extensions))
        builder.trailing = [0, 9, 0xAB]
        #expect(Self.error(builder) == .badLength(.extensions))
        builder.trailing = [0]
        #expect(Self.error(builder) == .badLength(.extensions))
    }

    @Test("pre_shared_key must be last")
    func preSharedKey() throws {
        #expect(Self.error(HelloBuilder((41, [1]), (0x0A0A, []))) == .preSharedKeyNotLast)
        let hello = try Self.parse(HelloBuilder((42, []), (41, [1])))
        #expect(hello.offersPreSharedKey && hello.offersEarlyData)
        #expect(Self.error(HelloBuilder((42, [0]))) == .badLength(.earlyData))
    }

    @Test("server_name: lengths")
    func serverNameLengths() {
        let wrong: [[UInt8]] = [
            [], [0], [0, 0], [0, 1, 0], [0, 3, 0, 0, 0], [0, 4, 0, 0, 2, 97], [0, 5, 0, 0, 1, 97],
            [0, 4, 0, 0, 1, 97, 0], [0, 3, 0, 0, 1, 97], [0, 6, 0, 0, 1, 97, 0, 0],
        ]
        for body: [UInt8] in wrong {
            #expect(Self.error(HelloBuilder((0, body))) == .badLength(.serverName), "\(body)")
        }
    }

    @Test("server_name: several names, other types")
    func serverNameTypes() {
        let name: [UInt8] = vector16(Array("a.test".utf8))
        #expect(Self.error(HelloBuilder((0, vector16([0] + name + [0] + name)))) == .severalServerNames)
        #expect(Self.error(HelloBuilder((0, vector16([1] + name + [0] + name)))) == .unknownServerNameType(1))
        #expect(Self.error(HelloBuilder((0, vector16([0] + name + [7] + name)))) == .unknownServerNameType(7))
    }

    @Test(
        "server_name: names that are not host names",
        arguments: [
            ("a.test.", .trailingDot), ("127.0.0.1", .ipAddress), ("::1", .ipAddress), ("[::1]", .ipAddress),
            ("a b", .illegalCharacter(0x20)), ("a\0b.test", .illegalCharacter(0)),
            ("*.a.test", .illegalCharacter(0x2A)),
            ("ä.test", .illegalCharacter(0xC3)), ("a..test", .emptyLabel), (".a", .emptyLabel),
            ("a.test:443", .illegalCharacter(0x3A)), ("a/../b", .illegalCharacter(0x2F)),
        ] as [(String, ServerNameError)])
    func badServerNames(name: String, expected: ServerNameError) {
        let error: ClientHelloError? = Self.error(HelloBuilder(sni(name)))
        #expect(error == .badServerName(expected))
        #expect(error?.alert == .illegalParameter)
    }

    @Test("a name of 64 KiB is refused")
    func longName() {
        let name = [UInt8](repeating: 97, count: 60_000)
        #expect(Self.error(HelloBuilder(sni(name))) == .badServerName(.tooLong))
    }

    @Test("lists of numbers")
    func numberLists() throws {
        for (type, part) in [(10, .supportedGroups), (13, .signatureAlgorithms)] as [(UInt16, ClientHelloError.Part)] {
            for body in [[], [0], [0, 0], [0, 1, 9], [0, 3, 1, 2, 3], [0, 4, 1, 2], [0, 2, 1, 2, 3]] as [[UInt8]] {
                #expect(Self.error(HelloBuilder((type, body))) == .badLength(part), "\(body)")
            }
        }
        for body in [[], [0], [1, 3], [3, 3, 4, 3], [4, 3, 4], [2, 3, 4, 0]] as [[UInt8]] {
            #expect(Self.error(HelloBuilder((43, body))) == .badLength(.supportedVersions), "\(body)")
        }
        let hello = try Self.parse(
            HelloBuilder((10, vector16([0x2A, 0x2A, 0, 29])), (43, vector8([0x1A, 0x1A, 3, 2]))))
        #expect(hello.supportedGroups == [0x2A2A, 29])
        #expect(hello.supportedVersions == [0x1A1A, 0x0302] && !hello.offersTLS12OrLater)
    }

    @Test("ALPN")
    func applicationProtocols() {
        for body in [[], [0, 0], [0, 1, 0], [0, 2, 0, 0], [0, 3, 2, 97], [0, 3, 1, 97, 5], [0, 2, 1, 97, 0]]
            as [[UInt8]]
        {
            #expect(Self.error(HelloBuilder((16, body))) == .badLength(.applicationProtocols), "\(body)")
        }
    }

    @Test("key shares")
    func keyShares() throws {
        #expect(try Self.parse(HelloBuilder((51, [0, 0]))).keyShareGroups.isEmpty)
        let share: [UInt8] = [0, 29] + vector16([1, 2, 3])
        #expect(Self.error(HelloBuilder((51, vector16(share + share)))) == .duplicateKeyShare(29))
        for body in [[], [0], [0, 1, 0], [0, 4, 0, 29, 0, 0], [0, 5, 0, 29, 0, 2, 1], vector16(share) + [0]]
            as [[UInt8]]
        {
            #expect(Self.error(HelloBuilder((51, body))) == .badLength(.keyShare), "\(body)")
        }
    }

    @Test("a version newer than TLS 1.2 in the legacy field means TLS 1.2")
    func legacyVersion() throws {
        var builder = HelloBuilder()
        builder.version = 0x0304
        #expect(try Self.parse(builder).supportedVersions == [TLSVersion.tls12])
    }
}
