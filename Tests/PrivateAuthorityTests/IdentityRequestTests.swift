import FoundationEssentials
import SwiftASN1
import Testing
import X509

@testable import PrivateAuthority

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

@Suite struct IdentityRequestTests {
    private static func folder() -> String { "/tmp/latchstring-request-tests.\(UInt64.random(in: .min ... .max))" }

    private static func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
    }

    @Test("The key stays where it was made, and the certificate is for it, with what the authority's command says")
    func roundTrip() throws {
        let (here, there) = (Self.folder(), Self.folder())
        defer { for path in [here, there] { try? FileManager.default.removeItem(atPath: path) } }
        _ = try CertificateDirectory(path: there).fulfil(CertificateOrder())
        let edge = CertificateDirectory(path: here)
        let asked = try #require(try edge.request(CertificateOrder(edges: ["paris"])).first)
        #expect(asked.keyIsNew && asked.requestPath == "\(here)/edge-paris.csr")
        var status = stat()
        #expect(stat(asked.keyPath, &status) == 0 && status.st_mode & 0o7777 == 0o600)
        let signed = try CertificateDirectory(path: there).sign(
            asked.requestPath, for: CertificateOrder(edges: ["paris"], identityDays: 90))
        #expect(signed.fingerprint == asked.fingerprint)
        #expect(!FileManager.default.fileExists(atPath: "\(there)/edge-paris.key"))
        let certificate = try Certificate(pemEncoded: Self.text(signed.certificatePath))
        let key = try Certificate.PrivateKey(pemEncoded: Self.text(asked.keyPath))
        #expect(certificate.publicKey == key.publicKey)
        #expect(abs(certificate.notValidAfter.timeIntervalSinceNow - 90 * 86_400) < 60)
        let openssl = try OpenSSL()
        for (from, to) in [(signed.certificatePath, "edge.pem"), (signed.authorityPath, "authority.pem")] {
            try openssl.write(Self.text(from), to: to)
        }
        try openssl.write(Self.text(asked.requestPath), to: "edge.csr")
        #expect(try openssl.run("verify -x509_strict -CAfile authority.pem -purpose sslclient edge.pem").status == 0)
        #expect(try openssl.run("req -in edge.csr -noout -verify").output.contains("OK"))
        // Asked again: the same key.
        let again = try #require(try edge.request(CertificateOrder(edges: ["paris"])).first)
        #expect(!again.keyIsNew && again.fingerprint == asked.fingerprint)
        // Signed again: not by mistake.
        #expect(throws: CertificateDirectoryError.self) {
            try CertificateDirectory(path: there).sign(asked.requestPath, for: CertificateOrder(edges: ["paris"]))
        }
        _ = try CertificateDirectory(path: there).sign(
            asked.requestPath, for: CertificateOrder(edges: ["paris"]), replacing: true)
    }

    /// A request by another program, with whatever names and extensions.
    private static func request(_ openssl: borrowing OpenSSL, _ names: String, _ more: String = "") throws -> String {
        let made = try openssl.run(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.key -out r.csr -subj /CN=root",
            "-addext 'subjectAltName=\(names)' \(more)")
        #expect(made.status == 0, "\(made.output)")
        return "\(openssl.directory)/r.csr"
    }

    @Test("What a request says of itself does not count: another name, another role, an authority, more names")
    func lies() throws {
        let openssl = try OpenSSL()
        let there = Self.folder()
        defer { try? FileManager.default.removeItem(atPath: there) }
        let authority = CertificateDirectory(path: there)
        _ = try authority.fulfil(CertificateOrder())
        for (names, wanted): (String, CertificateOrder) in [
            ("URI:latchstring:edge:rome", CertificateOrder(edges: ["paris"])),
            ("URI:latchstring:keyholder:paris", CertificateOrder(edges: ["paris"])),
            ("URI:latchstring:edge:paris,URI:latchstring:keyholder:home", CertificateOrder(edges: ["paris"])),
            ("URI:latchstring:edge:home", CertificateOrder(keyHolders: ["home"])),
        ] {
            let file = try Self.request(openssl, names)
            #expect(throws: IdentityRequestError.self, "\(names)") { try authority.sign(file, for: wanted) }
        }
        #expect(!FileManager.default.fileExists(atPath: "\(there)/edge-paris.pem"))
        // Nothing of it but the key is in the certificate.
        let file = try Self.request(
            openssl, "DNS:www.bank.test", "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign")
        let signed = try authority.sign(file, for: CertificateOrder(edges: ["paris"]))
        try openssl.write(Self.text(signed.certificatePath), to: "made.pem")
        let text = try openssl.run("x509 -noout -text -in made.pem").output
        #expect(text.contains("URI:latchstring:edge:paris") && text.contains("CA:FALSE"))
        #expect(!text.contains("bank") && !text.contains("Certificate Sign") && !text.contains("CN = root"))
        for order in [
            CertificateOrder(), CertificateOrder(edges: ["paris", "rome"]),
            CertificateOrder(edges: ["paris"], keyHolders: ["home"]),
        ] {
            #expect(throws: IdentityRequestError.notOne) { try authority.sign(file, for: order) }
        }
    }

    @Test("A request whose signature does not fit, whose key is too small, or that is none, is refused")
    func badRequests() throws {
        let openssl = try OpenSSL()
        _ = try openssl.run(
            "req -new -newkey rsa:1024 -nodes -keyout small.key -out small.csr -subj /CN=edge")
        let small = try Self.text("\(openssl.directory)/small.csr")
        let refusal = try #require(throws: IdentityRequestError.self) { try IdentityRequest(pem: small) }
        #expect("\(refusal)".contains("its key is of a kind that links cannot use"), "\(refusal)")
        let pem = try IdentityRequest.make(role: .edge, name: "paris", key: try SigningKey(generating: .p256))
        #expect(try IdentityRequest(pem: pem).asksFor == "latchstring:edge:paris")
        var der = try PEMDocument(pemString: pem).derBytes
        // In the name, which the signature covers.
        let position = try #require(der.indices.first { der[$0...].starts(with: Array("paris".utf8)) })
        der[position] = UInt8(ascii: "P")
        let changed = PEMDocument(type: "CERTIFICATE REQUEST", derBytes: der).pemString
        #expect(throws: IdentityRequestError.badSignature) { try IdentityRequest(pem: changed) }
        for text in ["", "no request", String(repeating: "a", count: 100_000)] {
            #expect(throws: IdentityRequestError.self) { try IdentityRequest(pem: text) }
        }
    }
}
