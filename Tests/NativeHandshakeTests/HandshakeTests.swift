import Crypto
import NIOCore
import TLSWire
import Testing

@testable import NativeHandshake

@Suite struct HandshakeTests {
    @Test(arguments: NativeVariant.allCases, NativeKeyKind.allCases)
    func bothSidesDeriveTheSameKeys(_ variant: NativeVariant, _ kind: NativeKeyKind) throws {
        for suite in NativeSuite.allCases {
            let outcome = try Wire(variant: variant, key: .of(kind), suites: [suite]).run()
            var client: NativeSession = try #require(
                outcome.clientSession, "\(String(describing: outcome.clientError))")
            var origin: NativeSession = try #require(
                outcome.originSession, "\(String(describing: outcome.originError))")
            try exchange(&client, &origin)
        }
    }

    private func exchange(_ client: inout NativeSession, _ origin: inout NativeSession) throws {
        let request = ByteBuffer(repeating: 0x61, count: 40_000)
        var received = ByteBuffer()
        for frame in try frames(try client.send(request), from: .client) {
            guard case .data(var data) = try origin.receive(frame) else { return #expect(Bool(false)) }
            received.writeBuffer(&data)
        }
        #expect(received == request)
        let end: ByteBuffer = try #require(try client.end())
        #expect(try origin.receive(try firstFrame(end)) == .end)
        // The other direction goes on.
        let answer: NativeFrame = try firstFrame(try origin.send(ByteBuffer(string: "hello")))
        #expect(try client.receive(answer) == .data(ByteBuffer(string: "hello")))
        #expect(throws: NativeError.truncated) { try client.inputEnded() }
        let last: ByteBuffer = try #require(try origin.end())
        #expect(try client.receive(try firstFrame(last)) == .end)
        try client.inputEnded()
    }

    @Test func messagesComeInTheOrderOfTheText() throws {
        let types: (Wire.Outcome) -> [UInt8] = { outcome in outcome.sent.map { $0.bytes[4] } }
        #expect(types(try Wire(variant: .originDerived).run()) == [1, 2, 3, 4, 5, 3, 6, 6])
        #expect(types(try Wire(variant: .clientDerived).run()) == [1, 2, 3, 4, 6, 6])
    }

    @Test(arguments: NativeVariant.allCases)
    func bothSidesShowTheSameSymmetricKeyWhenAsked(_ variant: NativeVariant) throws {
        let outcome = try Wire(variant: variant).run()
        let key: (NativeStep) -> String? = { if case .symmetricKeyDerived(let text) = $0 { text } else { nil } }
        let client: [String] = outcome.clientSteps.compactMap(key)
        #expect(client.count == 1)
        #expect(client == outcome.originSteps.compactMap(key))
    }

    @Test func theOriginMakesTheSecondRandomAfterItHasDecryptedTheFirst() throws {
        let steps: [NativeStep] = try Wire(variant: .originDerived).run().originSteps
        let decrypted: Int = try #require(steps.firstIndex(of: .secretDecrypted))
        let made: Int = try #require(
            steps.firstIndex { if case .secondRandomMade = $0 { true } else { false } })
        #expect(decrypted < made)
    }

    @Test func secretsAreNotShownUnasked() throws {
        var client = NativeClientMachine(variant: .clientDerived, serverName: try ServerName(Wire.name))
        var origin = NativeOriginMachine()
        let hello: NativeFrame = try firstFrame(try client.start())
        _ = try origin.receive(hello)
        guard
            case .sign(let content) = try origin.serve(
                try NativeOrigin(chain: [[1]], keyKind: .p256)),
            case .send(let flight) = try origin.signed(try TestKey.p256.sign(content))
        else { return #expect(Bool(false)) }
        for frame in try frames(flight) { _ = try client.receive(frame) }
        _ = try client.chainVerified(
            try OriginPublicKey(subjectPublicKeyInfo: TestKey.p256.subjectPublicKeyInfo))
        let secret: (NativeStep) -> Bool = { step in
            switch step {
            case .firstRandomMade, .symmetricKeyDerived: true
            default: false
            }
        }
        #expect(!client.takeSteps().contains(where: secret))
        #expect(!origin.takeSteps().contains(where: secret))
    }

    // MARK: Negotiation

    @Test func theOriginsPreferenceDecides() throws {
        let outcome = try Wire(
            suites: [.aes128GCMSHA256, .chaCha20Poly1305SHA256],
            originSuites: [.chaCha20Poly1305SHA256, .aes128GCMSHA256]
        ).run()
        #expect(
            outcome.clientSteps.contains {
                if case .certificateInformationRead(.chaCha20Poly1305SHA256, _, _, _) = $0 { true } else { false }
            })
    }

    @Test func nothingInCommonIsSaid() throws {
        let suites = try Wire(suites: [.aes128GCMSHA256], originSuites: [.aes256GCMSHA384]).run()
        #expect(suites.originError == .nothingInCommon("suites"))
        #expect(suites.clientError == .alert(.nothingInCommon))
        let kinds = try Wire(key: .p256, keyKinds: [.rsa]).run()
        #expect(kinds.originError?.alert == .nothingInCommon)
        #expect(kinds.clientError == .alert(.nothingInCommon))
    }

    @Test(arguments: NativeVariant.allCases)
    func aVariantThatTheSiteDoesNotAllowIsRefused(_ variant: NativeVariant) throws {
        let others: Set<NativeVariant> = Set(NativeVariant.allCases).subtracting([variant])
        let outcome = try Wire(variant: variant, variants: others).run()
        #expect(outcome.originError == .variantNotAllowed(variant))
        #expect(outcome.clientError == .alert(.notAllowed))
    }

    // MARK: Keys

    @Test func keysThatCannotServeAreRefusedWithTheReason() throws {
        let ed25519 = Array(SPKI.ed25519(Curve25519.Signing.PrivateKey().publicKey))
        #expect(throws: NativeError.unsupportedKey(OriginPublicKey.ed25519Refusal)) {
            try OriginPublicKey(subjectPublicKeyInfo: ed25519)
        }
        #expect(OriginPublicKey.ed25519Refusal.contains("can sign but not decrypt"))
        for der in [Array(P384.Signing.PrivateKey().publicKey.derRepresentation), [], [0x30]] {
            let error = #expect(throws: NativeError.self) { try OriginPublicKey(subjectPublicKeyInfo: der) }
            #expect(error?.alert == .badCertificate)
        }
    }

    @Test func aKeyOfAnotherKindThanAnnouncedIsRefused() throws {
        let outcome = try Wire(key: .p256, believedKey: .rsa).run()
        #expect(outcome.clientError == .notOffered("key kind"))
    }

    @Test(arguments: NativeVariant.allCases)
    func whoHasNotTheKeyOfTheCertificateIsFoundOutBeforeAnySecretIsMade(_ variant: NativeVariant) throws {
        let outcome = try Wire(variant: variant, key: .otherP256, believedKey: .p256).run()
        #expect(outcome.clientError == .badSignature)
        #expect(outcome.originError == .alert(.badSignature))
        #expect(
            !outcome.clientSteps.contains {
                if case .firstRandomMade = $0 { true } else { false }
            })
    }

    // MARK: Properties

    @Test func eitherBothDeriveTheSameKeyOrBothFail() throws {
        var random = SeededGenerator(state: 4)
        for _ in 0..<120 {
            var wire = Wire()
            wire.variant = NativeVariant.allCases.randomElement(using: &random) ?? .originDerived
            wire.key = Bool.random(using: &random) ? .p256 : .rsa
            wire.suites = subset(NativeSuite.allCases, &random)
            wire.originSuites = subset(NativeSuite.allCases, &random)
            wire.keyKinds = subset(NativeKeyKind.allCases, &random)
            wire.variants = Set(subset(NativeVariant.allCases, &random))
            let outcome = try wire.run()
            if let session = outcome.clientSession {
                var client: NativeSession = session
                var origin: NativeSession = try #require(outcome.originSession)
                try exchange(&client, &origin)
            } else {
                #expect(outcome.clientError != nil)
                #expect(outcome.originError != nil)
            }
        }
    }

    private func subset<Element>(_ all: [Element], _ random: inout SeededGenerator) -> [Element] {
        var chosen: [Element] = all.filter { _ in Bool.random(using: &random) }
        if chosen.isEmpty, let one = all.randomElement(using: &random) { chosen = [one] }
        return chosen.shuffled(using: &random)
    }
}

enum SPKI {
    /// SubjectPublicKeyInfo as RFC 8410 has it.
    static func ed25519(_ key: Curve25519.Signing.PublicKey) -> [UInt8] {
        [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00] + Array(key.rawRepresentation)
    }
}
