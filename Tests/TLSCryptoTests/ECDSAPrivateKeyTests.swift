import Crypto
import TLSCrypto
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite struct ECDSAPrivateKeyTests {
    private func key(_ curve: ECDSAPrivateKey.Curve, _ scalar: Data) throws -> ECDSAPrivateKey {
        try #require(scalar.withUnsafeBytes { ECDSAPrivateKey(curve, scalar: $0) })
    }

    private func signature(_ key: ECDSAPrivateKey, _ digest: some Digest) throws -> [UInt8] {
        try #require(digest.withUnsafeBytes { key.sign(digest: $0) })
    }

    @Test func swiftCryptoVerifiesWhatIsSigned() throws {
        let content = Data("content".utf8)
        // The numbers of a signature are of different lengths.
        for _ in 0..<50 {
            let p256 = P256.Signing.PrivateKey()
            let short = try self.signature(try self.key(.p256, p256.rawRepresentation), SHA256.hash(data: content))
            #expect(p256.publicKey.isValidSignature(try .init(derRepresentation: short), for: content))
        }
        let p384 = P384.Signing.PrivateKey()
        let middle = try self.signature(try self.key(.p384, p384.rawRepresentation), SHA384.hash(data: content))
        #expect(p384.publicKey.isValidSignature(try .init(derRepresentation: middle), for: content))
        let p521 = P521.Signing.PrivateKey()
        let long = try self.signature(try self.key(.p521, p521.rawRepresentation), SHA512.hash(data: content))
        #expect(p521.publicKey.isValidSignature(try .init(derRepresentation: long), for: content))
        // Another digest, and another key's.
        #expect(!p521.publicKey.isValidSignature(try .init(derRepresentation: long), for: Data("other".utf8)))
        #expect(!P521.Signing.PrivateKey().publicKey.isValidSignature(try .init(derRepresentation: long), for: content))
    }

    @Test func theKeyComesBackAsItWas() throws {
        let p256 = P256.Signing.PrivateKey().rawRepresentation
        #expect(try self.key(.p256, p256).withScalar { Data($0) } == p256)
        let p521 = P521.Signing.PrivateKey().rawRepresentation
        #expect(try self.key(.p521, p521).withScalar { Data($0) } == p521)
    }

    @Test(arguments: [ECDSAPrivateKey.Curve.p256, .p384, .p521])
    func whatIsNoKeyOfTheCurvesIsRefused(curve: ECDSAPrivateKey.Curve) {
        let wrong: [[UInt8]] = [
            [], [UInt8](repeating: 1, count: curve.length - 1), [UInt8](repeating: 1, count: curve.length + 1),
            [UInt8](repeating: 0, count: curve.length), [UInt8](repeating: 0xFF, count: curve.length),
        ]
        for scalar in wrong { #expect(scalar.withUnsafeBytes { ECDSAPrivateKey(curve, scalar: $0) } == nil) }
    }
}
