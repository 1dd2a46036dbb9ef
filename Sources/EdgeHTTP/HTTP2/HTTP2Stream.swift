import Admission
import HTTP2Wire
import HTTPFields
import HTTPForwarding
import NIOCore
import NIOHTTP2

/// One request of an HTTP/2 connection and its response, for a ``ProxyExchange``.
///
/// The peer's violations: the library and ``HTTP2Connection`` see them, and reset the stream. Silently dropped: what the client
/// sends after the response is complete. Our bug: parts out of order, which exchanges don't send; dropped as well.
final class HTTP2Stream: ClientStream {
    private enum State {
        /// It is not known whether the request has a body; nothing of it has come.
        case awaitingBody(FieldBlock)
        case exchanging(ProxyExchange)
        /// The response's end is given to the library. It may still wait for the client's window.
        case ending
        case over
    }

    /// What of the request's body waits until the origin takes it.
    private enum Held {
        case body(ByteBuffer)
        case end(FieldSection?)
    }

    let id: HTTP2StreamID
    /// On its connection, from 1.
    let number: Int
    private let connection: HTTP2Connection
    private let limits: ProxyLimits
    private var state = State.over
    private(set) var requestEnded: Bool
    /// Bytes of the body that are to come, if the request says how many.
    private var missing: Int64?
    /// Memory of the request's fields and trailers.
    private var heldBytes = 0
    /// Takes no memory before something waits.
    private var held: CircularBuffer<Held>?
    private var window: ReceiveWindow
    /// The response's head, while it is not known whether anything follows it.
    private var pendingHead: ByteBuffer?
    /// The block of the next HEADERS frame.
    private var block: ByteBuffer?
    /// The last part of the body, while it is not known whether anything follows it.
    private var pendingBody: ByteBuffer?
    /// Bytes of the response that the library holds back.
    private var buffered = 0
    private var isPaused = false
    /// The exchange has begun: not before the read that brought it has ended.
    private var hasStarted = false
    /// How fast the client takes the response.
    private var reading: TransferPace
    private var acknowledged: UInt64 = 0
    private var resetWhenWritten = false
    private var wait = ProxyWait.origin
    /// When ``timedOut()`` is due.
    private(set) var deadline = NIODeadline.distantFuture
    /// Whether the connection has it on a list of streams to look after.
    var isMarked = false
    var isMarkedForReading = false

    init(
        _ id: HTTP2StreamID, number: Int, on connection: HTTP2Connection, limits: ProxyLimits, requestEnded: Bool
    ) {
        self.id = id
        self.number = number
        self.connection = connection
        self.limits = limits
        self.requestEnded = requestEnded
        self.window = ReceiveWindow(target: limits.http2.streamWindow)
        self.reading = TransferPace(limits.reading)
    }

    // MARK: Request

    /// Counts the memory of a section among what the connection's requests hold, until the stream is gone.
    ///
    /// - Returns: whether there is room for it.
    func holds(_ bytes: Int) -> Bool {
        guard self.connection.sections.hasRoom(for: bytes) else { return false }
        self.connection.sections.took(bytes)
        self.heldBytes += bytes
        return true
    }

    /// Whether the section alone tells if there is a body. Clients may end a GET with an empty DATA frame, and that is a request
    /// without one: it can be answered from the cache, and does not go to the origin in chunks.
    func knowsBody(_ section: FieldBlock) -> Bool {
        guard !self.requestEnded, !section.fields.contains(.contentLength), !section.fields.contains(.expect),
            let method = section.method
        else { return true }
        return !section.fields.equals(method, "get") && !section.fields.equals(method, "head")
    }

    func awaitBody(_ section: FieldBlock) {
        self.state = .awaitingBody(section)
        self.deadline = .now() + min(self.limits.bodyTimeout, self.limits.http2.endTimeout)
        self.connection.wake(at: self.deadline)
    }

    /// The first that comes behind the section.
    private func judge(hasBody: Bool) {
        guard case .awaitingBody(let section) = self.state else { return }
        self.state = .over
        self.deadline = .distantFuture
        self.connection.judge(section, endsStream: !hasBody, on: self)
    }

    /// The request is one. What follows in the same read may take it back: until ``start(on:)`` it costs next to nothing.
    func prepare(_ request: CheckedRequest, site: ProxySite) {
        self.state = .exchanging(ProxyExchange(request, stream: self, site: site, now: .now()))
        self.missing = request.framing.length
        if self.requestEnded, request.hasContent { self.hold(.end(nil)) }
    }

    func start(on client: OriginClient) {
        guard case .exchanging(let exchange) = self.state else { return }
        self.hasStarted = true
        // Before it begins: an answer may come at once.
        if !exchange.request.hasContent { exchange.clientEnd(nil) }
        exchange.begin(on: client)
        self.takeHeld()
        self.rearm()
    }

    /// Whether bytes of the request's body are of any use.
    var takesRequest: Bool {
        switch self.state {
        case .awaitingBody, .exchanging: true
        case .ending, .over: false
        }
    }

    func received(_ bytes: ByteBuffer, endsStream: Bool) {
        self.window.received(bytes.readableBytes)
        if bytes.readableBytes > 0 {
            self.judge(hasBody: true)
            if let missing {
                self.missing = missing - Int64(bytes.readableBytes)
                if missing < bytes.readableBytes {
                    self.taken(bytes.readableBytes)
                    return self.connection.lengthDiffers(self.id)
                }
            }
            self.receive(.body(bytes))
        }
        if endsStream { self.end(of: nil) }
    }

    func receivedEnd(_ trailers: FieldSection) { self.end(of: trailers) }

    private func end(of trailers: FieldSection?) {
        self.requestEnded = true
        if case .awaitingBody = self.state { return self.judge(hasBody: false) }
        if let missing, missing > 0, self.takesRequest { return self.connection.lengthDiffers(self.id) }
        self.receive(.end(trailers))
    }

    private func receive(_ part: Held) {
        let waits = self.takesRequest && !self.hasStarted
        if self.held?.isEmpty ?? true, !waits { self.take(part) } else { self.hold(part) }
    }

    private func hold(_ part: Held) {
        if self.held == nil { self.held = CircularBuffer(initialCapacity: 4) }
        self.held?.append(part)
    }

    private func take(_ part: Held) {
        switch (self.state, part) {
        case (.exchanging(let exchange), .body(let bytes)):
            guard exchange.takesBody else { return self.hold(part) }
            exchange.clientBody(bytes)
            self.taken(bytes.readableBytes)
        case (.exchanging(let exchange), .end(let trailers)):
            // A request without content is complete when it starts.
            if !exchange.isRequestComplete { exchange.clientEnd(trailers) }
        case (_, .body(let bytes)):
            self.taken(bytes.readableBytes)
        case (_, .end):
            break
        }
    }

    private func taken(_ count: Int) {
        self.window.taken(count)
        self.connection.taken(count)
    }

    private func takeHeld() {
        while let part = self.held?.first {
            if case (.exchanging(let exchange), .body) = (self.state, part), !exchange.takesBody { break }
            self.held?.removeFirst()
            self.take(part)
        }
        self.grantWindow()
    }

    /// The library has counted what was received.
    func windowChanged(to open: Int) {
        self.window.changed(to: open)
        self.grantWindow()
    }

    private func grantWindow() {
        guard !self.requestEnded, case .exchanging = self.state, let increment = self.window.grant() else { return }
        self.connection.write(.windowUpdate(windowSizeIncrement: increment), on: self.id)
        self.connection.setNeedsFlush()
    }

    /// No more from the client for now.
    func readComplete() {
        guard case .exchanging(let exchange) = self.state, !exchange.isRequestComplete else { return }
        exchange.clientReadComplete()
        self.rearm()
    }

    // MARK: ClientStream

    var isWritable: Bool { self.room > 0 }

    var room: Int {
        guard self.connection.isWritable else { return 0 }
        let waiting = self.buffered + (self.pendingBody?.readableBytes ?? 0)
        return max(0, self.connection.responseAllowance - waiting)
    }

    var network: ClientNetwork? { self.connection.network }

    var isLastRequest: Bool { false }

    var minimumRate: Int { self.connection.minimumRate }

    func send(_ head: OutgoingHead) {
        let block = HTTP2ResponseFields.block(head, in: self.connection.frames.takeBlockMemory())
        if head.isInformational {
            self.writeHeaders(.informational, block, endsStream: false)
        } else {
            self.pendingHead = block
        }
    }

    func send(_ bytes: ByteBuffer) {
        guard bytes.readableBytes > 0 else { return }
        self.writePending()
        self.pendingBody = bytes
    }

    func flush() {
        self.writePending()
        self.connection.setNeedsFlush()
    }

    private func writePending() {
        if let head = self.pendingHead {
            self.pendingHead = nil
            self.writeHeaders(.final, head, endsStream: false)
        }
        if let body = self.pendingBody {
            self.pendingBody = nil
            self.writeData(body, endsStream: false)
        }
    }

    private func writeHeaders(_ kind: HTTP2Connection.HeadersKind, _ block: ByteBuffer, endsStream: Bool) {
        self.block = block
        self.connection.writeHeaders(kind, endStream: endsStream, on: self.id)
    }

    /// The library writes the HEADERS frame. Trailers may have had to wait for what is before them.
    func takeBlock() -> ByteBuffer? {
        defer { self.block = nil }
        return self.block
    }

    private func writeData(_ bytes: ByteBuffer, endsStream: Bool) {
        self.buffered += bytes.readableBytes
        self.connection.buffered(bytes.readableBytes)
        self.connection.write(.data(.init(data: .byteBuffer(bytes), endStream: endsStream)), on: self.id)
    }

    /// Ends the response. What ends it says so itself, where possible.
    private func end(_ trailers: FieldSection?) {
        self.state = .ending
        // RFC 9113 §8.1: the rest of the request is not wanted, and nothing is wrong with the response.
        self.resetWhenWritten = !self.requestEnded
        if let trailers {
            self.writePending()
            self.writeHeaders(
                .trailers, HTTP2ResponseFields.block(trailers: trailers, in: self.connection.frames.takeBlockMemory()),
                endsStream: true)
        } else if let body = self.pendingBody {
            self.pendingBody = nil
            self.writePending()
            self.writeData(body, endsStream: true)
        } else if let head = self.pendingHead {
            self.pendingHead = nil
            self.writeHeaders(.final, head, endsStream: true)
        } else {
            self.writeData(ByteBuffer(), endsStream: true)
        }
        self.connection.setNeedsFlush()
        self.takeHeld()
        self.rearm()
    }

    func exchangeMoved() {
        if let held, !held.isEmpty {
            self.takeHeld()
            if case .exchanging(let exchange) = self.state { exchange.clientReadComplete() }
        }
        self.rearm()
    }

    func exchangeEnded(_ exchange: ProxyExchange, trailers: FieldSection?, persists: Bool) {
        self.connection.log.record(exchange, number: self.number, outcome: "complete")
        self.end(trailers)
    }

    func answer(_ local: LocalResponse, instead exchange: ProxyExchange) {
        self.connection.log.record(exchange, number: self.number, outcome: local.reason)
        self.write(local, isHead: exchange.request.method == .head)
    }

    /// Answers a request that has no exchange.
    func write(_ local: LocalResponse, isHead: Bool) {
        self.send(local.head(closing: false, for: .http2))
        if !isHead, let body = local.body { self.send(body) }
        self.end(nil)
    }

    func abort(_ exchange: ProxyExchange, outcome: String) {
        self.connection.log.record(exchange, number: self.number, outcome: outcome)
        self.reset(outcome == "origin-failed" ? .internalError : .cancel)
    }

    func becomeTunnel(_ exchange: ProxyExchange, to origin: DetachedOrigin) {
        // Requests over HTTP/2 never ask for it, and answers that they did not ask for are refused.
        origin.channel.close(promise: nil)
        self.abort(exchange, outcome: "origin-failed")
    }

    func logOriginFailure(_ failure: OriginFailure, afterHead: Bool) {
        self.connection.logOriginFailure(failure, afterHead: afterHead)
    }

    // MARK: Ends

    private func reset(_ code: HTTP2ErrorCode) {
        self.state = .over
        self.connection.write(.rstStream(code), on: self.id)
        self.connection.setNeedsFlush()
    }

    /// The library refuses what it was given, and has not told the client.
    func failed() {
        switch self.state {
        case .exchanging(let exchange):
            exchange.cancel()
            self.abort(exchange, outcome: "origin-failed")
        case .ending, .awaitingBody: self.reset(.internalError)
        case .over: break
        }
    }

    /// Nothing of the response waits for the client's window.
    var isAllWritten: Bool { self.buffered == 0 }

    /// The library has put bytes of the response on their way.
    func wrote(_ count: Int, endsStream: Bool) {
        self.buffered -= count
        if count > 0, !endsStream { self.reading.moved(count, now: .now()) }
        if endsStream {
            if self.resetWhenWritten { self.connection.mark(self) }
        } else if self.isPaused, self.buffered < self.connection.responseAllowance / 2 {
            self.connection.mark(self)
        } else if case .ending = self.state {
            // The client reads on.
            self.rearm()
        }
    }

    /// Whether the client takes more may have changed.
    func lookAfter() {
        switch self.state {
        case .exchanging(let exchange):
            let isWritable = self.isWritable
            if isWritable { self.isPaused = false }
            exchange.clientWritabilityChanged(isWritable)
            self.rearm()
        case .ending:
            guard self.resetWhenWritten, self.buffered == 0 else { return }
            self.resetWhenWritten = false
            self.reset(.noError)
        case .over, .awaitingBody:
            break
        }
    }

    /// The stream is gone, by whatever end.
    func closed(_ outcome: String) {
        let state = self.state
        self.state = .over
        self.deadline = .distantFuture
        self.connection.buffered(-self.buffered)
        self.buffered = 0
        self.connection.sections.gave(back: self.heldBytes)
        self.heldBytes = 0
        if let held { for case .body(let bytes) in held { self.taken(bytes.readableBytes) } }
        self.held = nil
        if case .exchanging(let exchange) = state {
            let remainder = exchange.leave { [weak connection] in connection?.workEnded() }
            self.connection.left(remainder)
            self.connection.log.record(exchange, number: self.number, outcome: outcome)
        }
    }

    // MARK: Time

    private func rearm(_ now: NIODeadline = .now()) {
        // However it comes to light: nothing else would have the origin go on.
        if case .exchanging(let exchange) = self.state, self.isPaused, self.isWritable {
            self.isPaused = false
            exchange.clientWritabilityChanged(true)
        }
        switch self.state {
        case .exchanging(let exchange):
            let isWritable = self.isWritable
            self.isPaused = !isWritable
            if isWritable || exchange.response == nil {
                self.reading.rests(now: now)
                (self.wait, self.deadline) = exchange.wait(now: now)
            } else {
                exchange.rests(now: now)
                self.awaitReading(now)
            }
        case .ending:
            self.awaitReading(now)
        case .awaitingBody:
            break
        case .over:
            self.deadline = .distantFuture
        }
        self.connection.wake(at: self.deadline)
    }

    private func awaitReading(_ now: NIODeadline) {
        self.reading.waits(now: now)
        (self.wait, self.deadline) = (.clientReads, self.reading.deadline(rate: self.minimumRate))
    }

    /// Where all streams wait in the socket, each has its share of what the client acknowledges.
    private func lookAtSocket(_ now: NIODeadline) {
        guard let bytes = self.connection.acknowledgedBytes, bytes > self.acknowledged else { return }
        self.reading.moved(Int(clamping: bytes - self.acknowledged) / self.connection.sharers, now: now)
        self.acknowledged = bytes
    }

    func timedOut(_ now: NIODeadline) {
        switch self.state {
        case .over: return
        case .awaitingBody(let section):
            self.state = .over
            return self.connection.bodyIsLate(section, on: self)
        case .exchanging, .ending: break
        }
        if case .clientReads = self.wait { self.lookAtSocket(now) }
        switch (self.wait, self.state) {
        case (.clientReads, _) where self.reading.look(now: now, rate: self.minimumRate) == .goesOn:
            break
        case (.clientReads, .exchanging(let exchange)):
            self.connection.clientTooSlow()
            exchange.cancel()
            self.abort(exchange, outcome: "client-too-slow")
        case (.clientReads, _):
            self.connection.clientTooSlow()
            self.reset(.cancel)
        case (_, .exchanging(let exchange)):
            exchange.timedOut(self.wait, now: now)
        default:
            self.reset(.cancel)
        }
        self.rearm(now)
    }
}
