import DequeModule
import NIOCore

/// Several key holders as one: what takes long is asked for at a second one, and one that goes silent is left.
extension KeyHolderPool {
    /// How often those that take long are looked at.
    private static let watchInterval: Int64 = 25_000_000

    /// Looks after a request that was just sent.
    func watch(_ request: Request) {
        guard self.links.count > 1, !request.isDone else { return }
        self.watched.append(request)
        self.armWatch()
    }

    private func armWatch() {
        guard self.watchTimer == nil, !self.stopped else { return }
        let now = Self.now
        var due = self.overdue.isEmpty ? Int64.max : now + Self.watchInterval
        if let first = self.watched.first {
            due = min(due, max(now, (first.attempts.first?.sentAt ?? now) + self.plan.wait))
        }
        guard due != .max else { return }
        self.watchTimer = self.eventLoop.assumeIsolated().scheduleTask(deadline: .uptimeNanoseconds(UInt64(due))) {
            [weak self] in
            guard let self else { return }
            self.watchTimer = nil
            self.look()
            self.armWatch()
        }
    }

    private func look() {
        let now = Self.now
        let wait = self.plan.wait
        while let first = self.watched.first {
            guard !first.isDone, let sentAt = first.attempts.first?.sentAt else {
                self.watched.removeFirst()
                continue
            }
            guard sentAt + wait <= now else { break }
            self.watched.removeFirst()
            self.overdue.append(first)
            self.hedge(first, now: now)
        }
        self.overdue.removeAll { $0.isDone || $0.attempts.isEmpty }
        guard !self.overdue.isEmpty else { return }
        let patience = self.plan.patience(
            within: self.configuration.deadline.nanoseconds, withOthers: self.overdue.contains { !$0.isSignature })
        let silent = self.selection.silenceNews(patience: patience, now: now)
        for index in silent.asked { self.links[index].probeNow() }
        for index in silent.left { self.leave(index) }
    }

    /// Asks a second key holder for a signature that the first one has not made yet.
    private func hedge(_ request: Request, now: Int64) {
        guard request.isSignature, request.attempts.count == 1, !request.wasHedged,
            let index = self.other(for: request), request.preferred?.contains(index) ?? true,
            self.plan.take(now: now)
        else { return }
        request.wasHedged = true
        self.send(request, to: index, asHedge: true)
    }

    /// A key holder has been silent for too long while others answer: what it was asked is asked elsewhere, before its time is over. What it
    /// answers after all brings it back.
    private func leave(_ index: Int) {
        self.suspected(index)
        self.links[index].probeNow()
        // Where no other key holder could do it, this one still may.
        let requests = (self.watched + self.overdue).filter { request in
            !request.isDone && request.attempts.contains { $0.index == index }
                && (request.attempts.count > 1 || self.other(for: request) != nil)
        }
        self.watched.removeAll { request in requests.contains { $0 === request } }
        self.overdue.removeAll { request in requests.contains { $0 === request } }
        for request in requests {
            guard let place = request.attempts.firstIndex(where: { $0.index == index }) else { continue }
            let attempt = request.attempts.remove(at: place)
            if request.isSignature {
                self.cancel(attempt)
            } else {
                attempt.handler.abandon(attempt.id)
                self.selection.timedOut(index)
            }
            if request.attempts.isEmpty {
                self.retry(request, after: .timedOut)
            } else {
                self.overdue.append(request)
            }
        }
    }

    /// What this one is asked is not wanted any more.
    func cancel(_ attempt: Request.Attempt) {
        attempt.handler.cancel(attempt.id)
        self.selection.outrun(attempt.index, after: Self.now - attempt.sentAt)
    }

    func suspected(_ index: Int) {
        self.selection.suspected(index)
        self.tellHealth()
    }

    // MARK: Health

    /// Calls back whenever the state of an address has changed, or its latency was measured anew.
    public func onHealth(_ callback: @escaping ([AddressHealth]) -> Void) {
        self.tellHealth()
        self.health.callback = callback
        callback(self.health.told)
    }

    func tellHealth() { self.health.tell(self.selection.holders) }
}
