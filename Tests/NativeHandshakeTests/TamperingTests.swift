import NIOCore
import TLSWire
import Testing

@testable import NativeHandshake

/// A party on the way, the edge included, that may do anything to what passes.
@Suite struct TamperingTests {
    /// Not one byte of application data is accepted: a party that is established finds that the other cannot read it.
    private func expectNoData(_ outcome: Wire.Outcome, _ what: String) throws {
        // A length made longer has the receiver wait for the rest, until its time is over.
        #expect(outcome.clientSession == nil || outcome.originSession == nil, "\(what) went unnoticed")
        if var client = outcome.clientSession, var origin = outcome.originSession {
            let frame: NativeFrame = try firstFrame(try client.send(ByteBuffer(string: "x")))
            #expect(throws: NativeError.self, "\(what)") { try origin.receive(frame) }
        }
    }

    @Test(arguments: NativeVariant.allCases)
    func everyByteOfEveryMessageMattersForP256(_ variant: NativeVariant) throws {
        let plain = try Wire(variant: variant, key: .p256).run()
        for (number, sent) in plain.sent.enumerated() {
            for index in sent.bytes.indices {
                // Signatures differ in length from run to run.
                let outcome = try Wire(
                    variant: variant, key: .p256,
                    onTheWay: { [($0 == number) ? Self.flip($1.bytes, index) : $1.bytes] }
                ).run()
                guard outcome.sent.count > number, outcome.sent[number].bytes.count > index else { continue }
                try self.expectNoData(outcome, "message \(number), byte \(index)")
            }
        }
    }

    @Test(arguments: NativeVariant.allCases)
    func bytesOfEveryMessageMatterForRSA(_ variant: NativeVariant) throws {
        let plain = try Wire(variant: variant, key: .rsa).run()
        for (number, sent) in plain.sent.enumerated() {
            for index in stride(from: 0, to: sent.bytes.count, by: 13) {
                let outcome = try Wire(
                    variant: variant, key: .rsa,
                    onTheWay: { [($0 == number) ? Self.flip($1.bytes, index) : $1.bytes] }
                ).run()
                try self.expectNoData(outcome, "message \(number), byte \(index)")
            }
        }
    }

    private static func flip(_ bytes: [UInt8], _ index: Int) -> [UInt8] {
        var bytes: [UInt8] = bytes
        if bytes.indices.contains(index) { bytes[index] ^= 1 << UInt8(index % 8) }
        return bytes
    }

    @Test(arguments: NativeVariant.allCases)
    func theCertificateInformationIsSigned(_ variant: NativeVariant) throws {
        // Origin random, and a byte within the leaf.
        for index in [5, 36, 45] {
            let outcome = try Wire(
                variant: variant, onTheWay: { [($0 == 1) ? Self.flip($1.bytes, index) : $1.bytes] }
            ).run()
            #expect(outcome.clientError == .badSignature)
            #expect(outcome.originError == .alert(.badSignature))
        }
    }

    @Test func theSecondRandomIsSigned() throws {
        for index in [5, 40] {
            let outcome = try Wire(
                variant: .originDerived, onTheWay: { [($0 == 4) ? Self.flip($1.bytes, index) : $1.bytes] }
            ).run()
            #expect(outcome.clientError == .badSignature)
        }
    }

    // MARK: Downgrade

    @Test func aVariantChangedOnTheWayIsNoticed() throws {
        for variant in NativeVariant.allCases {
            let outcome = try Wire(
                variant: variant,
                onTheWay: { number, sent in
                    guard number == 0 else { return [sent.bytes] }
                    var bytes: [UInt8] = sent.bytes
                    bytes[5] = 3 - bytes[5]
                    return [bytes]
                }
            ).run()
            #expect(outcome.clientError == .badSignature)
            #expect(outcome.clientSession == nil && outcome.originSession == nil)
        }
    }

    @Test func aSuiteTakenOutOfTheOfferIsNoticed() throws {
        // 1301, 1302, 1303 become 1303, 1303, 1303.
        let outcome = try Wire(
            onTheWay: { number, sent in
                guard number == 0 else { return [sent.bytes] }
                var bytes: [UInt8] = sent.bytes
                #expect(bytes[39] == 0x13 && bytes[40] == 0x01)
                bytes[40] = 3
                bytes[42] = 3
                return [bytes]
            }
        ).run()
        #expect(outcome.clientError == .badSignature)
    }

    @Test func aChoiceThatWasNotOfferedIsRefused() throws {
        let outcome = try Wire(
            suites: [.aes128GCMSHA256],
            onTheWay: { number, sent in
                guard number == 1 else { return [sent.bytes] }
                var bytes: [UInt8] = sent.bytes
                bytes[38] = 3
                return [bytes]
            }
        ).run()
        #expect(outcome.clientError == .notOffered("suite"))
    }

    @Test func anotherNameIsNoticed() throws {
        let outcome = try Wire(
            onTheWay: { number, sent in
                guard number == 0 else { return [sent.bytes] }
                var bytes: [UInt8] = sent.bytes
                bytes[bytes.count - 1] = UInt8(ascii: "s")
                return [bytes]
            }
        ).run()
        #expect(outcome.clientError == .badSignature)
    }

    // MARK: Replay, reordering, reflection

    @Test(arguments: NativeVariant.allCases)
    func aClientsMessagesDoNotPassASecondTime(_ variant: NativeVariant) throws {
        let first = try Wire(variant: variant).run()
        let replayed = try Wire(
            variant: variant,
            onTheWay: { number, sent in
                sent.from == .client && first.sent.indices.contains(number) ? [first.sent[number].bytes] : [sent.bytes]
            }
        ).run()
        #expect(replayed.originSession == nil)
        // Without the client's machine in the way: the origin alone against the recording.
        var origin = NativeOriginMachine()
        var reached: NativeError?
        do throws(NativeError) {
            for sent in first.sent where sent.from == .client {
                guard let frame = (try? frames(ByteBuffer(bytes: sent.bytes), from: .client))?.first else { continue }
                var action: NativeOriginMachine.Action = try origin.receive(frame)
                acting: while true {
                    switch action {
                    case .chooseSite:
                        action = try origin.serve(
                            try NativeOrigin(chain: Wire().chain, keyKind: .p256))
                    case .sign(let content):
                        guard let signature = try? TestKey.p256.sign(content) else { break acting }
                        action = try origin.signed(signature)
                    case .decrypt(let sealed): action = try origin.decrypted(TestKey.p256.decrypt(sealed))
                    case .established:
                        #expect(Bool(false), "a replay was accepted")
                        break acting
                    case .wait, .send: break acting
                    }
                }
            }
        } catch { reached = error }
        #expect(reached == .badFinished)
    }

    @Test(arguments: NativeVariant.allCases)
    func anOriginsMessagesDoNotPassASecondTime(_ variant: NativeVariant) throws {
        let first = try Wire(variant: variant).run()
        let replayed = try Wire(
            variant: variant,
            onTheWay: { number, sent in
                sent.from == .origin && first.sent.indices.contains(number) ? [first.sent[number].bytes] : [sent.bytes]
            }
        ).run()
        #expect(replayed.clientError == .badSignature)
    }

    @Test func randomsSwappedBetweenHandshakesAreNoticed() throws {
        let other = try Wire(variant: .originDerived).run()
        for number in [3, 4] {
            let outcome = try Wire(
                variant: .originDerived,
                onTheWay: { [($0 == number) ? other.sent[number].bytes : $1.bytes] }
            ).run()
            #expect(outcome.clientSession == nil)
            #expect(outcome.originSession == nil)
        }
    }

    @Test(arguments: NativeVariant.allCases)
    func messagesTwiceOrOutOfOrderAreRefused(_ variant: NativeVariant) throws {
        let plain = try Wire(variant: variant).run()
        for number in plain.sent.indices {
            let twice = try Wire(
                variant: variant, onTheWay: { $0 == number ? [$1.bytes, $1.bytes] : [$1.bytes] }
            ).run()
            // A Finished that comes twice finds the handshake over: the stream refuses it.
            if plain.sent[number].bytes[4] != 6 {
                #expect(twice.clientError != nil || twice.originError != nil, "message \(number) twice")
            }
            let missing = try Wire(variant: variant, onTheWay: { $0 == number ? [] : [$1.bytes] }).run()
            #expect(missing.clientSession == nil || missing.originSession == nil, "message \(number) missing")
        }
    }

    @Test(arguments: NativeVariant.allCases)
    func aClientsOwnMessagesReflectedGetNowhere(_ variant: NativeVariant) throws {
        var client = NativeClientMachine(variant: variant, serverName: try ServerName(Wire.name))
        let hello: NativeFrame = try firstFrame(try client.start())
        #expect(throws: NativeError.unexpectedMessage) { _ = try client.receive(hello) }

        let outcome = try Wire(
            variant: .clientDerived,
            onTheWay: { number, sent in
                // The client's Finished comes back in place of the origin's.
                number == 5 ? [] : [sent.bytes]
            }
        ).run()
        #expect(outcome.clientSession == nil)
    }

    @Test func recordsReflectedDoNotOpen() throws {
        let outcome = try Wire().run()
        var client: NativeSession = try #require(outcome.clientSession)
        let mine: NativeFrame = try firstFrame(try client.send(ByteBuffer(string: "x")))
        #expect(throws: NativeError.badRecord) { try client.receive(mine) }
    }

    @Test func protectedRecordsBeforeTheEndOfTheHandshakeAreRefused() throws {
        let record = ByteBuffer(bytes: [0xF6, 1, 0, 20] + [UInt8](repeating: 7, count: 20))
        var client = NativeClientMachine(variant: .clientDerived, serverName: try ServerName(Wire.name))
        _ = try client.start()
        let frame: NativeFrame = try firstFrame(record)
        #expect(throws: NativeError.unexpectedMessage) { _ = try client.receive(frame) }
        var origin = NativeOriginMachine()
        #expect(throws: NativeError.unexpectedMessage) { _ = try origin.receive(frame) }
        // And it stays over.
        #expect(throws: NativeError.unexpectedMessage) { _ = try origin.receive(frame) }
    }
}
