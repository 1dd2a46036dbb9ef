import Foundation
import HSMKeys
import HSMWire
import KeyHolder
import Logging
import PrivateAuthority
import SwiftASN1
import TestLogs
import TestToken
import X509

/// A token, and workers for it whose module has faults as a file says.
final class FaultyToken: Sendable {
    private static let authority = Result { try TestSiteAuthority(name: "Test sites") }

    let token: SoftToken
    let recorder = LogRecorder()

    init() throws { self.token = try SoftToken() }

    func path(_ name: String) -> String { self.token.path(name) }

    func write(_ text: String, to name: String) throws { try self.token.write(text, to: name) }

    func take(_ pem: String, as label: String, id: String) throws { try self.token.take(pem, as: label, id: id) }

    /// What the module does wrong from now on, as `HSMTestWorker` says; nil: nothing.
    func setFault(_ fault: String?) throws {
        if let fault { try self.token.write(fault, to: "faults") } else { try self.token.remove("faults") }
    }

    /// How often a function of the module was called.
    func calls(_ name: String) -> Int {
        let text = (try? String(contentsOfFile: self.path("faults.log"), encoding: .utf8)) ?? ""
        return text.split(separator: "\n").count { $0 == name }
    }

    static let worker: String = {
        let tests = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        return tests.deletingLastPathComponent().appending(path: "HSMTestWorker").path
    }()

    func store(pin: PINSource? = nil, workers: Int = 2, timeout: Duration = .seconds(10), memory: String? = nil)
        -> HSMKeyStore
    {
        let recorder = self.recorder
        return HSMKeyStore(
            TokenModule(
                module: SoftToken.modulePath, pin: pin ?? .file(self.path("pin")), workers: workers, timeout: timeout),
            refusedPINs: memory.map { self.path($0) }, logger: Logger(label: "test") { _ in recorder.handler },
            program: self.program)
    }

    /// What is run as a worker.
    var program: [String] {
        ["/usr/bin/env", self.token.environment, "TEST_FAULTS=\(self.path("faults"))", Self.worker]
    }

    static func key(_ object: String, token: String = "site%20keys") throws -> KeySource {
        .token(try PKCS11URI("pkcs11:token=\(token);object=\(object)"))
    }

    static func site(_ type: SiteKeyType) throws -> (keyPEM: String, publicKey: Certificate.PublicKey) {
        let issued = try Self.authority.get().issueSite(domains: ["\(type.rawValue).test"], keyType: type)
        return (issued.keyPEM, try Certificate(pemEncoded: issued.chainPEM).publicKey)
    }
}
