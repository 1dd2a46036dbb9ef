import Crypto
import CryptoExtras
import Foundation
import NIOCore
import NIOPosix
import NativeChannel
import NativeClient
import NativeHandshake
import PrivateAuthority
import SwiftASN1
import TLSWire
import X509

/// An origin that speaks the native handshake by itself, for one test, and echoes; or misbehaves.
struct NativeOriginServer {
    enum Behaviour: Sendable {
        case echo
        /// Says nothing more after so many of its flights.
        case silent(after: Int)
        /// Closes the connection after so many of its flights.
        case closing(after: Int)
        /// Sends this much unasked, and waits.
        case flood(Int)
        /// Accepts the stream, sends a little, and closes without an end.
        case truncating
        /// Gives up as soon as the stream stands.
        case refusing(NativeAlert)
    }

    let channel: any Channel
    var port: Int { self.channel.localAddress?.port ?? 0 }

    init(_ issued: IssuedCertificate, _ behaviour: Behaviour = .echo) async throws {
        try await self.init(chainPEM: issued.chainPEM, keyPEM: issued.keyPEM, behaviour)
    }

    init(chainPEM: String, keyPEM: String, _ behaviour: Behaviour = .echo) async throws {
        let chain: [[UInt8]] = try PEMDocument.parseMultiple(pemString: chainPEM).map(\.derBytes)
        let key = try P256.Signing.PrivateKey(pemRepresentation: keyPEM)
        self.channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        Handler(chain: chain, key: key, behaviour: behaviour))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    func stop() async throws {
        try await self.channel.close()
    }

    private final class Handler: ChannelInboundHandler, RemovableChannelHandler {
        typealias InboundIn = ByteBuffer
        typealias InboundOut = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let chain: [[UInt8]]
        private let key: P256.Signing.PrivateKey
        private let behaviour: Behaviour
        private var reader = NativeFrameReader(from: .client)
        private var machine = NativeOriginMachine()
        private var flights = 0

        init(chain: [[UInt8]], key: P256.Signing.PrivateKey, behaviour: Behaviour) {
            self.chain = chain
            self.key = key
            self.behaviour = behaviour
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.reader.receive(self.unwrapInboundIn(data))
            do {
                while let frame = try self.reader.next() {
                    guard try self.perform(self.machine.receive(frame), context) else { return }
                }
            } catch {
                context.close(promise: nil)
            }
        }

        /// False: the handshake is over.
        private func perform(_ action: NativeOriginMachine.Action, _ context: ChannelHandlerContext) throws -> Bool {
            switch action {
            case .wait: return true
            case .chooseSite:
                return try self.perform(
                    self.machine.serve(try NativeOrigin(chain: self.chain, keyKind: .p256)), context)
            case .sign(let content):
                let signature = try self.key.signature(for: SHA256.hash(data: content))
                return try self.perform(self.machine.signed(Array(signature.derRepresentation)), context)
            case .decrypt(let sealed): return try self.perform(self.machine.decrypted(self.open(sealed)), context)
            case .send(let output):
                self.send(output, context)
                return true
            case .established(let output, let session):
                if let output { self.send(output, context) }
                if case .refusing(let alert) = self.behaviour {
                    var session: NativeSession = session
                    if let record = session.fail(alert) {
                        context.writeAndFlush(self.wrapOutboundOut(record), promise: nil)
                    }
                    context.close(mode: .output, promise: nil)
                    return false
                }
                let pipeline = context.pipeline.syncOperations
                try pipeline.addHandlers(
                    [NativeStreamHandler(session: session, role: .origin), Stream(self.behaviour)])
                let rest: ByteBuffer = self.reader.takeRemaining()
                if rest.readableBytes > 0 { context.fireChannelRead(self.wrapInboundOut(rest)) }
                context.fireChannelReadComplete()
                pipeline.removeHandler(context: context, promise: nil)
                return false
            }
        }

        private func send(_ output: ByteBuffer, _ context: ChannelHandlerContext) {
            switch self.behaviour {
            case .silent(let count) where self.flights >= count: return
            case .closing(let count) where self.flights >= count: return context.close(promise: nil)
            default: break
            }
            self.flights += 1
            context.writeAndFlush(self.wrapOutboundOut(output), promise: nil)
        }

        private func open(_ sealed: SealedSecret) -> [UInt8]? {
            guard case .hpke(let encapsulated, let ciphertext, let info, let authenticated) = sealed,
                let key = try? P256.KeyAgreement.PrivateKey(rawRepresentation: self.key.rawRepresentation),
                var recipient = try? HPKE.Recipient(
                    privateKey: key, ciphersuite: .P256_SHA256_AES_GCM_256, info: Data(info),
                    encapsulatedKey: Data(encapsulated))
            else { return nil }
            return (try? recipient.open(ciphertext, authenticating: authenticated)).map { Array($0) }
        }
    }

    private final class Stream: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let behaviour: Behaviour

        init(_ behaviour: Behaviour) {
            self.behaviour = behaviour
        }

        func handlerAdded(context: ChannelHandlerContext) {
            guard case .flood(let bytes) = self.behaviour else { return }
            context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(repeating: 7, count: bytes)), promise: nil)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            context.writeAndFlush(data, promise: nil)
            if case .truncating = self.behaviour {
                let channel: any Channel = context.channel
                context.eventLoop.execute { channel.close(promise: nil) }
            }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            guard let event = event as? ChannelEvent, event == .inputClosed else { return }
            context.close(mode: .output, promise: nil)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }
}
