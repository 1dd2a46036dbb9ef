import Foundation
import TestSockets

/// Pebble, an ACME server for tests, with its own DNS, where every name leads to this machine.
///
/// It refuses one good nonce of five, asks accounts for an external binding, and checks what it validates for real.
final class Pebble: Sendable {
    /// Of the directory.
    let url: String
    private let processes: [ChildProcess]
    private let workspace: Workspace
    private let management: UInt16

    static let macKey = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"

    /// - Parameters:
    ///   - port: Where it listens.
    ///   - tlsPort: Where it checks names by TLS-ALPN.
    ///   - httpPort: Where it checks names by HTTP.
    ///   - validity: Of certificates; seconds.
    ///   - refusedNonces: Good ones that are refused all the same; percent.
    init(
        port: UInt16, tlsPort: UInt16, httpPort: UInt16 = 9, validity: Int, refusedNonces: Int = 20,
        in workspace: Workspace
    ) throws {
        let (management, dns, control) = (
            try Workspace.freePort(), try Workspace.freePort(), try Workspace.freePort()
        )
        try workspace.makeSite("localhost")
        let configuration: [String: Any] = [
            "pebble": [
                "listenAddress": "127.0.0.1:\(port)", "managementListenAddress": "127.0.0.1:\(management)",
                "certificate": workspace.path("localhost.pem"), "privateKey": workspace.path("localhost.key"),
                "httpPort": Int(httpPort), "tlsPort": Int(tlsPort), "ocspResponderURL": "",
                "externalAccountBindingRequired": true, "externalAccountMACKeys": ["kid-1": Self.macKey],
                "certificateValidityPeriod": validity,
            ]
        ]
        let data = try JSONSerialization.data(withJSONObject: configuration)
        try workspace.write(String(decoding: data, as: UTF8.self), to: "pebble.json")
        let output = workspace.path("pebble.log")
        try Data().write(to: URL(filePath: output))
        let log = try FileHandle(forWritingTo: URL(filePath: output))
        defer { try? log.close() }
        let names = try ChildProcess(
            "pebble-challtestsrv",
            [
                "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", "127.0.0.1:\(dns)", "-http01", "",
                "-https01",
                "", "-tlsalpn01", "", "-management", "127.0.0.1:\(control)",
            ], output: log.fileDescriptor, errors: log.fileDescriptor)
        let authority = try ChildProcess(
            "env",
            [
                "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=\(refusedNonces)", "pebble", "-config",
                workspace.path("pebble.json"),
                "-dnsserver", "127.0.0.1:\(dns)",
            ], output: log.fileDescriptor, errors: log.fileDescriptor)
        self.processes = [names, authority]
        self.workspace = workspace
        self.management = management
        self.url = "https://localhost:\(port)/dir"
        _ = try eventually("Pebble's ports") {
            guard authority.isRunning, names.isRunning else { throw NeverHappened(what: "Pebble: \(self.log)") }
            return try? TestSocket.connect(port: port)
        }
        _ = try eventually("Pebble's management") { try? TestSocket.connect(port: management) }
        // What clients are to trust.
        let root = try Tool.run(
            "curl",
            ["-sS", "--cacert", workspace.path("roots.pem"), "https://localhost:\(management)/roots/0"])
        try workspace.write(root.output, to: "pebble-root.pem")
    }

    var log: String { (try? self.workspace.read("pebble.log")) ?? "" }

    func stop() {
        for process in self.processes {
            process.send(SIGTERM)
            _ = process.waitForEnd()
        }
    }
}
