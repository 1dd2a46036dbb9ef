import Admission
import Channels
import EdgeModel
import HTTPCaching
import HTTPFields
import HTTPForwarding
import HTTPWire
import Logging
import NIOCore

/// The client's side of an HTTP/1.1 connection: takes requests one after the other, however many arrive at once, and
/// answers them in that order. Requests that wait for their turn wait as bytes, in a `RequestReader`.
///
/// The peer's violations: what the reader refuses (answered, then closed), requests that the rules refuse. Silently dropped: whatever
/// follows an answer after which the connection closes.
final class HTTP1Connection: ChannelDuplexHandler, RemovableChannelHandler, ClientStream, QueueWriting, TimerOwner {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    enum Turn {
        /// No request is under way.
        case waiting
        case exchanging(ProxyExchange)
        /// The last answer is written, or being written; input is dropped.
        case closing
        case closed
    }

    let connection: ProxyContext
    let site: ProxySite
    private let rules: RequestRules
    let client: OriginClient
    private let turns: LoopTurns
    let log: AccessLog
    var context: ChannelHandlerContext?
    private(set) var records: (any PlaintextWriter)?
    var turn = Turn.waiting
    var reader: RequestReader
    var queue: WriteQueue
    var drain = WriteDrain()
    var lastWrite: EventLoopPromise<Void>?
    /// As the channel last said: asked for with each request, and the channel is two references away.
    private(set) var isWritable = false
    private var readHeld = false
    /// Events are being taken from the reader.
    private var isTaking = false
    /// A request may have come that has to wait: others have their turn, or the client takes no more.
    private var isStalled = false
    /// The client will send nothing more.
    var inputEnded = false
    /// How many more bytes are read and dropped, behind the last answer.
    var toDrop = 0
    /// How the client sees the end of the response under way.
    private var framing = BodyFraming.none
    /// Requests begun since the event loop last looked after others.
    private var begunInTurn = 0
    /// It goes on with what it holds when the others have had their turn.
    private var goesOnLater = false
    private(set) var requests = 0
    /// The edge is to stop: no request after the one under way.
    var isDraining = false
    var timer: ProxyTimer?
    var wait = ProxyWait.request
    var reading: ReadingProgress

    /// Requests that are begun before other connections have their turn.
    private static let requestsPerTurn = 16

    /// - Parameter records: right below it; nil: a connection without TLS.
    init(
        _ connection: ProxyContext, client: OriginClient, turns: LoopTurns, records: (any PlaintextWriter)? = nil
    ) {
        self.connection = connection
        self.records = records
        self.site = connection.site
        self.client = client
        self.turns = turns
        self.queue = WriteQueue(spare: turns.written)
        self.reader = RequestReader(limits: connection.site.limits.wireLimits)
        self.reading = ReadingProgress(connection.site.limits.reading)
        self.rules = connection.site.rules(for: connection)
        self.log = AccessLog(connection)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.isWritable = context.channel.isWritable
        let timer = self.client.takeTimer()
        timer.start(self)
        self.timer = timer
        timer.move(to: .now() + self.site.limits.firstRequestTimeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.giveTimerBack()
        self.context = nil
        self.records = nil
        self.isWritable = false
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        switch self.turn {
        case .closing, .closed:
            self.toDrop -= bytes.readableBytes
        case .waiting, .exchanging:
            self.reader.receive(bytes)
            self.take()
        }
    }

    /// Takes from the reader what can be used now: a head where no request is under way, content as fast as the origin takes it.
    func take() {
        // Answers that come at once call for the next request from within this loop.
        guard !self.isTaking else { return }
        self.isTaking = true
        while self.takeNext() {}
        self.isTaking = false
    }

    /// Returns whether there may be more to take.
    private func takeNext() -> Bool {
        do throws(WireError) {
            switch self.turn {
            case .waiting:
                return try self.takeHead()
            case .exchanging(let exchange):
                guard !exchange.isRequestComplete, exchange.takesBody else { return false }
                return try self.takeContent(of: exchange)
            case .closing, .closed:
                return false
            }
        } catch {
            self.inputFailed(LocalResponse(error))
            return false
        }
    }

    private func takeHead() throws(WireError) -> Bool {
        // Answers that come at once would pile up for a client that asks and does not read.
        self.isStalled =
            self.reader.bufferedBytes > 0 && (!self.isWritable || self.begunInTurn >= Self.requestsPerTurn)
        if self.isStalled {
            self.goOnLater()
            return false
        }
        guard self.reader.bufferedBytes > 0, let head = try self.reader.nextHead() else {
            if self.inputEnded { self.ranOut() }
            return false
        }
        self.begin(head)
        return true
    }

    private func takeContent(of exchange: ProxyExchange) throws(WireError) -> Bool {
        guard let event = try self.reader.next() else {
            if self.inputEnded { self.ranOut() }
            return false
        }
        switch event {
        case .head:
            // None is due within a request.
            return false
        case .body(let bytes):
            exchange.clientBody(bytes)
        case .end(let trailers):
            exchange.clientEnd(trailers)
            self.rearm()
        }
        return true
    }

    private func begin(_ head: RequestHead) {
        self.requests += 1
        self.begunInTurn += 1
        switch self.rules.judge(head) {
        case .accept(let request):
            // Before the answer, which may come at once: a request without content ends with its head.
            if !request.hasContent { self.reader.endWithoutContent() }
            self.begin(request)
        case .answerOptions(let persists):
            self.answer(.options, to: head, persists: persists)
        case .refuse(let refusal):
            let persists = head.fields.connectionOptions.persists(minorVersion: head.minorVersion)
            self.answer(LocalResponse(refusal), to: head, persists: persists && !refusal.spoilsConnection)
        }
    }

    /// Asks the store first. Nothing is made for the origin where it can answer at once.
    private func begin(_ request: CheckedRequest) {
        let now = NIODeadline.now()
        let room = self.isWritable ? CachedBody.inOneGo : 0
        switch self.site.ask(for: request, room: room, by: self.client) {
        case .answer(let answer):
            self.send(answer, begun: now)
        case .look(let look):
            let exchange = ProxyExchange(request, stream: self, site: self.site, now: now)
            self.turn = .exchanging(exchange)
            self.connection.place?.works()
            exchange.begin(on: self.client, look)
            self.rearm(now)
        }
    }

    private func send(_ answer: borrowing StoredAnswer, begun: NIODeadline) {
        let persists = answer.write(to: &self.queue, closing: self.isLastRequest)
        let now = NIODeadline.now()
        self.log.record(
            answer.request, status: answer.status, bytes: answer.bytes, cache: answer.outcome, duration: now - begun,
            number: self.requests, outcome: "complete")
        self.end(persists: persists, isRequestComplete: true, now)
    }

    private func rest(_ now: NIODeadline) {
        self.connection.place?.rests(since: now)
        self.rearm(now)
        self.take()
        self.readHeldBack()
    }

    var isLastRequest: Bool {
        self.isDraining || self.requests >= self.site.limits.requestsPerConnection
            || self.inputEnded && self.reader.bufferedBytes == 0
    }

    /// One read may bring a thousand requests that are answered at once: others have their turn in between.
    private func goOnLater() {
        guard self.isWritable, !self.goesOnLater else { return }
        self.goesOnLater = true
        self.turns.later {
            self.goesOnLater = false
            self.begunInTurn = 0
            self.take()
            self.readHeldBack()
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if !self.isStalled { self.begunInTurn = 0 }
        guard case .exchanging(let exchange) = self.turn, !exchange.isRequestComplete else { return }
        exchange.clientReadComplete()
        self.rearm()
    }

    // MARK: Back-pressure

    func read(context: ChannelHandlerContext) {
        if self.wantsInput { context.read() } else { self.readHeld = true }
    }

    /// While a response is awaited, one further read is let through: it tells when the client goes away.
    private var wantsInput: Bool {
        switch self.turn {
        case .exchanging(let exchange) where exchange.isRequestComplete: self.reader.bufferedBytes == 0
        case .exchanging(let exchange): exchange.takesBody
        // No further requests while the answers to those before wait for the client.
        case .waiting: !self.isStalled && self.isWritable
        case .closing: self.toDrop > 0
        case .closed: true
        }
    }

    func readHeldBack() {
        guard self.readHeld, self.wantsInput, let context else { return }
        self.readHeld = false
        context.read()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.isWritable = context.channel.isWritable
        if case .exchanging(let exchange) = self.turn {
            exchange.clientWritabilityChanged(self.isWritable)
            self.rearm()
        }
        guard self.isWritable else { return }
        self.take()
        self.readHeldBack()
    }

    // MARK: ClientStream

    var room: Int { self.isWritable ? CachedBody.step : 0 }

    var network: ClientNetwork? { self.connection.network }

    var minimumRate: Int { self.site.limits.minimumRate }

    func send(_ head: OutgoingHead) {
        if !head.isInformational { self.framing = head.framing }
        self.queue.append(head)
    }

    func send(_ bytes: ByteBuffer) {
        if self.framing == .chunked { self.queue.append(chunk: bytes) } else { self.queue.append(bytes) }
    }

    func flush() {
        self.writeQueued()
    }

    private func sendEnd(_ trailers: FieldSection?) {
        if self.framing == .chunked { self.queue.appendLastChunk(trailers: trailers) }
    }

    /// The origin did something: it takes more, or gave more.
    func exchangeMoved() {
        if case .exchanging(let exchange) = self.turn, !exchange.isRequestComplete {
            self.take()
            exchange.clientReadComplete()
        }
        self.rearm()
        self.readHeldBack()
    }

    func exchangeEnded(_ exchange: ProxyExchange, trailers: FieldSection?, persists: Bool) {
        let now = NIODeadline.now()
        self.log.record(exchange, number: self.requests, outcome: "complete", now: now)
        self.sendEnd(trailers)
        self.end(persists: persists, isRequestComplete: exchange.isRequestComplete, now)
    }

    func answer(_ local: LocalResponse, instead exchange: ProxyExchange) {
        self.log.record(exchange, number: self.requests, outcome: local.reason)
        let request = exchange.request
        let persists = exchange.isRequestComplete && request.clientPersists && !self.isLastRequest
        self.write(local, isHead: request.method == .head, version: request.version, closing: !persists, to: request)
        self.end(persists: persists, isRequestComplete: exchange.isRequestComplete)
    }

    private func end(persists: Bool, isRequestComplete: Bool, _ now: NIODeadline = .now()) {
        guard persists, isRequestComplete, !self.isLastRequest else { return self.close(lingering: !isRequestComplete) }
        // Before the flush, from within which the client may go away: a connection that is closed stays so.
        self.turn = .waiting
        self.flush()
        if case .waiting = self.turn { self.rest(now) }
    }

    /// Answers a request that has no exchange.
    private func answer(_ local: LocalResponse, to head: RequestHead, persists: Bool) {
        self.log.record(RequestLine(head), local, number: self.requests)
        // Content that is not wanted is not worth reading.
        let hasContent = head.framing.length.map { $0 > 0 } ?? true
        let closing = !persists || hasContent || self.isLastRequest
        self.write(
            local, isHead: head.method == .head, version: head.minorVersion == 0 ? .http10 : .http11, closing: closing)
        if closing { return self.close(lingering: hasContent) }
        self.reader.endWithoutContent()
        self.flush()
        self.rearm()
    }

    func write(
        _ local: LocalResponse, isHead: Bool, version: ClientVersion, closing: Bool, to request: CheckedRequest? = nil
    ) {
        self.send(local.head(closing: closing, for: version, to: request, self.site.responseFields))
        if !isHead, let body = local.body { self.send(body) }
    }

    func logOriginFailure(_ failure: OriginFailure, afterHead: Bool) {
        self.log.originFailed(
            failure, afterHead: afterHead, isNews: self.client.isNews(failure.cause, now: .now()))
    }
}
