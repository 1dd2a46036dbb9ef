import Crypto
import Foundation
import SwiftASN1
import TLSWire
import Testing
import X509

@testable import NativeClient

@Suite(.timeLimit(.minutes(1))) struct ChainVerifierTests {
    private let key = Certificate.PrivateKey(P256.Signing.PrivateKey())

    private func certificate(
        _ subject: String, issuer: String, key: Certificate.PrivateKey? = nil, names: [String] = [],
        isAuthority: Bool = true, usage: KeyUsage? = nil
    ) throws -> Certificate {
        try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: (key ?? self.key).publicKey,
            notValidBefore: Date(timeIntervalSinceNow: -3600), notValidAfter: Date(timeIntervalSinceNow: 3600),
            issuer: try DistinguishedName { CommonName(issuer) },
            subject: try DistinguishedName { CommonName(subject) },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(
                    isAuthority
                        ? BasicConstraints.isCertificateAuthority(maxPathLength: nil)
                        : BasicConstraints.notCertificateAuthority)
                if let usage { Critical(usage) }
                SubjectAlternativeNames(names.map { .dnsName($0) })
            }, issuerPrivateKey: self.key)
    }

    private func reason(_ chain: [Certificate], roots: [Certificate] = []) async throws -> String? {
        let verifier = ChainVerifier(roots: .certificates(roots), serverName: try ServerName("www.test"))
        switch await verifier.verify(chain) {
        case .verified: return nil
        case .failed(let reasons): return reasons.joined(separator: "; ")
        case .untrusted: return "untrusted"
        }
    }

    private func leaf(usage: KeyUsage? = nil) throws -> Certificate {
        try self.certificate("www.test", issuer: "X", names: ["www.test"], isAuthority: false, usage: usage)
    }

    /// A path builder would try every order of these, which for seven takes minutes.
    @Test(arguments: [2, 4, 7])
    func manyIntermediatesOfOneNameAndKeyAreRefused(_ count: Int) async throws {
        let chain: [Certificate] =
            [try self.leaf()] + (try (0..<count).map { try self.certificate("X", issuer: "X", names: ["a\($0).test"]) })
        let reason: String = try #require(try await self.reason(chain))
        #expect(reason.contains(count > 4 ? "at most 4" : "with one key"), "\(reason)")
    }

    @Test func aChainOutOfOrderIsRefused() async throws {
        let root: Certificate = try self.certificate("R", issuer: "R")
        let chain: [Certificate] = [try self.leaf(), root, try self.certificate("X", issuer: "R")]
        #expect(try await self.reason(chain, roots: [root])?.contains("out of order") ?? false)
    }

    @Test func aChainInOrderVerifiesWithItsRootOrWithout() async throws {
        let root: Certificate = try self.certificate("R", issuer: "R")
        let chain: [Certificate] = [try self.leaf(), try self.certificate("X", issuer: "R")]
        #expect(try await self.reason(chain, roots: [root]) == nil)
        #expect(try await self.reason(chain + [root], roots: [root]) == nil)
        #expect(try await self.reason(chain) == "untrusted")
    }

    @Test func aKeyUsageMustAllowSignatures() async throws {
        let authority: Certificate = try self.certificate("X", issuer: "X")
        #expect(
            try await self.reason([try self.leaf(usage: KeyUsage(digitalSignature: true))], roots: [authority]) == nil)
        let reason: String? = try await self.reason(
            [try self.leaf(usage: KeyUsage(keyEncipherment: true))], roots: [authority])
        #expect(reason?.contains("does not allow signatures") ?? false)
    }
}
