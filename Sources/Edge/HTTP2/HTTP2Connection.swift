import Admission
import HTTPFields
import HTTPForwarding
import Logging
import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2

/// The client's side of an HTTP/2 connection: makes streams of frames, and keeps the connection within its limits.
///
/// Works on the library's frames themselves: a channel of its own for each stream, as the library offers it, costs more than
/// everything else that the edge does for a small response.
///
/// The peer's violations: those that concern framing, flow control and state are the library's to find; it sends GOAWAY or
/// RST_STREAM and tells us. Found here: malformed requests, too many streams, floods of frames that bring nothing. Silently
/// dropped: frames for streams that are gone. Our bug: none that input could cause.
final class HTTP2Connection: ChannelDuplexHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundIn = Never
    typealias OutboundOut = HTTP2Frame

    let site: ProxySite
    let limits: ProxyLimits
    private let rules: RequestRules
    private let client: OriginClient
    private let turns: LoopTurns
    /// Requests that are to begin wait for their turn on the event loop.
    private var startsLater = false
    /// The client's; nil if it has no bounds.
    let network: ClientNetwork?
    let log: AccessLog
    let input: ClientInput
    private let coalescer: FrameCoalescer
    var context: ChannelHandlerContext?
    var streams: [HTTP2StreamID: HTTP2Stream] = [:]
    var lifecycle: HTTP2Lifecycle
    private let place: ClientPlace?
    var frames = FrameHeaders()
    var budget: FrameBudget
    var places: OriginPlaces
    private var provokedResets: ProvokedResets
    private var window: ReceiveWindow
    /// Bytes of all responses that the library holds back.
    private var bufferedBytes = 0
    var timer: ProxyTimer?
    var nextWakeUp = NIODeadline.distantFuture
    private var isReading = false
    /// Requests that the current read brought, and those of them that are to begin when it has ended.
    private var begunInRead = 0
    var starting = CircularBuffer<HTTP2Stream>()
    private var flushIsDue = false
    private var readHeld = false
    private var marked: [HTTP2Stream] = []
    private var markedForReading: [HTTP2Stream] = []
    /// The library has sent GOAWAY with an error, or we have.
    var hasFailed = false
    var isClosing = false

    /// The data of the PING behind a GOAWAY.
    static let announcement = HTTP2PingData(withInteger: 0x6c61_7463_6873_7472)

    init(
        _ connection: ProxyContext, client: OriginClient, turns: LoopTurns, input: ClientInput,
        coalescer: FrameCoalescer
    ) {
        self.network = connection.network
        self.turns = turns
        self.place = connection.place
        self.site = connection.site
        self.limits = connection.site.limits
        self.client = client
        self.input = input
        self.coalescer = coalescer
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
        self.provokedResets = ProvokedResets(limit: limits.http2.streamErrors, window: limits.http2.rateWindow)
        self.window = ReceiveWindow(target: limits.http2.connectionWindow)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let timer = ProxyTimer(eventLoop: context.eventLoop) { [weak self] in self?.timedOut() }
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
    }

    // MARK: Frames

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.isReading = true
        guard !self.isClosing else { return }
        let frame = self.unwrapInboundIn(data)
        switch frame.payload {
        case .headers(let payload): self.received(payload, on: frame.streamID)
        case .data(let payload): self.received(payload, on: frame.streamID)
        case .settings(.ack): self.lifecycle.settingsAcknowledged()
        case .ping(Self.announcement, ack: true): self.take(self.lifecycle.announcementIsKnown())
        default: break
        }
    }

    private func received(_ payload: HTTP2Frame.FramePayload.Headers, on id: HTTP2StreamID) {
        if let stream = self.streams[id] {
            var trailers = HTTP2TrailerBlock()
            do throws(HTTP2Malformation) {
                for (name, value, _) in payload.headers { try trailers.add(name: name.utf8, value: value.utf8) }
            } catch {
                self.site.metrics.http2Refused(error.rawValue)
                return self.resetProvoked(id)
            }
            stream.receivedEnd(trailers.section)
            return self.markForReading(stream)
        }
        guard self.takesAnother() else { return self.refuse(id, .refusedStream, "unread-answers") }
        let admission = self.lifecycle.opened(id, kept: self.places.taken(now: .now()))
        if admission == .refuse { return self.refuse(id, .refusedStream, "too-many-streams") }
        self.place?.works()
        self.budget.opened()
        let stream = HTTP2Stream(
            id, number: self.lifecycle.requests, on: self, limits: self.limits, requestEnded: payload.endStream)
        self.streams[id] = stream
        self.begin(stream, payload)
        guard !self.isClosing else { return }
        if admission == .serveLast { self.take(self.lifecycle.leave(now: .now())) }
    }

    /// One read may bring hundreds of requests that are answered at once. What they get is sent in between, and when the
    /// client does not take it the rest is refused: it may ask again (RFC 9113 §8.7).
    private func takesAnother() -> Bool {
        self.begunInRead += 1
        guard self.begunInRead > Self.requestsBetweenFlushes else { return true }
        if self.begunInRead.isMultiple(of: Self.requestsBetweenFlushes) { self.context?.flush() }
        return self.isWritable
    }

    private static let requestsBetweenFlushes = 32

    /// Begins what reads brought, but for requests that were also taken back. Many may be answered at once: other connections
    /// have their turn in between, and the rest waits for a client that takes what it gets.
    private func startRequests() {
        var started = 0
        while !self.startsLater, let stream = self.starting.first {
            guard started < Self.requestsPerTurn else {
                self.startLater()
                break
            }
            self.starting.removeFirst()
            guard self.streams[stream.id] === stream else { continue }
            started += 1
            stream.start(on: self.client)
        }
        // Their time runs.
        for stream in self.starting where self.streams[stream.id] === stream { stream.lookAfter() }
    }

    private func startLater() {
        guard !self.startsLater else { return }
        self.startsLater = true
        self.turns.later { [weak self] in
            guard let self else { return }
            self.startsLater = false
            // Otherwise they begin as soon as it is.
            guard self.isWritable else { return }
            // As for a read: one flush for all of them.
            self.isReading = true
            self.startRequests()
            self.isReading = false
            self.lookAfterMarked()
            self.flushIfDue()
        }
    }

    private static let requestsPerTurn = 16

    private func begin(_ stream: HTTP2Stream, _ payload: HTTP2Frame.FramePayload.Headers) {
        let block = payload.headers
        guard block.count <= self.limits.maximumFields else {
            return self.answer(LocalResponse.headTooLarge, to: block, on: stream)
        }
        switch self.judge(block, endsStream: payload.endStream) {
        case .judged(.accept(let request)):
            stream.prepare(request, site: self.site)
            self.starting.append(stream)
        case .judged(.answerOptions):
            self.answer(.options, to: block, on: stream)
        case .judged(.refuse(let refusal)):
            self.answer(LocalResponse(refusal), to: block, on: stream)
        case .malformed(let malformation):
            self.log.record(
                Self.line(block), LocalResponse(400, reason: malformation.rawValue, text: ""), number: stream.number)
            self.resetProvoked(stream.id)
        }
    }

    private func judge(_ block: HPACKHeaders, endsStream: Bool) -> HTTP2Verdict {
        var request = HTTP2RequestBlock()
        do throws(HTTP2Malformation) {
            for (name, value, _) in block { try request.add(name: name.utf8, value: value.utf8) }
        } catch {
            return .malformed(error)
        }
        return self.rules.judge(request, endsStream: endsStream)
    }

    /// For a malformed message. The client may do that again and again, and each reset frees a stream of those that it may
    /// have under way: they are counted.
    private func resetProvoked(_ id: HTTP2StreamID) {
        guard self.provokedResets.provoked(now: .now()) else { return self.fail("stream-error-flood") }
        self.write(.rstStream(.protocolError), on: id)
        self.setNeedsFlush()
    }

    private func answer(_ local: LocalResponse, to block: HPACKHeaders, on stream: HTTP2Stream) {
        self.log.record(Self.line(block), local, number: stream.number)
        stream.write(local, isHead: block.first(name: ":method") == "HEAD")
    }

    private static func line(_ block: HPACKHeaders) -> RequestLine {
        RequestLine(
            .http2, method: block.first(name: ":method") ?? "-", target: block.first(name: ":path") ?? "-")
    }

    private func refuse(_ id: HTTP2StreamID, _ code: HTTP2ErrorCode, _ reason: String) {
        self.site.metrics.http2Refused(reason)
        self.write(.rstStream(code), on: id)
        self.setNeedsFlush()
    }

    private func received(_ payload: HTTP2Frame.FramePayload.Data, on id: HTTP2StreamID) {
        guard case .byteBuffer(let bytes) = payload.data, let stream = self.streams[id] else { return }
        if bytes.readableBytes > 0, stream.takesRequest { self.budget.dataTaken() }
        self.window.received(bytes.readableBytes)
        stream.received(bytes, endsStream: payload.endStream)
        self.markForReading(stream)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as NIOHTTP2WindowUpdatedEvent:
            guard let size = event.inboundWindowSize else { return }
            if event.streamID == .rootStream {
                self.window.changed(to: size)
                self.grantWindow()
            } else {
                self.streams[event.streamID]?.windowChanged(to: size)
            }
        case let event as StreamClosedEvent:
            self.closed(event.streamID, outcome: self.hasFailed ? "connection-failed" : "stream-reset")
        case is NIOHTTP2StreamCreatedEvent, is NIOHTTP2BulkStreamWindowChangeEvent:
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
        if self.streams.isEmpty { self.place?.rests(since: now) }
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

    private func markForReading(_ stream: HTTP2Stream) {
        guard !stream.isMarkedForReading else { return }
        stream.isMarkedForReading = true
        self.markedForReading.append(stream)
    }

    // MARK: Back-pressure

    var isWritable: Bool { self.context?.channel.isWritable ?? false }

    var allocator: ByteBufferAllocator { self.context?.channel.allocator ?? ByteBufferAllocator() }

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

    private func lookAfterMarked() {
        while let stream = self.marked.popLast() {
            stream.isMarked = false
            stream.lookAfter()
        }
    }

    // MARK: Writing

    func write(_ payload: HTTP2Frame.FramePayload, on id: HTTP2StreamID) {
        self.context?.write(self.wrapOutboundOut(HTTP2Frame(streamID: id, payload: payload)), promise: nil)
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

    private func flushIfDue() {
        guard self.flushIsDue else { return }
        self.flushIsDue = false
        self.context?.flush()
        if self.streams.isEmpty { self.coalescer.releaseBuffer() }
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

    // MARK: Time

    /// The timer is one for all streams; it is only ever moved nearer, and looks at all of them when its time comes.
    func wake(at deadline: NIODeadline) {
        guard deadline < self.nextWakeUp else { return }
        self.nextWakeUp = deadline
        self.timer?.move(to: deadline)
    }

    private func timedOut() {
        guard let context else { return }
        if self.isClosing { return AbruptClose.closeSocket(context) }
        self.nextWakeUp = .distantFuture
        let now = NIODeadline.now()
        for stream in self.streams.values where stream.deadline <= now { stream.timedOut(now) }
        self.take(self.lifecycle.timedOut(now: now))
        guard !self.isClosing else { return }
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
