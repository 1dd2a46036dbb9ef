import Admission
import EdgeModel
import HTTPFields
import HTTPWire
import NIOCore
import NIOTLS

/// A connection to an origin: one exchange at a time. Reads responses by a `ResponseReader`.
///
/// Our bug: `begin` while an exchange runs. The origin's violations: what the reader refuses; anything sent while no exchange
/// runs, or after the end of a response. The connection is closed then, so that it can't be taken for an answer to the next
/// request.
final class OriginConnection: ChannelDuplexHandler, RemovableChannelHandler, QueueWriting {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    private enum State {
        /// TCP and TLS are being set up.
        case connecting((Result<OriginConnection, OriginFailure>) -> Void)
        case idle
        case busy(OriginExchange)
        /// The end of the response was read; what follows in the same read decides whether the connection is clean.
        case ending(OriginExchange, FieldSection?)
        case closed
    }

    private let usesTLS: Bool
    /// Until the connection is closed, or no longer the client's.
    private var client: OriginClient?
    private var state: State
    private(set) var context: ChannelHandlerContext?
    /// The other end's, once there is one.
    private(set) var address: SocketAddress?
    private var reader: ResponseReader
    private var isReading = false
    /// What was read, and is not handed on yet.
    private var events: [ResponseReader.Event] = []
    /// Of these, one is a head.
    private var holdsHead = false
    /// The last of these is the response's end. What comes behind it is judged when that is handed on.
    private var holdsEnd = false
    var queue = WriteQueue()
    var drain = WriteDrain()
    private var framing = BodyFraming.none
    private var isPaused = false
    private var readHeld = false
    private var countsInLimit = true
    /// Of a request, which counts for its client's network.
    struct Use {
        let network: ClientNetwork?
    }

    /// From the moment that it is set up for a request, or given to one, until that is over; the client's.
    var use: Use?
    /// When it was begun, before the origin's name was looked up; the client's.
    var birth = NIODeadline.uptimeNanoseconds(0)

    init(
        client: OriginClient, usesTLS: Bool,
        ready: @escaping (Result<OriginConnection, OriginFailure>) -> Void
    ) {
        self.client = client
        self.usesTLS = usesTLS
        self.reader = ResponseReader(limits: client.configuration.wireLimits)
        self.state = .connecting(ready)
    }

    var isClosed: Bool {
        if case .closed = self.state { return true }
        return false
    }

    /// As the channel last said.
    private(set) var isWritable = false

    // MARK: What exchanges do

    /// Sends the request's head; its content follows by ``write(_:)`` and ``end(_:)``.
    func begin(_ exchange: OriginExchange) {
        guard case .idle = self.state else {
            assertionFailure("an exchange began on a connection that is not idle")
            return
        }
        self.state = .busy(exchange)
        self.framing = exchange.request.framing
        self.reader.expect(exchange.request.method)
        self.queue.append(exchange.request.head)
    }

    /// A part of the content. Chunks are written whole.
    func write(_ bytes: ByteBuffer) {
        if self.framing == .chunked { self.queue.append(chunk: bytes) } else { self.queue.append(bytes) }
    }

    /// The end of the content.
    func end(_ trailers: FieldSection?) {
        if self.framing == .chunked { self.queue.appendLastChunk(trailers: trailers) }
    }

    func flush() {
        self.writeQueued()
    }

    func pause() {
        self.isPaused = true
    }

    func resume() {
        self.isPaused = false
        self.readHeldBack()
    }

    /// Closes the connection; its exchange wants nothing more.
    func abandon() {
        self.state = .closed
        self.leaveLimit()
        self.context?.close(promise: nil)
    }

    /// Called from within `ended` of an upgraded exchange.
    func detach() -> DetachedOrigin? {
        guard let context else { return nil }
        self.state = .closed
        self.leaveLimit()
        return DetachedOrigin(channel: context.channel, handler: self, rest: self.reader.takeRest())
    }

    /// Once, when it is closed or no longer the client's.
    private func leaveLimit() {
        guard self.countsInLimit else { return }
        self.countsInLimit = false
        let client = self.client
        self.client = nil
        client?.connectionIsGone(self)
    }

    // MARK: What the client does

    /// Gives up while connecting, or closes an idle connection.
    func close(_ failure: OriginFailure? = nil) {
        let context = self.context
        let state = self.state
        self.state = .closed
        self.leaveLimit()
        if case .connecting(let ready) = state, let failure { ready(.failure(failure)) }
        context?.close(promise: nil)
    }

    // MARK: Events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.isWritable = context.channel.isWritable
        if context.channel.isActive { self.active() }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.isWritable = false
    }

    func channelActive(context: ChannelHandlerContext) {
        self.active()
    }

    private func active() {
        if !self.usesTLS { self.becomeReady() }
    }

    private func becomeReady() {
        guard case .connecting(let ready) = self.state else { return }
        self.state = .idle
        self.address = self.context?.remoteAddress
        ready(.success(self))
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent { self.becomeReady() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.state {
        case .busy:
            self.reader.receive(self.unwrapInboundIn(data))
            self.readOn(readIsComplete: false)
        case .ending(let exchange, _) where exchange.leavesHTTP:
            self.reader.receive(self.unwrapInboundIn(data))
        case .ending, .idle, .connecting:
            self.broke(OriginFailure(.badResponse, "bytes without a request"))
        case .closed:
            break
        }
    }

    /// Hands on what has come. A call that comes from within takes nothing: the one further out goes on.
    ///
    /// - Parameter readIsComplete: nothing more comes for now. Until then a head waits: one that a broken content follows at once is
    ///   no response, and the client gets an error in its place.
    private func readOn(readIsComplete: Bool) {
        guard case .busy(let exchange) = self.state, !self.isReading else { return }
        self.isReading = true
        defer { self.isReading = false }
        let failure = self.readEvents()
        if self.holdsHead, failure == nil, !readIsComplete { return }
        if failure == nil || !self.holdsHead {
            let now = NIODeadline.now()
            for event in self.events {
                guard case .busy = self.state else { break }
                self.hand(event, to: exchange, now: now)
            }
        }
        self.events.removeAll(keepingCapacity: true)
        (self.holdsHead, self.holdsEnd) = (false, false)
        if let failure, case .busy = self.state { self.broke(failure) }
    }

    private func readEvents() -> OriginFailure? {
        do throws(WireError) {
            while !self.holdsEnd, let event = try self.reader.next() {
                switch event {
                case .head: self.holdsHead = true
                case .end: self.holdsEnd = true
                case .informational, .body, .switched: break
                }
                self.events.append(event)
            }
            return nil
        } catch {
            return OriginFailure(error)
        }
    }

    private func hand(_ event: ResponseReader.Event, to exchange: OriginExchange, now: NIODeadline) {
        switch event {
        case .informational(let head): exchange.receivedInformational(head)
        case .head(let head, let framing): exchange.received(head, framing, now: now)
        case .body(let bytes): exchange.received(bytes, now: now)
        case .end(let trailers):
            self.state = .ending(exchange, trailers)
            if !self.reader.isIdle { self.broke(OriginFailure(.badResponse, "bytes without a request")) }
        case .switched: self.state = .ending(exchange, nil)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if !self.events.isEmpty { self.readOn(readIsComplete: true) }
        switch self.state {
        case .busy(let exchange): exchange.readComplete()
        case .ending(let exchange, let trailers): self.finish(exchange, trailers)
        case .connecting, .idle, .closed: break
        }
    }

    /// Hands the connection back before the end is told, so that the next request of a pipeline finds it.
    private func finish(_ exchange: OriginExchange, _ trailers: FieldSection?) {
        if exchange.mayKeepConnection, let client, self.context?.channel.isActive == true {
            let now = NIODeadline.now()
            self.state = .idle
            self.isPaused = false
            client.putIdle(self, now: now)
            self.readHeldBack()
            exchange.ended(trailers, isDetachable: false, now: now)
        } else {
            // Stays open while it is told: an upgraded exchange takes the channel over.
            self.state = .busy(exchange)
            exchange.ended(trailers, isDetachable: true)
            if case .busy = self.state { self.abandon() }
        }
    }

    func read(context: ChannelHandlerContext) {
        if self.isPaused {
            self.readHeld = true
        } else {
            context.read()
        }
    }

    private func readHeldBack() {
        guard self.readHeld, let context else { return }
        self.readHeld = false
        context.read()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.isWritable = context.channel.isWritable
        if case .busy(let exchange) = self.state { exchange.writabilityChanged() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case .connecting = self.state {
            self.close(OriginFailure(connecting: error))
        } else {
            self.broke(OriginFailure(exchanging: error))
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        switch self.state {
        case .connecting: self.close(OriginFailure(self.usesTLS ? .tls : .closed, "closed while connecting"))
        case .busy: self.inputEnded()
        case .idle, .ending, .closed: self.broke(OriginFailure(.closed))
        }
        context.fireChannelInactive()
    }

    /// The end of the connection is the end of a content that has no other.
    private func inputEnded() {
        do throws(WireError) {
            try self.reader.receiveEnd()
        } catch {
            return self.broke(OriginFailure(.closed, "end of stream inside the response"))
        }
        self.readOn(readIsComplete: true)
        self.broke(OriginFailure(.closed))
    }

    private func broke(_ failure: OriginFailure) {
        let state = self.state
        let client = self.client
        self.state = .closed
        self.leaveLimit()
        self.context?.close(promise: nil)
        switch state {
        case .busy(let exchange): exchange.failed(failure)
        // Whole, whatever came behind it.
        case .ending(let exchange, let trailers): exchange.ended(trailers, isDetachable: false)
        case .idle: client?.forget(self)
        case .connecting, .closed: break
        }
    }
}

/// A connection to an origin that left HTTP.
struct DetachedOrigin {
    let channel: any Channel
    /// Still in the pipeline, and does nothing more.
    let handler: OriginConnection
    /// What came behind the 101.
    let rest: ByteBuffer
}
