import KeyProtocol
import NIOConcurrencyHelpers
import NIOCore
import NIOEmbedded
import NIOSSL
import NIOTLS

/// One whole TLS 1.3 handshake with a key holder in `handoff` mode, by a client in memory.
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
        let witness = Witness()
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv13
        configuration.applicationProtocols = ["http/1.1"]
        configuration.verifySignatureAlgorithms = [
            .ecdsaSecp256R1Sha256, .ecdsaSecp384R1Sha384, .ecdsaSecp521R1Sha512, .ed25519, .rsaPssRsaeSha256,
            .rsaPssRsaeSha384, .rsaPssRsaeSha512,
        ]
        let context = try NIOSSLContext(configuration: configuration)
        let channel = NIOAsyncTestingChannel()
        do {
            try await channel.testingEventLoop.executeInContext {
                let tls = try NIOSSLClientHandler(
                    context: context, serverHostname: name,
                    customVerificationCallback: { chain, promise in
                        shown.withLockedValue { $0 = try? chain.first?.toDERBytes() }
                        promise.succeed(.certificateVerified)
                    })
                try channel.pipeline.syncOperations.addHandlers([tls, witness])
            }
            try await channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 443)).get()
            let tickets = try await shakeHands(channel, witness, ask: ask)
            await close(channel)
            guard let leaf = shown.withLockedValue({ $0 }) else { throw Failure(reason: "no certificate was shown") }
            return Outcome(leaf: leaf, ticketBytes: tickets)
        } catch {
            await close(channel)
            throw error
        }
    }

    /// - Returns: how many bytes of tickets there were.
    private static func shakeHands(
        _ channel: NIOAsyncTestingChannel, _ witness: Witness, ask: (KeyFunction, ByteBuffer) async throws -> ByteBuffer
    ) async throws -> Int {
        let hello = HandshakeBegin(applicationProtocols: ["http/1.1"], clientBytes: try await written(by: channel))
        var answer = try await ask(.handshakeBegin, try hello.encoded())
        for _ in 0..<turns {
            let progress = try HandshakeProgress(decoding: answer)
            // An alert, too, is the client's to read.
            let delivery: Result<Void, any Error> = await result {
                try await channel.writeInbound(progress.serverBytes)
            }
            switch progress.state {
            case .failed(let reason):
                throw Failure(reason: "the key holder's TLS library says: \(reason)")
            case .needsMore:
                try delivery.get()
                let more = HandshakeContinue(
                    handshake: progress.handshake, clientBytes: try await written(by: channel))
                answer = try await ask(.handshakeContinue, try more.encoded())
            case .exported(_, let expectsFinish):
                try delivery.get()
                let finished = try await written(by: channel)
                guard witness.isComplete else { throw Failure(reason: "the client's handshake did not complete") }
                guard expectsFinish else { throw Failure(reason: "the key holder expects no Finished in TLS 1.3") }
                let finish = HandshakeFinish(handshake: progress.handshake, clientBytes: finished)
                return try await ask(.handshakeFinish, finish.encoded()).readableBytes
            }
        }
        throw Failure(reason: "the handshake took more than \(turns) turns")
    }

    private static func result(_ body: () async throws -> Void) async -> Result<Void, any Error> {
        do { return .success(try await body()) } catch { return .failure(error) }
    }

    /// Nobody answers this client's close_notify: its time for that is over at once.
    private static func close(_ channel: NIOAsyncTestingChannel) async {
        channel.close(promise: nil)
        await channel.testingEventLoop.advanceTime(by: .hours(1))
    }

    /// All that the client has to say now. Some of it comes in a later task than what it answers.
    private static func written(by channel: NIOAsyncTestingChannel) async throws -> ByteBuffer {
        await channel.testingEventLoop.run()
        var bytes = ByteBuffer()
        while var more = try await channel.readOutbound(as: ByteBuffer.self) { bytes.writeBuffer(&more) }
        return bytes
    }
}

/// Sees the handshake's end from above the TLS handler.
private final class Witness: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer

    private let completed = NIOLockedValueBox(false)

    var isComplete: Bool { self.completed.withLockedValue { $0 } }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent { self.completed.withLockedValue { $0 = true } }
    }
}
