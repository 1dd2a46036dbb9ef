import KeyProtocol
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import RecordLayer

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// One whole TLS 1.3 handshake with a key holder in `handoff` mode, by a client of this process.
///
/// The client's TLS library verifies the signature over the handshake with the key of the certificate that it is shown, so
/// a handshake that completes proves that certificate and key belong together. The chain is the caller's to judge.
enum HandshakeProof {
    struct Failure: Error {
        var reason: String
    }

    struct Outcome {
        /// What the client was shown, DER.
        var leaf: [UInt8]
        /// NewSessionTicket messages, bytes.
        var ticketBytes: Int
    }

    /// More turns than any handshake takes.
    private static let turns = 4

    /// - Parameter ask: sends one request of the key protocol and gives the answer's payload; always over one connection.
    /// - Throws: ``Failure``, and whatever `ask` throws.
    static func run(_ name: String, ask: (KeyFunction, ByteBuffer) async throws -> ByteBuffer) async throws -> Outcome {
        let shown = NIOLockedValueBox<[UInt8]?>(nil)
        let completed = MultiThreadedEventLoopGroup.singleton.any().makePromise(of: Void.self)
        // Of no effect where it is over.
        defer { completed.fail(CancellationError()) }
        let witness = Witness(end: completed)
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv13
        configuration.applicationProtocols = ["http/1.1"]
        configuration.verifySignatureAlgorithms = [
            .ecdsaSecp256R1Sha256, .ecdsaSecp384R1Sha384, .ecdsaSecp521R1Sha512, .ed25519, .rsaPssRsaeSha256,
            .rsaPssRsaeSha384, .rsaPssRsaeSha512,
        ]
        let context = try NIOSSLContext(configuration: configuration)
        let wire = try await Wire.connect { channel in
            let tls = try NIOSSLClientHandler(
                context: context, serverHostname: name,
                customVerificationCallback: { chain, promise in
                    shown.withLockedValue { $0 = try? chain.first?.toDERBytes() }
                    promise.succeed(.certificateVerified)
                })
            try channel.pipeline.syncOperations.addHandlers([tls, witness])
        }
        let tickets = try await wire.whileOpen { inbound, outbound in
            var flights = Flights(parts: inbound, end: completed.futureResult)
            return try await Self.shakeHands(&flights, outbound, ask: ask)
        }
        guard let leaf = shown.withLockedValue({ $0 }) else { throw Failure(reason: "no certificate was shown") }
        return Outcome(leaf: leaf, ticketBytes: tickets)
    }

    /// - Returns: how many bytes of tickets there were.
    private static func shakeHands(
        _ flights: inout Flights, _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>,
        ask: (KeyFunction, ByteBuffer) async throws -> ByteBuffer
    ) async throws -> Int {
        let hello = HandshakeBegin(applicationProtocols: ["http/1.1"], clientBytes: try await flights.next())
        var answer = try await ask(.handshakeBegin, try hello.encoded())
        for _ in 0..<turns {
            let progress = try HandshakeProgress(decoding: answer)
            if case .failed(let reason) = progress.state {
                throw Failure(reason: "the key holder's TLS library says: \(reason)")
            }
            try await outbound.write(progress.serverBytes)
            switch progress.state {
            case .failed: break
            case .needsMore:
                let more = HandshakeContinue(handshake: progress.handshake, clientBytes: try await flights.next())
                answer = try await ask(.handshakeContinue, try more.encoded())
            case .exported(let lent, let tickets):
                let flight = try await flights.next()
                // With its Finished it is over for the client. An alert in its place has its reason here.
                try await flights.end.get()
                var session = RecordSession(try ExportedSession(decoding: lent))
                guard session.receive(flight).handshakeCompleted else {
                    throw Failure(reason: "the session that the key holder lends does not take the client's Finished")
                }
                return tickets.readableBytes
            }
        }
        throw Failure(reason: "the handshake took more than \(turns) turns")
    }

    /// What the client says, flight by flight: whole records, up to the first that carries handshake messages.
    private struct Flights {
        var parts: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
        /// Of the client's handshake.
        let end: EventLoopFuture<Void>

        init(parts: NIOAsyncChannelInboundStream<ByteBuffer>, end: EventLoopFuture<Void>) {
            self.parts = parts.makeAsyncIterator()
            self.end = end
        }

        mutating func next() async throws -> ByteBuffer {
            var flight = ByteBuffer()
            repeat {
                guard let part = try await self.parts.next() else {
                    try await self.end.get()
                    throw Failure(reason: "the client ended the connection")
                }
                flight.writeImmutableBuffer(part)
            } while !Self.isWhole(flight)
            return flight
        }

        /// Whether it ends with a record, and one of them is more than a change_cipher_spec (RFC 8446 §5.1).
        private static func isWhole(_ flight: ByteBuffer) -> Bool {
            var rest = flight
            var hasMore = false
            while rest.readableBytes > 0 {
                guard let type = rest.readInteger(as: UInt8.self), rest.readSlice(length: 2) != nil,
                    let length = rest.readInteger(as: UInt16.self), rest.readSlice(length: Int(length)) != nil
                else { return false }
                hasMore = hasMore || type != 20
            }
            return hasMore
        }
    }
}

/// A client's connection of which this process has both ends.
private struct Wire {
    private let client: any Channel
    private let far: NIOAsyncChannel<ByteBuffer, ByteBuffer>

    /// - Parameter initialize: adds the client's handlers.
    static func connect(_ initialize: @escaping @Sendable (any Channel) throws -> Void) async throws -> Wire {
        var ends: [CInt] = [-1, -1]
        guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0 else {
            throw IOError(errnoCode: errno, reason: "socketpair")
        }
        // From here on each belongs to its channel, also if that cannot be made.
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        let far: NIOAsyncChannel<ByteBuffer, ByteBuffer>
        do {
            far = try await bootstrap.withConnectedSocket(ends[0]) { channel in
                channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(wrappingChannelSynchronously: channel) }
            }
        } catch {
            close(ends[1])
            throw error
        }
        do {
            let client =
                try await bootstrap
                .channelInitializer { channel in channel.eventLoop.makeCompletedFuture { try initialize(channel) } }
                .withConnectedSocket(ends[1]).get()
            return Wire(client: client, far: far)
        } catch {
            try? await far.channel.close().get()
            throw error
        }
    }

    /// Nothing answers this client's close_notify: the far end closes first.
    func whileOpen<Result>(
        _ body: (NIOAsyncChannelInboundStream<ByteBuffer>, NIOAsyncChannelOutboundWriter<ByteBuffer>) async throws ->
            Result
    ) async throws -> Result {
        defer { self.client.close(promise: nil) }
        return try await self.far.executeThenClose { try await body($0, $1) }
    }
}

/// Sees the handshake's end from above the TLS handler.
private final class Witness: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer

    private let end: EventLoopPromise<Void>

    /// - Parameter end: of the handshake; fails with the reason why there is none.
    init(end: EventLoopPromise<Void>) {
        self.end = end
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent { self.end.succeed() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.end.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.end.fail(HandshakeProof.Failure(reason: "the client's handshake did not complete"))
    }
}
