import NIOCore
import NIOPosix
import NIOSSL
import PrivateAuthority
import TLSWire
import Testing

@testable import PeerLink

/// A link to a wrong place says at once what is wrong there.
@Suite(.timeLimit(.minutes(1))) struct LinkProblemTests {
    /// What the other end does with the first bytes that it gets.
    private final class Answer: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let text: String

        init(_ text: String) { self.text = text }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: self.text)), promise: nil)
        }
    }

    private final class HangUp: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.close(promise: nil) }
    }

    /// What a link to this server says of it, and how long that took.
    private static func problem(
        _ initializer: @escaping @Sendable (any Channel) throws -> Void
    ) async throws -> (text: String, time: Duration) {
        let group = MultiThreadedEventLoopGroup.singleton
        let server = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in channel.eventLoop.makeCompletedFuture { try initializer(channel) } }
            .bind(host: "127.0.0.1", port: 0).get()
        let authority = try FleetAuthority(name: "fleet")
        let identity = try authority.issueIdentity(role: .edge, name: "paris")
        let tls = try PeerCredentials(
            chainPEM: identity.chainPEM, keyPEM: identity.keyPEM, authorityPEM: authority.certificatePEM
        ).clientContext()
        let begun = ContinuousClock.now
        let failed = group.any().makePromise(of: String.self)
        let expected = try PeerIdentity(role: .keyholder, name: "home")
        let client = try await ClientBootstrap(group: group).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let handler = LinkHandler(
                    expected: expected, limit: 8, handshakeLimit: .seconds(20), onReady: { _ in },
                    onEnd: { _, failure in failed.succeed("\(failure)") })
                try channel.pipeline.syncOperations.addHandlers([
                    NIOSSLClientHandler(context: tls, serverHostname: nil), handler,
                ])
            }
        }.connect(to: try #require(server.localAddress)).get()
        let text = try await failed.futureResult.get()
        try? await client.close()
        try await server.close()
        return (text, ContinuousClock.now - begun)
    }

    @Test("A web server without TLS")
    func plain() async throws {
        let problem = try await Self.problem { channel in
            try channel.pipeline.syncOperations.addHandler(Answer("HTTP/1.1 400 Bad Request\r\n\r\n"))
        }
        #expect(problem.text.contains("does not speak TLS; is that the key holder's port?"), "\(problem.text)")
        #expect(problem.time < .seconds(3))
    }

    @Test("Something that hangs up")
    func hangsUp() async throws {
        let problem = try await Self.problem { channel in
            try channel.pipeline.syncOperations.addHandler(HangUp())
        }
        #expect(problem.text.contains("during the TLS handshake; is that the key holder's port?"), "\(problem.text)")
        #expect(problem.time < .seconds(3))
    }

    /// The library's own words have its reason among numbers and lines of its source.
    @Test(
        "What a key holder says of those that connect",
        arguments: [
            ("CERTIFICATE_VERIFY_FAILED", "the peer's identity is not of this fleet's authority"),
            ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "the peer does not accept this key holder's identity"),
            ("TLSV1_ALERT_UNKNOWN_CA", "the peer does not accept this key holder's identity"),
            ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "the peer showed no identity"),
            ("HTTP_REQUEST", "the peer does not speak TLS"),
            ("NO_SHARED_CIPHER", "the TLS handshake failed: NO_SHARED_CIPHER"),
        ])
    func taken(name: String, words: String) {
        let reason =
            "sslError([Error: 268435581 error:1000007d:SSL routines:OPENSSL_internal:\(name) at /src/ssl/handshake.cc:320])"
        let text = LinkProblem.takenHandshake(reason)
        #expect(text.hasPrefix(words) && !text.contains("/src"), "\(text)")
        #expect(!LinkProblem.handshake(reason).contains("/src"))
    }

    @Test("A web server with TLS")
    func foreign() async throws {
        let site = try TestSiteAuthority(name: "sites").issueSite(domains: ["a.test"], keyType: .p256)
        let context = try NIOSSLContext(
            configuration: .makeServerConfiguration(
                certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(site.chainPEM.utf8)).map {
                    .certificate($0)
                },
                privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(site.keyPEM.utf8), format: .pem))))
        let problem = try await Self.problem { channel in
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
        }
        #expect(problem.text.contains("its certificate is not of this fleet's authority"), "\(problem.text)")
        #expect(problem.time < .seconds(3))
    }
}
