import Admission
import KeyProtocol
import Logging
import NIOCore
import Synchronization

/// What becomes of requests: verdicts of ``RequestJudge`` carried out.
extension KeyHolderConnection {
    func handle(_ event: KeyPacketEvent) {
        guard let edge = self.edge else { return self.answerNoGrant(event) }
        let arrival: UInt64 = Clock.monotonic()
        switch event {
        case .malformed(let id, let code):
            let line = AuditDraft(edge: edge, operation: "unknown", arrival: arrival, detail: "malformed packet")
            guard self.reserve(id) else { return }
            self.refuse(id, code, .formatError, line)
        case .packet(let packet) where packet.body.opcode == .ping:
            self.send(KeyPacket(id: packet.id, body: KeyMessage(opcode: .pong, payload: packet.body.payload)))
        case .packet(let packet):
            guard self.reserve(packet.id) else { return }
            self.handle(packet, of: edge, arrival)
        }
    }

    /// The one answer that an edge without a grant gets.
    private func answerNoGrant(_ event: KeyPacketEvent) {
        switch event {
        case .malformed(let id, _): self.send(.failure(id: id, .noGrant))
        case .packet(let packet): self.send(.failure(id: packet.id, .noGrant))
        }
        self.close("the edge has no grant")
    }

    /// Without room for an audit line there is no operation.
    private func reserve(_ id: UInt32) -> Bool {
        guard self.core.audit.reserve() else {
            self.core.metrics.operation("unknown", .overloaded, nanoseconds: 0)
            self.send(.failure(id: id, .internalError))
            self.countRefusal()
            return false
        }
        return true
    }

    private func handle(_ packet: KeyPacket, of edge: String, _ arrival: UInt64) {
        let wallSeconds: Int64 = self.core.wallClock() / 1000
        guard wallSeconds <= self.expiry else {
            self.core.audit.cancel()
            return self.cutOff("the edge's identity has expired")
        }
        let judge = RequestJudge(
            edge: edge, policy: self.core.policy, now: arrival, wallSeconds: wallSeconds)
        let verdict: RequestJudge.Verdict = judge.judge(packet.body)
        let line = AuditDraft(
            edge: edge, site: verdict.site?.name, serverName: packet.body.serverName, clientIP: packet.body.clientIP,
            operation: verdict.operation, arrival: arrival, detail: verdict.detail)
        switch verdict.action {
        case .pong:
            self.core.audit.cancel()
        case .answer(let payload):
            self.conclude(line, .ok)
            self.send(.success(id: packet.id, payload: payload))
        case .lease(let request):
            self.lease(request, of: edge, packet.id, line)
        case .refuse(let code, let outcome):
            self.warnOfOtherRevision(packet.body)
            // The last grant may have gone a moment ago, and the connection is about to hear of it.
            let isKnown: Bool = self.core.policy.knows(edge: edge)
            self.refuse(packet.id, code == .keyNotFound && !isKnown ? .noGrant : code, outcome, line)
        case .perform(let operation, let grant, let needs):
            self.perform(operation, grant, needs, packet.id, line)
        case .begin(let request, let hello, let grant, let needed):
            self.desk?.begin(request, hello, grant.site, needed, packet.id, line)
        case .proceed(let request):
            self.refuseIfNeeded(self.desk?.proceed(request, packet.id), packet.id, line)
        case .finish(let request):
            self.refuseIfNeeded(self.desk?.finish(request, packet.id), packet.id, line)
        }
    }

    /// Says once for each connection that the edge speaks another revision of the protocol.
    private func warnOfOtherRevision(_ message: KeyMessage) {
        guard !self.hasWarnedOfRevision, case .unknown = RequestKind(message), let function = message.function,
            let remedy = OtherRevision.remedy(function)
        else { return }
        self.hasWarnedOfRevision = true
        self.logger.warning(
            "edge and key holder do not speak the same revision of the key protocol",
            metadata: ["function": "\(function)", "remedy": "\(remedy)"])
    }

    /// A handshake has an audit line of its own.
    private func refuseIfNeeded(_ reason: String?, _ id: UInt32, _ line: AuditDraft) {
        guard let reason else { return self.core.audit.cancel() }
        var line: AuditDraft = line
        line.detail = reason
        self.refuse(id, .formatError, .formatError, line)
    }

    private func perform(
        _ operation: KeyOperation, _ grant: Grant, _ needs: [KeyProtocol.Operation], _ id: UInt32, _ line: AuditDraft
    ) {
        let key: any StoredKey = grant.site.key
        if case .inPlace = key.cost(of: operation) {
            let result: Result<[UInt8], KeyOperationError> = Result { () throws(KeyOperationError) in
                try key.perform(operation)
            }
            return self.answer(result, id, line)
        }
        let site: Site = grant.site
        let isUnderWay: Bool = self.performSlowly(operation, key, site, needs, of: line.edge) { result in
            self.performed(result, site, needs, id, line)
        }
        if !isUnderWay {
            let code: KeyErrorCode = needs.contains(where: \.isStock) ? KeyErrorCode.overloaded.stock : .overloaded
            self.refuse(id, code, .overloaded, line)
        }
    }

    /// Has an operation done that takes long, and calls back on the event loop; without a result if it was not done. False:
    /// too many are under way, and nobody calls back.
    func performSlowly(
        _ operation: KeyOperation, _ key: any StoredKey, _ site: Site, _ needs: [KeyProtocol.Operation],
        of edge: String, _ done: @escaping (Result<[UInt8], KeyOperationError>?) -> Void
    ) -> Bool {
        guard self.inFlight < self.core.limits.inFlight, let eventLoop = self.context?.eventLoop,
            self.core.slow.begin(edge)
        else { return false }
        self.inFlight += 1
        let ended = NIOLoopBound(
            { (result: Result<[UInt8], KeyOperationError>?) in
                self.inFlight -= 1
                self.core.slow.end(edge)
                done(result)
                self.closeIfDrained()
            }, eventLoop: eventLoop)
        let deliver: @Sendable (Result<[UInt8], KeyOperationError>?) -> Void = { result in
            eventLoop.execute { ended.value(result) }
        }
        guard case .offload = key.cost(of: operation) else {
            key.perform(operation) { deliver($0) }
            return true
        }
        let core: KeyHolderCore = self.core
        let hasEnded: Flag = self.hasEnded
        core.slow.submit(of: edge) { active in
            // It may have waited for long: look again whether the operation is wanted and allowed.
            guard active, !hasEnded.value.load(ordering: .relaxed), core.policy.stillGrants(site, to: edge, needs)
            else { return deliver(nil) }
            deliver(Result { () throws(KeyOperationError) in try key.perform(operation) })
        }
        return true
    }

    /// A slow operation has come back; without a result if it was not done. The grant it was begun under may be gone by now;
    /// then so is its result.
    private func performed(
        _ result: Result<[UInt8], KeyOperationError>?, _ site: Site, _ needs: [KeyProtocol.Operation], _ id: UInt32,
        _ line: AuditDraft
    ) {
        if !self.core.policy.stillGrants(site, to: line.edge, needs) {
            let code: KeyErrorCode = self.core.policy.knows(edge: line.edge) ? .keyNotFound : .noGrant
            self.refuse(id, code, .denied, line)
        } else if let result, !self.hasEnded.value.load(ordering: .relaxed) {
            self.answer(result, id, line)
        } else {
            var line: AuditDraft = line
            line.detail = result == nil ? "not done" : "done, not sent"
            self.refuse(id, .internalError, .abandoned, line)
        }
        self.flushSoon()
    }

    private func answer(_ result: Result<[UInt8], KeyOperationError>, _ id: UInt32, _ line: AuditDraft) {
        switch result {
        case .success(let bytes):
            self.conclude(line, .ok)
            self.send(.success(id: id, payload: ByteBuffer(bytes: bytes)))
        case .failure(.wrongKeyType):
            self.refuse(id, .badOpcode, .wrongKeyType, line)
        case .failure(.badLength):
            self.refuse(id, .formatError, .formatError, line)
        case .failure(.failed):
            self.refuse(id, .cryptographyFailed, .cryptographyFailed, line)
        }
    }

    func refuse(_ id: UInt32, _ code: KeyErrorCode, _ outcome: AuditOutcome, _ line: AuditDraft) {
        self.send(.failure(id: id, code))
        guard outcome.isOfClients else {
            self.conclude(line, outcome)
            return self.countRefusal()
        }
        // Nothing else bounds the lines about what is over a rate.
        guard outcome != .rateLimited || self.overRateLines.take(now: Clock.monotonic()) else {
            self.core.metrics.operation(line.operation, outcome, nanoseconds: 0)
            return self.core.audit.cancel()
        }
        self.conclude(line, outcome)
    }

    /// Refusals cost the key holder audit lines, so a peer that collects them is slowed down. Not for what its clients do, or a
    /// site's many clients would slow down the edge's other sites.
    func countRefusal() {
        guard !self.paused, !self.refusals.take(now: Clock.monotonic()), let context = self.context else { return }
        self.paused = true
        context.eventLoop.assumeIsolated().scheduleTask(in: self.core.limits.refusalPause) {
            self.paused = false
            self.serve()
        }
    }

    /// Writes the audit line that was reserved, and counts.
    func conclude(_ line: AuditDraft, _ outcome: AuditOutcome) {
        let nanoseconds = Int64(Clock.monotonic() - line.arrival)
        self.core.metrics.operation(line.operation, outcome, nanoseconds: nanoseconds)
        self.core.audit.record(
            line.record(time: Clock.wallMilliseconds(), outcome: outcome, microseconds: nanoseconds / 1000))
    }
}

extension AuditOutcome {
    /// Whether an edge's clients bring it about by being many, or coming at the wrong time. All but the first count against
    /// the grant's rate.
    var isOfClients: Bool {
        switch self {
        case .rateLimited, .overloaded, .expired, .staleCertificate: true
        default: false
        }
    }
}

/// For the TLS handshakes with clients.
extension KeyHolderConnection: HandshakeDeskHost {
    func reply(to id: UInt32, _ payload: ByteBuffer) {
        self.send(.success(id: id, payload: payload))
        self.flushSoon()
    }

    func refuse(_ id: UInt32, _ code: KeyErrorCode, isViolation: Bool) {
        self.send(.failure(id: id, code))
        if isViolation { self.countRefusal() }
        self.flushSoon()
    }

    func performSlowly(
        _ operation: KeyOperation, for site: Site, needs needed: KeyProtocol.Operation,
        _ done: @escaping (Result<[UInt8], KeyOperationError>?) -> Void
    ) -> Bool {
        guard let edge = self.edge else { return false }
        return self.performSlowly(operation, site.handoff.key, site, [needed], of: edge, done)
    }

    func stillGrants(_ needed: KeyProtocol.Operation, for site: Site) -> Bool {
        guard let edge = self.edge else { return false }
        return self.core.policy.stillGrants(site, to: edge, [needed])
    }
}
