import Crypto
import FoundationEssentials
import PrivateAuthority
import SwiftASN1
import Testing
import X509

@Suite struct FleetAuthorityTests {
    @Test func opensslAcceptsIdentitiesForTheirOwnPurposeOnly() throws {
        let authority = try FleetAuthority(name: "Test fleet")
        let openssl = try OpenSSL()
        try openssl.write(authority.certificatePEM, to: "authority.pem")
        try openssl.write(
            try authority.issueIdentity(role: .edge, name: "paris").chainPEM, to: "edge.pem")
        try openssl.write(
            try authority.issueIdentity(role: .keyholder, name: "home").chainPEM, to: "keyholder.pem")

        let strict = "verify -x509_strict -CAfile authority.pem"
        #expect(try openssl.run(strict, "-purpose sslclient edge.pem").output == "edge.pem: OK\n")
        #expect(try openssl.run(strict, "-purpose sslserver keyholder.pem").output == "keyholder.pem: OK\n")
        #expect(try openssl.run(strict, "-purpose sslserver edge.pem").status != 0)
        #expect(try openssl.run(strict, "-purpose sslclient keyholder.pem").status != 0)
    }

    @Test func certificatesSayWhatTheyShould() throws {
        let authority = try FleetAuthority(name: "Test fleet")
        let openssl = try OpenSSL()
        try openssl.write(authority.certificatePEM, to: "authority.pem")
        try openssl.write(
            try authority.issueIdentity(role: .keyholder, name: "home-1.b").chainPEM, to: "keyholder.pem")

        let root = try openssl.run("x509 -noout -text -in authority.pem").output
        #expect(root.contains("CA:TRUE, pathlen:0"))
        #expect(root.contains("Certificate Sign, CRL Sign"))
        #expect(root.contains("prime256v1"))
        let leaf = try openssl.run("x509 -noout -text -in keyholder.pem").output
        #expect(leaf.contains("URI:latchstring:keyholder:home-1.b, DNS:home-1.b.keyholder.latchstring.internal"))
        #expect(leaf.contains("TLS Web Server Authentication"))
        #expect(!leaf.contains("TLS Web Client Authentication"))
        #expect(leaf.contains("CA:FALSE"))
    }

    @Test func identitiesOfAnotherAuthorityDoNotVerify() throws {
        let ours = try FleetAuthority(name: "Fleet")
        let theirs = try FleetAuthority(name: "Fleet")
        let openssl = try OpenSSL()
        try openssl.write(ours.certificatePEM, to: "authority.pem")
        try openssl.write(try theirs.issueIdentity(role: .edge, name: "paris").chainPEM, to: "edge.pem")
        #expect(try openssl.run("verify -CAfile authority.pem edge.pem").status != 0)
    }

    @Test func reloadedAuthorityIssuesUnderTheSameRoot() throws {
        let original = try FleetAuthority(name: "Fleet")
        let reloaded = try FleetAuthority(certificatePEM: original.certificatePEM, keyPEM: original.keyPEM)
        #expect(reloaded.certificate == original.certificate)
        let openssl = try OpenSSL()
        try openssl.write(original.certificatePEM, to: "authority.pem")
        try openssl.write(try reloaded.issueIdentity(role: .edge, name: "later").chainPEM, to: "edge.pem")
        #expect(try openssl.run("verify -CAfile authority.pem edge.pem").output == "edge.pem: OK\n")
    }

    @Test func authorityFilesMustBelongTogether() throws {
        let one = try FleetAuthority(name: "One")
        let other = try FleetAuthority(name: "Other")
        #expect(throws: AuthorityError.keyDoesNotMatch) {
            try FleetAuthority(certificatePEM: one.certificatePEM, keyPEM: other.keyPEM)
        }
        let identity = try one.issueIdentity(role: .edge, name: "paris")
        #expect(throws: AuthorityError.notAnAuthority) {
            try FleetAuthority(certificatePEM: identity.chainPEM, keyPEM: identity.keyPEM)
        }
    }

    @Test func unreadableKeyIsNotQuoted() throws {
        let authority = try FleetAuthority(name: "One")
        let damaged = authority.keyPEM.replacing("A", with: "!")
        let error = #expect(throws: AuthorityError.self) {
            try FleetAuthority(certificatePEM: authority.certificatePEM, keyPEM: damaged)
        }
        let line = String(damaged.split(separator: "\n")[1].prefix(16))
        #expect(error.map { !String(describing: $0).contains(line) } == true)
    }

    @Test(arguments: ["", "Paris", "a b", "a/b", "a:b", "é", "a\n", String(repeating: "a", count: 65)])
    func namesOutsideTheAlphabetAreRefused(name: String) throws {
        let authority = try FleetAuthority(name: "Fleet")
        #expect(throws: AuthorityError.invalidName(name)) {
            try authority.issueIdentity(role: .edge, name: name)
        }
    }

    @Test func identitiesEndWithTheirAuthority() throws {
        let authority = try FleetAuthority(name: "Fleet", validity: .days(10))
        let identity = try authority.issueIdentity(role: .edge, name: "paris", validity: .days(100))
        #expect(identity.certificate.notValidAfter == authority.certificate.notValidAfter)
        #expect(identity.certificate.notValidBefore < Date())
    }

    @Test func expiredAuthorityIssuesNothing() throws {
        let past = Date(timeIntervalSince1970: 1_000_000_000)
        let authority = try FleetAuthority(
            name: "Fleet", validity: Validity(notBefore: past, notAfter: past + 1000))
        let error = #expect(throws: AuthorityError.self) { try authority.issueIdentity(role: .edge, name: "paris") }
        guard case .emptyValidity = error else {
            Issue.record("unexpected: \(String(describing: error))")
            return
        }
    }

    @Test func expiredIdentitiesCanBeMadeForTests() throws {
        let authority = try FleetAuthority(name: "Fleet")
        let now = Date()
        let identity = try authority.issueIdentity(
            role: .edge, name: "paris", notBefore: now - 7200, notAfter: now - 3600)
        let openssl = try OpenSSL()
        try openssl.write(authority.certificatePEM, to: "authority.pem")
        try openssl.write(identity.chainPEM, to: "edge.pem")
        #expect(try openssl.run("verify -CAfile authority.pem edge.pem").output.contains("expired"))
    }

    @Test func serialNumbersArePositiveAndOfOneLength() throws {
        let authority = try FleetAuthority(name: "Fleet")
        var seen: Set<[UInt8]> = []
        for _ in 0..<50 {
            let serial = try authority.issueIdentity(role: .edge, name: "paris").certificate.serialNumber.bytes
            #expect(serial.count == 16)
            #expect(serial.first.map { (0x40...0x7F).contains($0) } == true)
            seen.insert(Array(serial))
        }
        #expect(seen.count == 50)
    }
}
