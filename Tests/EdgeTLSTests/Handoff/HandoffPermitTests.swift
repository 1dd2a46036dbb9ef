import Admission
import Logging
import NIOCore
import NIOEmbedded
import NIOSSL
import PeerLink
import TLSWire
import Testing

@testable import EdgeTLS

/// What a handshake holds at the key holder while it asks for nothing.
@Suite struct HandoffPermitTests {
    private let loop = EmbeddedEventLoop()
    private let network = ClientNetwork(IPAddress("192.0.2.1"))

    private func enter(_ gate: HandshakeGate) -> HandshakeGate.Entry {
        let errand = HandshakeGate.Errand(
            keyHolder: "home", site: "www.test", network: self.network, urgency: .beginning)
        return gate.enter(errand, on: self.loop, now: .now())
    }

    /// A handler with a permit, and no other reference to that.
    private func handler(_ gate: HandshakeGate) throws -> ForwardedHandshakeHandler? {
        guard case .pass(let permit) = self.enter(gate) else { return nil }
        let pool = KeyHolderPool(
            configuration: .init(expected: try PeerIdentity(role: .keyholder, name: "home"), addresses: []),
            tls: try NIOSSLContext(configuration: .makeClientConfiguration()), eventLoop: self.loop,
            logger: Logger(label: "test"))
        var hello = ByteBuffer(bytes: [1, 0, 0, 43, 3, 3])
        hello.writeBytes([UInt8](repeating: 7, count: 32))
        hello.writeBytes([0, 0, 2, 0xC0, 0x2F, 1, 0, 0, 0])
        return ForwardedHandshakeHandler(
            .init(
                serverName: try ServerName("www.test"), pool: pool, applicationProtocols: ["http/1.1"],
                needsForwardSecrecy: false, turn: { .refused(.lineFull) }), permit: permit,
            hello: try ClientHello(parsing: hello),
            watch: HandshakeWatch(
                .init(
                    timeout: .seconds(10), limits: HelloLimits(), outcome: { _ in }, established: { _, _ in },
                    onSessionFault: { _ in })))
    }

    /// Such a client is heard out for two seconds; the handler stays as long.
    @Test func aHelloThatIsTooLargeHoldsNoPlace() throws {
        let gate = HandshakeGate(HandshakeGate.Bounds(), clock: self.loop)
        let channel = EmbeddedChannel(loop: self.loop)
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        channel.connect(to: try SocketAddress(ipAddress: "192.0.2.1", port: 1), promise: nil)
        let handler = try #require(try self.handler(gate))
        try channel.pipeline.syncOperations.addHandler(handler)
        var hello = ByteBuffer()
        for part in 0..<4 {
            var payload = [UInt8](repeating: 0, count: 16_384)
            if part == 0 { payload.replaceSubrange(0..<4, with: [1, 0, 0xFF, 0xFC]) }
            hello.writeImmutableBuffer(.record(22, payload))
        }
        handler.start(hello)
        // As many as may be under way.
        let permits = withExtendedLifetime(handler) {
            (0..<64).compactMap { _ -> KeyPermit? in
                guard case .pass(let permit) = self.enter(gate) else { return nil }
                return permit
            }
        }
        #expect(permits.count == 64)
    }
}
