import Crypto
import Foundation
import PrivateAuthority
import SecretFiles
import TLSWire
import Testing
import X509

@testable import KeyHolder

@Suite("Loading sites: chain, key and domains belong together")
struct SiteLoaderTests {
    static func load(
        _ chain: String, _ key: String, domains: [String]? = nil
    ) throws -> Site {
        try SiteLoader(store: SoftwareKeyStore()).load(
            SiteConfiguration(
                chain: .text(chain, name: "site.pem"), key: .text(key, name: "site.key"),
                domains: try domains?.map { try ServerNamePattern($0) }))
    }

    static let p256 = Result {
        try TestSiteAuthority(name: "Root").issueSite(domains: ["a.test", "*.b.test"], keyType: .p256)
    }

    @Test("A site knows its domains, key identifier and digest")
    func site() throws {
        let issued = try Self.p256.get()
        let site = try Self.load(issued.chainPEM, issued.keyPEM)
        #expect(site.domains.map(\.description) == ["a.test", "*.b.test"])
        #expect(site.name == "a.test")
        #expect(site.first.ski == issued.subjectKeyIdentifier)
        #expect(site.first.chain == (try issued.chainDER))
        #expect(site.first.certificateDigest == Array(SHA256.hash(data: site.first.chain[0])))
        #expect(site.first.notAfter == Int64(issued.certificate.notValidAfter.timeIntervalSince1970))
    }

    @Test("A key of another certificate is refused, naming both files", arguments: SiteKeyType.allCases)
    func mismatch(type: SiteKeyType) throws {
        let issued = try Self.p256.get()
        let other = try TestSiteAuthority(name: "Root").issueSite(domains: ["a.test"], keyType: type)
        let error = SiteLoadError.keyMismatch(certificate: "site.pem", key: "site.key")
        #expect(throws: error) { try Self.load(issued.chainPEM, other.keyPEM) }
        #expect("\(error)".contains("site.pem") && "\(error)".contains("site.key"))
    }

    @Test("Where a certificate is on its way, the one that is there may cover less")
    func coversLater() throws {
        let issued = try Self.p256.get()
        var configuration = SiteConfiguration(
            chain: .text(issued.chainPEM, name: "site.pem"), key: .text(issued.keyPEM, name: "site.key"),
            domains: [try ServerNamePattern("a.test"), try ServerNamePattern("c.test")])
        configuration.coversLater = true
        let site = try SiteLoader(store: SoftwareKeyStore()).load(configuration)
        #expect(site.domains.map(\.description) == ["a.test", "c.test"])
        #expect(site.first.certified.map(\.description) == ["a.test", "*.b.test"])
    }

    @Test("Where one certificate is renewed, the files of the others are not read")
    func renewed() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "site-\(UUID().uuidString)").path
        try SecretFile.makeFolder(folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let authority = try TestSiteAuthority(name: "Root")
        func write(_ name: String, _ type: SiteKeyType) throws -> CertificateConfiguration {
            let issued = try authority.issueSite(domains: ["a.test"], keyType: type)
            try SecretFile.write(issued.chainPEM, to: "\(folder)/\(name).pem")
            try SecretFile.write(issued.keyPEM, to: "\(folder)/\(name).key")
            return CertificateConfiguration(
                chain: .file("\(folder)/\(name).pem"), key: .file("\(folder)/\(name).key"))
        }
        let certificates = [try write("ec", .p256), try write("rsa", .rsa2048)]
        let configuration = SiteConfiguration(
            certificates: certificates, domains: [try ServerNamePattern("a.test")])
        let before = try SiteLoader(store: SoftwareKeyStore()).load(configuration)
        var index = SiteIndex()
        try index.insert(before)
        // A new ECDSA certificate, while the key of the RSA one is another certificate's.
        _ = try write("ec", .p256)
        try SecretFile.write(
            try authority.issueSite(domains: ["a.test"], keyType: .rsa2048).keyPEM, to: "\(folder)/rsa.key")
        var loader = SiteLoader(store: SoftwareKeyStore(), previous: index)
        #expect(throws: SiteLoadError.self) { try loader.load(configuration) }
        loader.renewed = certificates[0]
        let after = try loader.load(configuration)
        #expect(after.credentials[0].ski != before.credentials[0].ski)
        #expect(after.credentials[1] === before.credentials[1])
        // What is not in use yet is read.
        loader.previous = nil
        #expect(throws: SiteLoadError.self) { try loader.load(configuration) }
        // The renewed one's own files are.
        loader.previous = index
        loader.renewed = certificates[1]
        #expect(throws: SiteLoadError.self) { try loader.load(configuration) }
    }

    @Test("A site is replaced alone, and only by one with its domains")
    func replaced() async throws {
        let holder = try await TestHolder()
        let before = holder.server.core.policy
        let fresh = try TestHolder.siteAuthority.get().issueSite(domains: ["rsa.test"], keyType: .p256)
        try holder.server.replace(TestHolder.site(fresh))
        let policy = holder.server.core.policy
        #expect(policy.sites.count == before.sites.count)
        let name = try ServerNamePattern("rsa.test")
        #expect(policy.index.site(having: name)?.first.ski == fresh.subjectKeyIdentifier)
        for site in before.sites where site.name != "rsa.test" {
            #expect(policy.sites.contains { $0 === site })
        }
        // Edges that were granted it hear of it.
        #expect(policy.generation(of: "paris") != before.generation(of: "paris"))
        #expect(policy.grant(to: "paris", for: try #require(policy.index.site(having: name))) != nil)
        let other = try TestHolder.siteAuthority.get().issueSite(domains: ["other.test"], keyType: .p256)
        #expect(throws: SiteLoadError.self) { try holder.server.replace(TestHolder.site(other)) }
        #expect(holder.server.core.policy === policy)
        _ = try await holder.stop()
    }

    @Test("Configured domains must be covered by the certificate")
    func domains() throws {
        let issued = try Self.p256.get()
        let site = try Self.load(issued.chainPEM, issued.keyPEM, domains: ["www.b.test", "a.test"])
        #expect(site.domains.map(\.description) == ["www.b.test", "a.test"])
        for domain in ["c.test", "x.y.b.test", "*.a.test", "b.test"] {
            #expect(throws: SiteLoadError.nameNotCovered("site.pem", name: domain)) {
                try Self.load(issued.chainPEM, issued.keyPEM, domains: [domain])
            }
        }
        #expect(throws: SiteLoadError.noNames("site.pem")) {
            try Self.load(issued.chainPEM, issued.keyPEM, domains: [])
        }
    }

    @Test("A chain is the leaf and its issuers, in order")
    func chainOrder() throws {
        let root = try TestSiteAuthority(name: "Root")
        let middle = try root.issueIntermediate(name: "Middle")
        let issued = try middle.issueSite(domains: ["a.test"], keyType: .p256)
        #expect(try Self.load(issued.chainPEM, issued.keyPEM).first.chain.count == 2)
        #expect(try Self.load(issued.chainPEM + root.certificatePEM, issued.keyPEM).first.chain.count == 3)
        // The root does not follow the leaf directly, nor does another authority of the same name.
        let leaf = try #require(issued.chainPEM.components(separatedBy: "-----END CERTIFICATE-----").first)
        let alone = leaf + "-----END CERTIFICATE-----\n"
        #expect(throws: SiteLoadError.brokenChain("site.pem", position: 2)) {
            try Self.load(alone + root.certificatePEM, issued.keyPEM)
        }
        let impostor = try TestSiteAuthority(name: "Root").issueIntermediate(name: "Middle")
        #expect(throws: SiteLoadError.brokenChain("site.pem", position: 2)) {
            try Self.load(alone + impostor.certificatePEM, issued.keyPEM)
        }
        let many = String(repeating: root.certificatePEM, count: 10)
        #expect(throws: SiteLoadError.chainTooLong("site.pem")) { try Self.load(alone + many, issued.keyPEM) }
    }

    @Test("A leaf that is not first is said to be that")
    func misplacedLeaf() throws {
        let middle = try TestSiteAuthority(name: "Root").issueIntermediate(name: "Middle")
        let issued = try middle.issueSite(domains: ["a.test"], keyType: .p256)
        let leaf = try #require(issued.chainPEM.components(separatedBy: "-----END CERTIFICATE-----").first)
        let alone = leaf + "-----END CERTIFICATE-----\n"
        #expect(throws: SiteLoadError.leafNotFirst("site.pem", position: 2)) {
            try Self.load(middle.certificatePEM + alone, issued.keyPEM)
        }
    }

    @Test("A leaf alone, that says where its issuer is: clients will miss that one")
    func missingIntermediate() throws {
        func leaf(saysWhere: Bool, subject: String = "a.test") throws -> Certificate {
            let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
            let access = try Certificate.Extension(
                AuthorityInformationAccess([
                    .init(method: .issuingCA, location: .uniformResourceIdentifier("http://ca.test/middle.cer"))
                ]), critical: false)
            return try Certificate(
                version: .v3, serialNumber: .init(), publicKey: key.publicKey, notValidBefore: Date(),
                notValidAfter: Date() + 86_400, issuer: DistinguishedName { CommonName("Middle") },
                subject: DistinguishedName { CommonName(subject) }, signatureAlgorithm: .ecdsaWithSHA256,
                extensions: saysWhere ? Certificate.Extensions([access]) : Certificate.Extensions(),
                issuerPrivateKey: key)
        }
        #expect(ChainOrder.lacksIntermediate([try leaf(saysWhere: true)]))
        #expect(!ChainOrder.lacksIntermediate([try leaf(saysWhere: false)]))
        // Nothing tells whether clients know it.
        #expect(ChainOrder.unprovenIssuer([try leaf(saysWhere: false)])?.isEmpty == false)
        #expect(ChainOrder.unprovenIssuer([try leaf(saysWhere: true)]) == nil)
        #expect(ChainOrder.unprovenIssuer([try leaf(saysWhere: false), try leaf(saysWhere: false)]) == nil)
        #expect(!ChainOrder.lacksIntermediate([try leaf(saysWhere: true, subject: "Middle")]))
        #expect(!ChainOrder.lacksIntermediate([try leaf(saysWhere: true), try leaf(saysWhere: false)]))
        // Test sites are issued by a root, and that is as it should be.
        let site = try TestSiteAuthority(name: "Root").issueSite(domains: ["a.test"], keyType: .p256)
        let loaded = try Self.load(site.chainPEM, site.keyPEM)
        #expect(!loaded.first.lacksIntermediate)
    }

    @Test("Files without certificates, and broken ones, are refused by name")
    func unreadable() throws {
        let issued = try Self.p256.get()
        #expect(throws: SiteLoadError.notPEM("site.pem", "certificate chain")) {
            try Self.load("nothing", issued.keyPEM)
        }
        #expect(throws: SiteLoadError.notPEM("site.pem", "certificate chain")) {
            try Self.load(issued.keyPEM, issued.keyPEM)
        }
        let broken = "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n"
        #expect(throws: SiteLoadError.unreadableCertificate("site.pem", position: 1)) {
            try Self.load(broken, issued.keyPEM)
        }
    }

    @Test("Keys come from files, too, which no other user can read")
    func files() throws {
        let issued = try Self.p256.get()
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).key").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        func write(_ text: String) {
            _ = FileManager.default.createFile(
                atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600])
        }
        write(issued.keyPEM)
        #expect(try SoftwareKeyStore().key(from: .file(path)).type == .p256)
        for mode in [0o604, 0o644, 0o620, 0o660] {
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
            let error = SiteLoadError.secretFile(SecretFileError(path: path, reason: .open(mode: UInt32(mode))))
            #expect(throws: error) { try SoftwareKeyStore().key(from: .file(path)) }
        }
        // Larger than any key, and than the read buffer.
        write(String(repeating: " ", count: 200_000) + issued.keyPEM)
        #expect(try SoftwareKeyStore().key(from: .file(path)).type == .p256)
        // A chain is no secret.
        try Data(count: 2 << 20).write(to: URL(fileURLWithPath: path))
        #expect(throws: SiteLoadError.unreadable(path, "larger than 1 MiB")) { try PEMSource.file(path).text() }
    }

    @Test("Every complaint says which file and what to do")
    func texts() {
        let errors: [SiteLoadError] = [
            .unreadable("f.pem", "no such file"), .notPEM("f.pem", "private key"), .noKey("f.pem"),
            .severalKeys("f.pem"), .encryptedKey("f.pem"), .unsupportedKey("f.pem"), .rsaKeySize("f.pem", bits: 1024),
            .keyMismatch(certificate: "f.pem", key: "f.key"), .unreadableCertificate("f.pem", position: 1),
            .brokenChain("f.pem", position: 2), .chainTooLong("f.pem"), .noNames("f.pem"),
            .nameNotCovered("f.pem", name: "a"), .badName("f.pem", name: "a", reason: "b"),
            .duplicateName("a", first: "f.pem", second: "g.pem"),
        ]
        for error in errors {
            #expect("\(error)".contains("f.pem") && "\(error)".contains(";") || "\(error)".contains(":"))
        }
    }
}
