import HTTPForwarding
import NIOCore
import NIOHTTP1

/// One request of a client and its response: stands between a ``ClientStream`` and the ``OriginClient``, and knows
/// neither's protocol version.
///
/// Once the response's head is sent, every failure aborts the client's stream: a response that is cut off must not look
/// complete.
final class ProxyExchange: OriginReceiver {
    let request: ForwardedRequest
    let started: NIODeadline
    private let stream: any ClientStream
    private let site: ProxySite
    private var origin: OriginExchange?
    private(set) var isRequestComplete: Bool
    private(set) var response: ForwardedResponse?
    private(set) var status: UInt = 0
    private(set) var responseBytes = 0
    private var pace: RequestPace
    private var originWasWaitedFor = false
    private var isOver = false

    init(_ request: ForwardedRequest, stream: any ClientStream, site: ProxySite, now: NIODeadline) {
        self.request = request
        self.stream = stream
        self.site = site
        self.started = now
        self.isRequestComplete = false
        self.pace = RequestPace(
            timeout: site.limits.bodyTimeout, minimumRate: site.limits.minimumBodyRate, now: now)
    }

    func begin(on client: OriginClient) {
        let origin = client.exchange(self.request.head, hasBody: self.request.body != .none, receiver: self)
        self.origin = origin
        origin.begin()
    }

    // MARK: What the client does

    /// Whether the client's next part of the body is welcome.
    var takesBody: Bool { self.origin?.isWritable ?? false }

    func clientBody(_ bytes: ByteBuffer) {
        self.pace.received(bytes.readableBytes)
        self.origin?.write(bytes)
    }

    func clientReadComplete() {
        if !self.isRequestComplete { self.origin?.flush() }
    }

    func clientEnd(_ trailers: HTTPHeaders?) {
        self.isRequestComplete = true
        self.origin?.end(self.request.body == .chunked ? TrailerFields.forwarded(trailers) : nil)
    }

    /// The client's stream is gone, or it has answered in the exchange's place.
    func cancel() {
        self.isOver = true
        self.origin?.cancel()
        self.origin = nil
    }

    func clientWritabilityChanged(_ isWritable: Bool) {
        if isWritable { self.origin?.resume() }
    }

    /// What the exchange waits for now, and until when.
    func wait(now: NIODeadline, clientIsWritable: Bool) -> (ProxyWait, NIODeadline) {
        let limits = self.site.limits
        if self.response != nil, !clientIsWritable { return (.clientReads, now + limits.writeTimeout) }
        if self.isRequestComplete || !self.takesBody {
            self.originWasWaitedFor = !self.isRequestComplete
            return (.origin, now + self.site.origins.configuration.responseTimeout)
        }
        // Also when the response has begun: it is no licence to keep the connection with a byte now and then.
        if self.originWasWaitedFor {
            // The client is not to blame for that time.
            self.originWasWaitedFor = false
            self.pace = RequestPace(timeout: limits.bodyTimeout, minimumRate: limits.minimumBodyRate, now: now)
        }
        return (.requestBody, self.pace.deadline(now: now))
    }

    // MARK: What the origin does

    func originWritabilityChanged() {
        self.stream.exchangeMoved()
    }

    func originInformational(_ head: HTTPResponseHead) {
        guard !self.isOver, self.response == nil else { return }
        if let head = self.site.responses.informational(head, to: self.request) {
            self.stream.send(.head(head))
            self.stream.flush()
        }
    }

    func originHead(_ head: HTTPResponseHead) {
        guard !self.isOver else { return }
        // The rest of a body that the origin did not wait for may be long: no further request after it.
        let closing = self.stream.isLastRequest || !self.isRequestComplete
        switch self.site.responses.decide(head, to: self.request, closing: closing) {
        case .success(let response):
            if head.status == .switchingProtocols, !self.isRequestComplete {
                return self.fail(OriginFailure(.badResponse, "101 before the end of the request"))
            }
            self.response = response
            self.status = head.status.code
            self.origin?.connectionPersists = response.originPersists
            self.stream.send(.head(response.head))
        case .failure(let refusal):
            self.fail(OriginFailure(.badResponse, refusal.rawValue))
        }
    }

    func originBody(_ bytes: ByteBuffer) {
        guard !self.isOver, let response, response.clientBody != .none else { return }
        self.responseBytes += bytes.readableBytes
        self.stream.send(.body(.byteBuffer(bytes)))
    }

    func originReadComplete() {
        guard !self.isOver else { return }
        self.stream.flush()
        if !self.stream.isWritable { self.origin?.pause() }
        self.stream.exchangeMoved()
    }

    func originEnd(_ trailers: HTTPHeaders?) {
        guard !self.isOver else { return }
        guard let response else { return self.originFailed(OriginFailure(.badResponse, "end before the head")) }
        self.isOver = true
        if self.status == HTTPResponseStatus.switchingProtocols.code {
            self.stream.flush()
            if let channel = self.origin?.detach() {
                self.stream.becomeTunnel(self, to: channel)
            } else {
                self.stream.abort(self, outcome: "origin-failed")
            }
        } else {
            let trailers = response.clientBody == .chunked ? TrailerFields.forwarded(trailers) : nil
            self.stream.exchangeEnded(self, trailers: trailers, persists: response.clientPersists)
        }
        self.origin = nil
    }

    func originFailed(_ failure: OriginFailure) {
        guard !self.isOver else { return }
        self.fail(failure)
    }

    func fail(_ failure: OriginFailure) {
        self.cancel()
        self.site.metrics.originFailed(failure.cause.rawValue)
        self.stream.logOriginFailure(failure, afterHead: self.response != nil)
        if self.response == nil {
            self.answer(LocalResponse(failure))
        } else {
            self.stream.abort(self, outcome: "origin-failed")
        }
    }

    /// Answers in the origin's place, or aborts if its answer has begun.
    func answer(_ local: LocalResponse) {
        self.cancel()
        if self.response == nil {
            self.status = local.status.code
            self.stream.answer(local, instead: self)
        } else {
            self.stream.abort(self, outcome: local.reason)
        }
    }
}

/// Whom a connection waits for.
enum ProxyWait {
    case request, requestBody, origin, clientReads, lingering
}
