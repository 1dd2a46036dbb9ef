import Admission
import EdgeModel
import NIOCore
import NIOHTTP1

/// Who takes what the origin answers to one request. All calls come on the exchange's event loop.
protocol OriginReceiver: AnyObject {
    /// The connection is there, or takes more of the request's body, or takes no more.
    func originWritabilityChanged()
    /// 1xx apart from 101: none, one or several.
    func originInformational(_ head: HTTPResponseHead)
    /// The final response, or 101. Once.
    func originHead(_ head: HTTPResponseHead)
    func originBody(_ bytes: ByteBuffer)
    /// No more for now: a good time to flush.
    func originReadComplete()
    /// The response is complete. Nothing follows.
    func originEnd(_ trailers: HTTPHeaders?)
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

    let head: HTTPRequestHead
    let hasBody: Bool
    private let network: ClientNetwork?
    private let client: OriginClient
    /// Who hears of what comes. Another one may take over between two events.
    weak var receiver: (any OriginReceiver)?
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
    private var sawHead = false
    /// What was written before there was a connection.
    private var held: [ByteBuffer] = []
    private var endHeld: HTTPHeaders?
    private var isPaused = false
    private(set) var requestEnded = false
    /// Whether the connection may serve another request; the receiver says so when it has seen the head.
    var connectionPersists = false

    init(
        head: HTTPRequestHead, hasBody: Bool, network: ClientNetwork?, client: OriginClient,
        receiver: any OriginReceiver
    ) {
        self.head = head
        self.hasBody = hasBody
        self.network = network
        self.client = client
        self.receiver = receiver
        self.requestEnded = !hasBody
    }

    func begin() {
        if let connection = self.client.takeIdle(for: self.network) {
            self.isReused = true
            self.run(on: connection)
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
                self.run(on: connection)
                self.receiver?.originWritabilityChanged()
            case (.success((let connection, _)), _):
                self.client.putIdle(connection)
            case (.failure(let failure), .connecting):
                self.state = .over
                self.receiver?.originFailed(failure)
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

    private func run(on connection: OriginConnection) {
        self.state = .running(connection)
        if self.requestEnded { self.awaitHead() }
        connection.begin(self)
        if self.isPaused { connection.pause() }
        connection.write(.head(self.head))
        for bytes in self.held { connection.write(.body(.byteBuffer(bytes))) }
        self.held = []
        if self.requestEnded { connection.write(.end(self.endHeld)) }
        connection.flush()
    }

    // MARK: Request

    /// Whether more of the request's body is welcome now.
    var isWritable: Bool {
        guard case .running(let connection) = self.state else { return false }
        return connection.isWritable
    }

    func write(_ bytes: ByteBuffer) {
        switch self.state {
        case .connecting: self.held.append(bytes)
        case .running(let connection): connection.write(.body(.byteBuffer(bytes)))
        case .over: break
        }
    }

    func end(_ trailers: HTTPHeaders?) {
        guard !self.requestEnded else { return }
        self.requestEnded = true
        switch self.state {
        case .connecting: self.endHeld = trailers
        case .running(let connection):
            self.awaitHead()
            connection.write(.end(trailers))
            connection.flush()
        case .over: break
        }
    }

    func flush() {
        if case .running(let connection) = self.state { connection.flush() }
    }

    private func awaitHead() {
        if !self.sawHead { self.headDeadline = .now() + self.client.configuration.finalHeadTimeout }
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

    /// The channel of a connection that changed its protocol, to be called from within `originEnd`. Its HTTP handlers are
    /// still in the pipeline, and do nothing more.
    func detach() -> (any Channel)? {
        guard case .running(let connection) = self.state else { return nil }
        self.state = .over
        return connection.detach()
    }

    func writabilityChanged() {
        self.receiver?.originWritabilityChanged()
    }

    func received(_ part: HTTPClientResponsePart) {
        self.sawResponse = true
        switch part {
        case .head(let head):
            if head.isInformational {
                self.receiver?.originInformational(head)
            } else {
                self.sawHead = true
                self.headDeadline = .distantFuture
                self.receiver?.originHead(head)
            }
        case .body(let bytes): self.receiver?.originBody(bytes)
        case .end: break
        }
    }

    func readComplete() {
        self.receiver?.originReadComplete()
    }

    /// The response ended. Unless the connection went back to the client, it can still be taken over with `detach`.
    func ended(_ trailers: HTTPHeaders?, isDetachable: Bool) {
        if !isDetachable { self.state = .over }
        self.receiver?.originEnd(trailers)
        self.state = .over
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
        self.receiver?.originFailed(failure)
    }

    /// An origin may close a kept connection just when a request is on its way. Nothing was answered, so a request that may be
    /// repeated (RFC 9110 §9.2.2) goes out once more, on a new connection if there may be another one.
    private func mayRetry(_ failure: OriginFailure) -> Bool {
        guard self.isReused, !self.sawResponse, !self.hasBody else { return false }
        guard failure.cause == .closed || failure.cause == .reset else { return false }
        switch self.head.method {
        case .GET, .HEAD, .OPTIONS, .TRACE, .PUT, .DELETE: return true
        default: return false
        }
    }
}
