import Crypto
import KeyProtocol
import NIOCore
import NIOEmbedded
import NIOSSL
import PrivateAuthority
import RecordLayer
import TLSEngine
import TLSWire
import TestWire
import Testing

/// A client of swift-nio-ssl, and a key holder without its links, both without sockets: the test carries the bytes.
final class HandoffPeers {
    let client = EmbeddedChannel()
    private var server: ServerHandshake?

    init(
        version: NIOSSL.TLSVersion = .tlsv13, serverGroups: [UInt16]? = nil,
        suite: RecordSuite = .ecdheECDSAAES128GCMSHA256
    ) throws {
        let authority = try TestSiteAuthority(name: "test sites")
        let site = try authority.issueSite(domains: ["www.example.test"], keyType: .p256)
        var policy = ServerPolicy()
        policy.tls12Suites = [suite]
        policy.applicationProtocols = [Array("http/1.1".utf8)]
        if let serverGroups { policy.groups = serverGroups }
        let key = try P256.Signing.PrivateKey(pemRepresentation: site.keyPEM).derRepresentation
        let credential = ServerCredential(chain: try site.chainDER, key: .local(pkcs8: Secret(key)))
        self.server = try ServerHandshake(try ServerContext([credential], policy: policy))
        var clientSettings = TLSConfiguration.makeClientConfiguration()
        clientSettings.trustRoots = .certificates(
            try NIOSSLCertificate.fromPEMBytes(Array(authority.certificatePEM.utf8)))
        clientSettings.minimumTLSVersion = version
        clientSettings.maximumTLSVersion = version
        clientSettings.applicationProtocols = ["http/1.1"]
        try self.client.pipeline.syncOperations.addHandler(
            try NIOSSLClientHandler(
                context: try NIOSSLContext(configuration: clientSettings), serverHostname: "www.example.test"))
        self.client.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    }

    func close() {
        // `finish()` would wait for the close_notify of a peer that isn't there; this runs into the handler's own limit.
        self.client.close(promise: nil)
        self.client.embeddedEventLoop.advanceTime(by: .seconds(60))
    }

    func fromClient() throws -> ByteBuffer { try Self.drain(self.client) }

    /// Gives the client what the server sent; returns what it answers.
    func answer(to bytes: ByteBuffer?) throws -> ByteBuffer {
        if let bytes { try self.client.writeInbound(bytes) }
        return try self.fromClient()
    }

    private static func drain(_ channel: EmbeddedChannel) throws -> ByteBuffer {
        channel.embeddedEventLoop.run()
        var all = ByteBuffer()
        while let part: ByteBuffer = try channel.readOutbound() { all.writeImmutableBuffer(part) }
        return all
    }

    // MARK: The key holder

    /// What it gives with a session of TLS 1.3.
    static let tickets = ByteBuffer(bytes: [4, 0, 0, 2, 7, 7])

    /// What the key holder answers to begin, or to continue, with these bytes.
    func progress(_ clientBytes: ByteBuffer) throws -> HandshakeProgress {
        guard let server = self.server.take() else { throw HandoffPeersError.isOver }
        var input: ByteBuffer = clientBytes
        switch server.receive(&input) {
        case .needsInput(let server, let output):
            self.server = consume server
            return HandshakeProgress(handshake: 7, state: .needsMore, serverBytes: output)
        case .needsSignature: throw HandoffPeersError.isOver
        case .exported(let session, let finished, let output):
            var lent = ByteBuffer()
            session.session.encode(into: &lent)
            let tickets = finished == nil ? ByteBuffer() : Self.tickets
            return HandshakeProgress(
                handshake: 7, state: .exported(session: lent, tickets: tickets), serverBytes: output)
        case .failed(let end): throw end.failure
        }
    }
}

private enum HandoffPeersError: Error {
    case isOver
}

/// Bytes that a test puts together.
extension ByteBuffer {
    static func record(_ type: UInt8, _ payload: [UInt8], version: UInt16 = 0x0303) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger(type)
        buffer.writeInteger(version)
        buffer.writeInteger(UInt16(payload.count))
        buffer.writeBytes(payload)
        return buffer
    }

    static func + (a: ByteBuffer, b: ByteBuffer) -> ByteBuffer {
        var sum: ByteBuffer = a
        sum.writeImmutableBuffer(b)
        return sum
    }

    func prefix(_ count: Int) -> ByteBuffer { self.getSlice(at: self.readerIndex, length: count) ?? self }
    func dropFirst(_ count: Int) -> ByteBuffer {
        self.getSlice(at: self.readerIndex + count, length: self.readableBytes - count) ?? ByteBuffer()
    }

    /// The types of the records in it.
    var recordTypes: [UInt8] {
        var types: [UInt8] = []
        var index = self.readerIndex
        while let header = RecordHeader(in: self, at: index) {
            types.append(header.contentType)
            index += RecordHeader.length + header.payloadLength
        }
        return types
    }
}
