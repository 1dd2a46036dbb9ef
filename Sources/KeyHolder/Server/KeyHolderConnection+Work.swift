import Admission
import KeyProtocol
import NIOCore
import Synchronization
import TLSWire

/// Work that waits for its turn: on the event loop, and on the threads for slow keys.
extension KeyHolderConnection {
    /// When an answer must be on its way: an eighth of the time is left for that.
    func deadline(of message: KeyMessage, _ arrival: UInt64) -> UInt64 {
        let limits: KeyHolderLimits = self.core.limits
        let asked: TimeAmount = message.deadline.map { .milliseconds(Int64($0)) } ?? limits.requestDeadline
        let time: Int64 = min(asked, limits.longestDeadline).nanoseconds
        return arrival + UInt64(max(0, time - time / 8))
    }

    func owner(of message: KeyMessage, for site: Site, _ edge: String, _ arrival: UInt64) -> WorkOwner {
        WorkOwner(
            edge: edge, site: site.name, network: ClientNetwork(message.clientIP.flatMap { IPAddress(bytes: $0) }),
            urgency: .beginning, deadline: self.deadline(of: message, arrival))
    }

    /// Has a job done on the event loop when its turn comes, which may be at once.
    ///
    /// - Returns: Why it is refused: then the job is not called.
    private func enqueue(_ owner: WorkOwner, _ job: @escaping (LoopWork.Outcome) -> Void) -> WorkRefusal? {
        // What belongs to handshakes that were begun has room when begins have none.
        let times: Int = owner.urgency == .underWay ? 2 : 1
        let limits: KeyHolderLimits = self.core.limits
        // The edge's other connections count as well: what waits holds audit lines, of which there must be some for others.
        guard self.queued < limits.inFlight * times, let work = self.work, let account = self.account,
            account.enter(limit: limits.inFlightPerEdge * times)
        else { return .overloaded }
        self.queued += 1
        let refusal: WorkRefusal? = work.submit(owner, now: Clock.monotonic()) { outcome in
            self.queued -= 1
            account.leave()
            job(outcome)
            self.flushSoon()
        }
        if refusal != nil {
            self.queued -= 1
            account.leave()
        }
        return refusal
    }

    func begin(
        _ request: HandshakeBegin, _ hello: ClientHello, _ site: Site, _ needed: KeyProtocol.Operation, _ id: UInt32,
        _ line: AuditDraft, _ owner: WorkOwner
    ) {
        let shown: CredentialSet = site.shown(at: self.core.wallClock() / 1000)
        // What the key could not do in time is not begun either.
        if let refusal = self.refusalOfKey(site.handoff.likelyCredential(for: hello, showing: shown), owner) {
            return self.refuse(id, refusal, line)
        }
        let refusal: WorkRefusal? = self.enqueue(owner) { outcome in
            guard case .perform = outcome else { return self.refuse(id, .pastDeadline, line) }
            guard let desk = self.desk, self.isWanted(site, nil, [needed], line.edge) else {
                return self.performed(.notDone, site, nil, [needed], id, line)
            }
            desk.begin(request, hello, site, needed, id, line, owner)
        }
        if let refusal { self.refuse(id, refusal, line) }
    }

    private func refusalOfKey(_ credential: SiteCredential?, _ owner: WorkOwner) -> WorkRefusal? {
        guard let key = credential?.key, let scheme = key.type.schemes.first, let work = self.work else { return nil }
        let cost: KeyOperationCost = key.cost(of: .sign(scheme, content: .tls13Server(transcriptHash: [])))
        if case .inPlace = cost { return nil }
        // By then it is part of a handshake that was begun.
        var owner: WorkOwner = owner
        let delay: UInt64 = work.estimatedTime(owner)
        owner.urgency = .underWay
        return self.core.slow.refusal(of: owner, cost, now: Clock.monotonic(), after: delay)
    }

    /// A continue or forget. Its handshake does not survive it if it cannot be looked at in time: the client is gone by then.
    func turn(
        _ handshake: UInt64, _ deadline: UInt64, _ id: UInt32, _ line: AuditDraft,
        _ body: @escaping (HandshakeDesk) -> String?
    ) {
        guard let desk = self.desk else { return self.core.audit.cancel() }
        guard let owner = desk.owner(of: handshake, deadline: deadline) else {
            return self.refuseIfNeeded(body(desk), id, line)
        }
        let giveUp: (WorkRefusal) -> Void = { refusal in
            self.core.audit.cancel()
            self.send(.failure(id: id, refusal.code))
            desk.giveUp(handshake, refusal)
        }
        let refusal: WorkRefusal? = self.enqueue(owner) { outcome in
            switch outcome {
            case .perform: self.refuseIfNeeded(body(desk), id, line)
            case .drop: giveUp(.pastDeadline)
            }
        }
        if let refusal { giveUp(refusal) }
    }

    /// A handshake has an audit line of its own.
    private func refuseIfNeeded(_ reason: String?, _ id: UInt32, _ line: AuditDraft) {
        guard let reason else { return self.core.audit.cancel() }
        var line: AuditDraft = line
        line.detail = reason
        self.refuse(id, .formatError, .formatError, line)
    }

    /// Whether the operation is still to be done, after it waited.
    private func isWanted(
        _ site: Site, _ credential: SiteCredential?, _ needs: [KeyProtocol.Operation], _ edge: String
    ) -> Bool {
        !self.core.audit.isClosed && !self.hasEnded.value.load(ordering: .relaxed)
            && self.core.policy.stillGrants(site, by: credential, to: edge, needs, now: Clock.monotonic())
    }

    // MARK: Key operations

    /// - Parameter policy: By which the request was judged.
    func perform(
        _ operation: KeyOperation, _ keyed: KeyedSite, _ needs: [KeyProtocol.Operation], _ id: UInt32,
        _ line: AuditDraft, _ owner: WorkOwner, under policy: Policy
    ) {
        let (site, credential) = (keyed.site, keyed.credential)
        let key: any StoredKey = credential.key
        let refusal: WorkRefusal?
        let cancelled = Flag()
        self.cancelled[id] = cancelled
        if case .inPlace = key.cost(of: operation) {
            refusal = self.enqueue(owner) { outcome in
                self.cancelled[id] = nil
                guard !cancelled.value.load(ordering: .relaxed) else {
                    return self.refuse(id, .cancelled, .cancelled, line)
                }
                guard case .perform = outcome else { return self.refuse(id, .pastDeadline, line, needs) }
                let isCurrent: Bool =
                    self.core.policy === policy && !self.core.audit.isClosed
                    && !self.hasEnded.value.load(ordering: .relaxed)
                guard isCurrent || self.isWanted(site, credential, needs, line.edge) else {
                    return self.performed(.notDone, site, credential, needs, id, line)
                }
                let result: Result<[UInt8], KeyOperationError> = Result { () throws(KeyOperationError) in
                    try key.perform(operation)
                }
                self.answer(result, id, line)
            }
        } else {
            refusal = self.performSlowly(operation, key, site, credential, needs, owner, unless: cancelled) { outcome in
                self.cancelled[id] = nil
                if case .notDone = outcome, cancelled.value.load(ordering: .relaxed) {
                    self.refuse(id, .cancelled, .cancelled, line)
                    return self.flushSoon()
                }
                self.performed(outcome, site, credential, needs, id, line)
            }
        }
        guard let refusal else { return }
        self.cancelled[id] = nil
        self.refuse(id, refusal, line, needs)
    }

    /// Has an operation done that takes long, and calls back on the event loop, unless it is refused.
    func performSlowly(
        _ operation: KeyOperation, _ key: any StoredKey, _ site: Site, _ credential: SiteCredential?,
        _ needs: [KeyProtocol.Operation], _ owner: WorkOwner, unless cancelled: Flag? = nil,
        _ done: @escaping (SlowOutcome<KeyResult>) -> Void
    ) -> WorkRefusal? {
        self.runSlowly(
            key.cost(of: operation), site, credential, needs, owner, unless: cancelled,
            { Result { () throws(KeyOperationError) in try key.perform(operation) } }, done)
    }

    /// The same for any work that a thread does.
    func runSlowly<Value: Sendable>(
        _ cost: KeyOperationCost, _ site: Site, _ credential: SiteCredential?, _ needs: [KeyProtocol.Operation],
        _ owner: WorkOwner, unless cancelled: Flag? = nil, _ work: @escaping @Sendable () -> Value,
        _ done: @escaping (SlowOutcome<Value>) -> Void
    ) -> WorkRefusal? {
        let edge: String = owner.edge
        guard let deliver = self.enterSlow(edge, done) else { return .overloaded }
        let core: KeyHolderCore = self.core
        let hasEnded: Flag = self.hasEnded
        let refusal: WorkRefusal? = core.slow.submit(owner, cost, now: Clock.monotonic()) { turn in
            switch turn {
            case .drop: deliver(.pastDeadline)
            case .end: deliver(.notDone)
            case .perform:
                // It may have waited for long: look again whether the operation is wanted and allowed, and can be audited.
                guard !hasEnded.value.load(ordering: .relaxed), !core.audit.isClosed,
                    cancelled?.value.load(ordering: .relaxed) != true,
                    core.policy.stillGrants(site, by: credential, to: edge, needs, now: Clock.monotonic())
                else { return deliver(.notDone) }
                deliver(.done(work()))
            }
        }
        if refusal != nil { self.leaveSlow(edge) }
        return refusal
    }

    /// Makes room for slow work, which is given back when its outcome comes.
    ///
    /// - Returns: What takes the outcome, on any thread; nil: there is no room.
    private func enterSlow<Value: Sendable>(
        _ edge: String, _ done: @escaping (SlowOutcome<Value>) -> Void
    ) -> (@Sendable (SlowOutcome<Value>) -> Void)? {
        guard self.inFlight < self.core.limits.inFlight, let eventLoop = self.context?.eventLoop,
            self.core.slow.begin(edge)
        else { return nil }
        self.inFlight += 1
        let ended = NIOLoopBound(
            { (outcome: SlowOutcome<Value>) in
                self.leaveSlow(edge)
                done(outcome)
                self.closeIfDrained()
            }, eventLoop: eventLoop)
        return { outcome in
            eventLoop.execute { ended.value(outcome) }
        }
    }

    private func leaveSlow(_ edge: String) {
        self.inFlight -= 1
        self.core.slow.end(edge)
    }

    /// An operation that waited has come back. The grant it was begun under may be gone by now; then so is its result.
    private func performed(
        _ outcome: SlowOutcome<KeyResult>, _ site: Site, _ credential: SiteCredential?,
        _ needs: [KeyProtocol.Operation], _ id: UInt32, _ line: AuditDraft
    ) {
        defer { self.flushSoon() }
        var line: AuditDraft = line
        if case .done = outcome { line.usedKey = true }
        guard self.core.policy.stillGrants(site, by: credential, to: line.edge, needs, now: Clock.monotonic()) else {
            let code: KeyErrorCode = self.core.policy.knows(edge: line.edge) ? .keyNotFound : .noGrant
            return self.refuse(id, code, .denied, line)
        }
        switch outcome {
        case .done(let result) where !self.hasEnded.value.load(ordering: .relaxed):
            return self.answer(result, id, line)
        case .pastDeadline: return self.refuse(id, .pastDeadline, line, needs)
        case .done: line.detail = "done, not sent"
        case .notDone: line.detail = "not done"
        }
        self.refuse(id, .internalError, .abandoned, line)
    }
}
