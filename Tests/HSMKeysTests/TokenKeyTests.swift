import Crypto
import Foundation
import HSMWire
import Logging
import PrivateAuthority
import TLSWire
import TestLogs
import TestSockets
import TestToken
import Testing
import X509

@testable import HSMKeys
@testable import KeyHolder

@Suite("Keys on a token", .enabled(if: SoftToken.isInstalled, "softhsm2 is not installed"), .timeLimit(.minutes(3)))
struct TokenKeyTests {
    static let content = SignedContent.tls13Server(transcriptHash: [UInt8](repeating: 7, count: 32))

    /// A token with a P-256 key, `www`.
    static func stage() throws -> (token: FaultyToken, publicKey: Certificate.PublicKey) {
        let token = try FaultyToken()
        let (pem, publicKey) = try FaultyToken.site(.p256)
        try token.take(pem, as: "www", id: "01")
        return (token, publicKey)
    }

    static func sign(_ key: any StoredKey) throws -> [UInt8] {
        try key.perform(.sign(.ecdsaP256SHA256, content: Self.content))
    }

    static func isValid(_ signature: [UInt8], _ publicKey: Certificate.PublicKey) throws -> Bool {
        let key = try #require(P256.Signing.PublicKey(publicKey))
        return key.isValidSignature(
            try P256.Signing.ECDSASignature(derRepresentation: signature), for: SHA256.hash(data: Self.content.bytes))
    }

    @Test("P-256, P-384 and RSA keys sign by every scheme that TLS has for them")
    func schemes() async throws {
        try await blocking {
            let token = try FaultyToken()
            let store = token.store()
            let (p256, rsa) = (try FaultyToken.site(.p256), try FaultyToken.site(.rsa2048))
            try token.take(p256.keyPEM, as: "ec", id: "01")
            try token.take(rsa.keyPEM, as: "rsa", id: "02")
            let p384 = P384.Signing.PrivateKey()
            try token.take(p384.pemRepresentation, as: "ec384", id: "03")
            let keys = [
                try store.key(from: try FaultyToken.key("ec"), for: p256.publicKey),
                try store.key(from: try FaultyToken.key("rsa"), for: rsa.publicKey),
                try store.key(from: try FaultyToken.key("ec384"), for: Certificate.PublicKey(p384.publicKey)),
                // By its id alone, at any token.
                try store.key(from: .token(try PKCS11URI("pkcs11:id=%02")), for: rsa.publicKey),
            ]
            #expect(keys.map(\.type) == [.p256, .rsa(bits: 2048), .p384, .rsa(bits: 2048)])
            for key in keys {
                // Each signature has been verified by the key itself.
                for scheme in key.type.schemes {
                    #expect(try !key.perform(.sign(scheme, content: Self.content)).isEmpty)
                }
                #expect(key.signsHandshakesOnly)
                #expect(throws: KeyOperationError.wrongKeyType) { try key.perform(.rawRSA([1])) }
                #expect(throws: KeyOperationError.wrongKeyType) {
                    try key.perform(.signDigest(.sha256, .ecdsa, digest: [UInt8](repeating: 1, count: 32)))
                }
            }
            #expect(try Self.isValid(try Self.sign(keys[0]), p256.publicKey))
        }
    }

    @Test("A key that is not the certificate's is refused at the start")
    func mismatch() async throws {
        try await blocking {
            let (token, _) = try Self.stage()
            let other = try FaultyToken.site(.p256)
            let error = #expect(throws: SiteLoadError.self) {
                try token.store().key(from: try FaultyToken.key("www"), for: other.publicKey)
            }
            #expect(error?.description.contains("does not fit the certificate") == true)
        }
    }

    @Test("What cannot be found, or is there twice, is said by name")
    func notFound() async throws {
        try await blocking {
            let (token, publicKey) = try Self.stage()
            let store = token.store()
            func text(_ source: KeySource) throws -> String {
                let error = #expect(throws: SiteLoadError.self) { try store.key(from: source, for: publicKey) }
                return "\(try #require(error))"
            }
            #expect(try text(try FaultyToken.key("nothing")).contains("no such private key"))
            #expect(try text(try FaultyToken.key("www", token: "other")).contains("no such token"))
            try token.take(P256.Signing.PrivateKey().pemRepresentation, as: "www", id: "02")
            #expect(try text(try FaultyToken.key("www")).contains("several private keys"))
            try token.token.makeToken("second")
            #expect(try text(.token(try PKCS11URI("pkcs11:object=www"))).contains("several tokens"))
            let unknown = HSMKeyStore(
                TokenModule(module: "/usr/lib/nothing.so"), logger: Logger(label: "test"),
                program: [FaultyToken.worker])
            let error = #expect(throws: SiteLoadError.self) {
                try unknown.key(from: try FaultyToken.key("www"), for: publicKey)
            }
            #expect(error?.description.contains("hsm.module cannot be loaded") == true)
        }
    }

    // MARK: The PIN

    @Test("A wrong PIN is tried once: by no other worker and at no reload, until it is another one")
    func wrongPIN() async throws {
        try await blocking {
            let (token, publicKey) = try Self.stage()
            try token.write("9999\n", to: "pin")
            let store = token.store()
            let source = try FaultyToken.key("www")
            let first = #expect(throws: SiteLoadError.self) { try store.key(from: source, for: publicKey) }
            #expect(first?.description.contains("CKR_PIN_INCORRECT") == true)
            #expect(token.calls("login") == 1)
            for _ in 0..<3 {
                let again = #expect(throws: SiteLoadError.self) { try store.key(from: source, for: publicKey) }
                #expect(again?.description.contains("refused this PIN before") == true)
            }
            #expect(token.calls("login") == 1)
            #expect(
                token.recorder.lines("the HSM cannot be used").contains {
                    $0.metadata["reason"]?.contains("not tried again") ?? false
                })
            try token.write("1234\n", to: "pin")
            let key = try store.key(from: source, for: publicKey)
            #expect(token.calls("login") == 2)
            #expect(try Self.isValid(try Self.sign(key), publicKey))
            #expect(
                !token.recorder.all.contains { line in
                    line.message.contains("9999") || line.metadata.values.contains { $0.contains("9999") }
                })
        }
    }

    @Test(
        "A wrong PIN is not tried again after a restart of the key holder, nor one that got no answer",
        arguments: [nil, "login-crashes"])
    func restart(_ fault: String?) async throws {
        try await blocking {
            let (token, publicKey) = try Self.stage()
            let source = try FaultyToken.key("www")
            if fault == nil { try token.write("9999\n", to: "pin") }
            try token.setFault(fault)
            for _ in 0..<3 {
                // Another store is what another process has.
                #expect(throws: SiteLoadError.self) {
                    try token.store(memory: "refused-pins").key(from: source, for: publicKey)
                }
            }
            #expect(token.calls("login") == 1)
            let text = try String(contentsOfFile: token.path("refused-pins"), encoding: .utf8)
            #expect(!text.contains("9999") && !text.contains("1234"))
            // By a hash that is slow to try PINs against.
            #expect(text.split(separator: " ").dropFirst(2).first == "scrypt-32768-8-3", "\(text)")
            try token.setFault(nil)
            if fault == nil {
                try token.write("1234\n", to: "pin")
                let key = try token.store(memory: "refused-pins").key(from: source, for: publicKey)
                #expect(try Self.isValid(try Self.sign(key), publicKey))
                #expect(try String(contentsOfFile: token.path("refused-pins"), encoding: .utf8).isEmpty)
            }
            // What cannot be read lets no PIN be tried.
            try token.write("nonsense\n", to: "refused-pins")
            let error = #expect(throws: SiteLoadError.self) {
                try token.store(memory: "refused-pins").key(from: source, for: publicKey)
            }
            #expect(error?.description.contains("none is tried") == true)
        }
    }

    @Test("A PIN that cannot be remembered as tried is not tried")
    func noMemory() async throws {
        try await blocking {
            let (token, publicKey) = try Self.stage()
            try token.write("9999\n", to: "pin")
            for _ in 0..<2 {
                let error = #expect(throws: SiteLoadError.self) {
                    // There is no such folder.
                    try token.store(memory: "nothing/refused-pins").key(
                        from: try FaultyToken.key("www"), for: publicKey)
                }
                #expect(error?.description.contains("none is tried") == true)
            }
            #expect(token.calls("login") == 0)
        }
    }

    @Test("A wrong PIN is not tried again after another wrong one", arguments: [nil, "refused-pins"])
    func severalWrongPINs(_ memory: String?) async throws {
        try await blocking {
            let (token, publicKey) = try Self.stage()
            let source = try FaultyToken.key("www")
            var store = token.store(memory: memory)
            for pin in ["9999", "8888", "9999", "8888"] {
                try token.write("\(pin)\n", to: "pin")
                #expect(throws: SiteLoadError.self) { try store.key(from: source, for: publicKey) }
                // With a memory, each as another process.
                if memory != nil { store = token.store(memory: memory) }
            }
            #expect(token.calls("login") == 2)
            try token.write("1234\n", to: "pin")
            let key = try store.key(from: source, for: publicKey)
            #expect(try Self.isValid(try Self.sign(key), publicKey))
        }
    }

    @Test("A wrong PIN of one key keeps no worker from the PIN that the token takes")
    func othersPIN() async throws {
        try await blocking {
            let (token, publicKey) = try Self.stage()
            try token.write("9999\n", to: "wrong")
            let store = token.store(memory: "refused-pins")
            let key = try store.key(from: try FaultyToken.key("www"), for: publicKey)
            let wrong = try PKCS11URI("pkcs11:token=site%20keys;object=www?pin-source=\(token.path("wrong"))")
            for _ in 0..<2 {
                #expect(throws: SiteLoadError.self) { try store.key(from: .token(wrong), for: publicKey) }
            }
            #expect(token.calls("login") == 2)
            // All workers end, and others are started.
            try token.setFault("crashes")
            #expect(throws: KeyOperationError.failed) { try Self.sign(key) }
            try token.setFault(nil)
            let signature = try eventually("a signature") { try? Self.sign(key) }
            #expect(try Self.isValid(signature, publicKey))
            // The good one that is taken again has the wrong one not tried again.
            let logins = token.calls("login")
            #expect(throws: SiteLoadError.self) { try store.key(from: .token(wrong), for: publicKey) }
            #expect(token.calls("login") == logins)
        }
    }

    @Test("Logins behind one that gets no answer do not each wait for one of their own")
    func hungLogins() async throws {
        try await blocking {
            let (token, _) = try Self.stage()
            let (desk, reaper) = (LoginDesk(refused: nil), ProcessReaper())
            let selection = try PKCS11URI("pkcs11:token=site%20keys;object=www").token
            func open() throws -> (WorkerProcess, TokenFacts) {
                var worker = try WorkerProcess(program: token.program, reaper: reaper)
                let facts = try worker.open(
                    SoftToken.modulePath, selection, deadline: Clock.monotonic() + WorkerPool.startTimeout)
                return (worker, facts)
            }
            let source = PINSource.file(token.path("pin"))
            var (first, facts) = try open()
            try desk.login(&first, to: facts, source, .load, timeout: WorkerPool.startTimeout)
            first.end()
            try token.setFault("login-hangs")
            let others = try (0..<6).map { _ in try open() }
            let (done, begin) = (DispatchSemaphore(value: 0), Clock.monotonic())
            for (worker, facts) in others {
                Thread {
                    var worker = worker
                    #expect(throws: HSMError.self) {
                        try desk.login(&worker, to: facts, source, .restart, timeout: 1_000_000_000)
                    }
                    worker.end()
                    done.signal()
                }.start()
            }
            for _ in others { done.wait() }
            #expect(Clock.monotonic() - begin < 4_000_000_000)
        }
    }

    @Test("A PIN that the token takes no more is tried once by workers that start again")
    func changedPIN() async throws {
        try await blocking {
            let (token, publicKey) = try Self.stage()
            let store = token.store()
            let key = try store.key(from: try FaultyToken.key("www"), for: publicKey)
            #expect(token.calls("login") == 1)
            try token.write("0000\n", to: "pin")
            try token.setFault("crashes")
            for _ in 0..<4 { #expect(throws: KeyOperationError.failed) { try Self.sign(key) } }
            try token.setFault(nil)
            for _ in 0..<4 { #expect(throws: KeyOperationError.failed) { try Self.sign(key) } }
            #expect(token.calls("login") == 2)
            #expect(!store.isWell)
        }
    }

    @Test("A login without an answer counts as a wrong PIN where the token had not taken it before")
    func loginCrashes() async throws {
        try await blocking {
            let (token, publicKey) = try Self.stage()
            let store = token.store()
            try token.setFault("login-crashes")
            for _ in 0..<3 {
                #expect(throws: SiteLoadError.self) {
                    try store.key(from: try FaultyToken.key("www"), for: publicKey)
                }
            }
            #expect(token.calls("login") == 1)
        }
    }

    @Test("The file with the PIN must meet the rule for secrets, and hold one")
    func pinFile() async throws {
        try await blocking {
            let (token, publicKey) = try Self.stage()
            let source = try FaultyToken.key("www")
            func text(_ pin: PINSource?) throws -> String {
                let store = token.store(pin: pin)
                let error = #expect(throws: SiteLoadError.self) { try store.key(from: source, for: publicKey) }
                return "\(try #require(error))"
            }
            try token.write("\n", to: "empty")
            #expect(try text(.file(token.path("empty"))).contains("is empty or longer"))
            #expect(try text(.file(token.path("nothing"))).contains("there is no such file"))
            try token.write("1234", to: "open")
            #expect(chmod(token.path("open"), 0o644) == 0)
            #expect(try text(.file(token.path("open"))).contains("other users can read"))
            #expect(token.calls("login") == 0)
            let uri = try PKCS11URI("pkcs11:object=www?pin-source=\(token.path("pin"))")
            let key = try token.store(pin: .file(token.path("nothing"))).key(from: .token(uri), for: publicKey)
            #expect(try Self.isValid(try Self.sign(key), publicKey))
        }
    }
}
