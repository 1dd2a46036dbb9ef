public import NIOCore
public import StreamWire

/// Carries streams over one link: frames to the connection below, channels for their owner.
///
/// Above the TLS handler, when it is known who the peer is. ``StreamMachine`` decides; this carries out. What streams write in one turn of the event
/// loop leaves in one write. A link is read whatever waits to be sent, since two ends that wait for each other would wait for good: the windows of its streams bound
/// what comes.
///
/// Lives on its event loop. The peer's violations end the link, and all its streams; `onEnd` says why.
public final class StreamLinkHandler: ChannelInboundHandler {
    public typealias InboundIn = ByteBuffer
    public typealias InboundOut = Never
    public typealias OutboundOut = ByteBuffer

    /// What the owner of a link hears of it. Keeps it alive until ``ended``.
    public struct Events {
        /// For an accepter: a stream that is to be taken, or refused.
        public var opened: (OfferedStream) -> Void
        /// So many frames came, an OPEN counted as four; 0 is a question only. For how long the link is not to be read.
        public var charged: (Int) -> TimeAmount
        /// For an opener: no further streams over this link.
        public var draining: () -> Void
        /// There was a stream, and there is none any more.
        public var emptied: () -> Void
        /// The link is over: why.
        public var ended: (String) -> Void

        public init(
            opened: @escaping (OfferedStream) -> Void = { _ in },
            charged: @escaping (Int) -> TimeAmount = { _ in .zero },
            draining: @escaping () -> Void = {}, emptied: @escaping () -> Void = {},
            ended: @escaping (String) -> Void = { _ in }
        ) {
            self.opened = opened
            self.charged = charged
            self.draining = draining
            self.emptied = emptied
            self.ended = ended
        }
    }

    /// What becomes of a stream that was opened.
    enum Opening {
        case accepted
        case refused(String)
    }

    private var machine: StreamMachine
    private var reader: StreamFrameReader
    private var events: Events?
    private var channels: [StreamFrame.ID: StreamChannel] = [:]
    /// Those of them that the other end has yet to take.
    private var openings: [StreamFrame.ID: (Opening) -> Void] = [:]
    /// Something came for them in this burst.
    private var touched: [StreamChannel] = []
    private var context: ChannelHandlerContext?
    private var remoteAddress: SocketAddress?
    private var failure: String?
    private var isReading = false
    private var isWriting = false
    private var isFlushScheduled = false
    private var departures: [(StreamFrame.ID, Int)] = []
    /// Of the last write, bytes: the next one may be as large.
    private var lastWrite = 1024
    private var pings: (sent: UInt64, isUnanswered: Bool) = (0, false)
    /// Frames that came, and were not charged yet.
    private var frames = 0
    /// Nothing is read, and what was read before waits in the reader.
    private var isPaused = false
    /// Nothing more comes, but what was read before.
    private var isPeerGone = false
    /// Why the link ends when all was sent.
    private var ending: String?
    private var endTimer: Scheduled<Void>?
    private var isLastWriteUnderWay = false
    /// Whether the other end has taken a stream.
    private(set) var hasServed = false
    /// When bytes came last.
    private(set) var lastReceived = NIODeadline.now()

    /// Frames that are gathered for one write, in bytes.
    private static let writeSize = 48 << 10
    /// Frames about streams beyond which a burst of reads is interrupted by a write.
    private static let controlBurst = 1024
    /// Frames after which they are charged, in the middle of a burst of reads as well.
    private static let frameBurst = 256
    /// An OPEN costs about as much as so many other frames.
    private static let openingCost = 4

    /// - Parameter budget: of all links of this peer's; nil: the link has one of its own.
    public init(
        role: StreamMachine.Role, limits: StreamMachine.Limits = StreamMachine.Limits(), budget: WindowBudget? = nil,
        events: Events
    ) {
        self.machine = StreamMachine(role: role, limits: limits, budget: budget)
        self.reader = StreamFrameReader(maximumIntroduction: limits.introduction)
        self.events = events
    }

    /// Streams that have a channel here.
    public var streamCount: Int { self.channels.count }

    public var streams: [StreamChannel] { Array(self.channels.values) }

    /// Whether another stream may be opened.
    var takesStreams: Bool {
        self.context != nil && self.events != nil && self.ending == nil && self.machine.takesStreams
    }

    /// It takes no further stream at any time.
    var isSpent: Bool { !self.machine.takesMoreEver }

    // MARK: Streams

    /// Opens a stream, and sends its first bytes with that. Nothing is read of its channel until it is asked for.
    ///
    /// - Parameter completion: called once, unless the channel is closed before: it is accepted, or it was not and its channel is closed.
    /// - Returns: nil: the link takes no further stream.
    func open(
        introduction: ByteBuffer, first: ByteBuffer, completion: @escaping (Opening) -> Void
    ) -> StreamChannel? {
        guard let context, self.events != nil, let id = self.machine.open(introduction: introduction)
        else { return nil }
        let channel = StreamChannel(
            id, of: self, on: context.channel, remote: self.remoteAddress, reads: false)
        self.channels[id] = channel
        self.openings[id] = completion
        channel.activate()
        channel.write(first, promise: nil)
        self.flushSoon()
        return channel
    }

    /// A stream that was opened, as a channel that nothing reads yet.
    fileprivate func take(_ id: StreamFrame.ID) -> StreamChannel? {
        guard let context, self.events != nil, self.channels[id] == nil else { return nil }
        let channel = StreamChannel(id, of: self, on: context.channel, remote: self.remoteAddress, reads: true)
        self.channels[id] = channel
        return channel
    }

    /// Takes a stream that was opened, whose handlers are in its pipeline.
    public func accept(_ channel: StreamChannel) {
        self.machine.accept(channel.id)
        channel.activate()
        self.flushSoon()
    }

    func send(_ bytes: ByteBuffer, on id: StreamFrame.ID) { self.machine.send(bytes, on: id) }

    func consumed(_ count: Int, on id: StreamFrame.ID) {
        self.machine.consumed(count, on: id)
        if self.machine.waitingControl > 0 { self.flushSoon() }
    }

    func end(_ id: StreamFrame.ID) {
        self.machine.end(id)
        self.flushSoon()
    }

    func close(_ id: StreamFrame.ID) {
        self.machine.close(id)
        self.flushSoon()
    }

    func reset(_ id: StreamFrame.ID, _ reason: StreamReset) {
        self.machine.reset(id, reason)
        self.flushSoon()
    }

    /// The channel is closed.
    func forget(_ channel: StreamChannel) {
        self.openings[channel.id] = nil
        guard self.channels.removeValue(forKey: channel.id) != nil, self.channels.isEmpty else {
            return
        }
        self.events?.emptied()
        self.endIfSent()
    }

    // MARK: The link

    /// Takes no further streams, and says so.
    public func drain() {
        self.machine.drain()
        self.flushSoon()
    }

    /// Ends the link, and what streams there are.
    public func close(because reason: String) {
        self.flush()
        self.finish(reason)
        self.context?.close(promise: nil)
    }

    /// Ends the link when what its streams had to say last was handed to the system, and after this time at the latest. There are to be no
    /// further streams.
    public func closeWhenSent(because reason: String, within time: TimeAmount) {
        guard self.events != nil, self.ending == nil, let context else { return }
        self.ending = reason
        self.endTimer = context.eventLoop.assumeIsolated().scheduleTask(in: time) { self.close(because: reason) }
        self.flushSoon()
    }

    private func endIfSent() {
        guard let ending, self.events != nil, let context, !self.isLastWriteUnderWay, self.channels.isEmpty,
            !self.machine.hasOutput
        else { return }
        self.isLastWriteUnderWay = true
        let sent = context.eventLoop.makePromise(of: Void.self)
        sent.futureResult.assumeIsolated().whenComplete { _ in
            self.isLastWriteUnderWay = false
            // A pong may have come in between.
            guard self.channels.isEmpty, !self.machine.hasOutput else { return self.flushSoon() }
            self.ending = nil
            self.close(because: ending)
        }
        // Nothing, behind everything.
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer()), promise: sent)
    }

    /// - Returns: false: the ping before was not answered.
    func ping() -> Bool {
        let wasAnswered = !self.pings.isUnanswered
        self.pings = (self.pings.sent + 1, true)
        self.machine.ping(self.pings.sent)
        self.flushSoon()
        return wasAnswered
    }

    private func finish(_ reason: String) {
        guard let events else { return }
        self.events = nil
        self.endTimer?.cancel()
        self.machine.end()
        let openings = self.openings
        self.openings = [:]
        var channels = self.channels
        self.channels = [:]
        // What outlives the link keeps this handler, and nothing that was read.
        self.reader = StreamFrameReader(maximumIntroduction: self.machine.limits.introduction)
        self.departures = []
        self.touched = []
        // The owner first, so that what is tried again is not tried here.
        events.ended(reason)
        for (id, opening) in openings {
            channels.removeValue(forKey: id)?.broke(StreamBroken.linkEnded(reason))
            opening(.refused(reason))
        }
        for channel in channels.values { channel.linkEnded(reason) }
    }

    // MARK: From the connection

    public func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.remoteAddress = context.channel.remoteAddress
    }

    public func handlerRemoved(context: ChannelHandlerContext) {
        self.finish(self.failure ?? "the connection ended")
        self.context = nil
    }

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard self.events != nil else { return }
        self.isReading = true
        self.lastReceived = .now()
        self.reader.receive(self.unwrapInboundIn(data))
        self.takeFrames(context)
    }

    /// Those that were read, as long as their peer keeps to its rate, or is gone.
    private func takeFrames(_ context: ChannelHandlerContext) {
        do throws(StreamLinkError) {
            while self.isPeerGone || !self.isPaused, self.events != nil, let frame = try self.reader.next() {
                if case .open = frame { self.frames += Self.openingCost } else { self.frames += 1 }
                if let event = try self.machine.receive(frame) { self.happened(event) }
                if self.frames >= Self.frameBurst { self.pace(context) }
            }
        } catch {
            self.failure = "the other end broke the protocol: \(error)"
            return self.close(because: "the other end broke the protocol: \(error)")
        }
        if self.machine.waitingControl > Self.controlBurst { self.flush() }
    }

    public func channelReadComplete(context: ChannelHandlerContext) {
        self.deliver()
        self.pace(context)
    }

    private func deliver() {
        let touched = self.touched
        self.touched.removeAll(keepingCapacity: true)
        for channel in touched {
            channel.deliver()
            channel.settle()
        }
        self.isReading = false
        self.flush()
    }

    /// Frames cost time of the event loop: what sends too many is read more slowly.
    private func pace(_ context: ChannelHandlerContext) {
        let frames = self.frames
        self.frames = 0
        guard frames > 0, self.isPeerGone || !self.isPaused, let time = self.events?.charged(frames),
            time > .zero, !self.isPeerGone
        else { return }
        self.isPaused = true
        try? context.channel.syncOptions?.setOption(.autoRead, value: false)
        self.resume(in: time, context.eventLoop)
    }

    private func resume(in time: TimeAmount, _ loop: any EventLoop) {
        loop.assumeIsolated().scheduleTask(in: time) {
            guard let events = self.events, let context = self.context else { return }
            // Other links of the same peer's may have gone on meanwhile, or the pause was shorter than what is owed.
            let more = events.charged(0)
            guard more <= .zero else { return self.resume(in: more, loop) }
            self.isPaused = false
            self.isReading = true
            self.takeFrames(context)
            self.channelReadComplete(context: context)
            guard !self.isPaused, self.events != nil else { return }
            try? context.channel.syncOptions?.setOption(.autoRead, value: true)
        }
    }

    private func happened(_ event: StreamMachine.Event) {
        switch event {
        case .opened(let id, let introduction):
            let offered = OfferedStream(id: id, introduction: introduction, link: self)
            if self.isPeerGone { offered.refuse(.broken) } else { self.events?.opened(offered) }
        // Of a link that is over, it can be opened elsewhere.
        case .accepted where self.isPeerGone: self.hasServed = true
        case .accepted(let id):
            self.hasServed = true
            self.openings.removeValue(forKey: id)?(.accepted)
        case .data(let id, let bytes):
            guard let channel = self.channels[id] else { return }
            channel.received(bytes)
            self.touch(channel)
        case .ended(let id):
            guard let channel = self.channels[id] else { return }
            channel.receivedEnd()
            self.touch(channel)
        case .closed(let id):
            guard let channel = self.channels[id] else { return }
            if let opening = self.openings.removeValue(forKey: id) {
                channel.broke(StreamBroken.reset(.broken))
                return opening(.refused("the key holder closed the stream"))
            }
            channel.receivedClose()
            self.touch(channel)
        case .reset(let id, let reason):
            guard let channel = self.channels[id] else { return }
            let opening = self.openings.removeValue(forKey: id)
            channel.broke(StreamBroken.reset(reason))
            opening?(.refused("the key holder refused the stream: \(reason)"))
        case .draining: self.events?.draining()
        case .pong(let number): if number == self.pings.sent { self.pings.isUnanswered = false }
        }
    }

    private func touch(_ channel: StreamChannel) {
        if self.touched.last !== channel { self.touched.append(channel) }
    }

    public func channelInactive(context: ChannelHandlerContext) {
        // What a pause held back may be the end of what a stream's peer had to say.
        self.isPeerGone = true
        self.takeFrames(context)
        self.pace(context)
        self.finish(self.failure ?? "the other end closed the connection")
        context.fireChannelInactive()
    }

    public func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.failure = self.failure ?? LinkProblem.text(error)
        context.close(promise: nil)
    }

    // MARK: To the connection

    /// Sends what waits, at the end of this burst of reads or turn of the event loop.
    func flushSoon() {
        guard !self.isReading, !self.isFlushScheduled, let context else { return }
        self.isFlushScheduled = true
        context.eventLoop.assumeIsolated().execute {
            self.isFlushScheduled = false
            self.flush()
        }
    }

    public func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { self.flush() }
    }

    private func flush() {
        guard let context, !self.isWriting else { return }
        self.isWriting = true
        defer { self.isWriting = false }
        while self.machine.hasOutput, context.channel.isWritable, context.channel.isActive {
            var buffer = context.channel.allocator.buffer(capacity: self.lastWrite)
            var departures = self.departures
            self.departures = []
            self.machine.write(into: &buffer, upTo: Self.writeSize) { departures.append(($0, $1)) }
            self.lastWrite = min(max(buffer.readableBytes, 1024), Self.writeSize + 16_400)
            if buffer.readableBytes > 0 { context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil) }
            for (id, count) in departures { self.channels[id]?.departed(count) }
            departures.removeAll(keepingCapacity: true)
            self.departures = departures
        }
        self.endIfSent()
    }
}

/// A stream that the other end wants to open. Nothing was made for it yet.
public struct OfferedStream {
    fileprivate let id: StreamFrame.ID
    /// What its opener says of it.
    public let introduction: ByteBuffer
    fileprivate let link: StreamLinkHandler

    /// Its channel, for handlers; then ``StreamLinkHandler/accept(_:)``. nil: it is gone.
    public func take() -> StreamChannel? { self.link.take(self.id) }

    /// Takes no notice of it but to say why.
    public func refuse(_ reason: StreamReset) { self.link.reset(self.id, reason) }
}
