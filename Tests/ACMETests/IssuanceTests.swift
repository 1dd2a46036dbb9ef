import Crypto
import CryptoExtras
import Foundation
import SwiftASN1
import TestDirectory
import Testing
import X509

@testable import ACME

/// Whole attempts against a directory that checks every signature, nonce and binding itself.
@Suite struct IssuanceTests {
    @Test func oneNameByTLSALPN() throws {
        let directory = try TestDirectory { kind, name, _ in kind == "tls-alpn-01" && name == "www.test" }
        var client = Client(directory)
        let chain = try client.run(Client.request(directory))
        #expect(chain.names == ["www.test"])
        #expect(!chain.isPlaceholder)
        #expect(chain.ariID != nil)
        #expect(client.account != nil)
        #expect(client.presented.count == 1 && client.withdrawn == 1)
        #expect(
            directory.log == [
                "new-account", "new-order", "authorization", "challenge tls-alpn-01", "authorization", "finalize",
                "certificate",
            ])
    }

    @Test("http-01: the token's value is shown, and taken away")
    func http01() throws {
        let directory = try TestDirectory { kind, _, _ in kind == "http-01" }
        var client = Client(directory)
        _ = try client.run(Client.request(directory, challenge: .http01))
        guard case .http("www.test", let token, let value)? = client.presented.first else {
            Issue.record("no token")
            return
        }
        #expect(value.hasPrefix("\(token).") && value.count == token.count + 44)
        #expect(client.withdrawn == 1)
    }

    @Test func theChallengeCertificateIsWhatTheRFCDescribes() throws {
        let seen = Box<String>()
        let directory = try TestDirectory { _, _, keyAuthorization in
            seen.value = keyAuthorization
            return true
        }
        var client = Client(directory)
        _ = try client.run(Client.request(directory))
        guard case .tlsALPN("www.test", let challenge)? = client.presented.first else {
            Issue.record("no certificate")
            return
        }
        let certificate = try Certificate(derEncoded: challenge.certificate)
        let names: SubjectAlternativeNames? = try certificate.extensions.subjectAlternativeNames
        #expect(names.map(Array.init) == [.dnsName("www.test")])
        let found = try #require(certificate.extensions[oid: [1, 3, 6, 1, 5, 5, 7, 1, 31]])
        #expect(found.critical)
        let digest = SHA256.hash(data: Data(try #require(seen.value).utf8))
        #expect(Array(found.value) == [4, 32] + Array(digest))
        #expect(certificate.publicKey.isValidSignature(certificate.signature, for: certificate))
        // A key of its own: neither the site's nor the account's.
        let key = try P256.Signing.PrivateKey(derRepresentation: challenge.key)
        #expect(Certificate.PublicKey(key.publicKey) == certificate.publicKey)
    }

    @Test func severalNamesAndAWildcardByDNS() throws {
        let asked = Box<[String]>([])
        let directory = try TestDirectory { kind, name, keyAuthorization in
            asked.value?.append("\(kind) \(name) \(TestText.base64URL(SHA256.hash(data: Data(keyAuthorization.utf8))))")
            return true
        }
        var client = Client(directory)
        let chain = try client.run(
            Client.request(directory, names: ["www.test", "*.www.test", "api.test"], challenge: .dns01))
        #expect(chain.names == ["*.www.test", "api.test", "www.test"])
        let tasks = client.presented.compactMap { task -> String? in
            guard case .dns(let name, let record, let value) = task else { return nil }
            #expect(record == "_acme-challenge.\(name)")
            return "dns-01 \(name) \(value)"
        }
        #expect(tasks == asked.value)
        #expect(client.withdrawn == 3)
    }

    @Test func anRSAKeyGetsAnRSACertificate() throws {
        let directory = try TestDirectory()
        var client = Client(directory)
        let key = try SiteKey(.rsa)
        let chain = try client.run(Client.request(directory, siteKey: key))
        let leaf = try Certificate(pemDocument: try #require(PEMDocument.parseMultiple(pemString: chain.pem).first))
        #expect(_RSA.Signing.PublicKey(leaf.publicKey)?.keySizeInBits == 2048)
        // As it is read from disk.
        let stored = try SiteKey(pem: key.pem)
        #expect(try stored.kind == .rsa && chain.belongs(to: stored))
        #expect(try !chain.belongs(to: SiteKey(.ecdsa)))
        #expect(throws: ACMEFailure.self) {
            try IssuedChain(checking: chain.pem, key: SiteKey(.rsa), names: Client.names, now: client.now)
        }
    }

    @Test func theAccountIsMadeOnce() throws {
        let directory = try TestDirectory()
        var client = Client(directory)
        let request = Client.request(directory)
        _ = try client.run(request)
        client.order = nil
        _ = try client.run(request)
        #expect(directory.log.count { $0 == "new-account" } == 1)
    }

    @Test func anAccountThatTheDirectoryForgotIsMadeAnew() throws {
        let directory = try TestDirectory()
        var client = Client(directory)
        let request = Client.request(directory)
        _ = try client.run(request)
        client.order = nil
        directory.set { $0.forgetsAccount = true }
        let before = client.account
        _ = try client.run(request)
        #expect(client.account != before)
        #expect(directory.log.count { $0 == "new-account" } == 2)
    }

    @Test func anExternalAccountIsBound() throws {
        let key = (0..<32).map { UInt8($0) }
        let directory = try TestDirectory(externalAccount: (kid: "kid-1", key: key))
        var client = Client(directory)
        #expect(client.failure(Client.request(directory))?.reason == .needsExternalAccount)
        let wrong = ExternalAccount(kid: "kid-1", key: TestText.base64URL(key.reversed()))
        guard case .refused(let problem, _)? = client.failure(Client.request(directory, externalAccount: wrong))?.reason
        else {
            Issue.record("not refused")
            return
        }
        #expect(problem.name == "externalAccountRequired")
        let right = ExternalAccount(kid: "kid-1", key: TestText.base64URL(key) + "=\n")
        _ = try client.run(Client.request(directory, externalAccount: right))
        #expect(ExternalAccount(kid: "kid-1", key: "short") == nil)
        #expect(ExternalAccount(kid: "kid-1", key: "not/base64url+at+all=====") == nil)
    }

    @Test func noncesThatAreRefusedAreReplaced() throws {
        let directory = try TestDirectory()
        directory.set { $0.badNonces = 10 }
        var client = Client(directory)
        let request = Client.request(directory)
        _ = try client.run(request)
        directory.set { $0.badNonces = 11 }
        client.order = nil
        guard case .refused(let problem, _)? = client.failure(request)?.reason else {
            Issue.record("not refused")
            return
        }
        #expect(problem.name == "badNonce")
    }

    @Test func whatTakesTimeIsWaitedFor() throws {
        let directory = try TestDirectory()
        directory.set { $0.pendingPolls = 3 }
        var client = Client(directory)
        let request = Client.request(directory)
        _ = try client.run(request)
        #expect(client.waits == [1000, 2000, 4000, 1000, 2000, 4000])
        directory.set { $0.pendingPolls = 1_000_000 }
        client.order = nil
        #expect(client.failure(request)?.reason == .timedOut("the check of www.test"))
        // An order that may still come to something is kept.
        #expect(client.order != nil)
        #expect(client.withdrawn == client.presented.count)
    }

    @Test func aRateLimitIsAFailureWithATime() throws {
        let directory = try TestDirectory()
        directory.set { $0.rateLimited = 1 }
        var client = Client(directory)
        let failed = client.failure(Client.request(directory))
        let failure = try #require(failed)
        #expect(failure.label == "rate-limited")
        #expect(failure.notBefore == client.now + 120_000)
        var plan = RenewalPlan()
        plan.failed(failure, now: client.now, share: 0)
        #expect(plan.due(nil, names: Client.names, percent: 66) == client.now + 120_000)
    }

    @Test(arguments: ["checksFail", "ordersFail", "wrongKey", "leafOnly", "oneNameMore", "past", "future"])
    func failures(fault: String) throws {
        let directory = try TestDirectory()
        directory.set { faults in
            switch fault {
            case "checksFail": faults.checksFail = true
            case "ordersFail": faults.ordersFail = true
            case "wrongKey": faults.wrongKey = true
            case "leafOnly": faults.leafOnly = true
            case "oneNameMore": faults.oneNameMore = true
            case "past": faults.validity = -7200 ... -3600
            default: faults.validity = 7200...86_400
            }
        }
        var client = Client(directory)
        let failed = client.failure(Client.request(directory))
        let failure = try #require(failed)
        let wanted = [
            "checksFail": "the check of www.test failed: connection: nothing is there",
            "ordersFail": "the order ended without a certificate: caa: CAA says no",
            "wrongKey": "the certificate that was issued is not used: its key is not the one that it was asked for",
            "leafOnly":
                "the certificate that was issued is not used: its chain ends with the leaf: the issuer's certificate is missing",
            "oneNameMore":
                "the certificate that was issued is not used: it is for other.test, www.test, and not for www.test",
            "past":
                "the certificate that was issued is not used: it has expired already; is this machine's clock right?",
            "future":
                "the certificate that was issued is not used: it is not valid yet; is this machine's clock right?",
        ]
        #expect(failure.message == wanted[fault])
        // It cannot come to anything any more.
        #expect(client.order == nil)
        #expect(client.withdrawn == client.presented.count)
    }

    @Test func aChallengeThatIsNotOffered() throws {
        let directory = try TestDirectory()
        directory.set { $0.challenges = ["http-01"] }
        var client = Client(directory)
        #expect(
            client.failure(Client.request(directory))?.reason
                == .challengeNotOffered(name: "www.test", wanted: "tls-alpn-01", offered: ["http-01"]))
    }

    @Test func aPageInPlaceOfADirectory() throws {
        let directory = try TestDirectory()
        var client = Client(directory)
        for status in [200, 404, 503] {
            directory.set { $0.broken = status }
            let failed = client.failure(Client.request(directory))
            let failure = try #require(failed)
            #expect(failure.label == "bad-answer", "\(failure)")
        }
    }

    /// Wherever an attempt is cut off, the next one, with what was saved, gets the certificate, and orders once more at the most
    /// if the order was lost before it was saved.
    @Test func anAttemptThatIsCutOffGoesOn() throws {
        var cuts = 0
        for cut in 1...20 {
            let directory = try TestDirectory()
            var client = Client(directory)
            client.crashAt = cut
            let request = Client.request(directory)
            if (try? client.run(request)) != nil {
                break
            }
            client.crashAt = nil
            #expect(try client.run(request).names == ["www.test"], "cut at \(cut)")
            #expect(directory.log.count { $0 == "new-order" } == 1, "cut at \(cut)")
            cuts += 1
        }
        #expect(cuts == 10)
    }

    @Test func aSavedOrderOfOtherNamesIsLeft() throws {
        let directory = try TestDirectory()
        var client = Client(directory)
        let account = AccountKey()
        _ = try client.run(Client.request(directory, names: ["www.test"], accountKey: account))
        let chain = try client.run(Client.request(directory, names: ["www.test", "api.test"], accountKey: account))
        #expect(chain.names == ["api.test", "www.test"])
        client.order = "\(directory.base)/order/99"
        _ = try client.run(Client.request(directory, names: ["www.test"], accountKey: account))
    }

    @Test func eventsThatWereNotAskedForChangeNothing() throws {
        let directory = try TestDirectory()
        var issuance = Issuance(Client.request(directory))
        #expect(issuance.presented(now: 0).isEmpty)
        #expect(issuance.woke(now: 0).isEmpty)
        #expect(issuance.notPresented("x", now: 0).isEmpty)
        #expect(issuance.begin(now: 0).count == 1)
        #expect(issuance.begin(now: 0).isEmpty)
        guard case .failed(let failure)? = issuance.unreachable("refused", now: 0).last else {
            Issue.record("not failed")
            return
        }
        #expect(failure.message == "the ACME directory cannot be reached: refused")
        #expect(issuance.unreachable("again", now: 0).isEmpty)
    }
}

/// A value that a closure sets.
final class Box<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var held: Value?

    init(_ value: Value? = nil) { self.held = value }

    var value: Value? {
        get { self.lock.withLock { self.held } }
        set { self.lock.withLock { self.held = newValue } }
    }
}

enum TestText {
    static func base64URL(_ bytes: some Sequence<UInt8>) -> String {
        Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
}
