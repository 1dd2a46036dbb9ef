import Crypto
import Foundation
import KeyHolder
import KeyProtocol
import NIOCore
import PeerLink
import PrivateAuthority
import Settings
import SwiftASN1
import TLSWire
import Testing
import X509

@testable import Diagnosis

/// `latchstring check` without sockets: what it proves of a key holder's answers, and of a key holder's files.
@Suite struct CheckTests {
    static let root: Result<TestSiteAuthority, any Error> = Result { try TestSiteAuthority(name: "Check root") }

    /// A key holder with one site, as the proof sees it; the closures spoil its answers.
    struct Holder {
        var issued: IssuedCertificate
        var spoilAnswer: (inout CertificateAnswer) -> Void = { _ in }
        var spoilSignature: ([UInt8]) -> [UInt8] = { $0 }
        var refusal: [String: KeyErrorCode] = [:]

        func answer(_ message: KeyMessage) async throws -> KeyMessage {
            let function = try #require(message.function)
            if let code = self.refusal[function] { throw LinkFailure.refused(code) }
            #expect(message.opcode == .custom)
            #expect(message.serverName == "www.check.test")
            let key = try SoftwareKeyStore().key(from: .text(self.issued.keyPEM, name: "test"))
            switch KeyFunction(rawValue: function) {
            case .certificate:
                let chain = try CertificateChecks.chain(pem: self.issued.chainPEM)
                let shown = CertificateChain(
                    certificates: try chain.map { try $0.serializeAsPEM().derBytes },
                    ski: CertificateChecks.ski(of: chain[0]), schemes: key.type.schemes,
                    notAfter: Int64(chain[0].notValidAfter.timeIntervalSince1970))
                var answer = CertificateAnswer(modes: [.keyless], rate: 1000, chains: [shown])
                self.spoilAnswer(&answer)
                return KeyMessage(opcode: .success, payload: try answer.encoded())
            case .signTLS13:
                let request = try SignTLS13Request(decoding: message.payload)
                let content = SignedContent.tls13Server(transcriptHash: request.transcriptHash)
                let signature: [UInt8] = try key.perform(.sign(request.scheme, content: content))
                return KeyMessage(opcode: .success, payload: ByteBuffer(bytes: self.spoilSignature(signature)))
            default:
                throw LinkFailure.refused(.badOpcode)
            }
        }

        /// nil if the proof holds, else what is wrong.
        func prove(_ domain: String = "www.check.test", daysAhead: Double = 0) async throws -> String? {
            let proof = SiteProof(edge: "paris", keyHolder: "home", now: Date(timeIntervalSinceNow: daysAhead * 86400))
            let pattern = try ServerNamePattern(domain)
            do throws(SiteProof.Failure) {
                _ = try await proof.run(pattern, mode: .keyless) { try await self.answer($0) }
                return nil
            } catch {
                return error.text
            }
        }
    }

    static func issue(_ domains: [String] = ["www.check.test"], _ type: SiteKeyType = .p256) throws -> IssuedCertificate
    {
        try Self.root.get().issueSite(domains: domains, keyType: type)
    }

    @Test("The proof holds for every type of key", arguments: SiteKeyType.allCases)
    func proofHolds(type: SiteKeyType) async throws {
        let holder = Holder(issued: try Self.issue(["www.check.test"], type))
        #expect(try await holder.prove() == nil)
    }

    @Test("A signature by another key, or over something else, is found out", arguments: SiteKeyType.allCases)
    func foreignKey(type: SiteKeyType) async throws {
        var holder = Holder(issued: try Self.issue(["www.check.test"], type))
        holder.spoilSignature = { signature in
            var signature = signature
            signature[signature.count - 1] ^= 1
            return signature
        }
        #expect(try await holder.prove()?.hasPrefix("the key holder's signature does not verify") == true)
        // The chain of a different certificate for the same name.
        let other = try CertificateChecks.chain(pem: try Self.issue(["www.check.test"], type).chainPEM)
        var swapped = Holder(issued: holder.issued)
        let der = try other.map { try $0.serializeAsPEM().derBytes }
        swapped.spoilAnswer = { answer in
            answer.chains[0].certificates = der
            answer.chains[0].ski = CertificateChecks.ski(of: other[0])
        }
        #expect(try await swapped.prove()?.hasPrefix("the key holder's signature does not verify") == true)
    }

    @Test("Everything else that can be wrong with a key holder's answer")
    func wrongAnswers() async throws {
        let issued = try Self.issue()
        var ski = Holder(issued: issued)
        ski.spoilAnswer = { $0.chains[0].ski = [UInt8](repeating: 1, count: 20) }
        #expect(try await ski.prove()?.hasPrefix("the key identifier") == true)

        let name = Holder(issued: try Self.issue(["other.test"]))
        #expect(try await name.prove() == "its certificate does not cover this domain")

        let expired = Holder(issued: issued)
        #expect(try await expired.prove(daysAhead: 91)?.hasPrefix("its certificate is expired on ") == true)

        var mode = Holder(issued: issued)
        mode.spoilAnswer = { $0.modes = [.handoff] }
        #expect(try await mode.prove() == "its key holder does not lend it for keyless")

        var scheme = Holder(issued: issued)
        scheme.spoilAnswer = { $0.chains[0].schemes = [.rsaPKCS1SHA256] }
        #expect(try await scheme.prove() == "its key can sign nothing that TLS 1.3 takes")

        var wrongScheme = Holder(issued: issued)
        wrongScheme.spoilAnswer = { $0.chains[0].schemes = [.ed25519] }
        await #expect(throws: Never.self) { try await wrongScheme.prove() != nil }

        var garbage = Holder(issued: issued)
        garbage.spoilAnswer = { $0.chains[0].certificates = [[1, 2, 3]] }
        #expect(try await garbage.prove()?.hasPrefix("its certificate cannot be used") == true)

        var noGrant = Holder(issued: issued)
        noGrant.refusal[KeyFunction.certificate.rawValue] = .keyNotFound
        #expect(try await noGrant.prove() == "the key holder refuses its certificate: key-not-found")

        var noSignature = Holder(issued: issued)
        noSignature.refusal[KeyFunction.signTLS13.rawValue] = .keyNotFound
        #expect(try await noSignature.prove() == "the key holder refuses a signature: key-not-found")
    }

    @Test("A certificate is good, close to its end, past it, or not there yet")
    func validity() throws {
        let leaf = try CertificateChecks.chain(pem: try Self.issue().chainPEM)[0]
        func outcome(_ days: Double) -> CheckLine.Outcome {
            CertificateChecks.validity(of: leaf, now: Date(timeIntervalSinceNow: days * 86400)).outcome
        }
        #expect(outcome(0) == .ok)
        #expect(outcome(61) == .warn)
        #expect(outcome(91) == .fail)
        #expect(outcome(-30) == .fail)
    }

    // MARK: A key holder's file

    /// A key holder's folder, made and removed with the test.
    final class Folder {
        let path: String

        init() throws {
            self.path = FileManager.default.temporaryDirectory.appendingPathComponent("check-\(UUID().uuidString)").path
            let order = CertificateOrder(
                edges: ["paris"], keyHolders: ["home"],
                sites: [.init(domains: ["a.test", "b.test"]), .init(domains: ["c.test"], keyType: .ed25519)])
            _ = try CertificateDirectory(path: self.path).fulfil(order)
        }

        deinit {
            try? FileManager.default.removeItem(atPath: self.path)
        }

        /// The words and texts of what `check` says about a key holder's file with these sites and grants.
        func check(
            sites: String, grants: String, daysAhead: Double = 0, all: Bool = false
        ) throws -> [String] {
            let text = """
                role: keyholder
                listen: 127.0.0.1:0
                identity: {certificate: keyholder-home.pem, key: keyholder-home.key, authority: authority.pem}
                sites:
                \(sites)
                grants:
                \(grants)
                """
            let loaded = try Settings.parse(text, file: self.path + "/k.yaml", checkingFiles: true)
            guard case .keyHolder(let settings) = loaded.party else { return [] }
            let report = CheckReport(colours: false) { _ in }
            KeyHolderCheck(settings: settings, report: report, now: Date(timeIntervalSinceNow: daysAhead * 86400)).run()
            return report.lines.filter { all || $0.outcome != .ok }.map { line in
                let place = line.location.map { "\($0.line): " } ?? ""
                return "\(line.outcome.rawValue) \(place)\(line.text.replacing(self.path + "/", with: ""))"
            }
        }
    }

    @Test("A good key holder's file")
    func goodFile() throws {
        let lines = try Folder().check(
            sites: """
                  - {certificate: a.test.pem, key: a.test.key}
                  - {certificate: c.test.pem, key: c.test.key, domains: [c.test]}
                """, grants: "  - {edge: paris, sites: [b.test, c.test], operations: [keyless]}")
        #expect(lines == [])
    }

    @Test("What is wrong in a key holder's files is named with its line")
    func badFiles() throws {
        let folder = try Folder()
        let lines = try folder.check(
            sites: """
                  - {certificate: a.test.pem, key: a.test.key}
                  - {certificate: a.test.pem, key: a.test.key, domains: [b.test]}
                """,
            grants: """
                  - {edge: paris, sites: [a.test, x.test], operations: [keyless]}
                  - {edge: paris, sites: [b.test], operations: [rsa-sign]}
                  - {edge: rome, sites: [b.test], operations: [certificate, sign-tls13]}
                """)
        #expect(
            lines == [
                "FAIL 6: the domain b.test belongs to the site in line 5 also",
                "FAIL 8: the grant for edge paris names x.test, which no site here has",
                "FAIL 9: edge paris has another grant for the same site",
                "warn 9: edge paris may use rsa-sign, which works on whatever it is given",
                "warn 10: edge rome may sign-tls13 and not handshake-tls12: its keyless sites take no TLS 1.2 clients",
            ])
        let swapped = try folder.check(
            sites:
                "  - {certificate: a.test.pem, key: c.test.key}\n  - {certificate: c.test.pem, key: c.test.key, domains: [a.test]}",
            grants: "  - {edge: paris, sites: [a.test], operations: [keyless]}")
        #expect(swapped.count == 2)
        #expect(
            swapped.first?.hasPrefix("FAIL 5: the private key in c.test.key does not belong to the certificate") == true
        )
        #expect(swapped.last?.hasPrefix("FAIL 6: the certificate in c.test.pem does not cover a.test") == true)
    }

    @Test("What a site's tls excludes is said; what leaves nothing, and keys that are none, fail")
    func handshakes() throws {
        let folder = try Folder()
        try Data("no keys".utf8).write(to: URL(fileURLWithPath: "\(folder.path)/t.key"))
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: "\(folder.path)/t.key")
        func lines(_ tls: String) throws -> [String] {
            try folder.check(
                sites: "  - {certificate: c.test.pem, key: c.test.key, tls: {\(tls)}}",
                grants: "  - {edge: paris, sites: [c.test], operations: [handoff]}", all: true
            ).filter { $0.contains("tls") || $0.contains("t.key") }
        }
        #expect(try lines("minimum-version: 1.2") == [])
        #expect(
            try lines("minimum-version: 1.3, groups: [X25519], ticket-lifetime: 0s") == [
                "ok 5: site c.test: its tls excludes clients without TLS 1.3, X25519MLKEM768, P-256, P-384, resumption"
            ])
        let suites = try lines("cipher-suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]")
        #expect(suites.count == 1)
        #expect(
            suites.first?.hasPrefix("FAIL 5: no client could be served with the certificate in c.test.pem: none of its")
                == true)
        let keys = try lines("ticket-keys: t.key")
        #expect(keys.count == 1)
        #expect(keys.first?.hasPrefix("FAIL 5: the ticket keys in t.key cannot be used: its first line is not") == true)
    }

    @Test("A key that other users can read is an error of its line, of a site as of the identity")
    func openKeys() throws {
        for (key, line) in [("a.test.key", 5), ("keyholder-home.key", 3)] {
            let folder = try Folder()
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: "\(folder.path)/\(key)")
            let error = try #require(throws: SettingsError.self) {
                try folder.check(
                    sites: "  - {certificate: a.test.pem, key: a.test.key}",
                    grants: "  - {edge: paris, sites: [a.test], operations: [keyless]}")
            }
            let diagnostic = try #require(error.diagnostics.first)
            #expect(error.diagnostics.count == 1)
            #expect(diagnostic.location.line == line)
            #expect(diagnostic.message == "other users can read the secret in \"\(folder.path)/\(key)\" (mode 0644)")
            #expect(diagnostic.remedy == "Run chmod 600 \(folder.path)/\(key)")
        }
    }

    @Test("Certificates near their end, and past it")
    func expiry() throws {
        let folder = try Folder()
        let site = "  - {certificate: c.test.pem, key: c.test.key}"
        let grant = "  - {edge: paris, sites: [c.test], operations: [keyless]}"
        let near = try folder.check(sites: site, grants: grant, daysAhead: 70)
        #expect(near.count == 1)
        #expect(
            near.first?.hasPrefix("warn 5: site c.test: Ed25519 key and chain of 1 belong together, valid until")
                == true)
        let past = try folder.check(sites: site, grants: grant, daysAhead: 100)
        #expect(past.count == 1)
        #expect(past.first?.hasPrefix("FAIL 5: site c.test:") == true)
    }

    @Test("An identity of the wrong role, or of another authority")
    func identities() throws {
        let folder = try Folder()
        let other = try Folder()
        func check(_ certificate: String, _ key: String, _ authority: String) -> [String] {
            let report = CheckReport(colours: false) { _ in }
            let settings = try? Settings.parse(
                """
                role: keyholder
                listen: 127.0.0.1:0
                identity: {certificate: \(certificate), key: \(key), authority: \(authority)}
                sites: [{certificate: c.test.pem, key: c.test.key}]
                """, file: folder.path + "/k.yaml", checkingFiles: true)
            guard case .keyHolder(let loaded)? = settings?.party else { return [] }
            _ = IdentityCheck(report: report, now: Date()).check(loaded.identity, role: .keyholder)
            return report.lines.map { "\($0.outcome.rawValue) \($0.text)" }
        }
        #expect(
            check("keyholder-home.pem", "keyholder-home.key", "authority.pem").first?.hasPrefix("ok identity: ") == true
        )
        #expect(
            check("edge-paris.pem", "edge-paris.key", "authority.pem") == [
                "FAIL the identity is edge paris, and this file needs one in the role keyholder"
            ])
        #expect(
            check("keyholder-home.pem", "keyholder-home.key", other.path + "/authority.pem") == [
                "FAIL the identity of keyholder home was not signed by the authority"
            ])
        #expect(
            check("keyholder-home.pem", "edge-paris.key", "authority.pem").first?.contains("does not belong") == true)
    }

    @Test("A folder that the service could not have for itself is found before the start")
    func folders() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("check-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data("x".utf8).write(to: folder.appendingPathComponent("file"))
        let path = folder.path
        #expect(CheckFiles.problemOwning(path) == nil)
        #expect(CheckFiles.problemOwning(path + "/new") == nil)
        #expect(CheckFiles.problemOwning(path, user: geteuid() + 1) == "it belongs to user \(geteuid())")
        #expect(CheckFiles.problemOwning(path + "/file") == "Not a directory")
        #expect(CheckFiles.problemOwning(path + "/file/new") == "Not a directory")
        let report = CheckReport(colours: false) { _ in }
        report.folder(path, called: "disk store")
        report.folder(path + "/file", called: "state folder")
        report.file(path + "/access.log", called: "access log")
        report.file(path + "/none/access.log", called: "access log")
        #expect(report.lines.map(\.outcome) == [.ok, .fail, .ok, .fail])
    }

    @Test("What to do is said once, and fits the reason")
    func linkRemedies() {
        func remedy(_ failure: LinkFailure) -> String? { EdgeCheck.remedy("\(failure)", edge: "paris") }
        #expect(remedy(.unreachable("connection refused"))?.hasPrefix("Is it up, ") == true)
        #expect(remedy(.refused(.noGrant)) == nil)
        #expect(remedy(.lost("what listens there does not speak TLS; is that the key holder's port?")) == nil)
        #expect(remedy(.lost("the connection broke off"))?.contains("grant edge paris something?") == true)
    }

    @Test("A report's lines cannot be broken by what stands in them")
    func printing() {
        var printed = ""
        let report = CheckReport(colours: false) { printed += $0 }
        report.fail(SourceLocation(file: "e.yaml", line: 3, column: 1), "bad\n\u{1B}[31m name", remedy: "Fix it.")
        report.finish()
        #expect(
            printed == """
                FAIL  e.yaml:3:1: bad  [31m name. Fix it.
                This configuration will not work as it is: 0 ok, 0 warnings, 1 problem.

                """)
    }
}
