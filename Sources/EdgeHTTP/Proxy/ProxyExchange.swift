import Admission
import EdgeModel
import HTTPCaching
import HTTPFields
import HTTPForwarding
import HTTPWire
import NIOCore

/// One request of a client and its response: stands between a ``ClientStream`` and the ``OriginClient``, and knows
/// neither's protocol version. What the store can answer at once never gets here (``StoreReply``).
///
/// Once the response's head is sent, every failure aborts the client's stream: a response that is cut off must not look
/// complete.
final class ProxyExchange: OriginReceiver {
    let request: CheckedRequest
    let started: NIODeadline
    private let stream: any ClientStream
    private let site: ProxySite
    private var client: OriginClient?
    private var origin: OriginExchange? {
        didSet { if let origin { self.asked = origin } }
    }
    /// The last one, for the log.
    private var asked: OriginExchange?
    private var cache: CacheExchange?
    private(set) var isRequestComplete: Bool
    private(set) var response: CheckedResponse?
    private(set) var status = 0
    /// When the answer's head went out; for the log.
    private(set) var answered = NIODeadline.uptimeNanoseconds(0)
    private(set) var responseBytes = 0
    /// Of the client, sending its body.
    private var sends: TransferPace
    /// Of the origin: taking the body, and sending the response.
    private var originPace: TransferPace
    private var sawContinue = false
    private var isOver = false

    init(_ request: CheckedRequest, stream: any ClientStream, site: ProxySite, now: NIODeadline) {
        self.request = request
        self.stream = stream
        self.site = site
        self.started = now
        self.isRequestComplete = !request.hasContent
        self.sends = TransferPace(site.limits.sending)
        self.originPace = TransferPace(site.origins.configuration.pace)
    }

    /// - Parameter look: what the store has; nil: the site has none.
    func begin(on client: OriginClient, _ look: consuming CacheLook?) {
        self.client = client
        guard let cache = self.site.cache, let look else { return self.forward() }
        let exchange = CacheExchange(look, exchange: self, cache: cache, client: client)
        self.cache = exchange
        exchange.begin(look)
    }

    /// Has the origin answer.
    func forward() {
        guard let client else { return }
        let origin = client.exchange(OutboundRequest(self.request), network: self.network, receiver: self)
        self.origin = origin
        origin.begin()
    }

    /// Goes on with a request that the cache began, and with the response that answers it.
    func adopt(_ origin: OriginExchange, _ response: CheckedResponse, now: NIODeadline) {
        guard !self.isOver else { return origin.cancel() }
        self.origin = origin
        origin.receiver = self
        self.begin(response, now: now)
    }

    /// What the cache did, for log and metrics; nil where the site has none.
    var cacheOutcome: CacheOutcome? { self.cache?.turn.outcome }
    /// What the origin was asked for this request, if it was; for the log.
    var askedOrigin: OriginExchange? { self.asked ?? self.cache?.lastOrigin }
    /// How many bytes of the response the client takes now.
    var room: Int { self.stream.room }
    /// The client's, whose share of the origin's connections is used; nil if it has no bound.
    var network: ClientNetwork? { self.stream.network }

    func flush() { self.stream.flush() }

    var isLastRequest: Bool { self.stream.isLastRequest }

    // MARK: What the client does

    /// Whether the client's next part of the body is welcome.
    var takesBody: Bool { self.origin?.isWritable ?? false }

    func clientBody(_ bytes: ByteBuffer) {
        let now = NIODeadline.now()
        self.sends.moved(bytes.readableBytes, now: now)
        // It took what was written before.
        self.originPace.moved(bytes.readableBytes, now: now)
        self.origin?.write(bytes)
    }

    func clientReadComplete() {
        if !self.isRequestComplete { self.origin?.flush() }
    }

    func clientEnd(_ trailers: FieldSection?) {
        guard !self.isRequestComplete else { return }
        self.isRequestComplete = true
        self.origin?.end(self.request.framing == .chunked ? TrailerFields.forwarded(trailers) : nil)
    }

    /// The client's stream is gone, or it has answered in the exchange's place.
    func cancel() {
        self.isOver = true
        self.origin?.cancel()
        self.origin = nil
        self.cache?.cancel()
    }

    /// What is at the origin for an exchange that its client has left.
    enum Remainder {
        case nothing
        /// It got there, and is over.
        case over
        case goesOn
    }

    /// ``cancel()``, for the client's own doing. `action` is called when the origin is at rest, if it is not yet.
    func leave(whenWorkEnds action: @escaping () -> Void) -> Remainder {
        let origin = self.origin
        let fetch = self.cache?.fetch.flatMap { $0.isOver ? nil : $0 }
        self.cancel()
        if let origin { return origin.whenWorkEnds(action) ? .goesOn : .over }
        if let fetch { return fetch.whenWorkEnds(action) ? .goesOn : .over }
        return .nothing
    }

    func clientWritabilityChanged(_ isWritable: Bool) {
        if isWritable { self.origin?.resume() }
        self.cache?.clientWritabilityChanged(isWritable)
    }

    /// What the exchange waits for now, and until when, unless it is for the client to read.
    func wait(now: NIODeadline) -> (ProxyWait, NIODeadline) {
        let configuration = self.site.origins.configuration
        // The cache's own requests keep the origin's times; this is only for the case that something is wrong with them.
        if self.cache?.turn.isWaiting == true {
            self.rests(now: now)
            let time = configuration.connectTimeout + configuration.finalHeadTimeout + configuration.responseTimeout
            return (.cache, now + time)
        }
        if self.isRequestComplete || !self.takesBody {
            self.sends.rests(now: now)
            self.originPace.waits(now: now)
            let headDeadline = self.origin?.headDeadline ?? .distantFuture
            return (.origin, min(headDeadline, self.originPace.deadline(rate: self.originRate)))
        }
        // Also when the response has begun: it is no licence to keep the connection with a byte now and then.
        self.originPace.rests(now: now)
        self.sends.waits(now: now)
        return (.requestBody, self.sends.deadline(rate: self.stream.minimumRate))
    }

    /// It is the client's turn to read.
    func rests(now: NIODeadline) {
        self.sends.rests(now: now)
        self.originPace.rests(now: now)
    }

    private var originRate: Int {
        // An origin that has not announced how much it sends may have nothing to send for a while.
        if let response { guard case .length = response.originBody else { return 0 } }
        if self.origin == nil || self.response == nil && self.isRequestComplete { return 0 }
        return self.site.origins.configuration.minimumRate
    }

    /// The deadline of ``wait(now:)`` has come. The exchange is over after it, or waits on.
    func timedOut(_ wait: ProxyWait, now: NIODeadline) {
        switch wait {
        case .origin:
            if let origin, origin.headDeadline <= now {
                return self.fail(OriginFailure(.responseTimeout, "no final head in time"))
            }
            switch self.originPace.look(now: now, rate: self.originRate) {
            case .goesOn: break
            case .silent: self.fail(OriginFailure(.responseTimeout))
            case .tooSlow: self.fail(OriginFailure(.tooSlow))
            }
        case .cache:
            self.fail(OriginFailure(.responseTimeout))
        case .requestBody:
            guard self.sends.look(now: now, rate: self.stream.minimumRate) != .goesOn else { return }
            self.site.metrics.clientTooSlow(reading: false)
            self.answer(.bodyTimeout)
        case .request, .clientReads, .lingering:
            break
        }
    }

    // MARK: What the origin does

    func originWritabilityChanged() {
        self.originPace.moved(0, now: .now())
        self.stream.exchangeMoved()
    }

    func originInformational(_ head: ResponseHead) {
        guard !self.isOver, self.response == nil else { return }
        self.originPace.moved(0, now: .now())
        // No flow control holds them back. A client that does not read misses hints, but not what it waits for.
        let isAwaited = head.status == 100 && !self.sawContinue
        if isAwaited { self.sawContinue = true }
        guard isAwaited || self.stream.isWritable else { return }
        if let head = self.site.responses.informational(head, to: self.request) {
            self.stream.send(head)
            self.stream.flush()
        }
    }

    func originHead(_ head: ResponseHead, framing: BodyFraming, now: NIODeadline) {
        guard !self.isOver else { return }
        do throws(ResponseRefusal) {
            let response = try self.site.responses.judge(
                head, framing: framing, to: self.request, closing: self.closesBehindAnswer)
            if head.status == 101, !self.isRequestComplete {
                return self.fail(OriginFailure(.badResponse, "101 before the end of the request"))
            }
            self.origin?.connectionPersists = response.originPersists
            self.begin(response, now: now)
        } catch {
            self.fail(OriginFailure(.badResponse, error.rawValue))
        }
    }

    /// The client's connection takes no further request behind the answer. The rest of a body that the origin did not wait for may be
    /// long.
    var closesBehindAnswer: Bool { self.stream.isLastRequest || !self.isRequestComplete }

    /// The origin's response goes out.
    private func begin(_ judged: consuming CheckedResponse, now: NIODeadline) {
        var response = judged
        self.originPace = TransferPace(self.site.origins.configuration.pace)
        if let cache { cache.passing(&response) } else { self.addFields(to: &response) }
        self.response = response
        (self.status, self.answered) = (response.status, now)
        self.stream.send(response.head)
        if self.cache?.hasAllOfPassing == true { self.hasAll() }
    }

    /// Where there is a cache, its rules have the site's fields.
    private func addFields(to response: inout CheckedResponse) {
        if response.status != 101 { self.site.responseFields.apply(to: &response.head) }
    }

    func cacheBody(_ bytes: ByteBuffer) {
        self.responseBytes += bytes.readableBytes
        self.stream.send(bytes)
    }

    /// The cache's answer.
    func cacheHead(_ response: CheckedResponse) {
        self.response = response
        (self.status, self.answered) = (response.status, .now())
        self.stream.send(response.head)
    }

    func originBody(_ bytes: ByteBuffer, now: NIODeadline) {
        guard !self.isOver, let clientBody = self.response?.clientBody, clientBody != .none else { return }
        self.originPace.moved(bytes.readableBytes, now: now)
        var bytes = bytes
        if let cache {
            cache.passing(&bytes)
            guard bytes.readableBytes > 0 else { return }
        }
        self.cacheBody(bytes)
        if self.cache?.hasAllOfPassing == true { self.hasAll() }
    }

    /// The client has all of what it asked for; the rest of the origin's response is for no one.
    private func hasAll() {
        self.origin?.cancel()
        self.origin = nil
        self.isOver = true
        self.cache?.passedWhole()
        self.stream.exchangeEnded(self, trailers: nil, persists: self.response?.clientPersists ?? false)
    }

    func originReadComplete() {
        guard !self.isOver else { return }
        self.stream.flush()
        if !self.stream.isWritable { self.origin?.pause() }
        self.stream.exchangeMoved()
    }

    func originEnd(_ trailers: FieldSection?) {
        guard !self.isOver else { return }
        guard let clientBody = self.response?.clientBody else {
            return self.originFailed(OriginFailure(.badResponse, "end before the head"))
        }
        self.isOver = true
        if self.status == 101 {
            self.stream.flush()
            if let origin = self.origin?.detach() {
                self.stream.becomeTunnel(self, to: origin)
            } else {
                self.stream.abort(self, outcome: "origin-failed")
            }
        } else {
            self.cache?.passedWhole()
            self.stream.exchangeEnded(
                self, trailers: clientBody == .chunked ? TrailerFields.forwarded(trailers) : nil,
                persists: self.response?.clientPersists ?? false)
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
        self.site.origins.standing.failed(failure.cause)
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
            (self.status, self.answered) = (local.status, .now())
            self.stream.answer(local, instead: self)
        } else {
            self.stream.abort(self, outcome: local.reason)
        }
    }
}

/// Whom a connection waits for.
enum ProxyWait {
    case request, requestBody, origin, cache, clientReads, lingering
}
