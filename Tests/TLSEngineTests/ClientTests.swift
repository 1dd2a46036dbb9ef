import Foundation
import NIOCore
import NIOEmbedded
import NIOSSL
import RecordLayer
import TLSEngine
import TLSWire
import TestSockets
import Testing

/// Other people's clients: OpenSSL, curl and Python over sockets, swift-nio-ssl in process. Each checks the certificate.
@Suite struct ClientTests {
    let site: TestSite

    init() throws { self.site = try #require(TestSite.shared) }

    /// Runs the body with a server and a folder that has the root as `root.pem`.
    private func serving<Result>(
        _ context: ServerContext, sign: (@Sendable (SignatureRequest) throws -> [UInt8])? = nil,
        _ body: (EngineServer, URL) async throws -> Result
    ) async throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "engine-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data(self.site.rootPEM.utf8).write(to: folder.appending(path: "root.pem"))
        let server = try await EngineServer(context, sign ?? self.site.sign)
        let result = try await body(server, folder)
        try await server.close()
        return result
    }

    private static let request = "GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n"

    private static func openssl(
        _ server: EngineServer, _ folder: URL, _ arguments: [String], input: String = request
    ) async throws -> Tool.Result {
        let fixed = [
            "s_client", "-connect", "127.0.0.1:\(server.port)", "-servername", TestSite.name, "-verify_return_error",
            "-ign_eof", "-CAfile", folder.appending(path: "root.pem").path,
        ]
        return try await blocking { try Tool.run("openssl", fixed + arguments, input: input) }
    }

    @Test(arguments: [
        (["-tls1_3"], TLSVersion.tls13, TLSGroup.x25519), (["-tls1_2"], TLSVersion.tls12, TLSGroup.x25519),
        (["-tls1_3", "-groups", "P-384"], TLSVersion.tls13, TLSGroup.secp384r1),
        (["-tls1_2", "-groups", "P-256"], TLSVersion.tls12, TLSGroup.secp256r1),
        (["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], TLSVersion.tls13, TLSGroup.x25519),
        (["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"], TLSVersion.tls13, TLSGroup.x25519),
        (["-tls1_2", "-sigalgs", "RSA-PSS+SHA256"], TLSVersion.tls12, TLSGroup.x25519),
        (["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"], TLSVersion.tls13, TLSGroup.x25519),
        (["-tls1_2", "-sigalgs", "RSA+SHA256"], TLSVersion.tls12, TLSGroup.x25519),
    ])
    func openSSL(arguments: [String], version: UInt16, group: UInt16) async throws {
        try await self.serving(self.site.context()) { server, folder in
            let result = try await Self.openssl(server, folder, arguments)
            #expect(result.output.hasSuffix("hello") || result.output.contains("\r\n\r\nhello"), "\(result.all)")
            #expect(result.output.contains("Verify return code: 0 (ok)"), "\(result.all)")
            let outcome = try await asyncEventually("the outcome") { server.outcomes.first }
            #expect(outcome.facts?.version == version && outcome.facts?.group == group)
            #expect(outcome.failure == nil && outcome.finishFailure == nil)
            #expect(outcome.facts?.credential == (arguments.contains { $0.hasPrefix("RSA") } ? 1 : 0))
        }
    }

    @Test(arguments: ["-tls1_2", "-tls1_3"])
    func openSSLAndEd25519(version: String) async throws {
        let leaf: TestSite.Leaf = self.site.ed25519
        try await self.serving(self.site.context([leaf.credential()]), sign: leaf.sign) { server, folder in
            let result = try await Self.openssl(server, folder, [version])
            #expect(result.output.contains("hello"), "\(result.all)")
        }
    }

    /// It offers a share for the first group only.
    @Test func openSSLIsAskedForAnotherShare() async throws {
        try await self.serving(self.site.context { $0.groups = [TLSGroup.secp384r1] }) { server, folder in
            let result = try await Self.openssl(server, folder, ["-tls1_3", "-groups", "X25519:P-384"])
            #expect(result.output.contains("hello"), "\(result.all)")
            let outcome = try await asyncEventually("the outcome") { server.outcomes.first }
            #expect(outcome.facts?.group == TLSGroup.secp384r1)
        }
    }

    @Test(arguments: ["-tls1_2", "-tls1_3"])
    func openSSLResumes(version: String) async throws {
        let keys = try TestSite.ticketKeys()
        try await self.serving(self.site.context { $0.tickets = TicketPolicy(keys: keys) }) { server, folder in
            let file: String = folder.appending(path: "session").path
            let first = try await Self.openssl(server, folder, [version, "-sess_out", file])
            #expect(first.output.contains("hello"), "\(first.all)")
            let second = try await Self.openssl(server, folder, [version, "-sess_in", file])
            #expect(second.output.contains("Reused") && second.output.contains("hello"), "\(second.all)")
            let outcomes = try await asyncEventually("both outcomes") {
                server.outcomes.count == 2 ? server.outcomes : nil
            }
            #expect(outcomes.map { $0.facts?.resumed } == [false, true])
        }
    }

    @Test func openSSLAndRSAKeyExchange() async throws {
        let context = try self.site.context([self.site.rsa.localCredential]) {
            $0.tls12Suites = ServerPolicy.forwardSecretSuites + [.rsaAES128GCMSHA256, .rsaAES256GCMSHA384]
        }
        try await self.serving(context) { server, folder in
            for (cipher, suite) in [("AES128-GCM-SHA256", 0x009C), ("AES256-GCM-SHA384", 0x009D)] {
                let result = try await Self.openssl(server, folder, ["-tls1_2", "-cipher", cipher])
                #expect(result.output.contains("hello"), "\(result.all)")
                let outcome = try await asyncEventually("the outcome") {
                    server.outcomes.first { $0.facts?.suite == UInt16(suite) }
                }
                #expect(outcome.failure == nil && outcome.facts?.group == nil)
            }
        }
    }

    @Test func openSSLIsToldOfAProtocolMismatch() async throws {
        try await self.serving(self.site.context { $0.applicationProtocols = [Array("h2".utf8)] }) { server, folder in
            for version in ["-tls1_2", "-tls1_3"] {
                let result = try await Self.openssl(server, folder, [version, "-alpn", "http/1.1"])
                #expect(result.status != 0 && result.all.contains("alert number 120"), "\(result.all)")
            }
        }
    }

    /// OpenSSL refuses the certificate, in the clear.
    @Test func theReasonOfOpenSSLsRefusalIsKept() async throws {
        try await self.serving(self.site.context()) { server, folder in
            let unknown = try TestSite()
            try Data(unknown.rootPEM.utf8).write(to: folder.appending(path: "root.pem"))
            let result = try await Self.openssl(server, folder, ["-tls1_3"])
            #expect(result.status != 0)
            let outcome = try await asyncEventually("the outcome") { server.outcomes.first }
            #expect(outcome.finishFailure == .clientAlert(Alert.Description.unknownCA.rawValue))
        }
    }

    @Test(arguments: [["--tls-max", "1.2"], ["--tlsv1.3"]])
    func curl(arguments: [String]) async throws {
        let context = try self.site.context { $0.applicationProtocols = [Array("http/1.1".utf8)] }
        try await self.serving(context) { server, folder in
            let fixed = [
                "-sS", "--max-time", "20", "--http1.1", "--cacert", folder.appending(path: "root.pem").path,
                "--connect-to", "::127.0.0.1:\(server.port)", "https://\(TestSite.name)/",
            ]
            let result = try await blocking { try Tool.run("curl", fixed + arguments) }
            #expect(result.output == "hello" && result.status == 0, "\(result.all)")
        }
    }

    /// Both versions, and in each a second connection with the session of the first.
    @Test func python() async throws {
        let script = """
            import socket, ssl, sys
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = ssl.create_default_context(cafile=sys.argv[2])
                context.minimum_version = context.maximum_version = version
                session = None
                for turn in range(2):
                    plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10)
                    with context.wrap_socket(plain, server_hostname="www.example.test", session=session) as tls:
                        tls.sendall(b"GET / HTTP/1.1\\r\\nHost: www.example.test\\r\\n\\r\\n")
                        answer = b""
                        while True:
                            part = tls.recv(1000)
                            if not part: break
                            answer += part
                        print(tls.version(), tls.session_reused, answer.endswith(b"hello"))
                        session = tls.session
            """
        let keys = try TestSite.ticketKeys()
        try await self.serving(self.site.context { $0.tickets = TicketPolicy(keys: keys) }) { server, folder in
            let root: String = folder.appending(path: "root.pem").path
            let result = try await blocking { try Tool.run("python3", ["-c", script, "\(server.port)", root]) }
            let expected = ["TLSv1.2 False True", "TLSv1.2 True True", "TLSv1.3 False True", "TLSv1.3 True True"]
            #expect(result.output.split(separator: "\n").map(String.init) == expected, "\(result.all)")
        }
    }

    @Test(arguments: [NIOSSL.TLSVersion.tlsv12, .tlsv13])
    func swiftNIOSSL(version: NIOSSL.TLSVersion) throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = version
        configuration.maximumTLSVersion = version
        configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(self.site.rootPEM.utf8)))
        configuration.applicationProtocols = ["h2", "http/1.1"]
        let client = EmbeddedChannel()
        try client.pipeline.syncOperations.addHandler(
            NIOSSLClientHandler(context: try NIOSSLContext(configuration: configuration), serverHostname: TestSite.name)
        )
        client.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        let context = try self.site.context { $0.applicationProtocols = [Array("http/1.1".utf8)] }
        let server = try ServerSide(context) { try self.site.sign($0) }
        func carry() throws {
            while let bytes = try client.readOutbound(as: ByteBuffer.self) {
                let answer: ByteBuffer = try server.receive(bytes)
                if answer.readableBytes > 0 { try client.writeInbound(answer) }
            }
        }
        try carry()
        #expect(server.isVerified && server.end == nil && server.finishFailure == nil)
        #expect(server.session?.session.applicationProtocol == Array("http/1.1".utf8))
        try client.writeOutbound(ByteBuffer(string: "ping"))
        try carry()
        #expect(server.received == ByteBuffer(string: "ping"))
        try client.writeInbound(try server.send(ByteBuffer(string: "pong")))
        #expect(try client.readInbound(as: ByteBuffer.self) == ByteBuffer(string: "pong"))
        client.close(promise: nil)
    }
}
