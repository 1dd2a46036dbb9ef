import KeyProtocol
import Logging
import NIOCore
import Synchronization

/// What becomes of requests: verdicts of ``RequestJudge`` carried out.
extension KeyHolderConnection {
    func handle(_ event: KeyPacketEvent) {
        guard let edge = self.edge else { return self.answerNoGrant(event) }
        let arrival: UInt64 = Clock.monotonic()
        if case .draining = self.phase, !Self.goesOn(event) { return }
        switch event {
        case .malformed(let id, let code):
            let line = AuditDraft(edge: edge, operation: "unknown", arrival: arrival, detail: "malformed packet")
            guard self.reserve(id) else { return }
            self.refuse(id, code, .formatError, line)
        case .packet(let packet) where packet.body.opcode == .ping:
            self.pong(packet)
        case .packet(let packet) where packet.body.opcode == .cancel:
            self.cancelled.removeValue(forKey: packet.id)?.value.store(true, ordering: .relaxed)
        case .packet(let packet):
            guard self.reserve(packet.id) else { return }
            self.handle(packet, of: edge, arrival)
        }
    }

    /// Whether it goes on with what was begun here, or asks whether this end lives.
    private static func goesOn(_ event: KeyPacketEvent) -> Bool {
        guard case .packet(let packet) = event else { return false }
        return switch RequestKind(packet.body) {
        case .ping, .function(.handshakeContinue), .function(.handshakeForget): true
        default: false
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

    /// Answered at once, whatever work waits: that is how an edge tells a busy key holder from one that is gone.
    private func pong(_ ping: KeyPacket) {
        if let account = self.account { self.pause(account.ping(now: Clock.monotonic())) }
        guard ping.body.payload.readableBytes <= Self.longestPing else {
            self.core.metrics.operation("ping", .formatError, nanoseconds: 0)
            self.send(.failure(id: ping.id, .formatError))
            return self.countRefusal()
        }
        self.send(KeyPacket(id: ping.id, body: KeyMessage(opcode: .pong, payload: ping.body.payload)))
    }

    /// What the audit says of a request that is at another key holder, too.
    private static let hedge: String = "a hedge: another key holder was asked before"

    /// Bytes of payload that a pong repeats: what a padded packet has room for.
    static let longestPing: Int = 512

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
            self.sendAudited(.success(id: packet.id, payload: payload))
        case .challenge(let name, let request, let grant):
            guard let value = self.core.challenges.value(of: request.token, for: name) else {
                // Clients ask for whatever they like; nothing was given.
                self.core.audit.cancel()
                return self.send(.success(id: packet.id, payload: ChallengeAnswer(keyAuthorization: nil).encoded()))
            }
            // What is given leaves a line, so it has a rate.
            guard grant.takeChallengeToken(now: arrival) else {
                return self.refuse(packet.id, .rateLimited, .rateLimited, line)
            }
            self.conclude(line, .ok)
            self.sendAudited(
                .success(id: packet.id, payload: ChallengeAnswer(keyAuthorization: value).encoded()))
        case .lease(let request):
            self.lease(request, of: edge, packet.id, line)
        case .refuse(let code, let outcome):
            self.warnOfOtherRevision(packet.body)
            // The last grant may have gone a moment ago, and the connection is about to hear of it.
            let isKnown: Bool = self.core.policy.knows(edge: edge)
            self.refuse(packet.id, code == .keyNotFound && !isKnown ? .noGrant : code, outcome, line)
        case .perform(let operation, let keyed, let needs):
            let owner: WorkOwner = self.owner(of: packet.body, for: keyed.site, edge, arrival)
            var line: AuditDraft = line
            line.certificate = keyed.site.fingerprint(of: keyed.credential)
            if packet.body.isHedge { line.detail = line.detail.map { "\($0); \(Self.hedge)" } ?? Self.hedge }
            self.perform(operation, keyed, needs, packet.id, line, owner, under: judge.policy)
        case .begin(let request, let hello, let grant, let needed):
            let owner: WorkOwner = self.owner(of: packet.body, for: grant.site, edge, arrival)
            self.begin(request, hello, grant.site, needed, packet.id, line, owner)
        case .proceed(let request):
            let deadline: UInt64 = self.deadline(of: packet.body, arrival)
            self.turn(request.handshake, deadline, packet.id, line) { desk in
                desk.proceed(request, packet.id, deadline: deadline)
            }
        case .forget(let request):
            let deadline: UInt64 = self.deadline(of: packet.body, arrival)
            self.turn(request.handshake, deadline, packet.id, line) { desk in desk.forget(request, packet.id) }
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

    func answer(_ result: Result<[UInt8], KeyOperationError>, _ id: UInt32, _ line: AuditDraft) {
        switch result {
        case .success(let bytes):
            self.conclude(line, .ok)
            self.sendAudited(.success(id: id, payload: ByteBuffer(bytes: bytes)))
        case .failure(.wrongKeyType):
            self.refuse(id, .badOpcode, .wrongKeyType, line)
        case .failure(.badLength):
            self.refuse(id, .formatError, .formatError, line)
        case .failure(.failed):
            var line: AuditDraft = line
            line.usedKey = true
            self.refuse(id, .cryptographyFailed, .cryptographyFailed, line)
        }
    }

    func refuse(
        _ id: UInt32, _ refusal: WorkRefusal, _ line: AuditDraft, _ needs: [KeyProtocol.Operation] = []
    ) {
        let code: KeyErrorCode = needs.contains(where: \.isStock) ? refusal.code.stock : refusal.code
        self.refuse(id, code, refusal.outcome, line)
    }

    func refuse(_ id: UInt32, _ code: KeyErrorCode, _ outcome: AuditOutcome, _ line: AuditDraft) {
        self.send(.failure(id: id, code))
        self.conclude(line, outcome)
        if !line.isOfClients, !outcome.isOfClients { self.countRefusal() }
    }

    /// Refusals cost the key holder audit lines, so a peer that collects them is slowed down. Not for what its clients do, or a
    /// site's many clients would slow down the edge's other sites.
    func countRefusal() {
        guard let account = self.account else { return }
        self.pause(account.refusal(now: Clock.monotonic()))
    }

    func conclude(_ line: AuditDraft, _ outcome: AuditOutcome) {
        self.core.conclude(line, outcome)
    }
}

extension AuditOutcome {
    /// Whether an edge's clients bring it about by being many, or coming at the wrong time. All but the first count against
    /// the grant's rate.
    var isOfClients: Bool {
        switch self {
        case .rateLimited, .overloaded, .pastDeadline, .cancelled, .expired, .staleCertificate: true
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

    func replyAudited(to id: UInt32, _ payload: ByteBuffer, _ extra: ByteBuffer?) {
        self.sendAudited(.success(id: id, payload: payload, extra: extra))
        self.flushSoon()
    }

    func refuse(_ id: UInt32, _ code: KeyErrorCode, isViolation: Bool) {
        self.send(.failure(id: id, code))
        if isViolation { self.countRefusal() }
        self.flushSoon()
    }

    func performSlowly(
        _ operation: KeyOperation, with key: any StoredKey, for site: Site, by credential: SiteCredential?,
        needs needed: KeyProtocol.Operation, _ owner: WorkOwner, _ done: @escaping (SlowOutcome<KeyResult>) -> Void
    ) -> WorkRefusal? {
        self.performSlowly(operation, key, site, credential, [needed], owner, done)
    }

    func takeSlowly(
        _ turn: LibraryTurn, for site: Site, by credential: SiteCredential?, needs needed: KeyProtocol.Operation,
        _ owner: WorkOwner, _ done: @escaping (SlowOutcome<Void>) -> Void
    ) -> WorkRefusal? {
        self.runSlowly(.offload, site, credential, [needed], owner, { turn.perform() }, done)
    }

    func stillGrants(_ needed: KeyProtocol.Operation, for site: Site, by credential: SiteCredential?) -> Bool {
        guard let edge = self.edge else { return false }
        return self.core.policy.stillGrants(site, by: credential, to: edge, [needed], now: Clock.monotonic())
    }
}
