import FoundationEssentials
import Testing
import X509

@testable import PrivateAuthority

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

@Suite struct CertificateDirectoryTests {
    private let order = CertificateOrder(
        edges: ["paris"], keyHolders: ["home"], sites: [.init(domains: ["www.example.test"])])

    @Test func makesEverythingAskedFor() throws {
        let openssl = try OpenSSL()
        let made = try CertificateDirectory(path: "\(openssl.directory)/a/certs").fulfil(order)
        #expect(
            made.map(\.kind) == [
                .fleetAuthority, .edge("paris"), .keyHolder("home"), .testSiteAuthority(.p256),
                .site(["www.example.test"], .p256),
            ])
        let verify = "verify -x509_strict -CAfile a/certs/authority.pem"
        #expect(try openssl.run(verify, "a/certs/edge-paris.pem").status == 0)
        #expect(try openssl.run(verify, "a/certs/keyholder-home.pem").status == 0)
        #expect(
            try openssl.run("verify -CAfile a/certs/test-site-authority.pem a/certs/www.example.test.pem").status == 0)
        #expect(try openssl.run("pkey -noout -in a/certs/www.example.test.key").status == 0)
    }

    @Test func privateFilesAreTheOwnersAlone() throws {
        let openssl = try OpenSSL()
        let directory = "\(openssl.directory)/certs"
        let made = try CertificateDirectory(path: directory).fulfil(order)
        #expect(try mode(directory) == 0o700)
        for one in made {
            #expect(try mode(one.keyPath) == 0o600)
            #expect(try mode(one.certificatePath) & 0o133 == 0)
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: directory)
        #expect(names.count == made.count * 2, "no temporary file may stay: \(names)")
    }

    @Test func laterIdentitiesComeFromTheSameAuthority() throws {
        let openssl = try OpenSSL()
        let directory = CertificateDirectory(path: "\(openssl.directory)/certs")
        _ = try directory.fulfil(order)
        let later = try directory.fulfil(CertificateOrder(edges: ["rome"]))
        #expect(later.map(\.kind) == [.edge("rome")])
        #expect(try openssl.run("verify -CAfile certs/authority.pem certs/edge-rome.pem").status == 0)
    }

    @Test func nothingIsWrittenIfAnythingExists() throws {
        let openssl = try OpenSSL()
        let path = "\(openssl.directory)/certs"
        let directory = CertificateDirectory(path: path)
        _ = try directory.fulfil(order)
        let before = try contents(path)
        #expect(throws: CertificateDirectoryError.exists(["\(path)/edge-paris.pem", "\(path)/edge-paris.key"])) {
            try directory.fulfil(CertificateOrder(edges: ["rome", "paris"], sites: [.init(domains: ["b.test"])]))
        }
        #expect(try contents(path) == before)
    }

    @Test func oneHalfOfAPairIsEnoughToRefuse() throws {
        let openssl = try OpenSSL()
        let path = "\(openssl.directory)/certs"
        let directory = CertificateDirectory(path: path)
        _ = try directory.fulfil(order)
        #expect(unlink("\(path)/edge-paris.pem") == 0)
        #expect(throws: CertificateDirectoryError.exists(["\(path)/edge-paris.key"])) {
            try directory.fulfil(CertificateOrder(edges: ["paris"]))
        }
    }

    @Test func danglingLinksAreNotFollowed() throws {
        let openssl = try OpenSSL()
        let path = "\(openssl.directory)/certs"
        try PrivateFiles.makeDirectory(path)
        #expect(symlink("\(openssl.directory)/elsewhere", "\(path)/edge-paris.key") == 0)
        let directory = CertificateDirectory(path: path)
        #expect(throws: CertificateDirectoryError.exists(["\(path)/edge-paris.key"])) {
            try directory.fulfil(CertificateOrder(edges: ["paris"]))
        }
        _ = try directory.fulfil(CertificateOrder(edges: ["paris"]), replacing: true)
        #expect(!PrivateFiles.exists("\(openssl.directory)/elsewhere"))
        #expect(try mode("\(path)/edge-paris.key") == 0o600)
    }

    @Test func replacingKeepsTheAuthorities() throws {
        let openssl = try OpenSSL()
        let path = "\(openssl.directory)/certs"
        let directory = CertificateDirectory(path: path)
        _ = try directory.fulfil(order)
        let before = try contents(path)
        let made = try directory.fulfil(order, replacing: true)
        #expect(made.map(\.kind) == [.edge("paris"), .keyHolder("home"), .site(["www.example.test"], .p256)])
        let after = try contents(path)
        for name in ["authority.pem", "authority.key", "test-site-authority.pem", "test-site-authority.key"] {
            #expect(after[name] == before[name])
        }
        for name in ["edge-paris.key", "keyholder-home.key", "www.example.test.key"] {
            #expect(after[name] != before[name])
        }
        #expect(try openssl.run("verify -CAfile certs/authority.pem certs/edge-paris.pem").status == 0)
    }

    @Test func aMissingHalfOfTheAuthorityIsNamed() throws {
        let openssl = try OpenSSL()
        let path = "\(openssl.directory)/certs"
        let directory = CertificateDirectory(path: path)
        _ = try directory.fulfil(CertificateOrder())
        #expect(rename("\(path)/authority.key", "\(path)/kept.key") == 0)
        #expect(
            throws: CertificateDirectoryError.authorityKeyMissing(
                certificate: "\(path)/authority.pem", key: "\(path)/authority.key")
        ) {
            try directory.fulfil(CertificateOrder(edges: ["paris"]))
        }
        #expect(rename("\(path)/kept.key", "\(path)/authority.key") == 0)
        #expect(unlink("\(path)/authority.pem") == 0)
        #expect(
            throws: CertificateDirectoryError.authorityCertificateMissing(
                certificate: "\(path)/authority.pem", key: "\(path)/authority.key")
        ) {
            try directory.fulfil(CertificateOrder(edges: ["paris"]))
        }
    }

    @Test func filesThatComeIntoBeingMeanwhileSurvive() throws {
        let openssl = try OpenSSL()
        try openssl.write("theirs", to: "b")
        let error = #expect(throws: FileError.self) {
            try PrivateFiles.write(
                [
                    .init(path: "\(openssl.directory)/a", text: "ours", isPrivate: true),
                    .init(path: "\(openssl.directory)/b", text: "ours", isPrivate: true),
                ], replacing: false)
        }
        #expect(error?.number == EEXIST)
        #expect(try contents(openssl.directory) == ["b": "theirs"])
    }

    @Test func testSitesAloneNeedNoFleetAuthority() throws {
        let openssl = try OpenSSL()
        let path = "\(openssl.directory)/certs"
        let order = CertificateOrder(sites: [.init(domains: ["*.example.test"], keyType: .ed25519)])
        _ = try CertificateDirectory(path: path).fulfil(order)
        #expect(
            Set(try contents(path).keys) == [
                "test-site-authority.pem", "test-site-authority.key", "wildcard.example.test.pem",
                "wildcard.example.test.key",
            ])
    }

    /// A client that knows RSA only verifies no ECDSA signature: not the leaf's either.
    @Test func sitesWithRSAKeysAreSignedWithRSA() throws {
        let openssl = try OpenSSL()
        let directory = CertificateDirectory(path: "\(openssl.directory)/certs")
        let made = try directory.fulfil(
            CertificateOrder(sites: [
                .init(domains: ["rsa.test"], keyType: .rsa2048), .init(domains: ["ec.test"]),
            ]))
        #expect(
            made.map(\.kind) == [
                .testSiteAuthority(.p256), .testSiteAuthority(.rsa2048), .site(["rsa.test"], .rsa2048),
                .site(["ec.test"], .p256),
            ])
        let text = try openssl.run("x509 -noout -text -in certs/rsa.test.pem").output
        #expect(text.contains("Signature Algorithm: sha256WithRSAEncryption") && !text.contains("ecdsa"))
        // The leaf alone, by the RSA root; and the chain as it is sent, by the root that all other sites have.
        let verify = "verify -x509_strict -CAfile"
        let leaf = try #require(
            try String(contentsOfFile: "\(openssl.directory)/certs/rsa.test.pem", encoding: .utf8)
                .split(separator: "-----END CERTIFICATE-----").first)
        try openssl.write(leaf + "-----END CERTIFICATE-----\n", to: "leaf.pem")
        #expect(try openssl.run(verify, "certs/test-site-authority-rsa.pem leaf.pem").status == 0)
        #expect(
            try openssl.run(
                verify, "certs/test-site-authority.pem -untrusted certs/rsa.test.pem certs/rsa.test.pem"
            ).status == 0)
        #expect(try openssl.run(verify, "certs/test-site-authority.pem certs/ec.test.pem").status == 0)
        // Later ones come from the same root.
        let later = try directory.fulfil(CertificateOrder(sites: [.init(domains: ["b.test"], keyType: .rsa2048)]))
        #expect(later.map(\.kind) == [.site(["b.test"], .rsa2048)])
        #expect(
            try openssl.run(
                verify, "certs/test-site-authority-rsa.pem -untrusted certs/b.test.pem certs/b.test.pem"
            ).status == 0)
    }

    @Test func ordersThatMakeNoSenseAreRefused() throws {
        #expect(throws: CertificateOrderError.twice("edge-paris")) {
            try CertificateOrder(edges: ["paris", "paris"]).validate()
        }
        #expect(throws: CertificateOrderError.twice("authority")) {
            try CertificateOrder(sites: [.init(domains: ["authority"])]).validate()
        }
        #expect(throws: CertificateOrderError.reservedName("edge-paris")) {
            try CertificateOrder(sites: [.init(domains: ["edge-paris"])]).validate()
        }
        #expect(throws: CertificateOrderError.name(.invalidName("../x"))) {
            try CertificateOrder(keyHolders: ["../x"]).validate()
        }
        #expect(throws: CertificateOrderError.name(.invalidDomain("../x"))) {
            try CertificateOrder(sites: [.init(domains: ["a.test", "../x"])]).validate()
        }
        for days in [0, -1, 7301] {
            #expect(throws: CertificateOrderError.daysOutOfBounds(days)) {
                try CertificateOrder(siteDays: days).validate()
            }
        }
    }

    @Test func sitesAreReadFromArguments() throws {
        #expect(try CertificateOrder.Site(argument: "a.test").domains == ["a.test"])
        #expect(try CertificateOrder.Site(argument: "a.test").keyType == .p256)
        #expect(
            try CertificateOrder.Site(argument: "a.test,b.test:rsa-2048")
                == CertificateOrder.Site(domains: ["a.test", "b.test"], keyType: .rsa2048))
        #expect(throws: CertificateOrderError.unknownKeyType("dsa")) {
            try CertificateOrder.Site(argument: "a.test:dsa")
        }
    }

    private func mode(_ path: String) throws -> mode_t {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw POSIXFailure(call: "lstat", number: errno) }
        return status.st_mode & 0o7777
    }

    /// Every file of a directory with its text.
    private func contents(_ path: String) throws -> [String: String] {
        var result: [String: String] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            result[name] = try PrivateFiles.read("\(path)/\(name)")
        }
        return result
    }
}
