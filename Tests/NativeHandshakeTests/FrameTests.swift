import NIOCore
import TLSWire
import Testing

@testable import NativeHandshake

@Suite struct FrameTests {
    @Test func firstBytesBelongToNoOtherProtocol() {
        for type in [NativeRecordType.handshake, .alert, .protected] {
            #expect(!(0x14...0x18).contains(type.rawValue))
            #expect(type.rawValue != 0x80 && type.rawValue > 0x7F)
        }
    }

    @Test func recordsMayArriveByteByByte() throws {
        var client = NativeClientMachine(variant: .originDerived, serverName: try ServerName(Wire.name))
        let hello: ByteBuffer = try client.start()
        var reader = NativeFrameReader(from: .client)
        for (index, byte) in hello.readableBytesView.enumerated() {
            #expect(try reader.next() == nil)
            reader.receive(ByteBuffer(bytes: [byte]))
            #expect(reader.isInsideRecord)
            if index == hello.readableBytes - 1 {
                let frame: NativeFrame = try #require(try reader.next())
                #expect(frame.record == hello)
                #expect(try NativeHello(frame).serverName.rawValue == Wire.name)
            }
        }
        #expect(!reader.isInsideRecord)
    }

    @Test(
        arguments: [
            ([0x16, 3, 1, 0, 5], NativeError.notNative), ([0x47], .notNative), ([0xC1, 2], .unsupportedVersion(2)),
            ([0xC1, 1, 0x04, 0x01], .tooLarge), ([0xF6, 1, 0x40, 0x12], .tooLarge),
            ([0xF5, 1, 0, 2], .malformed("alert length")),
        ] as [([UInt8], NativeError)])
    func badHeadersAreRefusedBeforeTheBodyArrives(_ bytes: [UInt8], _ expected: NativeError) {
        var reader = NativeFrameReader(from: .client)
        reader.receive(ByteBuffer(bytes: bytes))
        #expect(throws: expected) { try reader.next() }
    }

    @Test func whatWaitsForItsRestDoesNotKeepTheRead() throws {
        let record: [UInt8] = [0xF6, 1, 0, 20] + Array(repeating: 0, count: 20)
        var reader = NativeFrameReader(from: .client)
        for rest in [0, 3, 23] {
            var read = ByteBuffer()
            read.reserveCapacity(262_144)
            read.writeBytes(record + record.prefix(rest))
            reader.receive(read)
            #expect(try reader.next()?.record.readableBytes == 24)
            #expect(try reader.next() == nil)
            #expect(reader.keptBytes <= 1024 && reader.isInsideRecord == (rest > 0))
            var missing = ByteBuffer()
            missing.reserveCapacity(262_144)
            missing.writeBytes(record.dropFirst(rest))
            reader.receive(missing)
            #expect(try reader.next()?.record == ByteBuffer(bytes: record))
            #expect(try reader.next() == nil)
        }
    }

    @Test func anOriginMaySendMoreThanAClient() throws {
        var reader = NativeFrameReader(from: .origin)
        reader.receive(ByteBuffer(bytes: [0xC1, 1, 0x80, 0x00]))
        #expect(try reader.next() == nil)
        reader = NativeFrameReader(from: .origin)
        reader.receive(ByteBuffer(bytes: [0xC1, 1, 0x80, 0x01]))
        #expect(throws: NativeError.tooLarge) { try reader.next() }
    }

    @Test func everyMessageTakesItsOwnBytesAndNoOthers() throws {
        let outcome = try Wire(variant: .originDerived).run()
        for sent in outcome.sent {
            let frame: NativeFrame = try firstFrame(ByteBuffer(bytes: sent.bytes))
            #expect(try Self.again(frame) == frame.record)
            // Shorter and longer bodies with a length to match.
            for body in [Array(sent.bytes[4...].dropLast()), Array(sent.bytes[4...]) + [0], [sent.bytes[4]]] {
                let bytes: [UInt8] = [0xC1, 1, UInt8(body.count >> 8), UInt8(body.count & 0xFF)] + body
                let changed: NativeFrame = try firstFrame(ByteBuffer(bytes: bytes))
                #expect(throws: NativeError.self) { try Self.again(changed) }
            }
        }
        let empty: NativeFrame = try firstFrame(ByteBuffer(bytes: [0xC1, 1, 0, 0]))
        #expect(throws: NativeError.malformed("empty message")) { try NativeHello(empty) }
    }

    private static func again(_ frame: NativeFrame) throws -> ByteBuffer {
        switch frame.record.getInteger(at: 4, as: UInt8.self) {
        case 1: try NativeHello(frame).record()
        case 2: try CertificateInformation.decode(frame).record()
        case 3: try Proof.decode(frame).record()
        case 4: try KeyGenerationInformation.decode(frame).record()
        case 5: try SecondRandom.decode(frame).record()
        default: try Finished.decode(frame).record()
        }
    }

    @Test func namesHaveOneSpelling() throws {
        var client = NativeClientMachine(variant: .originDerived, serverName: try ServerName("a.test"))
        let hello: [UInt8] = Array(try client.start().readableBytesView)
        for name in ["A.test", "a..est", "1.2.3.4", "a test"] {
            var bytes: [UInt8] = Array(hello.dropLast(7)) + [UInt8(name.utf8.count)] + Array(name.utf8)
            bytes[3] = UInt8(bytes.count - 4)
            let frame: NativeFrame = try firstFrame(ByteBuffer(bytes: bytes))
            #expect(throws: NativeError.self, "\(name)") { try NativeHello(frame) }
        }
    }

    @Test func numbersFromTheFutureAreSkipped() throws {
        var hello = NativeHello(
            variant: .clientDerived, nonce: [UInt8](repeating: 1, count: 32), suites: [.aes128GCMSHA256],
            keyKinds: [.p256], serverName: try ServerName(Wire.name))
        hello.suites = [0x9999, 0x1301]
        hello.keyKinds = [77, 2]
        let frame: NativeFrame = try firstFrame(hello.record())
        #expect(try NativeHello(frame) == hello)
        var origin = NativeOriginMachine()
        _ = try origin.receive(frame)
        guard case .sign = try origin.serve(try NativeOrigin(chain: [[1]], keyKind: .p256)) else {
            return #expect(Bool(false))
        }
    }

    @Test func anUnknownVariantIsNamed() throws {
        var client = NativeClientMachine(variant: .originDerived, serverName: try ServerName("a.test"))
        var bytes: [UInt8] = Array(try client.start().readableBytesView)
        bytes[5] = 9
        let frame: NativeFrame = try firstFrame(ByteBuffer(bytes: bytes))
        #expect(throws: NativeError.unknownVariant(9)) { try NativeHello(frame) }
    }

    @Test func chainsThatDoNotFitAreRefusedWhereTheyAreLoaded() throws {
        #expect(throws: NativeError.self) { try NativeOrigin(chain: [], keyKind: .rsa) }
        #expect(throws: NativeError.self) {
            try NativeOrigin(chain: [[UInt8](repeating: 0, count: 40_000)], keyKind: .rsa)
        }
        #expect(throws: NativeError.self) {
            try NativeOrigin(chain: [[UInt8]](repeating: [0], count: 11), keyKind: .rsa)
        }
    }

    @Test func alertsAreWhatTheySay() throws {
        for alert in NativeAlert.allCases {
            let frame: NativeFrame = try firstFrame(alert.record)
            #expect(try frame.alert == alert)
        }
    }
}
