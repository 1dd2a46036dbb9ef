import Admission
import KeyProtocol
import Logging
import NIOCore
import RecordLayer
import TLSEngine
import TLSWire

/// The TLS handshakes with clients that are under way on one edge's connection.
///
/// Lives on the connection's event loop. Which inputs are whose:
/// - the edge's violations, refused with ``KeyErrorCode/formatError`` and counted: an id that was never given out, a continue
///   at the wrong time, bytes that are not whole records. They end the handshake, except where it is at work: then they leave it
///   alone;
/// - the client's, answered as progress that failed, with an alert: whatever the TLS library says, records that don't belong
///   there, more turns or bytes than a handshake needs;
/// - no party's, refused and not counted: a continue or forget for a handshake that has ended here. The edge that sent it could not
///   know.
///
/// A client's violation is never the edge's: else a few clients could have the edge read more slowly for all of its sites.
///
/// Each handshake leaves one audit line: when its session is exported, which ends it here, or when it ends before that.
final class HandshakeDesk {
    private struct Entry {
        let handshake: HandoffHandshake
        let site: Site
        /// Under which operation it was begun: ``KeyProtocol/Operation/handoff`` or
        /// ``KeyProtocol/Operation/handshakeTLS12``. The edge must hold it to the end.
        let needed: KeyProtocol.Operation
        /// With the deadline of the request that is at work.
        var owner: WorkOwner
        var line: AuditDraft
        /// The request that is to be answered when the turn ends.
        var pending: UInt32?
        var turns: Int = 0
        var bytes: Int
    }

    /// Continues of one handshake. A HelloRetryRequest takes one and TLS 1.2 one or two; the rest is for edges that pass on
    /// what they have.
    static let maximumTurns: Int = 4
    /// Bytes of one handshake that come from the client.
    static let maximumBytes: Int = ServerHandshake.maximumBytes

    private let edge: String
    private let core: KeyHolderCore
    private let channel: any Channel
    private weak var host: (any HandshakeDeskHost)?
    private var entries: [UInt64: Entry] = [:]
    private var lastID: UInt64 = 0
    /// In the order of their begin, which is that of their deadlines, too. Some are done already.
    private var deadlines = CircularBuffer<(id: UInt64, deadline: NIODeadline)>()
    private var timer: Scheduled<Void>?
    /// Requests that are to be answered.
    private(set) var turnsUnderWay: Int = 0

    init(edge: String, core: KeyHolderCore, channel: any Channel, host: any HandshakeDeskHost) {
        self.edge = edge
        self.core = core
        self.channel = channel
        self.host = host
    }

    /// Whether a handshake has yet to hear from its client before there is a session.
    var awaitsClients: Bool { !self.entries.isEmpty }

    // MARK: Requests

    /// - Parameter line: Reserved.
    func begin(
        _ request: HandshakeBegin, _ hello: ClientHello, _ site: Site, _ needed: KeyProtocol.Operation, _ id: UInt32,
        _ line: AuditDraft, _ owner: WorkOwner
    ) {
        // Before the key is used: a client of another protocol must not get a session (RFC 7301 section 3.2), and an authority's
        // check nothing but the certificate for it, whatever the edge says that it speaks.
        let challenge: HandoffContext? = self.core.challenges.context(for: hello)
        guard challenge != nil || !hello.isAuthorityCheck else {
            // Another key holder of the site may have ordered; the edge asks it then, and tells the client in the end.
            var line: AuditDraft = line
            line.detail = "an authority's check, and no order is open"
            return self.refuse(id, .certificateNotFound, line, .handshakeFailed)
        }
        guard challenge != nil || hello.accepts(anyOf: request.applicationProtocols) else {
            return self.reject(id, line, .noApplicationProtocol, "the client offers no application protocol of ours")
        }
        guard self.turnsUnderWay < self.core.limits.inFlight, let count = self.makeRoom() else {
            return self.refuse(id, .overloaded, line, .overloaded)
        }
        self.lastID += 1
        let own: UInt64 = self.lastID
        let handshake: HandoffHandshake
        do {
            let context: HandoffContext =
                try challenge
                ?? site.handoff.context(
                    for: request.applicationProtocols, hello, showing: site.shown(at: self.core.wallClock() / 1000),
                    allowsRSAKeyExchange: needed == .handoff)
            handshake = try HandoffHandshake(
                hello.random, context: context, slow: self.slowWork(own, site, needed))
        } catch {
            self.core.metrics.clientHandshakes(self.core.clientHandshakes.end(self.edge))
            var line: AuditDraft = line
            line.detail = "\(error)"
            return self.refuse(id, .internalError, line, .handshakeFailed)
        }
        self.core.metrics.clientHandshakes(count)
        // What follows is part of a handshake that was begun.
        var owner: WorkOwner = owner
        owner.urgency = .underWay
        self.entries[own] = Entry(
            handshake: handshake, site: site, needed: needed, owner: owner, line: line, pending: id,
            bytes: request.clientBytes.readableBytes)
        self.turnsUnderWay += 1
        handshake.begin(request.clientBytes) { turn in self.turned(own, turn) }
        // Most are over by now.
        if self.entries[own] != nil { self.watch(own) }
    }

    /// Answers a begin with an alert for the client. The handshake gets a number, and is forgotten.
    private func reject(_ id: UInt32, _ line: AuditDraft, _ alert: Alert.Description, _ reason: String) {
        var line: AuditDraft = line
        line.detail = reason
        self.lastID += 1
        self.host?.conclude(line, .handshakeFailed)
        self.answer(self.lastID, id, .failed(reason: reason), Alert(alert).record())
    }

    /// Counts a handshake more. If there are too many, the oldest one here that waits for its client gives way: most clients
    /// answer at once, so it is likely one that never will.
    private func makeRoom() -> Int? {
        if let count = self.core.clientHandshakes.begin(self.edge) { return count }
        guard let index = self.deadlines.firstIndex(where: { self.entries[$0.id].map { $0.pending == nil } ?? false })
        else { return nil }
        let oldest: UInt64 = self.deadlines.remove(at: index).id
        self.end(oldest, .stalled, "gave way to a newer one")
        return self.core.clientHandshakes.begin(self.edge)
    }

    private func slowWork(_ own: UInt64, _ site: Site, _ needed: KeyProtocol.Operation) -> HandoffHandshake.SlowWork {
        HandoffHandshake.SlowWork { [weak self] operation, key, done in
            guard let self, let entry = self.entries[own], let host = self.host else { return .overloaded }
            return host.performSlowly(
                operation, with: key, for: site, by: entry.handshake.credential, needs: needed, entry.owner, done)
        } take: { [weak self] turn, done in
            guard let self, let entry = self.entries[own], let host = self.host else { return .overloaded }
            return host.takeSlowly(
                turn, for: site, by: entry.handshake.credential, needs: needed, entry.owner, done)
        }
    }

    /// Whose work a request for the handshake is; nil: there is no such handshake.
    ///
    /// - Parameter deadline: The request's, monotonic nanoseconds.
    func owner(of handshake: UInt64, deadline: UInt64) -> WorkOwner? {
        guard var owner = self.entries[handshake]?.owner else { return nil }
        owner.deadline = deadline
        return owner
    }

    /// A request for the handshake was not looked at in time. Its client has given up, or will.
    func giveUp(_ handshake: UInt64, _ refusal: WorkRefusal) {
        self.end(handshake, refusal.outcome)
    }

    /// - Returns: Why the request is to be refused, if it has no effect on any handshake; else it is answered from here.
    func proceed(_ request: HandshakeContinue, _ id: UInt32, deadline: UInt64) -> String? {
        let own: UInt64 = request.handshake
        guard var entry = self.entries[own] else { return self.refuseLate(own, id) }
        guard entry.pending == nil else { return Self.turning }
        entry.turns += 1
        entry.bytes += request.clientBytes.readableBytes
        guard self.stillGrants(entry) else {
            self.host?.refuse(id, .keyNotFound, isViolation: false)
            self.end(own, .denied)
            return nil
        }
        // It may take the key.
        guard !self.core.audit.isClosed else {
            self.host?.refuse(id, .internalError, isViolation: false)
            self.end(own, .unavailable)
            return nil
        }
        do throws(Violation) { try Self.check(entry, request.clientBytes) } catch {
            if let alert = error.alert {
                self.answer(own, id, .failed(reason: error.reason), entry.handshake.reject(alert))
                self.end(own, .handshakeFailed, error.reason)
            } else {
                self.host?.refuse(id, .formatError, isViolation: true)
                self.end(own, .formatError, error.reason)
            }
            return nil
        }
        entry.pending = id
        entry.owner.deadline = deadline
        self.entries[own] = entry
        self.turnsUnderWay += 1
        entry.handshake.proceed(request.clientBytes) { turn in self.turned(own, turn) }
        return nil
    }

    private static let unknown: String = "no such handshake on this connection"
    private static let turning: String = "the handshake's last request is not answered yet"

    /// For a handshake that is not here. One that was may have run out of time, or given way: it has left its audit line, and
    /// the request needs none.
    private func refuseLate(_ own: UInt64, _ id: UInt32) -> String? {
        guard own > 0, own <= self.lastID else { return Self.unknown }
        self.host?.refuse(id, .formatError, isViolation: false)
        return nil
    }

    private struct Violation: Error {
        var reason: String
        /// For the client, whose violation it is; nil: the edge's.
        var alert: Alert.Description?
    }

    private static func check(_ entry: Entry, _ bytes: ByteBuffer) throws(Violation) {
        // An edge passes on what comes, when it comes.
        guard entry.turns <= Self.maximumTurns else {
            throw Violation(reason: "more turns than a handshake needs", alert: .decodeError)
        }
        guard entry.bytes <= Self.maximumBytes else {
            throw Violation(reason: "more bytes than a handshake needs", alert: .decodeError)
        }
        do throws(ClientRecordsError) { try entry.handshake.check(bytes) } catch {
            throw Violation(reason: "client bytes: \(error)", alert: error.alert)
        }
    }

    /// The client is gone.
    ///
    /// - Returns: As ``proceed(_:_:deadline:)``.
    func forget(_ request: HandshakeForget, _ id: UInt32) -> String? {
        let own: UInt64 = request.handshake
        guard self.entries[own] != nil else { return self.refuseLate(own, id) }
        self.host?.reply(to: id, ByteBuffer())
        self.end(own, .abandoned, "the client is gone")
        return nil
    }

    private static func audited(_ handshake: HandoffHandshake) -> AuditedHandshake? {
        handshake.chosen.map { AuditedHandshake($0, isExported: false) }
    }

    private func stillGrants(_ entry: Entry) -> Bool {
        self.host?.stillGrants(entry.needed, for: entry.site, by: entry.handshake.credential) ?? false
    }

    // MARK: Turns

    private func turned(_ own: UInt64, _ turn: HandoffHandshake.Turn) {
        guard let entry = self.entries[own], let id = entry.pending else { return }
        self.entries[own]?.pending = nil
        self.turnsUnderWay -= 1
        switch turn {
        case .needsMore(let bytes):
            self.answer(own, id, .needsMore, bytes)
        case .failed(let failure, let bytes):
            if let code = failure.code {
                self.host?.refuse(id, code, isViolation: false)
            } else {
                self.answer(own, id, .failed(reason: failure.reason), bytes)
            }
            self.end(own, failure.outcome, "\(failure)")
        case .exported(let session, let tickets, let bytes):
            self.export(session, tickets, bytes, own, id)
        case .answered(let bytes):
            self.answeredCheck(bytes, own, id)
        }
    }

    /// The authority has seen its certificate. The edge is told to pass the last bytes on and to close: there is no session.
    private func answeredCheck(_ bytes: ByteBuffer, _ own: UInt64, _ id: UInt32) {
        guard let entry = self.entries[own] else { return }
        var line: AuditDraft = entry.line
        line.detail = "an authority's check was answered"
        line.tls = Self.audited(entry.handshake)
        let progress = HandshakeProgress(
            handshake: own, state: .failed(reason: "an authority's check was answered"), serverBytes: bytes)
        self.host?.conclude(line, .ok)
        if let payload = self.encode(progress, for: id) { self.host?.replyAudited(to: id, payload, nil) }
        self.remove(own)
    }

    private func export(
        _ session: ServerSession, _ tickets: ByteBuffer, _ bytes: ByteBuffer, _ own: UInt64, _ id: UInt32
    ) {
        guard let entry = self.entries[own] else { return }
        var line: AuditDraft = entry.line
        line.tls = AuditedHandshake(session.facts, isExported: true)
        line.certificate = entry.site.fingerprint(of: entry.handshake.credential)
        self.entries[own]?.line = line
        // The library read the hello as the judge did; this is for the day on which it does not.
        guard entry.needed == .handoff || session.facts.version == TLSVersion.tls12 else {
            self.host?.refuse(id, .internalError, isViolation: false)
            return self.end(own, .handshakeFailed, "a version that the grant does not allow")
        }
        // The grant may have gone while the key was at work.
        guard self.stillGrants(entry) else {
            self.host?.refuse(id, .keyNotFound, isViolation: false)
            return self.end(own, .denied)
        }
        var lent = ByteBuffer()
        session.session.encode(into: &lent)
        var progress = HandshakeProgress(
            handshake: own, state: .exported(session: lent, tickets: tickets), serverBytes: bytes)
        progress.facts = SessionFacts(group: session.facts.group, resumed: session.facts.resumed)
        guard let payload = self.encode(progress, for: id) else {
            return self.end(own, .handshakeFailed, "the flight is too long for a packet of the key protocol")
        }
        self.host?.conclude(line, .ok)
        self.host?.replyAudited(to: id, payload, progress.extra)
        self.core.metrics.sessionExported(session.facts)
        self.remove(own)
    }

    private func answer(_ own: UInt64, _ id: UInt32, _ state: HandshakeProgress.State, _ bytes: ByteBuffer) {
        let progress = HandshakeProgress(handshake: own, state: state, serverBytes: bytes)
        if let payload = self.encode(progress, for: id) { self.host?.reply(to: id, payload) }
    }

    /// nil: the request is answered with an error.
    private func encode(_ progress: HandshakeProgress, for id: UInt32) -> ByteBuffer? {
        do throws(KeyEncodingError) {
            return try progress.encoded()
        } catch {
            self.core.logger.error("progress of a handshake could not be encoded", metadata: ["error": "\(error)"])
            self.host?.refuse(id, .internalError, isViolation: false)
            return nil
        }
    }

    // MARK: Ends

    /// The connection is about to close, or has: all handshakes end.
    func endAll(_ reason: String) {
        self.timer?.cancel()
        self.timer = nil
        self.deadlines.removeAll()
        for own in self.entries.keys { self.end(own, .abandoned, reason) }
    }

    private func refuse(_ id: UInt32, _ code: KeyErrorCode, _ line: AuditDraft, _ outcome: AuditOutcome) {
        self.host?.conclude(line, outcome)
        self.host?.refuse(id, code, isViolation: false)
    }

    /// Ends a handshake by other means than success. What is known of it goes in its audit line.
    private func end(_ own: UInt64, _ outcome: AuditOutcome, _ detail: String? = nil) {
        guard let entry = self.entries[own] else { return }
        if let pending = entry.pending {
            self.turnsUnderWay -= 1
            self.entries[own]?.pending = nil
            self.host?.refuse(pending, .internalError, isViolation: false)
        }
        var line: AuditDraft = entry.line
        line.detail = detail
        line.usedKey = entry.handshake.hasUsedKey
        line.certificate = entry.site.fingerprint(of: entry.handshake.credential)
        if line.tls == nil { line.tls = Self.audited(entry.handshake) }
        self.host?.conclude(line, outcome)
        self.remove(own)
    }

    private func remove(_ own: UInt64) {
        guard let entry = self.entries.removeValue(forKey: own) else { return }
        entry.handshake.end()
        self.core.metrics.clientHandshakes(self.core.clientHandshakes.end(self.edge))
    }

    // MARK: Time

    private func watch(_ own: UInt64) {
        self.deadlines.append((own, .now() + self.core.limits.clientHandshakeTimeout))
        self.wait()
    }

    private func wait() {
        while let first = self.deadlines.first, self.entries[first.id] == nil { self.deadlines.removeFirst() }
        guard self.timer == nil, let first = self.deadlines.first else { return }
        self.timer = self.channel.eventLoop.assumeIsolated().scheduleTask(deadline: first.deadline) { [weak self] in
            self?.timeOut()
        }
    }

    private func timeOut() {
        self.timer = nil
        let now = NIODeadline.now()
        while let first = self.deadlines.first, first.deadline <= now {
            self.deadlines.removeFirst()
            self.end(first.id, .stalled)
        }
        self.wait()
    }
}
