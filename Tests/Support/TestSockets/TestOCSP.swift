import Foundation

/// OCSP responses of a test's authority, made by `openssl ocsp`.
public enum TestOCSP {
    public enum Status: Sendable {
        case good, revoked
    }

    /// A response in DER, good for a day from now. Blocks.
    ///
    /// - Parameters:
    ///   - certificate: whose; a PEM text that begins with it.
    ///   - issuer: of the authority, PEM.
    ///   - issuerKey: its key, PEM.
    public static func response(
        for certificate: String, issuer: String, issuerKey: String, status: Status = .good
    ) throws -> [UInt8] {
        let directory = FileManager.default.temporaryDirectory.appending(path: "ocsp-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        func file(_ name: String) -> String { directory.appending(path: name).path }
        func write(_ text: String, _ name: String) throws {
            try text.write(toFile: file(name), atomically: true, encoding: .utf8)
        }
        try write(certificate, "leaf.pem")
        try write(issuer, "issuer.pem")
        try write(issuerKey, "issuer.key")
        let serial = try Tool.run("openssl", ["x509", "-in", file("leaf.pem"), "-noout", "-serial"]).output
            .trimmingCharacters(in: .whitespacesAndNewlines).replacingOccurrences(of: "serial=", with: "")
        let word = status == .good ? "V" : "R"
        let revoked = status == .good ? "" : "250101000000Z"
        try write("\(word)\t401231235959Z\t\(revoked)\t\(serial)\tunknown\t/CN=test\n", "index.txt")
        let result = try Tool.run(
            "openssl",
            [
                "ocsp", "-index", file("index.txt"), "-rsigner", file("issuer.pem"), "-rkey", file("issuer.key"), "-CA",
                file("issuer.pem"), "-issuer", file("issuer.pem"), "-cert", file("leaf.pem"), "-respout",
                file("response.der"), "-ndays", "1", "-noverify",
            ])
        guard FileManager.default.fileExists(atPath: file("response.der")) else { throw Failed(output: result.all) }
        return Array(try Data(contentsOf: directory.appending(path: "response.der")))
    }

    struct Failed: Error {
        var output: String
    }
}
