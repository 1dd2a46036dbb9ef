import Crypto
import NIOCore
import TLSWire
import Testing

@testable import NativeHandshake

/// A secret that does not decrypt must look like a wrong Finished.
@Suite struct OracleTests {
    private static let plaintexts: [(String, @Sendable ([UInt8]?) -> [UInt8]?)] = [
        ("nothing", { _ in nil }), ("empty", { _ in [] }), ("short", { $0.map { Array($0.dropLast()) } }),
        ("long", { $0.map { $0 + [0] } }), ("changed", { $0.map { [$0[0] ^ 1] + $0.dropFirst() } }),
        ("binding changed", { $0.map { $0.dropLast() + [$0[$0.count - 1] ^ 1] } }),
    ]

    @Test(arguments: NativeVariant.allCases, NativeKeyKind.allCases)
    func whateverDoesNotDecryptEndsAsAWrongFinished(_ variant: NativeVariant, _ kind: NativeKeyKind) throws {
        let key: TestKey = .of(kind)
        for (name, change) in Self.plaintexts {
            let outcome = try Wire(variant: variant, key: key, decrypt: { change(key.decrypt($0)) }).run()
            switch variant {
            case .clientDerived:
                #expect(outcome.originError == .badFinished, "\(name)")
                #expect(outcome.clientError == .alert(.badFinished), "\(name)")
            case .originDerived:
                // The origin goes on as ever; the client finds that its Finished is wrong.
                #expect(outcome.clientError == .badFinished, "\(name)")
                #expect(outcome.sent.map { $0.bytes[4] }.starts(with: [1, 2, 3, 4, 5, 3, 6]), "\(name)")
            }
            #expect(outcome.originSession == nil)
        }
    }

    @Test func theSelectionTakesTheSecretOnlyWhereEverythingFits() {
        let secret: [UInt8] = (0..<32).map { $0 }
        let binding = [UInt8](repeating: 9, count: 32)
        let substitute = [UInt8](repeating: 0xAA, count: 32)
        #expect(SealedSecret.open(.rsa, plaintext: secret + binding, binding: binding, orElse: substitute) == secret)
        #expect(SealedSecret.open(.p256, plaintext: secret, binding: binding, orElse: substitute) == secret)
        for plaintext in [nil, [], secret, secret + secret, secret + binding + [0]] as [[UInt8]?] {
            #expect(
                SealedSecret.open(.rsa, plaintext: plaintext, binding: binding, orElse: substitute) == substitute)
        }
        for plaintext in [nil, [], secret + [0], Array(secret.dropLast())] as [[UInt8]?] {
            #expect(
                SealedSecret.open(.p256, plaintext: plaintext, binding: binding, orElse: substitute) == substitute)
        }
    }

    @Test(arguments: NativeKeyKind.allCases)
    func aSecretTakenToAnotherHandshakeDoesNotDecryptThere(_ kind: NativeKeyKind) throws {
        let key: TestKey = .of(kind)
        let publicKey = try OriginPublicKey(subjectPublicKeyInfo: key.subjectPublicKeyInfo)
        let secret: [UInt8] = [UInt8](repeating: 5, count: 32)
        let hash: [UInt8] = [UInt8](repeating: 1, count: 32)
        let share: [UInt8] = [UInt8](repeating: 2, count: 32)
        let info: [UInt8] = NativeContext.secretLabel(.originDerived)
        let binding: [UInt8] = NativeContext.binding(.originDerived, transcriptHash: hash, share: share)
        let bytes: [UInt8] = try publicKey.seal(secret: SymmetricKey(data: secret), info: info, binding: binding)
        let substitute = [UInt8](repeating: 0xAA, count: 32)

        func open(_ info: [UInt8], _ binding: [UInt8]) throws -> [UInt8] {
            let sealed = try SealedSecret(kind, bytes, info: info, binding: binding)
            return SealedSecret.open(kind, plaintext: key.decrypt(sealed), binding: binding, orElse: substitute)
        }
        #expect(try open(info, binding) == secret)
        let otherHash: [UInt8] = [UInt8](repeating: 3, count: 32)
        #expect(
            try open(info, NativeContext.binding(.originDerived, transcriptHash: otherHash, share: share)) == substitute
        )
        #expect(
            try open(info, NativeContext.binding(.originDerived, transcriptHash: hash, share: otherHash)) == substitute)
        let other: [UInt8] = NativeContext.secretLabel(.clientDerived)
        #expect(
            try open(other, NativeContext.binding(.clientDerived, transcriptHash: hash, share: share)) == substitute)
    }

    @Test func whatIsSignedHereIsNothingInTLS() {
        let hash = [UInt8](repeating: 7, count: 32)
        for context in [NativeContext.certificateInformation, .secondRandom] {
            let content: [UInt8] = context.signedContent(transcriptHash: hash)
            // TLS 1.3 has its own text behind the 64 blanks; TLS 1.2 its parameters, which begin with a curve type.
            #expect(content != TLS13ServerSignature.content(transcriptHash: hash))
            #expect(content[64] == UInt8(ascii: "L"))
            #expect(TLS13ServerSignature.content(transcriptHash: hash)[64] == UInt8(ascii: "T"))
        }
        #expect(
            NativeContext.certificateInformation.signedContent(transcriptHash: hash)
                != NativeContext.secondRandom.signedContent(transcriptHash: hash))
    }

    @Test func aWeakShareIsRefused() throws {
        let outcome = try Wire(
            variant: .originDerived,
            onTheWay: { number, sent in
                guard number == 3 else { return [sent.bytes] }
                var bytes: [UInt8] = sent.bytes
                bytes.replaceSubrange(6..<38, with: [UInt8](repeating: 0, count: 32))
                return [bytes]
            }
        ).run()
        #expect(outcome.originError == .weakShare)
        #expect(outcome.originSession == nil && outcome.clientSession == nil)
    }

    @Test func theKeyAloneDoesNotOpenAnOriginDerivedRecording() throws {
        // Forward secrecy: from everything on the wire and the private key comes the symmetric key, but not the keys of
        // the stream, which need one of the X25519 secrets.
        let outcome = try Wire(variant: .originDerived, suites: [.aes128GCMSHA256]).run()
        var transcript = NativeTranscript()
        transcript.chose(.aes128GCMSHA256)
        for sent in outcome.sent.prefix(3) { transcript.add(ByteBuffer(bytes: sent.bytes)) }
        let information = try KeyGenerationInformation.decode(
            try firstFrame(ByteBuffer(bytes: outcome.sent[3].bytes)))
        let binding: [UInt8] = NativeContext.binding(
            .originDerived, transcriptHash: transcript.hash, share: information.share)
        let sealed = try SealedSecret(
            .p256, information.encryptedSecret, info: NativeContext.secretLabel(.originDerived), binding: binding)
        let firstRandom: [UInt8] = try #require(TestKey.p256.decrypt(sealed))
        let second = try SecondRandom.decode(
            try firstFrame(ByteBuffer(bytes: outcome.sent[4].bytes)))
        let schedule = NativeKeySchedule(.aes128GCMSHA256)
        let symmetric: SymmetricKey = schedule.symmetricKey(
            firstRandom: firstRandom, secondRandom: second.random, transcriptHash: transcript.hash)
        #expect(
            outcome.clientSteps.contains(
                .symmetricKeyDerived(symmetric.withUnsafeBytes { NativeStep.short($0) })))
        for sent in outcome.sent[3..<6] { transcript.add(ByteBuffer(bytes: sent.bytes)) }
        let guessed = NativeAgreedKeys(
            schedule: schedule, symmetricKey: symmetric, shared: nil, transcriptHash: transcript.hash)
        let finished = try Finished.decode(try firstFrame(ByteBuffer(bytes: outcome.sent[6].bytes)))
        #expect(!guessed.isValid(finished.mac, .origin, transcriptHash: transcript.hash))
    }
}
