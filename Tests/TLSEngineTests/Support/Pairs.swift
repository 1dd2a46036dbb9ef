import NIOCore
import RecordLayer
import TLSEngine
import TLSWire
import Testing

/// Carries bytes to and fro until neither end has any.
func shake(_ client: BoringClient, _ server: ServerSide) throws {
    var toServer: ByteBuffer = client.advance()
    for _ in 0..<20 where toServer.readableBytes > 0 {
        let toClient: ByteBuffer = try server.receive(toServer)
        toServer = client.advance(toClient)
        if client.isDone { _ = client.read(ByteBuffer()) }
    }
}

/// A finished handshake, checked: both ends say the same, and data goes both ways.
struct Pair {
    let client: BoringClient
    let server: ServerSide

    init(
        _ options: BoringClient.Options = .init(), _ context: ServerContext, _ site: TestSite,
        location: SourceLocation = #_sourceLocation
    ) throws {
        self.client = BoringClient(options)
        self.server = try ServerSide(context) { try site.sign($0) }
        try shake(self.client, self.server)
        #expect(self.client.isDone, "\(self.client.failure ?? "")", sourceLocation: location)
        #expect(self.server.end == nil, "\(String(describing: self.server.end))", sourceLocation: location)
        let session: ServerSession = try #require(self.server.session, sourceLocation: location)
        #expect(self.server.isVerified, sourceLocation: location)
        #expect(session.facts.version == self.client.version, sourceLocation: location)
        #expect(session.facts.suite == self.client.suite, sourceLocation: location)
        #expect(session.session.suite.rawValue == self.client.suite, sourceLocation: location)
        #expect(session.facts.group ?? 0 == self.client.group, sourceLocation: location)
        #expect(session.facts.resumed == self.client.isResumed, sourceLocation: location)
        #expect(
            session.session.applicationProtocol ?? [] == Array(self.client.applicationProtocol.utf8),
            sourceLocation: location)
        try self.exchange(location)
    }

    /// Short and long, both ways.
    func exchange(_ location: SourceLocation = #_sourceLocation) throws {
        for count in [1, 100, 40_000] {
            let data = ByteBuffer(repeating: UInt8(truncatingIfNeeded: count), count: count)
            let before: Int = self.server.received.readableBytes
            _ = try self.server.receive(self.client.write(data))
            #expect(self.server.received.readableBytes == before + count, sourceLocation: location)
            #expect(self.client.read(try self.server.send(data)) == data, sourceLocation: location)
        }
        #expect(self.server.recordEnd == nil, sourceLocation: location)
    }
}
