import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import PeerLink

/// Connects to a key holder's listener for native connections, by mutual TLS, at the first address that answers as the
/// right one.
final class NativeDialer {
    private let holder: NativeForwarder.Holder
    private let tls: NIOSSLContext
    private let eventLoop: any EventLoop
    private let deadline: NIODeadline
    private var completion: ((Result<any Channel, NativeDialFailure>) -> Void)?
    private var timer: Scheduled<Void>?
    /// Shaking hands.
    private var underWay: (any Channel)?
    private var lastFailure = "no address is configured"

    init(_ holder: NativeForwarder.Holder, tls: NIOSSLContext, on eventLoop: any EventLoop, now: NIODeadline = .now()) {
        self.holder = holder
        self.tls = tls
        self.eventLoop = eventLoop
        self.deadline = now + NativeForwarder.dialTimeout
    }

    /// Starts. The completion is called once, on the event loop, unless ``cancel()`` comes first.
    func dial(_ completion: @escaping (Result<any Channel, NativeDialFailure>) -> Void) {
        self.completion = completion
        self.timer = self.eventLoop.assumeIsolated().scheduleTask(deadline: self.deadline) {
            self.finish(.failure(NativeDialFailure(reason: "timeout; before that: \(self.lastFailure)")))
        }
        self.attempt(self.holder.addresses[...])
    }

    /// Forgets about it: what is under way is closed, and so is a connection that comes about nevertheless.
    func cancel() {
        let channel: (any Channel)? = self.underWay
        self.underWay = nil
        self.timer?.cancel()
        self.timer = nil
        self.completion = nil
        channel?.close(promise: nil)
    }

    private func finish(_ result: Result<any Channel, NativeDialFailure>) {
        let completion = self.completion
        self.cancel()
        completion?(result)
    }

    private func attempt(_ addresses: ArraySlice<PeerAddress>) {
        guard self.completion != nil else { return }
        let left: TimeAmount = self.deadline - .now()
        guard let address = addresses.first, left > .zero else {
            return self.finish(.failure(NativeDialFailure(reason: self.lastFailure)))
        }
        let share = TimeAmount.nanoseconds(max(1_000_000, left.nanoseconds / Int64(addresses.count)))
        let until: NIODeadline = .now() + share
        let rest: ArraySlice<PeerAddress> = addresses.dropFirst()
        ClientBootstrap(group: self.eventLoop)
            .connectTimeout(share)
            .channelOption(.autoRead, value: false)
            .connect(host: address.host, port: address.port)
            .assumeIsolated().whenComplete { result in
                switch result {
                case .success(let channel): self.shakeHands(on: channel, at: address, until: until, rest: rest)
                case .failure(let error): self.failed(address, "\(error)", rest)
                }
            }
    }

    private func shakeHands(
        on channel: any Channel, at address: PeerAddress, until deadline: NIODeadline, rest: ArraySlice<PeerAddress>
    ) {
        guard self.completion != nil else { return channel.close(promise: nil) }
        self.underWay = channel
        let handler = NativeLinkHandler(expected: self.holder.expected, deadline: deadline) { failure in
            self.underWay = nil
            if let failure { return self.failed(address, failure, rest) }
            guard self.completion != nil else { return channel.close(promise: nil) }
            self.finish(.success(channel))
        }
        do {
            try channel.pipeline.syncOperations.addHandlers([
                NIOSSLClientHandler(context: self.tls, serverHostname: nil), handler,
            ])
            try channel.syncOptions?.setOption(.autoRead, value: true)
        } catch {
            channel.close(promise: nil)
            self.failed(address, "\(error)", rest)
        }
    }

    private func failed(_ address: PeerAddress, _ reason: String, _ rest: ArraySlice<PeerAddress>) {
        self.lastFailure = "\(address): \(reason)"
        self.attempt(rest)
    }
}

struct NativeDialFailure: Error, Equatable {
    var reason: String
}

/// Waits for the TLS handshake with a key holder, looks at who it is, and leaves the pipeline.
private final class NativeLinkHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let expected: PeerIdentity
    private let deadline: NIODeadline
    private var completion: ((_ failure: String?) -> Void)?
    private var timer: Scheduled<Void>?

    init(expected: PeerIdentity, deadline: NIODeadline, completion: @escaping (_ failure: String?) -> Void) {
        self.expected = expected
        self.deadline = deadline
        self.completion = completion
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: self.deadline) {
            self.fail("no TLS handshake in time", context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted? = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        do throws(PeerIdentityError) {
            guard let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLClientHandler.self) else {
                throw .noCertificate
            }
            let identity = try PeerIdentity(handler: handler)
            guard identity == self.expected else { throw .unexpected(expected: self.expected, got: identity) }
        } catch {
            return self.fail("\(error)", context)
        }
        let completion = self.completion
        self.completion = nil
        try? context.channel.syncOptions?.setOption(.autoRead, value: false)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        completion?(nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail("\(error)", context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.fail("closed during the TLS handshake", context)
        context.fireChannelInactive()
    }

    private func fail(_ reason: String, _ context: ChannelHandlerContext) {
        guard let completion = self.completion else { return }
        self.completion = nil
        context.close(promise: nil)
        completion(reason)
    }
}
