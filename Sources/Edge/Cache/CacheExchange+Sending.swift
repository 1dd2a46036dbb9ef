import CacheStorage
import HTTPCaching
import HTTPForwarding
import NIOCore
import NIOHTTP1

/// Answering: from the store, or from a response that is still on its way into it.
extension CacheExchange {
    func serve(_ entry: CachedResponse, _ hit: Hit, now: Int64) {
        entry.recordUse()
        let word: CacheOutcome.Word =
            switch hit.allowance {
            case .fresh: .hit
            case .staleWhileRevalidate, .maxStale: .stale
            case .staleIfError: .staleIfError
            }
        self.outcome = CacheOutcome(word: word, reason: hit.allowance.rawValue)
        self.send(entry, status: self.cache.status?.value(.hit(hit), now: now), now: now)
    }

    /// Serves a stale response in the place of the origin's failure, if one may be.
    ///
    /// - Parameter status: what the origin answered; nil if nothing.
    /// - Returns: whether it did.
    func serveStale(_ entry: CachedResponse?, origin status: Int?, now: Int64) -> Bool {
        guard let entry, let hit = self.request.staleIfError(entry.response, at: 0, status: status, now: now) else {
            return false
        }
        entry.recordUse()
        self.outcome = CacheOutcome(word: .staleIfError, reason: status.map { "origin-\($0)" } ?? "origin-failed")
        let text = self.cache.status?.value(.staleIfError(self.reason, hit, status: status), now: now)
        self.send(entry, status: text, now: now)
        return true
    }

    func send(
        _ entry: CachedResponse, as response: StoredResponse? = nil, withheld: [(name: String, value: String)] = [],
        status: String?, now: Int64
    ) {
        let answer = Answer(
            from: response ?? entry.response, to: self.request, now: now, source: .store, withheld: withheld,
            boundary: Self.boundary)
        let eventLoop = self.client.eventLoop
        func reader(_ range: Range<Int>?) -> BodyReader {
            entry.body.reader(range: range, on: eventLoop, wake: self.wake)
        }
        switch answer.body {
        case .none:
            self.send(answer, body: nil, status: status, fetch: nil)
        case .whole:
            let body = entry.body.chunks.map { CachedBody($0, of: entry.body) } ?? CachedBody(reader(nil))
            self.send(answer, body: body, status: status, fetch: nil)
        case .range(let range):
            let body = CachedBody(reader(Int(range.lowerBound)..<Int(range.upperBound) + 1))
            self.send(answer, body: body, status: status, fetch: nil)
        case .multipart(let multipart):
            self.send(answer, body: CachedBody(multipart) { reader($0) }, status: status, fetch: nil)
        }
    }

    /// From a response that is still on its way.
    func send(
        _ stored: StoredResponse, from follower: FillFollower, withheld: [(name: String, value: String)],
        status: String?, fetch: CacheFetch?, now: Int64
    ) {
        var response = stored
        // What comes piece by piece can't be read twice: several ranges are answered with the whole.
        if self.request.asksForSeveralRanges { response.extent = .complete(length: nil) }
        let answer = Answer(
            from: response, to: self.request, now: now, source: .origin, withheld: withheld, boundary: Self.boundary)
        switch answer.body {
        case .none, .multipart:
            follower.cancel()
            self.send(answer, body: nil, status: status, fetch: fetch)
        case .whole:
            self.send(answer, body: CachedBody(follower.body()), status: status, fetch: fetch)
        case .range(let range):
            let body = CachedBody(follower.body(range: Int(range.lowerBound)..<Int(range.upperBound) + 1))
            self.send(answer, body: body, status: status, fetch: fetch)
        }
    }

    func send(_ answer: Answer, body: CachedBody?, status: String?, fetch: CacheFetch?) {
        let response = ForwardedResponse(
            answer, to: self.forwarded, closing: self.exchange.isLastRequest, status: status)
        self.followed = []
        self.exchange.cacheHead(response)
        guard let body else {
            self.state = .over
            fetch?.leaderLeft()
            return self.exchange.originEnd(nil)
        }
        self.state = .sending(body, fetch)
        self.pump()
    }

    /// A flush may say from within that the client takes more, and so lead here again: then it is done after that.
    func pump() {
        guard !self.isPumping else { return self.pumpsAgain = true }
        self.isPumping = true
        defer { self.isPumping = false }
        repeat {
            self.pumpsAgain = false
            self.sendMore()
        } while self.pumpsAgain
    }

    func sendMore() {
        guard case .sending(let body, let fetch) = self.state else { return }
        let exchange = self.exchange
        let progress = body.pump(
            room: { exchange.room }, send: { exchange.originBody($0) }, flush: { exchange.flush() })
        // The client may have gone at a flush.
        guard case .sending = self.state else { return }
        switch progress {
        case .blocked, .pending:
            exchange.originReadComplete()
        case .end:
            self.state = .over
            let trailers = fetch?.trailers
            fetch?.leaderLeft()
            exchange.originEnd(trailers)
        case .truncated(let failure):
            self.state = .over
            let cause = fetch?.failure
            fetch?.leaderLeft()
            exchange.fail(cause ?? OriginFailure(.reset, "\(failure)"))
        }
    }

    func clientWritabilityChanged(_ isWritable: Bool) {
        if isWritable { self.pump() }
    }

    /// Run on this event loop when a reader or a follower has news.
    var wake: @Sendable () -> Void {
        let target = NIOLoopBound(WakeTarget(self), eventLoop: self.client.eventLoop)
        return { target.value.exchange?.woken() }
    }

    func woken() {
        switch self.state {
        case .waiting(let follower, nil): self.followerHasNews(follower)
        case .sending: self.pump()
        case .waiting, .idle, .loading, .inLine, .direct, .over: break
        }
    }

    static func boundary() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<3).map { _ in String(generator.next(), radix: 36) }.joined()
    }
}
