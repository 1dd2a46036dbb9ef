import Foundation
import PrivateAuthority
import SecretFiles
import TLSWire
import TestSockets
import Testing
import X509

@testable import KeyHolder

@Suite("Private keys that are encrypted with a passphrase")
struct EncryptedKeyTests {
    /// A folder with a P-256 key, encrypted by openssl.
    private static func stage(_ options: [String], passphrase: String = "correct horse") throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appending(path: "latchstring-enc-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let path = { (name: String) in folder.appending(path: name).path }
        try SecretFile.write(try TestHolder.p256.get().keyPEM, to: path("plain.key"))
        try SecretFile.write("\(passphrase)\n", to: path("passphrase"))
        let result = try Tool.run(
            "openssl",
            options + ["-in", path("plain.key"), "-passout", "pass:\(passphrase)", "-out", path("site.key")])
        guard result.status == 0 else { throw NeverHappened(what: result.all) }
        #expect(chmod(path("site.key"), 0o600) == 0)
        return folder
    }

    private static let pbes2 = ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256"]

    private static func load(_ folder: URL, _ passphraseFile: String? = "passphrase") throws -> any StoredKey {
        try SoftwareKeyStore().key(
            from: .file(
                folder.appending(path: "site.key").path,
                passphraseFile: passphraseFile.map { folder.appending(path: $0).path }))
    }

    @Test("PBES2 with PBKDF2 and with scrypt opens", arguments: [pbes2, ["pkcs8", "-topk8", "-scrypt"]])
    func opens(_ options: [String]) async throws {
        try await blocking {
            let folder = try Self.stage(options)
            defer { try? FileManager.default.removeItem(at: folder) }
            let plain = try SoftwareKeyStore().key(from: .file(folder.appending(path: "plain.key").path))
            let key = try Self.load(folder)
            #expect(key.publicKey == plain.publicKey)
            // The key does not stand on memory that was wiped.
            let content = SignedContent.tls13Server(transcriptHash: [UInt8](repeating: 1, count: 32))
            #expect(try !key.perform(.sign(.ecdsaP256SHA256, content: content)).isEmpty)
        }
    }

    @Test("What is wrong with key and passphrase is said")
    func wrong() async throws {
        try await blocking {
            let folder = try Self.stage(Self.pbes2)
            defer { try? FileManager.default.removeItem(at: folder) }
            let path = { (name: String) in folder.appending(path: name).path }
            #expect(throws: SiteLoadError.encryptedKey(path("site.key"))) { try Self.load(folder, nil) }
            for text in ["wrong\n", "\n", "", "correct horse \n", String(repeating: "x", count: 2000)] {
                try SecretFile.write(text, to: path("other"))
                let error = SiteLoadError.wrongPassphrase(path("site.key"), passphraseFile: path("other"))
                #expect(throws: error) { try Self.load(folder, "other") }
            }
            #expect(chmod(path("passphrase"), 0o644) == 0)
            let open = SiteLoadError.secretFile(SecretFileError(path: path("passphrase"), reason: .open(mode: 0o644)))
            #expect(throws: open) { try Self.load(folder) }
            #expect(chmod(path("passphrase"), 0o600) == 0)
            try SecretFile.rename(path("plain.key"), to: path("site.key"))
            let notEncrypted = SiteLoadError.notEncrypted(
                path("site.key"), passphraseFile: path("passphrase"))
            #expect(throws: notEncrypted) { try Self.load(folder) }
        }
    }

    @Test("The old form of encryption is refused with the command that converts it")
    func old() async throws {
        try await blocking {
            let folder = try Self.stage(["ec", "-aes256"])
            defer { try? FileManager.default.removeItem(at: folder) }
            let error = SiteLoadError.oldEncryption(folder.appending(path: "site.key").path)
            #expect(throws: error) { try Self.load(folder) }
            #expect("\(error)".contains("openssl pkcs8 -topk8"))
        }
    }
}
