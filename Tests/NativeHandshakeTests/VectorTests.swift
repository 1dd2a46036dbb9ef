import Crypto
import CryptoExtras
import Foundation
import NIOCore
import TLSWire
import Testing

@testable import NativeHandshake

/// The vectors in docs/native-handshake-vectors.txt, played through both machines.
///
/// With LATCHSTRING_WRITE_VECTORS in the environment, they are made anew and written there first.
@Suite struct VectorTests {
    private static let file: URL = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("docs/native-handshake-vectors.txt")

    @Test func theDocumentedVectorsHold() throws {
        if ProcessInfo.processInfo.environment["LATCHSTRING_WRITE_VECTORS"] != nil { try Self.write() }
        let vectors: [Vector] = try Vector.read(String(contentsOf: Self.file, encoding: .utf8))
        #expect(vectors.count == 4)
        for vector in vectors { try Self.check(vector) }
    }

    /// What one vector says, by name.
    struct Vector {
        var title: String
        var fields: [(name: String, value: String)] = []

        func bytes(_ name: String) throws -> [UInt8] {
            try #require(
                self.fields.first { $0.name == name }.flatMap { Hex.bytes($0.value) }, "\(self.title): \(name)")
        }

        func all(_ name: String) throws -> [[UInt8]] {
            try self.fields.filter { $0.name == name }.map { try #require(Hex.bytes($0.value)) }
        }

        static func read(_ text: String) throws -> [Vector] {
            var vectors: [Vector] = []
            for line in text.split(separator: "\n") where !line.hasPrefix("#") {
                if line.hasPrefix("[") {
                    vectors.append(Vector(title: String(line.dropFirst().dropLast())))
                } else {
                    let parts = line.split(separator: "=", maxSplits: 1).map {
                        $0.trimmingCharacters(in: .whitespaces)
                    }
                    try #require(parts.count == 2 && !vectors.isEmpty)
                    vectors[vectors.count - 1].fields.append((parts[0], parts[1]))
                }
            }
            return vectors
        }
    }

    private static func check(_ vector: Vector) throws {
        let variant = try #require(try vector.bytes("variant").first.flatMap(NativeVariant.init(rawValue:)))
        let suiteBytes: [UInt8] = try vector.bytes("suite")
        let suite = try #require(NativeSuite(rawValue: UInt16(suiteBytes[0]) << 8 | UInt16(suiteBytes[1])))
        let keyBytes: [UInt8] = try vector.bytes("private key")
        let key: TestKey
        if let p256 = try? P256.Signing.PrivateKey(derRepresentation: keyBytes) {
            key = TestKey(secret: .p256(p256))
        } else {
            key = TestKey(secret: .rsa(try _RSA.Signing.PrivateKey(derRepresentation: keyBytes)))
        }
        let expected: [[UInt8]] = try vector.all("record")
        let signatures: [[UInt8]] = try vector.all("signature")
        let encryptedSecret: [UInt8] = try vector.bytes("encrypted secret")

        var wire = Wire(variant: variant, key: key, suites: [suite], chain: try vector.all("certificate"))
        wire.clientEntropy = try Self.entropy(
            randoms: [try vector.bytes("client nonce"), try vector.bytes("first random")],
            share: try vector.all("client share private key").first, sealed: encryptedSecret)
        var originRandoms: [[UInt8]] = [try vector.bytes("origin random")]
        // Between them the one that stands in for a secret that does not decrypt.
        originRandoms.append([UInt8](repeating: 0, count: 32))
        if variant == .originDerived { originRandoms.append(try vector.bytes("second random")) }
        wire.originEntropy = try Self.entropy(
            randoms: originRandoms, share: try vector.all("origin share private key").first, sealed: [])
        wire.sign = { _, number in signatures[number] }
        let outcome = try wire.run()
        #expect(outcome.sent.map(\.bytes) == expected, "\(vector.title)")

        // The keys, from the records and the randoms alone.
        let schedule = NativeKeySchedule(suite)
        var transcript = NativeTranscript()
        transcript.chose(suite)
        for record in expected.prefix(3) { transcript.add(ByteBuffer(bytes: record)) }
        #expect(transcript.hash == (try vector.bytes("transcript hash to first proof")))
        let symmetric: SymmetricKey = schedule.symmetricKey(
            firstRandom: try vector.bytes("first random"), secondRandom: try vector.bytes("second random"),
            transcriptHash: transcript.hash)
        #expect(symmetric.withUnsafeBytes { Array($0) } == (try vector.bytes("symmetric key")))
        for record in expected[3..<(variant == .originDerived ? 6 : 4)] { transcript.add(ByteBuffer(bytes: record)) }
        #expect(transcript.hash == (try vector.bytes("transcript hash to first finished")))
        let shared: SymmetricKey? = try vector.all("x25519 shared secret").first.map { SymmetricKey(data: $0) }
        let keys = NativeAgreedKeys(
            schedule: schedule, symmetricKey: symmetric, shared: shared, transcriptHash: transcript.hash)
        #expect(keys.clientSecret.withUnsafeBytes { Array($0) } == (try vector.bytes("client traffic secret")))
        #expect(keys.originSecret.withUnsafeBytes { Array($0) } == (try vector.bytes("origin traffic secret")))

        var client: NativeSession = try #require(outcome.clientSession, "\(String(describing: outcome.clientError))")
        var origin: NativeSession = try #require(outcome.originSession, "\(String(describing: outcome.originError))")
        let ping = ByteBuffer(string: "ping")
        #expect(Array(try client.send(ping).readableBytesView) == (try vector.bytes("client data record \"ping\"")))
        #expect(Array(try origin.send(ping).readableBytesView) == (try vector.bytes("origin data record \"ping\"")))
        let end: [UInt8] = Array((try client.end() ?? ByteBuffer()).readableBytesView)
        #expect(end == (try vector.bytes("client end record")))
    }

    private static func entropy(randoms: [[UInt8]], share: [UInt8]?, sealed: [UInt8]?) throws -> NativeEntropy {
        let list = Randoms(randoms)
        let key = try share.map { try Curve25519.KeyAgreement.PrivateKey(rawRepresentation: $0) }
        return NativeEntropy(
            random: { list.next() }, share: { key ?? Curve25519.KeyAgreement.PrivateKey() },
            seal: { (publicKey, secret, info, binding) throws(NativeError) in
                if let sealed { return sealed }
                return try publicKey.seal(secret: secret, info: info, binding: binding)
            })
    }

    // MARK: Making them

    private static func write() throws {
        var text = """
            # Test vectors of the native handshake, version 1. docs/native-handshake.md says what the names mean.
            # All values are in hexadecimal. Private keys: PKCS #8. "record" lines are in the order in which they travel.
            # Written and checked by Tests/NativeHandshakeTests/VectorTests.swift. The keys are for this file only.

            """
        let cases: [(NativeVariant, TestKey, NativeSuite)] = [
            (.originDerived, TestKey(secret: .p256(P256.Signing.PrivateKey())), .aes128GCMSHA256),
            (.clientDerived, TestKey(secret: .p256(P256.Signing.PrivateKey())), .aes256GCMSHA384),
            (.originDerived, .rsa, .chaCha20Poly1305SHA256), (.clientDerived, .rsa, .aes128GCMSHA256),
        ]
        for (variant, key, suite) in cases { text += try Self.make(variant, key, suite) }
        try text.write(to: Self.file, atomically: true, encoding: .utf8)
    }

    private static func make(_ variant: NativeVariant, _ key: TestKey, _ suite: NativeSuite) throws -> String {
        let random: () -> [UInt8] = NativeEntropy.system.random
        let client: [[UInt8]] = [random(), random()]
        let origin: [[UInt8]] = [random(), random(), random()]
        let shares: [[UInt8]] = [random(), random()]
        var wire = Wire(variant: variant, key: key, suites: [suite])
        wire.chain = [Array("a certificate, which the vectors do not look into".utf8)]
        wire.clientEntropy = try Self.entropy(randoms: client, share: shares[0], sealed: nil)
        wire.originEntropy = try Self.entropy(randoms: origin, share: shares[1], sealed: nil)
        let outcome = try wire.run()
        var lines: [(String, [UInt8])] = [
            ("variant", [variant.rawValue]), ("suite", [UInt8(suite.rawValue >> 8), UInt8(suite.rawValue & 0xFF)]),
            ("private key", key.derRepresentation), ("certificate", wire.chain[0]), ("client nonce", client[0]),
            ("origin random", origin[0]), ("first random", client[1]),
            ("second random", variant == .originDerived ? origin[2] : origin[0]),
        ]
        var shared: SymmetricKey?
        if variant == .originDerived {
            lines += [("client share private key", shares[0]), ("origin share private key", shares[1])]
            let mine = try Curve25519.KeyAgreement.PrivateKey(rawRepresentation: shares[0])
            let theirs = try Curve25519.KeyAgreement.PrivateKey(rawRepresentation: shares[1])
            shared = try mine.shared(with: Array(theirs.publicKey.rawRepresentation))
            lines.append(("x25519 shared secret", shared?.withUnsafeBytes { Array($0) } ?? []))
        }
        for sent in outcome.sent { lines.append(("record", sent.bytes)) }
        for sent in outcome.sent where sent.bytes[4] == 3 {
            lines.append(
                ("signature", try Proof.decode(try firstFrame(ByteBuffer(bytes: sent.bytes))).signature))
        }
        let information = try KeyGenerationInformation.decode(
            try firstFrame(ByteBuffer(bytes: outcome.sent[3].bytes)))
        lines.append(("encrypted secret", information.encryptedSecret))
        var transcript = NativeTranscript()
        transcript.chose(suite)
        for sent in outcome.sent.prefix(3) { transcript.add(ByteBuffer(bytes: sent.bytes)) }
        lines.append(("transcript hash to first proof", transcript.hash))
        lines.append(
            ("binding", NativeContext.binding(variant, transcriptHash: transcript.hash, share: information.share)))
        let schedule = NativeKeySchedule(suite)
        let symmetric: SymmetricKey = schedule.symmetricKey(
            firstRandom: client[1], secondRandom: variant == .originDerived ? origin[2] : origin[0],
            transcriptHash: transcript.hash)
        lines.append(("symmetric key", symmetric.withUnsafeBytes { Array($0) }))
        for sent in outcome.sent[3..<(variant == .originDerived ? 6 : 4)] {
            transcript.add(ByteBuffer(bytes: sent.bytes))
        }
        lines.append(("transcript hash to first finished", transcript.hash))
        let keys = NativeAgreedKeys(
            schedule: schedule, symmetricKey: symmetric, shared: shared, transcriptHash: transcript.hash)
        lines.append(("client traffic secret", keys.clientSecret.withUnsafeBytes { Array($0) }))
        lines.append(("origin traffic secret", keys.originSecret.withUnsafeBytes { Array($0) }))
        var clientSession: NativeSession = try #require(outcome.clientSession)
        var originSession: NativeSession = try #require(outcome.originSession)
        let ping = ByteBuffer(string: "ping")
        lines.append(("client data record \"ping\"", Array(try clientSession.send(ping).readableBytesView)))
        lines.append(("origin data record \"ping\"", Array(try originSession.send(ping).readableBytesView)))
        lines.append(("client end record", Array((try clientSession.end() ?? ByteBuffer()).readableBytesView)))
        return "\n[\(variant), \(key.kind), \(suite)]\n"
            + lines.map { "\($0.0) = \(Hex.text($0.1))\n" }.joined()
    }
}

/// Hands out what it was given, one after the other.
final class Randoms: @unchecked Sendable {
    // Guarded by the lock.
    private var left: [[UInt8]]
    private let lock = NSLock()

    init(_ randoms: [[UInt8]]) { self.left = randoms }

    func next() -> [UInt8] {
        self.lock.lock()
        defer { self.lock.unlock() }
        return self.left.isEmpty ? [UInt8](repeating: 0, count: 32) : self.left.removeFirst()
    }
}

enum Hex {
    static func text(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    static func bytes(_ text: String) -> [UInt8]? {
        guard text.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        var rest: Substring = text[...]
        while !rest.isEmpty {
            guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        return bytes
    }
}
