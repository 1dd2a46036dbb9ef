import EdgeModel
import Foundation
import KeyProtocol
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import PeerLink
import PrivateAuthority
import TLSWire
import Telemetry
import TestLogs
import TestSockets
import TestWire

@testable import Edge
@testable import KeyHolder

/// A key holder, an edge with sites in `handoff` mode and their origin, all in this process and on loopback.
final class HandoffBench: Sendable {
    static let sites = ["p256.test", "rsa.test", "ed.test"]

    /// Certificates, made once: RSA keys take long to make.
    private static let certificates = Result {
        let authority = try TestSiteAuthority(name: "test sites")
        return (
            roots: authority.certificatePEM, rootKey: authority.keyPEM,
            sites: [
                try authority.issueSite(domains: ["p256.test"], keyType: .p256),
                try authority.issueSite(domains: ["rsa.test"], keyType: .rsa2048),
                try authority.issueSite(domains: ["ed.test"], keyType: .ed25519),
            ]
        )
    }

    /// An OCSP response for one of the sites.
    static func ocspResponse(for site: String, _ status: TestOCSP.Status = .good) throws -> Data {
        let (roots, key, sites) = try Self.certificates.get()
        let index = Self.sites.firstIndex(of: site) ?? 0
        return Data(try TestOCSP.response(for: sites[index].chainPEM, issuer: roots, issuerKey: key, status: status))
    }

    let fleet: FleetAuthority
    let port: UInt16
    let log: LogRecorder
    let keyHolder: KeyHolderServer
    let keyHolderConfiguration: KeyHolderConfiguration
    let rootsFile: String
    private let directory: URL
    private let edge: Task<Void, any Error>
    private let origin: any Channel

    /// - Parameters:
    ///   - operations: what the edge is granted.
    ///   - keyHolder: in the place of the real one: gets the credentials to use, and says where it listens.
    static func run(
        operations: Set<KeyProtocol.Operation> = KeyProtocol.Operation.handingOff,
        adjustKeyHolder: (inout KeyHolderConfiguration) -> Void = { _ in },
        adjust: (inout EdgeConfiguration) -> Void = { _ in },
        test: @escaping @Sendable (HandoffBench) async throws -> Void
    ) async throws {
        let bench = try await HandoffBench(operations, adjustKeyHolder, adjust)
        do {
            try await test(bench)
        } catch {
            await bench.stop()
            throw error
        }
        await bench.stop()
    }

    private init(
        _ operations: Set<KeyProtocol.Operation>, _ adjustKeyHolder: (inout KeyHolderConfiguration) -> Void,
        _ adjust: (inout EdgeConfiguration) -> Void
    ) async throws {
        let (roots, _, sites) = try Self.certificates.get()
        self.directory = FileManager.default.temporaryDirectory.appending(path: "handoff-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.directory, withIntermediateDirectories: true)
        self.rootsFile = self.directory.appending(path: "roots.pem").path
        try roots.write(toFile: self.rootsFile, atomically: true, encoding: .utf8)
        self.fleet = try FleetAuthority(name: "test fleet")
        self.log = LogRecorder()
        let logger = Logger(label: "test") { [log] _ in log.handler }
        let patterns = try Self.sites.map { try ServerNamePattern($0) }

        var home = KeyHolderConfiguration(
            listen: [PeerAddress(host: "127.0.0.1", port: 0)],
            credentials: try Self.credentials(self.fleet, .keyholder, "home"),
            sites: sites.map {
                SiteConfiguration(chain: .text($0.chainPEM, name: "chain"), key: .text($0.keyPEM, name: "key"))
            },
            grants: [
                GrantConfiguration(edge: "paris", sites: patterns, operations: operations, rate: 1_000_000)
            ], audit: .file(self.directory.appending(path: "audit.jsonl").path))
        adjustKeyHolder(&home)
        self.keyHolderConfiguration = home
        self.keyHolder = try KeyHolderServer(
            configuration: home, group: MultiThreadedEventLoopGroup.singleton, logger: logger)
        let address = try await self.keyHolder.start()[0]

        self.origin = try await Wire.listen { wire, _ in
            while true { try await Self.answer(wire) }
        }
        let originPort = self.origin.localAddress?.port ?? 0
        var edge = EdgeConfiguration(
            listen: [.init(host: "127.0.0.1", port: 0)],
            sites: patterns.map { pattern in
                let origin = OriginConfiguration(
                    scheme: .http, host: "127.0.0.1", port: originPort)
                return Site(
                    domains: [pattern], mode: .handoff(TerminationConfiguration(keyHolder: "home", origin: origin)))
            })
        edge.credentials = try Self.credentials(self.fleet, .edge, "paris")
        edge.threads = 1
        var pool = KeyHolderPool.Configuration(
            expected: try PeerIdentity(role: .keyholder, name: "home"),
            addresses: [PeerAddress(host: "127.0.0.1", port: address.port ?? 0)])
        // Machines that run tests may have much else to do.
        pool.deadline = .seconds(20)
        pool.connectTimeout = .seconds(20)
        edge.keyHolders["home"] = pool
        edge.limits.handshakeTimeout = .seconds(60)
        edge.limits.helloTimeout = .seconds(60)
        adjust(&edge)
        let (listening, ready) = AsyncStream.makeStream(of: UInt16.self)
        let server = EdgeServer(configuration: edge, logger: logger) { ready.yield(UInt16($0.first?.port ?? 0)) }
        self.edge = Task { try await server.run() }
        var iterator = listening.makeAsyncIterator()
        self.port = await iterator.next() ?? 0
    }

    private static func credentials(
        _ authority: FleetAuthority, _ role: IdentityRole, _ name: String
    ) throws -> PeerCredentials {
        let issued = try authority.issueIdentity(role: role, name: name)
        return try PeerCredentials(
            chainPEM: issued.chainPEM, keyPEM: issued.keyPEM, authorityPEM: authority.certificatePEM)
    }

    private func stop() async {
        self.edge.cancel()
        _ = try? await self.edge.value
        await self.keyHolder.stop()
        try? await self.origin.close()
        try? FileManager.default.removeItem(at: self.directory)
    }

    /// One request: `/N` is answered with N bytes, a body with as many bytes as it had.
    private static func answer(_ wire: Wire) async throws {
        let head = try await wire.readHead()
        var count = Int(head.split(separator: " ")[1].dropFirst()) ?? 5
        if let length = Wire.field("content-length", in: head).flatMap({ Int($0) }) {
            count = try await wire.read(length).readableBytes
        }
        try await wire.send(
            "HTTP/1.1 200 OK\r\nContent-Length: \(count)\r\n\r\n" + String(repeating: "x", count: count))
    }

    func file(_ name: String) -> String { self.directory.appending(path: name).path }

    var audit: String { (try? String(contentsOfFile: self.file("audit.jsonl"), encoding: .utf8)) ?? "" }

    /// A line that was added to the audit log since; lines are written a moment after the answer.
    func newAuditLine(after before: String, where condition: @escaping @Sendable (String) -> Bool) async throws
        -> String
    {
        let path = self.file("audit.jsonl")
        return try await blocking {
            try eventually("an audit line") {
                let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
                return text.dropFirst(before.count).split(separator: "\n").map(String.init).first(where: condition)
            }
        }
    }

    // MARK: Clients

    func curl(_ site: String, _ path: String = "/5", _ arguments: String...) async throws -> Tool.Result {
        let fixed = [
            "-sS", "--max-time", "20", "--cacert", self.rootsFile, "--connect-to", "::127.0.0.1:\(self.port)",
            "https://\(site)\(path)",
        ]
        return try await blocking { try Tool.run("curl", fixed + arguments) }
    }

    /// `openssl s_client`, which sends the input and waits for the connection's end.
    func openssl(_ site: String, _ arguments: String..., input: String = HandoffBench.lastRequest) async throws
        -> Tool.Result
    {
        let fixed = [
            "s_client", "-connect", "127.0.0.1:\(self.port)", "-servername", site, "-CAfile", self.rootsFile,
            "-verify_return_error", "-ign_eof",
        ]
        return try await blocking { try Tool.run("openssl", fixed + arguments, input: input) }
    }

    static let lastRequest = "GET /5 HTTP/1.1\r\nHost: p256.test\r\nConnection: close\r\n\r\n"

    func clientContext(_ adjust: (inout TLSConfiguration) -> Void = { _ in }) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .file(self.rootsFile)
        adjust(&configuration)
        return try NIOSSLContext(configuration: configuration)
    }

    /// A client of swift-nio-ssl.
    func connect(_ site: String = "p256.test", _ adjust: (inout TLSConfiguration) -> Void = { _ in }) async throws
        -> Wire
    {
        try await Wire.connect(
            try SocketAddress(ipAddress: "127.0.0.1", port: Int(self.port)),
            tls: (try self.clientContext(adjust), site))
    }
}
