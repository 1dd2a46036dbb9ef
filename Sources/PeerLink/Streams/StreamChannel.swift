import DequeModule
public import NIOCore
public import StreamWire
import Synchronization

/// One stream of a link, as a channel: what works on a connection of its own works on it.
///
/// It has the ends of a TCP connection. `close(mode: .output)` is an end of data, behind what was written; a close ends both ways; after
/// `SO_LINGER` with zero seconds a close is a reset. The peer's end of data comes as `ChannelEvent.inputClosed` (remote half-closure is always
/// allowed), its close as the end of the channel behind what it sent, its reset as a ``StreamBroken`` and the end of the channel.
///
/// Data is delivered when a read was asked for, and the peer may send more only then. It comes in buffers that its reader may keep: they are not much
/// larger than what is in them. A write leaves with or without a flush, and completes when its bytes were handed to the link's connection: they may still
/// be lost with the link. Once the peer has closed, what is written is dropped, as a socket does until it hears of a reset: what the peer said before is
/// to be read all the same.
///
/// Bound to the event loop of its link. `@unchecked Sendable`, as NIO has every channel be: what may be asked from another thread
/// (``isWritable``, ``isActive``, ``pipeline``) is atomic, or set once.
public final class StreamChannel: Channel, ChannelCore, @unchecked Sendable {
    /// Its number on the link.
    public let id: StreamFrame.ID
    public let eventLoop: any EventLoop
    public let allocator = ByteBufferAllocator()
    public let parent: (any Channel)?
    public let localAddress: SocketAddress? = nil
    /// The link's.
    public let remoteAddress: SocketAddress?
    /// Set in the initialiser, and never again.
    private var ownPipeline: ChannelPipeline?
    private let closePromise: EventLoopPromise<Void>
    private let writable = Atomic<Bool>(true)
    private let active = Atomic<Bool>(false)
    /// Until the channel is closed.
    private var link: StreamLinkHandler?

    private var autoRead: Bool
    /// Not read yet.
    private(set) var inbound = ByteQueue()
    private var isReadWanted = false
    private var isDelivering = false
    private var isDeliveryScheduled = false
    /// The peer sends nothing more.
    private var inputEnded = false
    private var inputEndTold = false
    /// The peer takes nothing more either, and has said so: there is nothing to be gained by an answer.
    public private(set) var peerIsGone = false
    /// Bytes that were written, and that have left.
    private var written = 0
    private var left = 0
    private var writes = Deque<(end: Int, promise: EventLoopPromise<Void>)>()
    private var outputEnded = false
    private var outputEndTold = false
    private var isResetWhenClosed = false
    private var isClosed = false

    /// Bytes that wait to be sent: beyond the first a channel is not writable, until it is below the second again.
    private static let highWater = 128 << 10
    private static let lowWater = 64 << 10
    /// Bytes that are delivered at once.
    private static let burst = 256 << 10

    init(
        _ id: StreamFrame.ID, of link: StreamLinkHandler, on channel: any Channel,
        remote: SocketAddress?, reads: Bool
    ) {
        self.id = id
        self.eventLoop = channel.eventLoop
        self.parent = channel
        self.remoteAddress = remote
        self.closePromise = channel.eventLoop.makePromise()
        self.link = link
        self.autoRead = reads
        self.ownPipeline = ChannelPipeline(channel: self)
    }

    public var pipeline: ChannelPipeline {
        guard let ownPipeline else {
            preconditionFailure("a channel has a pipeline from its beginning")
        }
        return ownPipeline
    }
    public var closeFuture: EventLoopFuture<Void> { self.closePromise.futureResult }
    public var isWritable: Bool { self.writable.load(ordering: .relaxed) }
    public var isActive: Bool { self.active.load(ordering: .relaxed) }
    public var _channelCore: any ChannelCore { self }

    /// Its handlers are there: it begins.
    public func activate() {
        guard !self.isClosed, !self.isActive else { return }
        self.active.store(true, ordering: .relaxed)
        self.pipeline.syncOperations.fireChannelActive()
        self.readIfWanted()
    }

    // MARK: What the link tells

    /// Kept until ``deliver()``.
    func received(_ bytes: ByteBuffer) { self.inbound.append(bytes) }

    func receivedEnd() { self.inputEnded = true }

    func receivedClose() {
        self.inputEnded = true
        self.peerIsGone = true
    }

    /// There is no link any more. What the peer had said completely is read all the same.
    func linkEnded(_ reason: String) {
        guard self.inputEnded, self.isActive else { return self.broke(StreamBroken.linkEnded(reason)) }
        self.peerIsGone = true
        self.pipeline.syncOperations.fireUserInboundEventTriggered(StreamLinkEnded())
        self.dropOutput()
        self.deliver()
        self.settle()
    }

    /// Nothing hears what waits to be sent.
    private func dropOutput() {
        if self.peerIsGone, self.left < self.written { self.departed(self.written - self.left) }
    }

    /// The stream has come to nothing.
    func broke(_ error: any Error) {
        guard !self.isClosed else { return }
        self.inbound.removeAll()
        self.link?.forget(self)
        self.pipeline.syncOperations.fireErrorCaught(error)
        self.end(ChannelError.eof)
    }

    /// So many bytes were handed to the link's connection.
    func departed(_ count: Int) {
        self.left = min(self.written, self.left + count)
        self.completeWrites()
        guard !self.isClosed, !self.isWritable, self.written - self.left <= Self.lowWater else {
            return
        }
        self.writable.store(true, ordering: .relaxed)
        self.pipeline.syncOperations.fireChannelWritabilityChanged()
    }

    // MARK: Reading

    /// What was not asked for in this burst of the link's waits, and is not to keep the link's reads.
    func settle() { self.inbound.settle() }

    /// Gives what has come to what has asked for it.
    func deliver() {
        guard self.isActive, !self.isDelivering else { return }
        self.isDelivering = true
        self.dropOutput()
        while self.isReadWanted, !self.inbound.isEmpty, self.isActive {
            self.isReadWanted = false
            var count = 0
            while count < Self.burst, self.isActive, let bytes = self.inbound.popForReader() {
                count += bytes.readableBytes
                self.pipeline.syncOperations.fireChannelRead(NIOAny(bytes))
            }
            self.link?.consumed(count, on: self.id)
            guard self.isActive else { break }
            self.pipeline.syncOperations.fireChannelReadComplete()
            self.readIfWanted()
        }
        self.isDelivering = false
        self.deliverEnd()
    }

    private func deliverEnd() {
        guard self.isActive, self.inputEnded, self.inbound.isEmpty else { return }
        if !self.inputEndTold {
            self.inputEndTold = true
            self.pipeline.syncOperations.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        }
        if self.peerIsGone { self.end(ChannelError.eof) } else { self.endIfOver() }
    }

    private func readIfWanted() {
        if self.autoRead, self.isActive, !self.inputEnded || !self.inbound.isEmpty {
            self.pipeline.syncOperations.read()
        }
    }

    public func read0() {
        self.isReadWanted = true
        guard !self.isDelivering, !self.isDeliveryScheduled, !self.inbound.isEmpty || self.inputEnded else { return }
        // Not within the call, as no socket does: what asks may have something to pass on that came before.
        self.isDeliveryScheduled = true
        self.eventLoop.assumeIsolated().execute {
            self.isDeliveryScheduled = false
            self.deliver()
        }
    }

    // MARK: Writing

    public func write0(_ data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !self.isClosed, !self.outputEnded, let link = self.link else {
            promise?.fail(
                self.outputEnded && !self.isClosed
                    ? ChannelError.outputClosed : ChannelError.ioOnClosedChannel)
            return
        }
        guard !self.peerIsGone else {
            promise?.succeed(())
            return
        }
        let bytes = self.unwrapData(data, as: ByteBuffer.self)
        self.written += bytes.readableBytes
        link.send(bytes, on: self.id)
        if let promise { self.writes.append((self.written, promise)) }
        guard self.written - self.left > Self.highWater, self.isWritable else { return }
        self.writable.store(false, ordering: .relaxed)
        self.pipeline.syncOperations.fireChannelWritabilityChanged()
    }

    public func flush0() {
        self.completeWrites()
        self.link?.flushSoon()
    }

    private func completeWrites() {
        while let first = self.writes.first, first.end <= self.left {
            self.writes.removeFirst()
            first.promise.succeed(())
        }
        guard self.outputEnded, !self.outputEndTold, !self.isClosed, self.written == self.left else {
            return
        }
        self.outputEndTold = true
        self.pipeline.syncOperations.fireUserInboundEventTriggered(ChannelEvent.outputClosed)
        self.endIfOver()
    }

    // MARK: Ends

    public func close0(error: any Error, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        switch mode {
        case .input: promise?.fail(ChannelError.operationUnsupported)
        case .output:
            guard !self.isClosed, !self.outputEnded, let link = self.link else {
                promise?.fail(self.isClosed ? ChannelError.alreadyClosed : ChannelError.outputClosed)
                return
            }
            self.outputEnded = true
            if let promise { self.writes.append((self.written, promise)) }
            link.end(self.id)
            self.completeWrites()
        case .all:
            guard !self.isClosed else {
                promise?.fail(ChannelError.alreadyClosed)
                return
            }
            if self.isResetWhenClosed {
                self.link?.reset(self.id, .broken)
            } else {
                self.link?.close(self.id)
            }
            self.end(error, promise)
        }
    }

    /// Breaks the stream off for this reason, which the other end is told.
    public func reset(_ reason: StreamReset) {
        guard !self.isClosed else { return }
        self.link?.reset(self.id, reason)
        self.end(ChannelError.ioOnClosedChannel)
    }

    /// Both ways have ended.
    private func endIfOver() {
        guard self.outputEndTold, self.inputEndTold, !self.isClosed else { return }
        self.end(ChannelError.eof)
    }

    private func end(_ error: any Error, _ promise: EventLoopPromise<Void>? = nil) {
        guard !self.isClosed else {
            promise?.succeed(())
            return
        }
        self.isClosed = true
        self.inbound.removeAll()
        let link = self.link
        self.link = nil
        let writes = self.writes
        self.writes.removeAll()
        for write in writes { write.promise.fail(error) }
        promise?.succeed(())
        let wasActive = self.active.exchange(false, ordering: .relaxed)
        link?.forget(self)
        if wasActive { self.pipeline.syncOperations.fireChannelInactive() }
        self.eventLoop.assumeIsolated().execute {
            self.removeHandlers(pipeline: self.pipeline)
            self.closePromise.succeed(())
        }
    }

    // MARK: What a channel has besides

    public func localAddress0() throws -> SocketAddress { throw ChannelError.operationUnsupported }

    public func remoteAddress0() throws -> SocketAddress {
        guard let remoteAddress else { throw ChannelError.operationUnsupported }
        return remoteAddress
    }

    public func register0(promise: EventLoopPromise<Void>?) { promise?.succeed(()) }

    public func registerAlreadyConfigured0(promise: EventLoopPromise<Void>?) { promise?.succeed(()) }

    public func bind0(to: SocketAddress, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    public func connect0(to: SocketAddress, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    public func triggerUserOutboundEvent0(_ event: Any, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    public func channelRead0(_ data: NIOAny) {}

    public func errorCaught0(error: any Error) {}
}

// MARK: Options

extension StreamChannel: NIOSynchronousChannelOptions {
    public var syncOptions: (any NIOSynchronousChannelOptions)? { self }

    public func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value) throws {
        switch (option, value) {
        case (is ChannelOptions.Types.AutoReadOption, let value as Bool):
            self.autoRead = value
            if value { self.readIfWanted() }
        case (is ChannelOptions.Types.AllowRemoteHalfClosureOption, let value as Bool) where value:
            break
        default: throw ChannelError.operationUnsupported
        }
    }

    public func getOption<Option: ChannelOption>(_ option: Option) throws -> Option.Value {
        let value: Any
        switch option {
        case is ChannelOptions.Types.AutoReadOption: value = self.autoRead
        case is ChannelOptions.Types.AllowRemoteHalfClosureOption: value = true
        case is ChannelOptions.Types.BufferedWritableBytesOption: value = self.written - self.left
        default: throw ChannelError.operationUnsupported
        }
        guard let value = value as? Option.Value else { throw ChannelError.operationUnsupported }
        return value
    }

    public func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value)
        -> EventLoopFuture<Void>
    {
        guard self.eventLoop.inEventLoop else {
            return self.eventLoop.submit { try self.setOption(option, value: value) as Void }
        }
        return self.eventLoop.makeCompletedFuture { try self.setOption(option, value: value) as Void }
    }

    public func getOption<Option: ChannelOption>(_ option: Option) -> EventLoopFuture<Option.Value> {
        guard self.eventLoop.inEventLoop else {
            return self.eventLoop.submit { try self.getOption(option) as Option.Value }
        }
        return self.eventLoop.makeCompletedFuture { try self.getOption(option) as Option.Value }
    }
}

extension StreamChannel: SocketOptionProvider {
    /// `SO_LINGER` with zero seconds makes the next close a reset, as of a socket. There are no others.
    public func unsafeSetSocketOption<Value: Sendable>(
        level: NIOBSDSocket.OptionLevel, name: NIOBSDSocket.Option, value: Value
    ) -> EventLoopFuture<Void> {
        guard level == .socket, name == .so_linger, let value = value as? NIOLinger else {
            return self.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
        // `struct linger` is two ints everywhere, on and seconds; its module is not ours to import by name.
        let (isOn, seconds) = unsafeBitCast(value, to: (CInt, CInt).self)
        self.isResetWhenClosed = isOn != 0 && seconds == 0
        return self.eventLoop.makeSucceededVoidFuture()
    }

    public func unsafeSetSocketOption<Value: Sendable>(
        level: SocketOptionLevel, name: SocketOptionName, value: Value
    ) -> EventLoopFuture<Void> {
        self.unsafeSetSocketOption(
            level: NIOBSDSocket.OptionLevel(rawValue: CInt(level)), name: NIOBSDSocket.Option(rawValue: name),
            value: value)
    }

    public func unsafeGetSocketOption<Value: Sendable>(
        level: NIOBSDSocket.OptionLevel, name: NIOBSDSocket.Option
    ) -> EventLoopFuture<Value> { self.eventLoop.makeFailedFuture(ChannelError.operationUnsupported) }

    public func unsafeGetSocketOption<Value: Sendable>(
        level: SocketOptionLevel, name: SocketOptionName
    ) -> EventLoopFuture<Value> { self.eventLoop.makeFailedFuture(ChannelError.operationUnsupported) }
}

/// An event of a stream's pipeline: its link is gone. What came before is read to its end, nothing that is written leaves any more.
public struct StreamLinkEnded: Sendable {}

/// A stream that the peer broke off, or whose link ended.
public enum StreamBroken: Error, Equatable, Sendable, CustomStringConvertible {
    case reset(StreamReset)
    case linkEnded(String)

    public var description: String {
        switch self {
        case .reset(let reason): "the other end broke the stream off: \(reason)"
        case .linkEnded(let why): "the link ended: \(why)"
        }
    }
}
