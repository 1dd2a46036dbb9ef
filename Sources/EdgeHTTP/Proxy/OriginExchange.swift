import Admission
import EdgeModel
import HTTPFields
import HTTPWire
import NIOCore
import Telemetry

/// Who takes what the origin answers to one request. All calls come on the exchange's event loop. What comes in one read has one time,
/// since a look at the clock costs as much as a field.
protocol OriginReceiver: AnyObject {
    /// The connection is there, or takes more of the request's body, or takes no more.
    func originWritabilityChanged()
    /// 1xx apart from 101: none, one or several.
    func originInformational(_ head: ResponseHead)
    /// The final response, or 101. Once.
    ///
    /// - Parameter framing: how its content ends.
    func originHead(_ head: ResponseHead, framing: BodyFraming, now: NIODeadline)
    func originBody(_ bytes: ByteBuffer, now: NIODeadline)
    /// No more for now: a good time to flush.
    func originReadComplete()
    /// The response is complete. Nothing follows.
    func originEnd(_ trailers: FieldSection?)
    /// The response will not become complete. Nothing follows.
    func originFailed(_ failure: OriginFailure)
}

/// One request to the origin. Made by ``OriginClient``; lives on one event loop.
///
/// Our bugs: writing after the end, a second end; both are ignored after a failure or cancellation, since those race.
/// The peer's violations arrive as `originFailed`. Anything after `cancel` is silently dropped.
final class OriginExchange {
    private enum State {
        case connecting
        case running(OriginConnection)
        case over
    }

    let request: OutboundRequest
    private let network: ClientNetwork?
    private let client: OriginClient
    /// Who hears of what comes. Another one may take over between two events. Held until the exchange is over: every exchange comes to an
    /// end, and a weak reference would cost its object memory, and each use of it an atomic operation more.
    var receiver: (any OriginReceiver)?
    private var state = State.connecting
    private var isReused = false
    /// A connection is being set up for it.
    private var isDialling = false
    private var whenWorkEnds: (() -> Void)?
    /// By when the final head has to be there, whatever comes before it; not yet, or not any more, if that is never.
    private(set) var headDeadline = NIODeadline.distantFuture
    /// The request went out before, and no answer came.
    private var isRetry = false
    /// While all connections are in use.
    private var waiter: OriginClient.Waiter?
    private var sawResponse = false
    /// The origin said `100 Continue`.
    private var sawContinue = false
    /// The final head came before the end of the request.
    private var isEarly = false
    /// The final one, and how its content ends.
    private(set) var head: (head: ResponseHead, framing: BodyFraming)?
    /// Of a request that ended before there was a connection.
    private var trailers: FieldSection?
    private var isPaused = false
    private(set) var requestEnded = false
    private var begun = NIODeadline.uptimeNanoseconds(0)
    private var headCame: NIODeadline?
    private var isOverSince: NIODeadline?
    private var address: SocketAddress?
    /// Whether the connection may serve another request; the receiver says so when it has seen the head.
    var connectionPersists = false

    /// Whether the connection is in step, so that it may serve another request: the whole request was sent, and nothing speaks against the
    /// origin's having read it. Bytes of a body that it left unread would be its next request, and the answer the next client's (request
    /// smuggling by `Expect` and by content of GET; RFC 9112 §9.3, RFC 9110 §10.1.1).
    var mayKeepConnection: Bool {
        self.connectionPersists && self.requestEnded && !self.isEarly && !self.request.mayStayUnread
            && (!self.request.expectsContinue || self.sawContinue)
    }

    init(
        _ request: OutboundRequest, network: ClientNetwork?, client: OriginClient, receiver: any OriginReceiver
    ) {
        self.request = request
        self.network = network
        self.client = client
        self.receiver = receiver
        self.requestEnded = !request.hasContent
    }

    func begin(now: NIODeadline = .now()) {
        self.begun = now
        if let connection = self.client.takeIdle(for: self.network) {
            self.isReused = true
            self.run(on: connection, now: now)
        } else {
            self.connect()
        }
    }

    private func connect() {
        self.state = .connecting
        self.isDialling = true
        self.waiter = self.client.connect(for: self.network, prefersNew: self.isRetry) { result in
            self.waiter = nil
            self.dialEnded()
            switch (result, self.state) {
            case (.success((let connection, let isReused)), .connecting):
                self.isReused = isReused && !self.isRetry
                self.run(on: connection, now: .now())
                self.receiver?.originWritabilityChanged()
            case (.success((let connection, _)), _):
                self.client.putIdle(connection, now: .now())
            case (.failure(let failure), .connecting):
                self.state = .over
                self.takeReceiver()?.originFailed(failure)
            case (.failure, _):
                break
            }
        }
    }

    private func dialEnded() {
        self.isDialling = false
        let whenWorkEnds = self.whenWorkEnds
        self.whenWorkEnds = nil
        whenWorkEnds?()
    }

    private func run(on connection: OriginConnection, now: NIODeadline) {
        self.state = .running(connection)
        self.address = connection.address
        if self.requestEnded { self.awaitHead(now) }
        connection.begin(self)
        if self.isPaused { connection.pause() }
        if self.requestEnded, self.request.hasContent { connection.end(self.trailers) }
        connection.flush()
    }

    // MARK: Request

    /// Whether more of the request's body is welcome now.
    var isWritable: Bool {
        guard case .running(let connection) = self.state else { return false }
        return connection.isWritable
    }

    /// Only while ``isWritable``, or since it was: there is a connection.
    func write(_ bytes: ByteBuffer) {
        if case .running(let connection) = self.state { connection.write(bytes) }
    }

    func end(_ trailers: FieldSection?) {
        guard !self.requestEnded else { return }
        self.requestEnded = true
        switch self.state {
        case .connecting: self.trailers = trailers
        case .running(let connection):
            self.awaitHead(.now())
            connection.end(trailers)
            connection.flush()
        case .over: break
        }
    }

    func flush() {
        if case .running(let connection) = self.state { connection.flush() }
    }

    private func awaitHead(_ now: NIODeadline) {
        if self.head == nil { self.headDeadline = now + self.client.configuration.finalHeadTimeout }
    }

    /// Gives up: the connection is closed, and the receiver hears nothing more.
    func cancel() {
        let state = self.state
        self.state = .over
        self.receiver = nil
        if let waiter = self.waiter, self.client.leave(waiter) { self.isDialling = false }
        self.waiter = nil
        if case .running(let connection) = state { connection.abandon() }
    }

    /// After ``cancel()``: calls `action` when what was begun for it has come to its end.
    ///
    /// - Returns: false if it has already.
    func whenWorkEnds(_ action: @escaping () -> Void) -> Bool {
        guard self.isDialling else { return false }
        self.whenWorkEnds = action
        return true
    }

    // MARK: Response

    func pause() {
        self.isPaused = true
        if case .running(let connection) = self.state { connection.pause() }
    }

    func resume() {
        self.isPaused = false
        if case .running(let connection) = self.state { connection.resume() }
    }

    /// The connection that changed its protocol, to be called from within `originEnd`.
    func detach() -> DetachedOrigin? {
        guard case .running(let connection) = self.state else { return nil }
        self.state = .over
        return connection.detach()
    }

    /// What follows the response is not HTTP.
    var leavesHTTP: Bool { self.head?.head.switchesProtocol(to: self.request.method) ?? false }

    func writabilityChanged() {
        self.receiver?.originWritabilityChanged()
    }

    func receivedInformational(_ head: ResponseHead) {
        self.sawResponse = true
        if head.status == 100 { self.sawContinue = true }
        self.receiver?.originInformational(head)
    }

    func received(_ head: ResponseHead, _ framing: BodyFraming, now: NIODeadline) {
        self.sawResponse = true
        if !self.requestEnded { self.isEarly = true }
        self.head = (head, framing)
        self.headCame = now
        self.client.metrics.answered(after: now - self.begun)
        self.headDeadline = .distantFuture
        self.client.standing.answered()
        self.receiver?.originHead(head, framing: framing, now: now)
    }

    func received(_ bytes: ByteBuffer, now: NIODeadline) { self.receiver?.originBody(bytes, now: now) }

    func readComplete() {
        self.receiver?.originReadComplete()
    }

    /// The response ended. Unless the connection went back to the client, it can still be taken over with `detach`.
    func ended(_ trailers: FieldSection?, isDetachable: Bool, now: NIODeadline = .now()) {
        self.isOverSince = now
        if !isDetachable { self.state = .over }
        self.receiver?.originEnd(trailers)
        self.state = .over
        self.receiver = nil
    }

    /// Nothing follows what it is told now.
    private func takeReceiver() -> (any OriginReceiver)? {
        defer { self.receiver = nil }
        return self.receiver
    }

    /// The connection broke before the response was complete.
    func failed(_ failure: OriginFailure) {
        guard case .running = self.state else { return }
        if self.mayRetry(failure) {
            self.isRetry = true
            self.connect()
            return
        }
        self.state = .over
        self.isOverSince = .now()
        self.takeReceiver()?.originFailed(failure)
    }

    /// For the access log.
    func facts(now: NIODeadline) -> AccessRecord.Origin {
        AccessRecord.Origin(
            address: self.address, firstByte: self.headCame.map { $0 - self.begun },
            duration: (self.isOverSince ?? now) - self.begun)
    }

    /// An origin may close a kept connection just when a request is on its way. Nothing was answered, so a request that may be
    /// repeated (RFC 9110 §9.2.2) goes out once more, on a new connection if there may be another one.
    private func mayRetry(_ failure: OriginFailure) -> Bool {
        guard self.isReused, !self.sawResponse, !self.request.hasContent else { return false }
        return (failure.cause == .closed || failure.cause == .reset) && self.request.isIdempotent
    }
}
