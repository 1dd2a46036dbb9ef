import Admission
import CacheStorage
import HTTP2Wire
import HTTPCaching
import HTTPFields
import HTTPForwarding
import NIOCore

/// One request of an HTTP/2 connection and its response, for a ``ProxyExchange``.
///
/// The peer's violations: ``HTTP2Connection`` and its machine see them, and reset the stream. Silently dropped: what the client
/// sends after the response is complete. Our bug: parts out of order, which exchanges don't send; dropped as well.
final class HTTP2Stream: ClientStream, NumberedStream {
    enum State {
        /// It is not known whether the request has a body; nothing of it has come.
        case awaitingBody(FieldBlock)
        /// The request is one, and waits for its turn since then.
        case judged(CheckedRequest, NIODeadline)
        case exchanging(ProxyExchange)
        /// The response's end is given to the machine. It may still wait for the client's window.
        case ending
        case over
    }

    /// What of the request's body waits until the origin takes it.
    enum Held {
        case body(ByteBuffer)
        case end(FieldSection?)
    }

    let id: HTTP2StreamID
    /// On its connection, from 1.
    let number: Int
    let connection: HTTP2Connection
    let limits: ProxyLimits
    var state = State.over
    var requestEnded: Bool
    /// Bytes of the body that are to come, if the request says how many.
    var missing: Int64?
    /// Memory of the request's fields and trailers.
    private var heldBytes = 0
    /// Takes no memory before something waits.
    var held: CircularBuffer<Held>?
    /// The response's head, while it is not known whether anything follows it.
    private var pendingHead: ByteBuffer?
    /// The last part of the body, while it is not known whether anything follows it.
    private var pendingBody: ByteBuffer?
    /// Bytes of the response that wait for the client's window.
    private var buffered = 0
    var isPaused = false
    /// The exchange has begun: not before the read that brought it has ended.
    var hasStarted = false
    /// How fast the client takes the response.
    var reading: TransferPace
    var acknowledged: UInt64 = 0
    private var resetWhenWritten = false
    var wait = ProxyWait.origin
    /// When ``timedOut()`` is due.
    var deadline = NIODeadline.distantFuture
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
    func judge(hasBody: Bool) {
        guard case .awaitingBody(let section) = self.state else { return }
        self.state = .over
        self.deadline = .distantFuture
        self.connection.judge(section, endsStream: !hasBody, on: self)
    }

    /// The request is one. What follows in the same read may take it back: until ``start(on:)`` it costs next to nothing.
    func prepare(_ request: CheckedRequest) {
        self.state = .judged(request, .now())
        self.missing = request.framing.length
        if self.requestEnded, request.hasContent { self.hold(.end(nil)) }
    }

    func start(on client: OriginClient) {
        guard case .judged(let request, let begun) = self.state else { return }
        self.hasStarted = true
        let site = self.connection.site
        switch site.ask(for: request, room: self.room, by: client) {
        case .answer(let answer):
            self.send(answer, begun: begun)
        case .look(let look):
            let exchange = ProxyExchange(request, stream: self, site: site, now: begun)
            self.state = .exchanging(exchange)
            exchange.begin(on: client, look)
            self.takeHeld()
            self.rearm()
        }
    }

    /// Nothing was made for the origin.
    private func send(_ answer: borrowing StoredAnswer, begun: NIODeadline) {
        let count = answer.bytes
        self.end()
        self.connection.writeHeaders(on: self, endsStream: count == 0) { HTTP2ResponseFields.write(answer, to: &$0) }
        if count > 0 {
            switch answer.body {
            case .packed(let bytes): self.connection.writeWholeData(bytes, on: self)
            case .chunks(let chunks):
                for (index, bytes) in chunks.enumerated() {
                    self.connection.writeData(bytes, on: self, endsStream: index == chunks.count - 1)
                }
            }
        }
        let now = NIODeadline.now()
        self.connection.log.record(
            answer.request, status: answer.status, bytes: count, cache: answer.outcome,
            duration: now - begun, number: self.number, outcome: "complete")
        self.hasEnded(now)
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
        var block = self.connection.takeBlockMemory()
        HTTP2ResponseFields.write(head, to: &block)
        if head.isInformational {
            self.connection.writeHeaders(block, on: self, endsStream: false)
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
        if self.pendingHead != nil { self.writePendingHead(endsStream: false) }
        if let body = self.pendingBody {
            self.pendingBody = nil
            self.connection.writeData(body, on: self, endsStream: false)
        }
    }

    /// Handed on, and not kept: where nothing else holds a block, its memory is the next one's.
    private func writePendingHead(endsStream: Bool) {
        guard let block = self.pendingHead else { return }
        self.pendingHead = nil
        self.connection.writeHeaders(block, on: self, endsStream: endsStream)
    }

    /// Bytes of the response are the machine's to write.
    func waits(_ count: Int) {
        self.buffered += count
        self.connection.buffered(count)
    }

    /// Ends the response. What ends it says so itself, where possible.
    private func end(_ trailers: FieldSection?) {
        self.end()
        if let trailers {
            self.writePending()
            var block = self.connection.takeBlockMemory()
            HTTP2ResponseFields.write(trailers: trailers, to: &block)
            self.connection.writeTrailers(block, on: self)
        } else if let body = self.pendingBody {
            self.pendingBody = nil
            self.writePending()
            self.connection.writeData(body, on: self, endsStream: true)
        } else if self.pendingHead != nil {
            self.writePendingHead(endsStream: true)
        } else {
            self.connection.writeData(ByteBuffer(), on: self, endsStream: true)
        }
        self.hasEnded(.now())
    }

    /// What is written from here on ends the response.
    private func end() {
        self.state = .ending
        // RFC 9113 §8.1: the rest of the request is not wanted, and nothing is wrong with the response.
        self.resetWhenWritten = !self.requestEnded
    }

    private func hasEnded(_ now: NIODeadline) {
        self.connection.setNeedsFlush()
        self.takeHeld()
        self.rearm(now)
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
        self.write(local, isHead: exchange.request.method == .head, to: exchange.request)
    }

    /// Answers a request that has no exchange.
    func write(_ local: LocalResponse, isHead: Bool, to request: CheckedRequest? = nil) {
        self.send(
            local.head(closing: false, for: .http2, to: request, self.connection.site.responseFields))
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

    func reset(_ code: HTTP2ErrorCode) {
        self.state = .over
        self.connection.reset(self, code)
    }

    /// Nothing of the response waits for the client's window.
    var isAllWritten: Bool { self.buffered == 0 }

    /// Bytes of the response are in a frame.
    func wrote(_ count: Int, endsStream: Bool) {
        self.buffered -= count
        self.connection.buffered(-count)
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
        case .judged:
            self.rearm()
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
        switch state {
        case .exchanging(let exchange):
            let remainder = exchange.leave { [weak connection] in connection?.workEnded() }
            self.connection.left(remainder)
            self.connection.log.record(exchange, number: self.number, outcome: outcome)
        case .judged(let request, let begun):
            self.record(request, begun, outcome)
        case .awaitingBody, .ending, .over:
            break
        }
    }

    /// A request that was not answered, and had no exchange.
    func record(_ request: CheckedRequest, _ begun: NIODeadline, _ outcome: String) {
        self.connection.log.record(
            request, status: 0, bytes: 0, cache: nil, duration: .now() - begun, number: self.number, outcome: outcome)
    }
}
