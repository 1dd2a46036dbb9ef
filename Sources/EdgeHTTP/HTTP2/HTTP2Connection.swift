import Admission
import Channels
import EdgeModel
import HTTP2Wire
import HTTPFields
import HTTPForwarding
import Logging
import NIOCore
import NIOHPACK
import NIOHTTP2

/// The client's side of an HTTP/2 connection: makes streams of frames, and keeps the connection within its limits.
///
/// Works on the library's frames themselves: a channel of its own for each stream, as the library offers it, costs more than
/// everything else that the edge does for a small response. Field blocks never go through the library, see ``HTTP2FrameHandler``: its HEADERS
/// frames only say that there is one.
///
/// The peer's violations: those that concern framing, flow control and state are the library's to find; it sends GOAWAY or
/// RST_STREAM and tells us. Found here: malformed requests, blocks that cannot be decoded, too many streams, floods of frames that bring
/// nothing. Silently dropped: frames for streams that are gone. Our bug: none that input could cause.
final class HTTP2Connection: ChannelDuplexHandler, TimerOwner {
    typealias InboundIn = HTTP2Frame
    typealias OutboundIn = Never
    typealias OutboundOut = HTTP2Frame

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
    let frames: HTTP2FrameHandler
    var context: ChannelHandlerContext?
    var streams: [HTTP2StreamID: HTTP2Stream] = [:]
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
    private var window: ReceiveWindow
    /// Bytes of all responses that the library holds back.
    private var bufferedBytes = 0
    var timer: ProxyTimer?
    var nextWakeUp = NIODeadline.distantFuture
    /// Since when nothing is under way, unless memory was given back since.
    private var restsSince: NIODeadline?
    var isReading = false
    /// Requests that the current read brought, and those of them that are to begin when it has ended.
    var begunInRead = 0
    var starting = CircularBuffer<HTTP2Stream>(initialCapacity: 1)
    private var flushIsDue = false
    private var readHeld = false
    private var marked: [HTTP2Stream] = []
    private var markedForReading: [HTTP2Stream] = []
    /// The library has sent GOAWAY with an error, or we have.
    var hasFailed = false
    var isClosing = false
    /// Errors now are those of what we write.
    private(set) var isWriting = false

    /// The data of the PING behind a GOAWAY.
    static let announcement = HTTP2PingData(withInteger: 0x6c61_7463_6873_7472)

    init(
        _ connection: ProxyContext, client: OriginClient, turns: LoopTurns, frames: HTTP2FrameHandler
    ) {
        self.network = connection.network
        self.turns = turns
        self.place = connection.place
        self.site = connection.site
        self.limits = connection.site.limits
        self.client = client
        self.frames = frames
        self.rules = connection.site.rules(for: connection)
        self.log = AccessLog(connection)
        let limits = connection.site.limits
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
        self.window = ReceiveWindow(target: limits.http2.connectionWindow)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let timer = ProxyTimer(eventLoop: context.eventLoop, owner: self)
        self.timer = timer
        self.wake(at: self.lifecycle.deadline)
        if context.channel.isActive { self.openWindow() }
    }

    func channelActive(context: ChannelHandlerContext) {
        self.openWindow()
        context.fireChannelActive()
    }

    /// The connection's window is 65,535 bytes until it is opened further (RFC 9113 §6.9.2).
    private func openWindow() {
        self.window.changed(to: 65_535)
        self.grantWindow()
        self.setNeedsFlush()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.timer = nil
        self.context = nil
        // Streams hold the connection, and it holds them.
        self.isClosing = true
        self.endStreams("connection-closed")
    }

    // MARK: Frames

    /// A frame of the client's has begun; nothing is written before the read that brought it is worked off.
    func began(_ kind: ClientFrames.Kind) {
        self.budget.received(kind)
        switch kind {
        case .data, .continuation, .other: break
        case .reset: if !self.resets.permits(now: .now()) { self.flood = "reset-flood" }
        case .control: if !self.controlFrames.permits(now: .now()) { self.flood = "control-frame-flood" }
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.isReading = true
        guard !self.isClosing else { return }
        let frame = self.unwrapInboundIn(data)
        switch frame.payload {
        case .headers(let payload):
            guard let section = self.frames.section else { return self.outOfStep() }
            self.received(section, endsStream: payload.endStream, on: frame.streamID)
        case .data(let payload): self.received(payload, on: frame.streamID)
        case .settings(.ack): self.lifecycle.settingsAcknowledged()
        case .ping(Self.announcement, ack: true): self.take(self.lifecycle.announcementIsKnown())
        default: break
        }
    }

    private func received(_ payload: HTTP2Frame.FramePayload.Data, on id: HTTP2StreamID) {
        guard case .byteBuffer(let bytes) = payload.data, let stream = self.streams[id] else { return }
        if bytes.readableBytes > 0, stream.takesRequest { self.budget.dataTaken() }
        self.window.received(bytes.readableBytes)
        stream.received(bytes, endsStream: payload.endStream)
        self.markForReading(stream)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // Each request brings one, and to find out that it is none of the others takes longer.
        if Swift.type(of: event) == NIOHTTP2StreamCreatedEvent.self { return }
        switch event {
        case let event as StreamClosedEvent:
            self.closed(event.streamID, outcome: self.hasFailed ? "connection-failed" : "stream-reset")
        case let event as NIOHTTP2WindowUpdatedEvent:
            guard let size = event.inboundWindowSize else { return }
            if event.streamID == .rootStream {
                self.window.changed(to: size)
                self.grantWindow()
            } else {
                self.streams[event.streamID]?.windowChanged(to: size)
            }
        case is NIOHTTP2BulkStreamWindowChangeEvent:
            break
        case ChannelEvent.inputClosed:
            // A client that has closed its side is taken to be gone.
            context.close(promise: nil)
        case is ChannelShouldQuiesceEvent:
            self.take(self.lifecycle.leave(now: .now()))
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    private func closed(_ id: HTTP2StreamID, outcome: String) {
        guard let stream = self.streams.removeValue(forKey: id) else { return }
        stream.closed(outcome)
        let now = NIODeadline.now()
        self.take(self.lifecycle.ended(now: now))
        guard self.streams.isEmpty else { return }
        self.place?.rests(since: now)
        self.restsSince = now
        self.wake(at: now + Self.restBeforeRelease)
    }

    /// Idle connections are to be small. A client that asks again within this time finds everything in its place.
    private static let restBeforeRelease = TimeAmount.seconds(1)

    /// Gives memory back when nothing has been under way for a while.
    private func releaseIfAtRest(_ now: NIODeadline) {
        guard self.streams.isEmpty, let restsSince else { return }
        let due = restsSince + Self.restBeforeRelease
        guard due <= now else { return self.wake(at: due) }
        self.restsSince = nil
        self.frames.releaseMemory()
        self.streams = [:]
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
    func taken(_ count: Int) {
        self.window.taken(count)
        self.grantWindow()
    }

    private func grantWindow() {
        guard let increment = self.window.grant() else { return }
        self.write(.windowUpdate(windowSizeIncrement: increment), on: .rootStream)
        self.setNeedsFlush()
    }

    /// A client that does not read gets no further answers to wait for it: heads are not held back by any window.
    func read(context: ChannelHandlerContext) {
        if context.channel.isWritable { context.read() } else { self.readHeld = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        for stream in self.streams.values { stream.lookAfter() }
        self.lookAfterMarked()
        if context.channel.isWritable, !self.starting.isEmpty { self.startLater() }
        if self.readHeld, context.channel.isWritable {
            self.readHeld = false
            context.read()
        }
    }

    /// Asks for ``HTTP2Stream/lookAfter()`` when the library has done what it does.
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

    // MARK: Writing

    func write(_ payload: HTTP2Frame.FramePayload, on id: HTTP2StreamID) {
        self.isWriting = true
        self.context?.write(self.wrapOutboundOut(HTTP2Frame(streamID: id, payload: payload)), promise: nil)
        self.isWriting = false
    }

    /// A HEADERS frame, for the block that the stream holds ready.
    func writeHeaders(_ kind: HeadersKind, endStream: Bool, on id: HTTP2StreamID) {
        self.write(.headers(.init(headers: kind.fields, endStream: endStream)), on: id)
    }

    /// Flushes soon, once for all streams: at the end of what was read, or of the event loop's turn.
    func setNeedsFlush() {
        guard !self.flushIsDue, let context else { return }
        self.flushIsDue = true
        if !self.isReading {
            context.eventLoop.assumeIsolated().execute {
                self.lookAfterMarked()
                self.flushIfDue()
            }
        }
    }

    func flushIfDue() {
        guard self.flushIsDue else { return }
        self.flushIsDue = false
        self.context?.flush()
    }

    fileprivate func wrote(_ frame: HTTP2Frame) {
        switch frame.payload {
        case .data(let payload):
            let count = payload.data.readableBytes
            self.bufferedBytes -= count
            let stream = self.streams[frame.streamID]
            stream?.wrote(count, endsStream: payload.endStream)
            self.budget.sent(count, isAll: stream?.isAllWritten ?? false)
        case .headers(let payload):
            self.frames.sends(self.streams[frame.streamID]?.takeBlock())
            if payload.endStream { self.streams[frame.streamID]?.wrote(0, endsStream: true) }
        case .goAway(_, let code, _):
            if code != .noError { self.hasFailed = true }
        default:
            break
        }
    }

    func logOriginFailure(_ failure: OriginFailure, afterHead: Bool) {
        self.log.originFailed(
            failure, afterHead: afterHead, isNews: self.client.isNews(failure.cause, now: .now()))
    }

    /// What the library has to know of a section.
    enum HeadersKind {
        case informational, final, trailers

        fileprivate var fields: HPACKHeaders {
            switch self {
            case .informational: Self.early
            case .final: Self.whole
            case .trailers: Self.none
            }
        }

        private static let early = HPACKHeaders([(":status", "103")])
        private static let whole = HPACKHeaders([(":status", "200")])
        private static let none = HPACKHeaders()
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
        for stream in self.streams.values where stream.deadline <= now { stream.timedOut(now) }
        self.take(self.lifecycle.timedOut(now: now))
        guard !self.isClosing else { return }
        self.releaseIfAtRest(now)
        self.wake(at: self.lifecycle.deadline)
        for stream in self.streams.values { self.wake(at: stream.deadline) }
    }

    /// Tells the connection what the library puts on its way.
    struct Delegate: NIOHTTP2FrameDelegate {
        /// No cycle: connections don't hold the library's handler.
        let connection: HTTP2Connection

        func wroteFrame(_ frame: HTTP2Frame) { self.connection.wrote(frame) }
    }
}
