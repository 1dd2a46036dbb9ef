import Admission
import EdgeModel
import NIOCore
import NIOHTTP1
import NIOTLS

/// The last handler of a connection to an origin: one exchange at a time.
///
/// Our bug: `begin` while an exchange runs. The origin's violations: anything sent while no exchange runs, or after the end
/// of a response; the connection is closed then, so that it can't be taken for an answer to the next request. More beside
/// a body than ``ResponseBudget`` allows.
final class OriginConnection: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundIn = Never
    typealias OutboundOut = HTTPClientRequestPart

    private enum State {
        /// TCP and TLS are being set up.
        case connecting((Result<OriginConnection, OriginFailure>) -> Void)
        case idle
        case busy(OriginExchange)
        /// The end of the response was read; what follows in the same read decides whether the connection is clean.
        case ending(OriginExchange, HTTPHeaders?)
        case closed
    }

    private let usesTLS: Bool
    private weak var client: OriginClient?
    private var state: State
    private var context: ChannelHandlerContext?
    private var isPaused = false
    private var readHeld = false
    private var countsInLimit = true
    private let maximumHeadBytes: Int
    private var budget: ResponseBudget
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
        self.maximumHeadBytes = client.configuration.maximumHeadBytes
        self.budget = ResponseBudget(headBytes: self.maximumHeadBytes)
        self.state = .connecting(ready)
    }

    var isClosed: Bool {
        if case .closed = self.state { return true }
        return false
    }

    var isWritable: Bool { self.context?.channel.isWritable ?? false }

    // MARK: What exchanges do

    func begin(_ exchange: OriginExchange) {
        guard case .idle = self.state else {
            assertionFailure("an exchange began on a connection that is not idle")
            return
        }
        self.state = .busy(exchange)
        self.budget = ResponseBudget(headBytes: self.maximumHeadBytes)
    }

    func write(_ part: HTTPClientRequestPart) {
        self.context?.write(self.wrapOutboundOut(part), promise: nil)
    }

    func flush() {
        self.context?.flush()
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
    func detach() -> (any Channel)? {
        guard let context else { return nil }
        self.state = .closed
        self.context = nil
        self.leaveLimit()
        return context.channel
    }

    /// Once, when it is closed or no longer the client's.
    private func leaveLimit() {
        guard self.countsInLimit else { return }
        self.countsInLimit = false
        self.client?.connectionIsGone(self)
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
        if context.channel.isActive { self.active() }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
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
        ready(.success(self))
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent { self.becomeReady() }
        context.fireUserInboundEventTriggered(event)
    }

    /// So many bytes have come, and the decoder is about to take them.
    ///
    /// - Returns: whether it may.
    func receives(_ count: Int) -> Bool {
        switch self.state {
        case .busy, .ending:
            self.budget.received(count)
            return true
        case .idle, .connecting:
            self.broke(OriginFailure(.badResponse, "bytes without a request"))
            return false
        case .closed:
            // Of no interest, unless it has left HTTP.
            return self.context == nil
        }
    }

    /// The decoder has told of what it took.
    func hasTaken() {
        if case .busy = self.state { self.enforceBudget() }
    }

    private func enforceBudget() {
        if let violation = self.budget.violation { self.broke(OriginFailure(.badResponse, violation.rawValue)) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = self.unwrapInboundIn(data)
        switch self.state {
        case .busy(let exchange):
            switch part {
            case .head(let head) where head.isInformational:
                // At once: one read may bring thousands of them.
                self.budget.tookInformational()
                self.enforceBudget()
                if case .busy = self.state { exchange.received(part) }
            case .head:
                exchange.received(part)
            case .body(let bytes):
                self.budget.took(bytes.readableBytes)
                exchange.received(part)
            case .end(let trailers):
                self.state = .ending(exchange, trailers)
            }
        case .ending, .idle, .connecting:
            self.broke(OriginFailure(.badResponse, "bytes after the end of the response"))
        case .closed:
            break
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        switch self.state {
        case .busy(let exchange): exchange.readComplete()
        case .ending(let exchange, let trailers): self.finish(exchange, trailers)
        case .connecting, .idle, .closed: break
        }
    }

    /// Hands the connection back before the end is told, so that the next request of a pipeline finds it.
    private func finish(_ exchange: OriginExchange, _ trailers: HTTPHeaders?) {
        if exchange.connectionPersists, exchange.requestEnded, let client, self.context?.channel.isActive == true {
            self.state = .idle
            self.isPaused = false
            client.putIdle(self)
            self.readHeldBack()
            exchange.ended(trailers, isDetachable: false)
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
        if case .connecting = self.state {
            self.close(OriginFailure(self.usesTLS ? .tls : .closed, "closed while connecting"))
        } else {
            self.broke(OriginFailure(.closed))
        }
        context.fireChannelInactive()
    }

    private func broke(_ failure: OriginFailure) {
        let state = self.state
        self.state = .closed
        self.leaveLimit()
        self.context?.close(promise: nil)
        switch state {
        case .busy(let exchange): exchange.failed(failure)
        // Whole, whatever came behind it.
        case .ending(let exchange, let trailers): exchange.ended(trailers, isDetachable: false)
        case .idle: self.client?.forget(self)
        case .connecting, .closed: break
        }
    }
}

extension HTTPResponseHead {
    /// 1xx, and not the 101 that ends HTTP: another head follows.
    var isInformational: Bool { (100..<200).contains(self.status.code) && self.status != .switchingProtocols }
}
