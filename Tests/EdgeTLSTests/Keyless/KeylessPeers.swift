import Crypto
import EdgeModel
import KeyProtocol
import NIOCore
import NIOEmbedded
import NIOSSL
import PrivateAuthority
import RecordLayer
import TLSWire

@testable import EdgeTLS

/// A client of swift-nio-ssl, a site's certificate and its key, without sockets: the test carries the bytes.
final class KeylessPeers {
    static let domain = "www.example.test"

    let client = EmbeddedChannel()
    private let authority: TestSiteAuthority
    private(set) var certificate: SiteCertificate
    private var key: P256.Signing.PrivateKey

    init(
        ticketLifetime: TimeAmount = .hours(1), _ adjust: (inout TLSConfiguration) -> Void = { _ in }
    ) throws {
        self.authority = try TestSiteAuthority(name: "test sites")
        (self.certificate, self.key) = try Self.issue(by: self.authority, ski: 7, ticketLifetime: ticketLifetime)
        var settings = TLSConfiguration.makeClientConfiguration()
        settings.trustRoots = .certificates(
            try NIOSSLCertificate.fromPEMBytes(Array(self.authority.certificatePEM.utf8)))
        settings.minimumTLSVersion = .tlsv13
        settings.applicationProtocols = ["http/1.1"]
        adjust(&settings)
        try self.client.pipeline.syncOperations.addHandler(
            try NIOSSLClientHandler(
                context: try NIOSSLContext(configuration: settings), serverHostname: Self.domain))
        self.client.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    }

    private static func issue(
        by authority: TestSiteAuthority, ski: UInt8, ticketLifetime: TimeAmount
    ) throws -> (SiteCertificate, P256.Signing.PrivateKey) {
        let site = try authority.issueSite(domains: [Self.domain], keyType: .p256)
        let chain = try NIOSSLCertificate.fromPEMBytes(Array(site.chainPEM.utf8)).map { try $0.toDERBytes() }
        let answer = CertificateAnswer(
            modes: [.keyless], rate: 10,
            chains: [
                CertificateChain(
                    certificates: chain, ski: [UInt8](repeating: ski, count: 20), schemes: [.ecdsaP256SHA256],
                    notAfter: 4_000_000_000)
            ])
        var configuration = TerminationConfiguration(
            keyHolder: "home", origin: OriginConfiguration(scheme: .http, host: "127.0.0.1"))
        configuration.http2 = false
        configuration.ticketLifetime = ticketLifetime
        let certificate = try SiteCertificate(
            answer, domain: try ServerNamePattern(Self.domain), configuration: configuration, now: 0)
        return (certificate, try P256.Signing.PrivateKey(pemRepresentation: site.keyPEM))
    }

    /// The site has another certificate and key from now on.
    func renew() throws {
        (self.certificate, self.key) = try Self.issue(by: self.authority, ski: 8, ticketLifetime: .hours(1))
    }

    func close() {
        // `finish()` would wait for the close_notify of a peer that isn't there; this runs into the handler's own limit.
        self.client.close(promise: nil)
        self.client.embeddedEventLoop.advanceTime(by: .seconds(60))
    }

    func machine() throws -> KeylessHandshake {
        try KeylessHandshake(self.certificate)
    }

    func fromClient() throws -> ByteBuffer {
        self.client.embeddedEventLoop.run()
        var all = ByteBuffer()
        while let part: ByteBuffer = try self.client.readOutbound() { all.writeImmutableBuffer(part) }
        return all
    }

    /// Gives the client what the server sent; returns what it answers.
    func answer(to bytes: ByteBuffer?) throws -> ByteBuffer {
        if let bytes { try self.client.writeInbound(bytes) }
        return try self.fromClient()
    }

    /// What it says when it does not like what it gets, and what its TLS library calls that.
    func complaint(about bytes: ByteBuffer?) throws -> (sent: ByteBuffer, error: String) {
        var error = ""
        do { if let bytes { try self.client.writeInbound(bytes) } } catch let thrown { error = "\(thrown)" }
        return (try self.fromClient(), error)
    }

    /// As a key holder signs.
    func sign(_ request: SignTLS13Request) throws -> [UInt8] { try Self.sign(request, self.key) }

    /// As one signs that has another key.
    static func signWithAnotherKey(_ request: SignTLS13Request) throws -> [UInt8] {
        try Self.sign(request, P256.Signing.PrivateKey())
    }

    private static func sign(_ request: SignTLS13Request, _ key: P256.Signing.PrivateKey) throws -> [UInt8] {
        let content = TLS13ServerSignature.content(transcriptHash: request.transcriptHash)
        return Array(try key.signature(for: content).derRepresentation)
    }
}
