import NIOCore
import Synchronization

/// A channel without a socket: what arrives was carried here by an edge, and what is written is gathered for it.
///
/// It lives on the event loop of the edge's connection, and all its events happen inside ``receive(_:)``, ``write0(_:promise:)``
/// and ``end()``, or in tasks that those leave behind on that loop. Options are not supported: the defaults of whoever asks apply.
///
/// Which inputs are whose: writes beyond ``outboundLimit`` are a fault of the handlers inside, and end the channel with
/// ``ChannelError/inappropriateOperationForState``; reads are never asked for, since the edge decides when it sends.
final class VirtualChannel: Channel, ChannelCore {
    /// For whatever asks from another thread.
    private struct Shared {
        var pipeline: ChannelPipeline?
        var isActive: Bool = false
        var hasEnded: Bool = false
    }

    private struct State {
        /// Written and not taken yet.
        var outbound = ByteBuffer()
        weak var keyUser: (any HandshakeKeyUser)?
    }

    /// Bytes that may wait in ``takeOutbound()``: more than any packet of the key protocol carries.
    static let outboundLimit: Int = 128 * 1024

    let eventLoop: any EventLoop
    let parent: (any Channel)?
    let allocator: ByteBufferAllocator
    private let shared = Mutex(Shared())
    private let state: NIOLoopBoundBox<State>
    private let closePromise: EventLoopPromise<Void>

    /// On the parent's event loop. End it with ``end()``, or it is never freed.
    init(parent: any Channel) {
        self.parent = parent
        self.eventLoop = parent.eventLoop
        self.allocator = parent.allocator
        self.state = NIOLoopBoundBox(State(), eventLoop: parent.eventLoop)
        self.closePromise = parent.eventLoop.makePromise()
    }

    // MARK: For its owner

    /// Who does the key operations of the TLS handler inside.
    var keyUser: (any HandshakeKeyUser)? {
        get { self.state.value.keyUser }
        set { self.state.value.keyUser = newValue }
    }

    func activate() {
        let isNew: Bool = self.shared.withLock { shared in
            guard !shared.isActive, !shared.hasEnded else { return false }
            shared.isActive = true
            return true
        }
        guard isNew else { return }
        self.pipeline.fireChannelRegistered()
        self.pipeline.fireChannelActive()
    }

    /// Bytes from the far end.
    func receive(_ bytes: ByteBuffer) {
        guard self.isActive else { return }
        self.pipeline.fireChannelRead(bytes)
        self.pipeline.fireChannelReadComplete()
    }

    /// What has been written since the last call.
    func takeOutbound() -> ByteBuffer {
        let bytes: ByteBuffer = self.state.value.outbound
        self.state.value.outbound = ByteBuffer()
        return bytes
    }

    /// Closes the channel, without a word to the far end.
    func end() {
        let wasActive: Bool? = self.shared.withLock { shared in
            guard !shared.hasEnded else { return nil }
            defer { shared.isActive = false }
            shared.hasEnded = true
            return shared.isActive
        }
        guard let wasActive else { return }
        if wasActive {
            self.pipeline.fireChannelInactive()
            self.pipeline.fireChannelUnregistered()
        }
        // Handlers may be further up the stack.
        self.eventLoop.assumeIsolated().execute {
            self.removeHandlers(pipeline: self.pipeline)
            self.closePromise.succeed()
        }
    }

    // MARK: Channel

    var closeFuture: EventLoopFuture<Void> { self.closePromise.futureResult }

    var pipeline: ChannelPipeline {
        self.shared.withLock { shared in
            if let pipeline = shared.pipeline { return pipeline }
            let pipeline = ChannelPipeline(channel: self)
            shared.pipeline = pipeline
            return pipeline
        }
    }

    var localAddress: SocketAddress? { nil }
    var remoteAddress: SocketAddress? { nil }
    var isActive: Bool { self.shared.withLock { $0.isActive } }
    /// What is written waits for the end of the turn, which no reader can delay.
    var isWritable: Bool { true }
    var _channelCore: any ChannelCore { self }

    func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value) -> EventLoopFuture<Void> {
        self.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
    }

    func getOption<Option: ChannelOption>(_ option: Option) -> EventLoopFuture<Option.Value> {
        self.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
    }

    // MARK: ChannelCore

    func localAddress0() throws -> SocketAddress { throw ChannelError.unknownLocalAddress }
    func remoteAddress0() throws -> SocketAddress { throw ChannelError.operationUnsupported }

    func register0(promise: EventLoopPromise<Void>?) { promise?.fail(ChannelError.operationUnsupported) }
    func registerAlreadyConfigured0(promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }
    func bind0(to: SocketAddress, promise: EventLoopPromise<Void>?) { promise?.fail(ChannelError.operationUnsupported) }
    func connect0(to: SocketAddress, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    /// Gathered at once: the TLS handler flushes after each write, and there is no peer to see a difference.
    func write0(_ data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard self.isActive else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        let bytes: ByteBuffer = self.unwrapData(data)
        guard self.state.value.outbound.readableBytes + bytes.readableBytes <= Self.outboundLimit else {
            promise?.fail(ChannelError.inappropriateOperationForState)
            self.end()
            return
        }
        if self.state.value.outbound.readableBytes == 0 {
            self.state.value.outbound = bytes
        } else {
            self.state.value.outbound.writeImmutableBuffer(bytes)
        }
        promise?.succeed()
    }

    func flush0() {}
    func read0() {}

    func close0(error: any Error, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .all else {
            promise?.fail(ChannelError.operationUnsupported)
            return
        }
        self.end()
        promise?.succeed()
    }

    func triggerUserOutboundEvent0(_ event: Any, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    /// Whatever comes out of the pipeline's end was looked at by the handlers inside.
    func channelRead0(_ data: NIOAny) {}
    func errorCaught0(error: any Error) {}
}
