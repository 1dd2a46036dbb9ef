import Crypto
import FoundationEssentials
import PrivateAuthority
import SwiftASN1
import Testing
import X509

@Suite struct TestSiteAuthorityTests {
    @Test(arguments: SiteKeyType.allCases)
    func opensslAcceptsSiteCertificates(type: SiteKeyType) throws {
        let authority = try TestSiteAuthority(name: "Test sites")
        let site = try authority.issueSite(domains: ["www.example.test", "*.img.example.test"], keyType: type)
        let openssl = try OpenSSL()
        try openssl.write(authority.certificatePEM, to: "root.pem")
        try openssl.write(site.chainPEM, to: "site.pem")
        try openssl.write(site.keyPEM, to: "site.key")

        let verify = "verify -x509_strict -purpose sslserver -CAfile root.pem"
        for name in ["www.example.test", "a.img.example.test"] {
            #expect(try openssl.run(verify, "-verify_hostname", name, "site.pem").output == "site.pem: OK\n")
        }
        #expect(try openssl.run(verify, "-verify_hostname other.test site.pem").status != 0)

        let text = try openssl.run("x509 -noout -text -in site.pem").output
        let algorithm =
            switch type {
            case .p256: "prime256v1"
            case .rsa2048: "(2048 bit)"
            case .ed25519: "Public Key Algorithm: ED25519"
            }
        #expect(text.contains(algorithm))

        #expect(site.keyPEM.hasPrefix("-----BEGIN PRIVATE KEY-----\n"))
        let ofKey = try openssl.run("pkey -in site.key -pubout").output
        let ofCertificate = try openssl.run("x509 -in site.pem -noout -pubkey").output
        #expect(ofKey == ofCertificate)
        #expect(ofKey.hasPrefix("-----BEGIN PUBLIC KEY-----"))
    }

    @Test func chainsThroughAnIntermediateVerify() throws {
        let root = try TestSiteAuthority(name: "Root")
        let intermediate = try root.issueIntermediate(name: "Between")
        let site = try intermediate.issueSite(domains: ["www.example.test"], keyType: .p256)
        #expect(try site.chainDER.count == 2)
        let openssl = try OpenSSL()
        try openssl.write(root.certificatePEM, to: "root.pem")
        try openssl.write(site.chainPEM, to: "site.pem")
        #expect(
            try openssl.run("verify -x509_strict -CAfile root.pem -untrusted site.pem site.pem").output
                == "site.pem: OK\n")
        #expect(try openssl.run("verify -CAfile root.pem site.pem").status != 0)
    }

    @Test func subjectKeyIdentifierIsTheOneInTheCertificate() throws {
        let site = try TestSiteAuthority(name: "Root").issueSite(domains: ["www.example.test"], keyType: .ed25519)
        let written = try #require(try site.certificate.extensions.subjectKeyIdentifier)
        #expect(site.subjectKeyIdentifier == Array(written.keyIdentifier))
        #expect(site.subjectKeyIdentifier.count == 20)
    }

    @Test(arguments: [
        "", "WWW.example.test", "*", "*.*.test", "a..test", ".test", "test.", "127.0.0.1", "-a.test", "a b.test",
        String(repeating: "a", count: 64) + ".test",
    ])
    func invalidDomainsAreRefused(domain: String) throws {
        let authority = try TestSiteAuthority(name: "Root")
        #expect(throws: AuthorityError.invalidDomain(domain)) {
            try authority.issueSite(domains: ["www.example.test", domain], keyType: .p256)
        }
    }

    @Test func noDomainsAreRefused() throws {
        let authority = try TestSiteAuthority(name: "Root")
        #expect(throws: AuthorityError.noDomains) { try authority.issueSite(domains: [], keyType: .p256) }
    }

    @Test func longNamesStandOnlyAmongTheAlternativeNames() throws {
        let authority = try TestSiteAuthority(name: "Root")
        let long = String(repeating: "a", count: 60) + "." + String(repeating: "b", count: 60) + ".test"
        let site = try authority.issueSite(domains: [long], keyType: .p256)
        let openssl = try OpenSSL()
        try openssl.write(authority.certificatePEM, to: "root.pem")
        try openssl.write(site.chainPEM, to: "site.pem")
        #expect(
            try openssl.run("verify -x509_strict -CAfile root.pem -verify_hostname", long, "site.pem").output
                == "site.pem: OK\n")
    }

    @Test func reloadedAuthorityIssuesUnderTheSameRoot() throws {
        let original = try TestSiteAuthority(name: "Root")
        let reloaded = try TestSiteAuthority(certificatePEM: original.certificatePEM, keyPEM: original.keyPEM)
        let site = try reloaded.issueSite(domains: ["www.example.test"], keyType: .p256)
        let openssl = try OpenSSL()
        try openssl.write(original.certificatePEM, to: "root.pem")
        try openssl.write(site.chainPEM, to: "site.pem")
        #expect(try openssl.run("verify -CAfile root.pem site.pem").output == "site.pem: OK\n")
    }
}
