import Admission
import Channels
import EdgeModel
import HTTP2Wire
import HTTPFields
import HTTPForwarding
import Logging
import NIOCore

/// The client's side of an HTTP/2 connection: gives what it reads to a ``ServerConnection``, makes streams of the requests that come out, and
/// keeps the connection within its limits.
///
/// There is no channel, pipeline or timer for each stream. The peer's violations: those that concern framing, flow control and state are the machine's
/// to find. Found here: malformed requests, too many streams, floods of frames that bring nothing. Silently dropped: frames for streams that are
/// gone. Our bug: none that input could cause.
final class HTTP2Connection: ChannelDuplexHandler, TimerOwner {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    let site: ProxySite
    let limits: ProxyLimits
    let rules: RequestRules
    let client: OriginClient
    let turns: LoopTurns
    /// Requests that are to begin wait for their turn on the event loop.
    var startsLater = false
    /// The client's; nil if it has no bounds.
    let network: ClientNetwork?
    let log: AccessLog
    var context: ChannelHandlerContext?
    var machine: ServerConnection
    /// In the order of their numbers.
    var streams: [HTTP2Stream] = []
    /// Streams that are over, while what brought them there is still at work.
    var ended: [HTTP2Stream] = []
    var lifecycle: HTTP2Lifecycle
    let place: ClientPlace?
    var budget: FrameBudget
    var places: OriginPlaces
    var sections: HeldSections
    private var resets: FrameRate
    private var controlFrames: FrameRate
    var streamErrors: FrameRate
    /// A rate that was passed within the current read.
    var flood: String?
    /// Bytes of all responses that wait for the client's windows.
    private var bufferedBytes = 0
    /// The memory of the field block that was written last.
    var spareBlock = ByteBuffer()
    var timer: ProxyTimer?
    var nextWakeUp = NIODeadline.distantFuture
    /// Since when nothing is under way, unless memory was given back since.
    private var restsSince: NIODeadline?
    var isReading = false
    /// Requests that the current read brought, and those of them that are to begin when it has ended.
    var begunInRead = 0
    var starting = CircularBuffer<HTTP2Stream>(initialCapacity: 1)
    var flushIsDue = false
    private var readHeld = false
    private var marked: [HTTP2Stream] = []
    private var markedForReading: [HTTP2Stream] = []
    var isClosing = false
    /// How many bytes are still to be read and dropped; nil: what comes is of interest.
    var toDrop: Int?

    /// The data of the PING behind a GOAWAY.
    static let announcement: UInt64 = 0x6c61_7463_6873_7472

    init(_ connection: ProxyContext, client: OriginClient, turns: LoopTurns) {
        self.network = connection.network
        self.turns = turns
        self.place = connection.place
        self.site = connection.site
        self.limits = connection.site.limits
        self.client = client
        self.rules = connection.site.rules(for: connection)
        self.log = AccessLog(connection)
        let limits = connection.site.limits
        self.machine = ServerConnection(limits: limits.http2.wire(limits))
        self.lifecycle = HTTP2Lifecycle(
            limits: .init(
                concurrentStreams: limits.http2.concurrentStreams, requests: limits.requestsPerConnection,
                firstRequest: limits.firstRequestTimeout, idle: limits.idleTimeout,
                goAwayGrace: limits.http2.goAwayGrace), now: .now())
        self.budget = FrameBudget(limit: limits.http2.idleFrames, window: limits.http2.rateWindow, now: .now())
        self.places = OriginPlaces(cooling: limits.http2.resetCooling)
        self.sections = HeldSections(limit: limits.http2.heldSections)
        let window = limits.http2.rateWindow
        self.resets = FrameRate(limit: limits.http2.resets, window: window)
        self.controlFrames = FrameRate(limit: limits.http2.controlFrames, window: window)
        self.streamErrors = FrameRate(limit: limits.http2.streamErrors, window: window)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let timer = self.client.takeTimer()
        timer.start(self)
        self.timer = timer
        self.wake(at: self.lifecycle.deadline)
        if context.channel.isActive { self.begin() }
    }

    func channelActive(context: ChannelHandlerContext) {
        self.begin()
        context.fireChannelActive()
    }

    private func begin() {
        self.machine.begin()
        self.setNeedsFlush()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.giveTimerBack()
        self.context = nil
        // Streams hold the connection, and it holds them.
        self.isClosing = true
        self.endStreams("connection-closed")
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        if let toDrop {
            self.toDrop = toDrop - bytes.readableBytes
            return
        }
        self.isReading = true
        self.machine.receive(bytes)
        do throws(ConnectionFault) {
            while !self.isClosing, let event = try self.machine.next(began: { self.began($0) }) { self.take(event) }
        } catch {
            self.fail(error.reason, error.code)
        }
        self.hasTaken(unfinished: self.machine.unfinished)
    }

    /// A frame of the client's has begun; nothing is written before the read that brought it is worked off.
    private func began(_ kind: FrameKind) {
        self.budget.received(kind)
        switch kind {
        case .data, .continuation, .other: break
        case .reset: if !self.resets.permits(now: .now()) { self.flood = "reset-flood" }
        case .control: if !self.controlFrames.permits(now: .now()) { self.flood = "control-frame-flood" }
        }
    }

    private func take(_ event: ServerConnection.Event) {
        switch event {
        case .request(let section, let id, let endsStream): self.received(section, endsStream: endsStream, on: id)
        case .data(let bytes, let id, let endsStream): self.received(bytes, endsStream: endsStream, on: id)
        case .trailers(let section, let id): self.receivedTrailers(section, on: id)
        case .reset(let id, _): self.closed(id)
        case .fault(_, let id):
            self.closed(id)
            if !self.streamErrors.permits(now: .now()) { self.fail("stream-error-flood") }
        case .settingsAcknowledged: self.lifecycle.settingsAcknowledged()
        case .pong(Self.announcement): self.take(self.lifecycle.announcementIsKnown())
        case .pong: break
        case .windowOpened: self.setNeedsFlush()
        }
    }

    private func received(_ bytes: ByteBuffer, endsStream: Bool, on id: HTTP2StreamID) {
        guard let stream = self.streams[stream: id] else { return self.taken(bytes.readableBytes, on: id) }
        if bytes.readableBytes > 0, stream.takesRequest { self.budget.dataTaken() }
        stream.received(bytes, endsStream: endsStream)
        if endsStream { self.closeIfOver(stream) }
        self.markForReading(stream)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case ChannelEvent.inputClosed:
            // A client that has closed its side is taken to be gone.
            context.close(promise: nil)
        case is ChannelShouldQuiesceEvent:
            self.take(self.lifecycle.leave(now: .now()))
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    /// The client has ended its request: there may be nothing else to come.
    func closeIfOver(_ stream: HTTP2Stream) {
        if !self.machine.isOpen(stream.id) { self.closed(stream.id) }
    }

    /// A stream is gone, by the client's reset or ours, or because both sides have ended it.
    func closed(_ id: HTTP2StreamID) {
        guard let index = self.streams.index(of: id) else { return }
        self.streams.remove(at: index).closed("stream-reset")
        let now = NIODeadline.now()
        self.take(self.lifecycle.ended(now: now))
        guard self.streams.isEmpty else { return }
        self.place?.rests(since: now)
        self.restsSince = now
        self.wake(at: now + Self.restBeforeRelease)
    }

    func closeEnded() {
        while let stream = self.ended.popLast() { self.closed(stream.id) }
    }

    /// Idle connections are to be small. A client that asks again within this time finds everything in its place.
    private static let restBeforeRelease = TimeAmount.seconds(1)

    /// Gives memory back when nothing has been under way for a while.
    private func releaseIfAtRest(_ now: NIODeadline) {
        guard self.streams.isEmpty, let restsSince else { return }
        let due = restsSince + Self.restBeforeRelease
        guard due <= now else { return self.wake(at: due) }
        self.restsSince = nil
        self.machine.releaseMemory()
        self.spareBlock = ByteBuffer()
        self.streams = []
        self.ended = []
        self.starting = CircularBuffer(initialCapacity: 1)
        self.marked = []
        self.markedForReading = []
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.startRequests()
        while let stream = self.markedForReading.popLast() {
            stream.isMarkedForReading = false
            stream.readComplete()
        }
        self.isReading = false
        self.begunInRead = 0
        self.lookAfterMarked()
        self.flushIfDue()
    }

    func markForReading(_ stream: HTTP2Stream) {
        guard !stream.isMarkedForReading else { return }
        stream.isMarkedForReading = true
        self.markedForReading.append(stream)
    }

    // MARK: Back-pressure

    var isWritable: Bool { self.context?.channel.isWritable ?? false }

    /// How much of one response may wait for the client.
    var responseAllowance: Int {
        let limits = self.limits.http2
        return self.bufferedBytes < limits.responseBuffers ? limits.responseBuffer : limits.responseBuffer / 8
    }

    func buffered(_ count: Int) { self.bufferedBytes += count }

    /// Bytes of a request's body were passed on, or dropped.
    func taken(_ count: Int, on id: HTTP2StreamID) {
        self.machine.taken(count, on: id)
        if self.machine.hasOutput, !self.isClosing { self.setNeedsFlush() }
    }

    func openWindow(of stream: HTTP2Stream) {
        if self.machine.openWindow(of: stream.id) { self.setNeedsFlush() }
    }

    /// A client that does not read gets no further answers to wait for it: heads are not held back by any window.
    func read(context: ChannelHandlerContext) {
        if let toDrop, toDrop <= 0 { return }
        if context.channel.isWritable { context.read() } else { self.readHeld = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        for stream in self.streams { stream.lookAfter() }
        self.lookAfterMarked()
        if context.channel.isWritable, !self.starting.isEmpty { self.startLater() }
        if self.readHeld, context.channel.isWritable {
            self.readHeld = false
            self.read(context: context)
        }
    }

    /// Asks for ``HTTP2Stream/lookAfter()`` when what goes on now is done.
    func mark(_ stream: HTTP2Stream) {
        guard !stream.isMarked else { return }
        stream.isMarked = true
        self.marked.append(stream)
        if !self.isReading { self.setNeedsFlush() }
    }

    func lookAfterMarked() {
        while let stream = self.marked.popLast() {
            stream.isMarked = false
            stream.lookAfter()
        }
    }

    func logOriginFailure(_ failure: OriginFailure, afterHead: Bool) {
        self.log.originFailed(
            failure, afterHead: afterHead, isNews: self.client.isNews(failure.cause, now: .now()))
    }

    // MARK: Time

    /// The timer is one for all streams; it is only ever moved nearer, and looks at all of them when its time comes.
    func wake(at deadline: NIODeadline) {
        guard deadline < self.nextWakeUp else { return }
        self.nextWakeUp = deadline
        self.timer?.move(to: deadline)
    }

    func timedOut() {
        guard let context else { return }
        if self.isClosing { return AbruptClose.closeSocket(context) }
        self.nextWakeUp = .distantFuture
        let now = NIODeadline.now()
        for stream in self.streams where stream.deadline <= now { stream.timedOut(now) }
        self.closeEnded()
        self.take(self.lifecycle.timedOut(now: now))
        guard !self.isClosing else { return }
        self.releaseIfAtRest(now)
        self.wake(at: self.lifecycle.deadline)
        for stream in self.streams { self.wake(at: stream.deadline) }
    }
}
