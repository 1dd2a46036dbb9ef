import Admission
import Channels
import EdgeModel
import HTTPForwarding
import Logging
import NIOCore
import NIOHTTP1
import NIOSSL

/// The client's side of an HTTP/1.1 connection: takes requests one after the other, however many arrive at once, and
/// answers them in that order.
///
/// The peer's violations: what the decoder can't read (answered, then closed), requests that the rules refuse. Silently
/// dropped: whatever follows an answer after which the connection closes. Our bug: a part that doesn't fit the turn, which the
/// decoder never produces; dropped as well.
final class ProxyHandler: ChannelDuplexHandler, RemovableChannelHandler, ClientStream {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = Never
    typealias OutboundOut = HTTPServerResponsePart

    enum Turn {
        /// No request is under way.
        case waiting
        case exchanging(ProxyExchange)
        /// The request is answered already; its end is still to come.
        case skipping
        /// The last answer is written, or being written; input is dropped.
        case closing
        case closed
    }

    /// What waits for its turn.
    private enum Held {
        case part(HTTPServerRequestPart)
        case failure(LocalResponse)
    }

    private let connection: ProxyContext
    let site: ProxySite
    private let rules: RequestForwarding
    private let client: OriginClient
    private let turns: LoopTurns
    private let log: AccessLog
    private let input: ClientInput
    var context: ChannelHandlerContext?
    var turn = Turn.waiting
    private var held = CircularBuffer<Held>()
    private var readHeld = false
    /// The request was known to have no body, and was taken for complete; its end is still to come.
    private var endIsDue = false
    private var isTakingHeld = false
    /// Requests begun since the event loop last looked after others.
    private var begunInTurn = 0
    /// It goes on with what it holds when the others have had their turn.
    private var goesOnLater = false
    private var requests = 0
    /// The edge is to stop: no request after the one under way.
    private var isDraining = false
    var timer: ProxyTimer?
    var wait = ProxyWait.request
    var reading: ReadingProgress
    /// Reads that have ended since the request was complete.
    private var readsBehindRequest = 0

    /// Requests that are begun before other connections have their turn.
    private static let requestsPerTurn = 16

    init(_ connection: ProxyContext, client: OriginClient, turns: LoopTurns, input: ClientInput) {
        self.connection = connection
        self.site = connection.site
        self.client = client
        self.turns = turns
        self.input = input
        self.reading = ReadingProgress(connection.site.limits.reading)
        self.rules = connection.site.rules(for: connection)
        self.log = AccessLog(connection)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let timer = ProxyTimer(eventLoop: context.eventLoop) { [weak self] in self?.timedOut() }
        self.timer = timer
        timer.move(to: .now() + self.site.limits.firstRequestTimeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.timer = nil
        self.context = nil
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = self.unwrapInboundIn(data)
        if self.endIsDue, self.held.isEmpty, case .end = part {
            self.endIsDue = false
        } else if self.mustHold {
            self.held.append(.part(part))
        } else {
            self.take(part)
        }
    }

    private var mustHold: Bool {
        if !self.held.isEmpty { return true }
        switch self.turn {
        case .exchanging(let exchange): return exchange.isRequestComplete
        // Answers that come at once would pile up for a client that asks and does not read.
        case .waiting: return !self.mayBegin
        case .skipping, .closing, .closed: return false
        }
    }

    private var mayBegin: Bool { self.isWritable && self.begunInTurn < Self.requestsPerTurn }

    private func take(_ part: HTTPServerRequestPart) {
        switch (self.turn, part) {
        case (.waiting, .head(let head)):
            self.begin(head)
        case (.exchanging(let exchange), .body(let bytes)):
            exchange.clientBody(bytes)
        case (.exchanging(let exchange), .end(let trailers)):
            exchange.clientEnd(trailers)
            self.rearm()
        case (.skipping, .end):
            self.rest()
            self.rearm()
        default:
            break
        }
    }

    private func begin(_ head: HTTPRequestHead) {
        self.requests += 1
        self.begunInTurn += 1
        self.readsBehindRequest = 0
        let now = NIODeadline.now()
        switch self.rules.decide(head) {
        case .forward(let request):
            let exchange = ProxyExchange(request, stream: self, site: self.site, now: now)
            self.turn = .exchanging(exchange)
            self.connection.place?.works()
            // Before it begins: an answer may come at once.
            if request.body == .none {
                self.endIsDue = true
                exchange.clientEnd(nil)
            }
            exchange.begin(on: self.client)
            self.rearm(now)
        case .answerOptions(let persists):
            self.answer(.options, to: head, persists: persists)
        case .refuse(let refusal):
            self.answer(LocalResponse(refusal), to: head, persists: head.isKeepAlive && !refusal.spoilsConnection)
        }
    }

    private func rest() {
        self.turn = .waiting
        self.connection.place?.rests(since: .now())
    }

    var isLastRequest: Bool { self.isDraining || self.requests >= self.site.limits.requestsPerConnection }

    /// Goes on with what was read while an earlier request had its turn.
    private func takeHeld() {
        // Answers that come at once call for the next request from within this loop.
        guard !self.isTakingHeld else { return }
        self.isTakingHeld = true
        defer { self.isTakingHeld = false }
        while let first = self.held.first {
            if self.endIsDue, case .part(.end) = first {
                self.endIsDue = false
                self.held.removeFirst()
                continue
            }
            switch self.turn {
            case .exchanging(let exchange) where exchange.isRequestComplete: return
            case .waiting where !self.mayBegin: return self.goOnLater()
            default: break
            }
            switch self.held.removeFirst() {
            case .part(let part): self.take(part)
            case .failure(let failure): self.inputFailed(failure)
            }
        }
        if case .exchanging(let exchange) = self.turn { exchange.clientReadComplete() }
    }

    /// One read may bring a thousand requests that are answered at once: others have their turn in between.
    private func goOnLater() {
        guard self.isWritable, !self.goesOnLater else { return }
        self.goesOnLater = true
        self.turns.later { [weak self] in
            guard let self else { return }
            self.goesOnLater = false
            self.begunInTurn = 0
            self.takeHeld()
            self.readHeldBack()
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if self.held.isEmpty { self.begunInTurn = 0 } else if case .waiting = self.turn { self.goOnLater() }
        guard case .exchanging(let exchange) = self.turn else { return }
        if exchange.isRequestComplete {
            self.readsBehindRequest += 1
        } else {
            exchange.clientReadComplete()
            self.rearm()
        }
    }

    // MARK: Back-pressure

    func read(context: ChannelHandlerContext) {
        if self.wantsInput { context.read() } else { self.readHeld = true }
    }

    /// While a response is awaited, one further read is let through: it tells when the client goes away.
    private var wantsInput: Bool {
        switch self.turn {
        case .exchanging(let exchange) where exchange.isRequestComplete:
            // The decoder keeps to itself what follows a request for an upgrade. The first of the two is the request's own.
            self.held.isEmpty && (!exchange.request.stopsDecoder || self.readsBehindRequest < 2)
        case .exchanging(let exchange): exchange.takesBody
        // No further requests while the answers to those before wait for the client.
        case .waiting, .skipping: self.held.isEmpty && self.isWritable
        case .closing, .closed: true
        }
    }

    private func readHeldBack() {
        guard self.readHeld, self.wantsInput, let context else { return }
        self.readHeld = false
        context.read()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if case .exchanging(let exchange) = self.turn {
            exchange.clientWritabilityChanged(context.channel.isWritable)
            self.rearm()
        }
        guard context.channel.isWritable else { return }
        if !self.held.isEmpty { self.takeHeld() }
        self.readHeldBack()
    }

    // MARK: ClientStream

    var isWritable: Bool { self.context?.channel.isWritable ?? false }

    var room: Int { self.isWritable ? CachedBody.step : 0 }

    var network: ClientNetwork? { self.connection.network }

    var minimumRate: Int { self.site.limits.minimumRate }

    func send(_ part: HTTPServerResponsePart) {
        self.context?.write(self.wrapOutboundOut(part), promise: nil)
    }

    func flush() {
        self.context?.flush()
    }

    /// The origin did something: it takes more, or gave more.
    func exchangeMoved() {
        self.rearm()
        self.readHeldBack()
    }

    func exchangeEnded(_ exchange: ProxyExchange, trailers: HTTPHeaders?, persists: Bool) {
        self.log.record(exchange, number: self.requests, outcome: "complete")
        if persists, exchange.isRequestComplete {
            self.send(.end(trailers))
            self.flush()
            self.rest()
            self.rearm()
            self.takeHeld()
            self.readHeldBack()
        } else {
            self.close(lingering: !exchange.isRequestComplete, trailers: trailers)
        }
    }

    func answer(_ local: LocalResponse, instead exchange: ProxyExchange) {
        self.log.record(exchange, number: self.requests, outcome: local.reason)
        let request = exchange.request
        let persists =
            exchange.isRequestComplete && request.clientPersists && !request.stopsDecoder && !self.isLastRequest
        self.write(local, isHead: request.head.method == .HEAD, version: request.clientVersion, closing: !persists)
        if persists {
            self.send(.end(nil))
            self.flush()
            self.rest()
            self.rearm()
            self.takeHeld()
            self.readHeldBack()
        } else {
            self.close(lingering: !exchange.isRequestComplete)
        }
    }

    /// Answers a request that has no exchange.
    private func answer(_ local: LocalResponse, to head: HTTPRequestHead, persists: Bool) {
        self.log.record(head, local, number: self.requests)
        // The decoder stops at an upgrade, and a body that nobody wants is not worth reading.
        let hasMore = ["content-length", "transfer-encoding", "upgrade"].contains { head.headers.contains(name: $0) }
        let closing = !persists || hasMore || self.isLastRequest
        self.write(
            local, isHead: head.method == .HEAD, version: ClientVersion(head.version), closing: closing)
        if closing {
            self.close(lingering: hasMore)
        } else {
            self.send(.end(nil))
            self.flush()
            self.turn = .skipping
        }
    }

    private func write(_ local: LocalResponse, isHead: Bool, version: ClientVersion, closing: Bool) {
        guard let context else { return }
        self.send(.head(local.head(closing: closing, for: version)))
        if !isHead, let body = local.body(context.channel.allocator) { self.send(.body(.byteBuffer(body))) }
    }

    func logOriginFailure(_ failure: OriginFailure, afterHead: Bool) {
        self.log.originFailed(
            failure, afterHead: afterHead, isNews: self.client.isNews(failure.cause, now: .now()))
    }

    // MARK: Ends

    /// Ends the response that is being written, and closes when it is on its way. A client that is still sending is heard out
    /// for a moment first: closing a socket with unread input resets it, and the answer would be lost.
    private func close(lingering: Bool, trailers: HTTPHeaders? = nil) {
        guard let context else { return }
        self.turn = .closing
        self.held.removeAll()
        self.input.drop(upTo: self.site.limits.lingerBytes)
        let written = context.eventLoop.makePromise(of: Void.self)
        let channel = context.channel
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        written.futureResult.whenComplete { _ in
            if lingering { bound.value.linger() } else { channel.close(promise: nil) }
        }
        context.writeAndFlush(self.wrapOutboundOut(.end(trailers)), promise: written)
        if self.wait != .lingering { self.awaitReading(.now()) }
        self.readHeldBack()
    }

    private func linger() {
        guard let context else { return }
        // The client sees the end at once, and has a moment to see it.
        context.channel.close(mode: .output, promise: nil)
        self.wait = .lingering
        self.timer?.move(to: .now() + self.site.limits.lingerTime)
    }

    /// Closes in such a way that what was sent can't be taken for a whole response.
    func abort(_ exchange: ProxyExchange, outcome: String) {
        self.log.record(exchange, number: self.requests, outcome: outcome)
        guard let context else { return }
        self.turn = .closing
        AbruptClose.close(context)
    }

    func becomeTunnel(_ exchange: ProxyExchange, to origin: any Channel) {
        guard let context else { return origin.close(promise: nil) }
        self.turn = .closed
        let (log, number) = (self.log, self.requests)
        Tunnel.begin(
            client: context.channel, origin: origin, idleTimeout: self.site.limits.tunnelIdleTimeout
        ) { bytes in
            log.record(exchange, number: number, outcome: "tunnel", bytes: bytes)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if case .exchanging(let exchange) = self.turn {
            exchange.cancel()
            self.log.record(exchange, number: self.requests, outcome: "client-closed")
        }
        self.turn = .closed
        self.held.removeAll()
        self.timer?.cancel()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // A client that has closed its side is taken to be gone.
        if case .inputClosed? = event as? ChannelEvent { context.close(promise: nil) }
        if event is ChannelShouldQuiesceEvent {
            self.isDraining = true
            // A client that has not asked for anything yet gets its answer.
            if case .waiting = self.turn, self.requests > 0 { context.close(promise: nil) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let failure = LocalResponse(decoding: error) {
            if self.mustHold { self.held.append(.failure(failure)) } else { self.inputFailed(failure) }
        } else if !(error is HTTPParserError) {
            context.close(promise: nil)
        }
        // Bytes after the last request, or the end of input inside one: the connection's end follows by itself.
    }

    /// The client sent something that is not HTTP, at the place where the turn is.
    private func inputFailed(_ failure: LocalResponse) {
        switch self.turn {
        case .exchanging(let exchange):
            exchange.answer(failure)
        case .waiting:
            self.log.record(nil, failure, number: self.requests + 1)
            self.write(failure, isHead: false, version: .http11, closing: true)
            self.close(lingering: true)
        case .skipping:
            self.context?.close(promise: nil)
        case .closing, .closed:
            break
        }
    }
}
