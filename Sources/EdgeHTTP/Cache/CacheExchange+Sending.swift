import CacheStorage
import HTTPCaching
import HTTPFields
import HTTPForwarding
import NIOCore

/// Answering: from the store, or from a response that is still on its way into it. `send` writes the head; ``pump()`` the rest.
extension CacheExchange {
    func serve(_ entry: CachedResponse, _ hit: Hit, now: Int64) {
        entry.recordUse()
        self.send(entry, status: self.cache.status?.value(.hit(hit), now: now), now: now)
        self.pump()
    }

    /// - Parameter status: what the origin answered; `nil` if nothing.
    func serveStale(_ entry: CachedResponse, _ hit: Hit, origin status: Int?, now: Int64) {
        entry.recordUse()
        let text = self.cache.status?.value(.staleIfError(self.turn.reason, hit, status: status), now: now)
        self.send(entry, status: text, now: now)
        self.pump()
    }

    func send(
        _ entry: CachedResponse, as response: StoredResponse? = nil, withheld: FieldSection? = nil,
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
            self.send(answer, body: nil, status: status)
        case .whole:
            let body = entry.body.chunks.map { CachedBody($0, of: entry.body) } ?? CachedBody(reader(nil))
            self.send(answer, body: body, status: status)
        case .range(let range):
            let body = CachedBody(reader(Int(range.lowerBound)..<Int(range.upperBound) + 1))
            self.send(answer, body: body, status: status)
        case .multipart(let multipart):
            self.send(answer, body: CachedBody(multipart) { reader($0) }, status: status)
        }
    }

    /// From a response that is still on its way.
    func send(
        _ stored: StoredResponse, from follower: FillFollower, withheld: FieldSection?,
        status: String?, now: Int64
    ) {
        var response = stored
        // What comes piece by piece can't be read twice: several ranges are answered with the whole.
        if self.request.asksForSeveralRanges { response.extent = .complete(length: nil) }
        let answer = Answer(
            from: response, to: self.request, now: now, source: .origin, withheld: withheld, boundary: Self.boundary)
        switch answer.body {
        case .none, .multipart:
            follower.cancel()
            self.send(answer, body: nil, status: status)
        case .whole:
            self.send(answer, body: CachedBody(follower.body()), status: status)
        case .range(let range):
            let body = CachedBody(follower.body(range: Int(range.lowerBound)..<Int(range.upperBound) + 1))
            self.send(answer, body: body, status: status)
        }
    }

    private func send(_ answer: Answer, body: CachedBody?, status: String?) {
        let response = CheckedResponse(
            answer, to: self.asked, closing: self.exchange.isLastRequest, status: status.map { .text($0) })
        self.followed = []
        self.body = body
        self.exchange.cacheHead(response)
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

    private func sendMore() {
        guard case .sending = self.turn.phase else { return }
        guard let body else { return self.ended(nil) }
        let exchange = self.exchange
        let progress = body.pump(
            room: { exchange.room }, send: { exchange.cacheBody($0) }, flush: { exchange.flush() })
        // The client may have gone at a flush.
        guard case .sending = self.turn.phase else { return }
        switch progress {
        case .blocked, .pending: exchange.originReadComplete()
        case .end: self.ended(nil)
        case .truncated(let failure): self.ended(failure)
        }
    }

    private func ended(_ failure: FillFailure?) {
        self.turn.ended()
        self.body = nil
        let fetch = self.fetch
        self.fetch = nil
        let (trailers, cause) = (fetch?.trailers, fetch?.failure)
        fetch?.leaderLeft()
        if let failure {
            self.exchange.fail(cause ?? OriginFailure(.reset, "\(failure)"))
        } else {
            self.exchange.originEnd(trailers)
        }
    }

    func clientWritabilityChanged(_ isWritable: Bool) {
        if isWritable { self.pump() }
    }

    static func boundary() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<3).map { _ in String(generator.next(), radix: 36) }.joined()
    }
}
