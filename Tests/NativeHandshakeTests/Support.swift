import Crypto
import CryptoExtras
import Foundation
import NIOCore
import TLSWire
import Testing

@testable import NativeHandshake

/// An origin's private key, as a key store would use it.
struct TestKey: Sendable {
    enum Secret: Sendable {
        case p256(P256.Signing.PrivateKey)
        case rsa(_RSA.Signing.PrivateKey)
    }

    let secret: Secret

    static let p256 = TestKey(secret: .p256(P256.Signing.PrivateKey()))
    /// Made once: RSA keys take long.
    static let rsa = TestKey(secret: .rsa(makeRSA()))
    static let otherP256 = TestKey(secret: .p256(P256.Signing.PrivateKey()))

    static func of(_ kind: NativeKeyKind) -> TestKey { kind == .rsa ? .rsa : .p256 }

    private static func makeRSA() -> _RSA.Signing.PrivateKey {
        guard let key = try? _RSA.Signing.PrivateKey(keySize: .bits2048) else {
            preconditionFailure("no RSA key could be made")
        }
        return key
    }

    var kind: NativeKeyKind { if case .rsa = self.secret { .rsa } else { .p256 } }

    var subjectPublicKeyInfo: [UInt8] {
        switch self.secret {
        case .p256(let key): Array(key.publicKey.derRepresentation)
        case .rsa(let key): Array(key.publicKey.derRepresentation)
        }
    }

    var derRepresentation: [UInt8] {
        switch self.secret {
        case .p256(let key): Array(key.derRepresentation)
        case .rsa(let key): Array(key.pkcs8DERRepresentation)
        }
    }

    func sign(_ content: [UInt8]) throws -> [UInt8] {
        switch self.secret {
        case .p256(let key): Array(try key.signature(for: SHA256.hash(data: content)).derRepresentation)
        case .rsa(let key):
            Array(try key.signature(for: SHA256.hash(data: content), padding: .PSS).rawRepresentation)
        }
    }

    func decrypt(_ sealed: SealedSecret) -> [UInt8]? {
        switch (self.secret, sealed) {
        case (.rsa(let key), .oaep(let ciphertext)):
            guard let key = try? _RSA.Encryption.PrivateKey(derRepresentation: key.derRepresentation) else {
                return nil
            }
            return (try? key.decrypt(ciphertext, padding: .PKCS1_OAEP_SHA256)).map { Array($0) }
        case (.p256(let key), .hpke(let encapsulated, let ciphertext, let info, let authenticated)):
            guard let key = try? P256.KeyAgreement.PrivateKey(rawRepresentation: key.rawRepresentation),
                var recipient = try? HPKE.Recipient(
                    privateKey: key, ciphersuite: .P256_SHA256_AES_GCM_256, info: Data(info),
                    encapsulatedKey: Data(encapsulated))
            else { return nil }
            return (try? recipient.open(ciphertext, authenticating: authenticated)).map { Array($0) }
        default: return nil
        }
    }
}

/// One record on its way.
struct Sent: Equatable, Sendable {
    var from: NativeRole
    var bytes: [UInt8]
}

/// Runs both machines against each other, record by record, with a party on the way that may change what passes.
struct Wire {
    var variant = NativeVariant.originDerived
    var key = TestKey.p256
    var suites: [NativeSuite] = NativeSuite.allCases
    var originSuites: [NativeSuite] = NativeSuite.allCases
    var keyKinds: [NativeKeyKind] = NativeKeyKind.allCases
    var variants: Set<NativeVariant> = Set(NativeVariant.allCases)
    var chain: [[UInt8]] = [[0x30, 0x03, 1, 2, 3], [0x30, 0x01, 9]]
    var clientEntropy = NativeEntropy.system
    var originEntropy = NativeEntropy.system
    /// What the client takes for the leaf's key; nil: the right one.
    var believedKey: TestKey?
    var sign: ((_ content: [UInt8], _ number: Int) throws -> [UInt8])?
    var decrypt: ((SealedSecret) -> [UInt8]?)?
    /// Gets each record with its number from 0 on; what it returns is what arrives, maybe nothing, maybe several.
    var onTheWay: (_ number: Int, _ record: Sent) -> [[UInt8]] = { _, record in [record.bytes] }

    struct Outcome {
        var client: Result<NativeSession, NativeError>?
        var origin: Result<NativeSession, NativeError>?
        var sent: [Sent] = []
        var clientSteps: [NativeStep] = []
        var originSteps: [NativeStep] = []
        var wasAskedToVerify = false

        var clientError: NativeError? { if case .failure(let error) = self.client { error } else { nil } }
        var originError: NativeError? { if case .failure(let error) = self.origin { error } else { nil } }
        var clientSession: NativeSession? { if case .success(let session) = self.client { session } else { nil } }
        var originSession: NativeSession? { if case .success(let session) = self.origin { session } else { nil } }
    }

    static let name = "www.example.test"

    func run() throws -> Outcome {
        var outcome = Outcome()
        var client = NativeClientMachine(
            variant: self.variant, serverName: try ServerName(Self.name), suites: self.suites, keyKinds: self.keyKinds,
            showsSecrets: true, entropy: self.clientEntropy)
        var origin = NativeOriginMachine(showsSecrets: true, entropy: self.originEntropy)
        let originReader = NativeFrameReader(from: .client)
        let clientReader = NativeFrameReader(from: .origin)
        var toOrigin: [NativeFrame] = []
        var toClient: [NativeFrame] = []
        var readers = (client: clientReader, origin: originReader)

        func transmit(_ output: ByteBuffer, from role: NativeRole) throws {
            for record in try Self.split(output) {
                let sent = Sent(from: role, bytes: record)
                let number: Int = outcome.sent.count
                outcome.sent.append(sent)
                for bytes in self.onTheWay(number, sent) {
                    do throws(NativeError) {
                        if role == .client {
                            readers.origin.receive(ByteBuffer(bytes: bytes))
                            while let frame = try readers.origin.next() { toOrigin.append(frame) }
                        } else {
                            readers.client.receive(ByteBuffer(bytes: bytes))
                            while let frame = try readers.client.next() { toClient.append(frame) }
                        }
                    } catch {
                        if role == .client {
                            outcome.origin = outcome.origin ?? .failure(error)
                        } else {
                            outcome.client = outcome.client ?? .failure(error)
                        }
                    }
                }
            }
        }

        try transmit(try client.start(), from: .client)
        var signatures: Int = 0
        var isMoving: Bool = true
        while isMoving {
            isMoving = false
            while outcome.origin == nil, origin.wantsFrame, !toOrigin.isEmpty {
                isMoving = true
                let frame: NativeFrame = toOrigin.removeFirst()
                do {
                    var action: NativeOriginMachine.Action = try origin.receive(frame)
                    acting: while true {
                        switch action {
                        case .wait: break acting
                        case .chooseSite:
                            action = try origin.serve(
                                try NativeOrigin(
                                    chain: self.chain, keyKind: self.key.kind, suites: self.originSuites,
                                    variants: self.variants))
                        case .sign(let content):
                            #expect(content.starts(with: NativeSignature.prefix))
                            let signature: [UInt8] = try self.sign?(content, signatures) ?? self.key.sign(content)
                            signatures += 1
                            action = try origin.signed(signature)
                        case .decrypt(let sealed):
                            action = try origin.decrypted(self.decrypt.map { $0(sealed) } ?? self.key.decrypt(sealed))
                        case .send(let output):
                            try transmit(output, from: .origin)
                            break acting
                        case .established(let output, let session):
                            outcome.origin = .success(session)
                            if let output { try transmit(output, from: .origin) }
                            break acting
                        }
                    }
                } catch let error as NativeError {
                    outcome.origin = .failure(error)
                    if let alert = error.alert { try transmit(alert.record, from: .origin) }
                }
            }
            while outcome.client == nil, !toClient.isEmpty {
                isMoving = true
                let frame: NativeFrame = toClient.removeFirst()
                do {
                    var action: NativeClientMachine.Action = try client.receive(frame)
                    acting: while true {
                        switch action {
                        case .wait: break acting
                        case .verifyChain:
                            outcome.wasAskedToVerify = true
                            let key: TestKey = self.believedKey ?? self.key
                            action = try client.chainVerified(
                                try OriginPublicKey(subjectPublicKeyInfo: key.subjectPublicKeyInfo))
                        case .send(let output):
                            try transmit(output, from: .client)
                            break acting
                        case .established(let output, let session):
                            outcome.client = .success(session)
                            if let output { try transmit(output, from: .client) }
                            break acting
                        }
                    }
                } catch let error as NativeError {
                    outcome.client = .failure(error)
                    if let alert = error.alert { try transmit(alert.record, from: .client) }
                }
            }
        }
        outcome.clientSteps = client.takeSteps()
        outcome.originSteps = origin.takeSteps()
        return outcome
    }

    /// Cuts what a machine sends into its records.
    static func split(_ output: ByteBuffer) throws -> [[UInt8]] {
        var reader = NativeFrameReader(from: .origin)
        reader.receive(output)
        var records: [[UInt8]] = []
        while let frame = try reader.next() { records.append(Array(frame.record.readableBytesView)) }
        return records
    }
}

/// Frames out of bytes.
func frames(_ bytes: ByteBuffer, from role: NativeRole = .origin) throws -> [NativeFrame] {
    var reader = NativeFrameReader(from: role)
    reader.receive(bytes)
    var frames: [NativeFrame] = []
    while let frame = try reader.next() { frames.append(frame) }
    return frames
}

/// The first record.
func firstFrame(_ bytes: ByteBuffer, from role: NativeRole = .origin) throws -> NativeFrame {
    guard let first: NativeFrame = try frames(bytes, from: role).first else { throw NativeError.truncated }
    return first
}

/// A generator with a seed, so that what fails once fails again.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var value: UInt64 = self.state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
