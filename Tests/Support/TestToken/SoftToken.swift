import Foundation
import SecretFiles
import TestSockets

/// A token of SoftHSM in a folder of its own, with a PIN in a file.
public final class SoftToken: Sendable {
    public static let isInstalled = FileManager.default.fileExists(atPath: "/usr/bin/softhsm2-util")
    public static let modulePath = "/usr/lib/softhsm/libsofthsm2.so"
    public static let label = "site keys"

    private let folder: URL

    public init() throws {
        self.folder = FileManager.default.temporaryDirectory.appending(path: "latchstring-hsm-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: self.folder.appending(path: "tokens"), withIntermediateDirectories: true)
        try self.write(
            "directories.tokendir = \(self.path("tokens"))\nobjectstore.backend = file\nlog.level = ERROR\n",
            to: "softhsm2.conf")
        try self.write("1234\n", to: "pin")
        try self.makeToken(Self.label)
    }

    deinit { try? FileManager.default.removeItem(at: self.folder) }

    public func path(_ name: String) -> String { self.folder.appending(path: name).path }

    public func write(_ text: String, to name: String) throws { try SecretFile.write(text, to: self.path(name)) }

    /// What the module is told by the environment.
    public var environment: String { "SOFTHSM2_CONF=\(self.path("softhsm2.conf"))" }

    private func utility(_ words: String...) throws {
        let result = try Tool.run("/usr/bin/env", [self.environment, "softhsm2-util"] + words)
        guard result.status == 0 else { throw NeverHappened(what: "softhsm2-util \(words[0]): \(result.all)") }
    }

    public func makeToken(_ label: String) throws {
        try self.utility("--init-token", "--free", "--label", label, "--so-pin", "5678", "--pin", "1234")
    }

    /// Puts a private key into the token.
    ///
    /// - Parameters:
    ///   - pem: PKCS#8, SEC1 or PKCS#1.
    ///   - id: Hexadecimal.
    ///   - token: Its label.
    public func take(_ pem: String, as label: String, id: String, token: String = SoftToken.label) throws {
        try self.write(pem, to: "import.pem")
        let converted = try Tool.run("openssl", ["pkcs8", "-topk8", "-nocrypt", "-in", self.path("import.pem")])
        try self.write(converted.output, to: "import.pem")
        try self.utility(
            "--import", self.path("import.pem"), "--token", token, "--label", label, "--id", id, "--pin", "1234")
        try SecretFile.remove(self.path("import.pem"))
    }

    public func remove(_ name: String) throws { try SecretFile.remove(self.path(name)) }
}
