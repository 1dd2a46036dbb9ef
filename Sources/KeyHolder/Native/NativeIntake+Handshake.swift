import Admission
import KeyProtocol
import NIOCore
import NativeHandshake
import PeerLink
import Synchronization
import TLSWire

/// What the machine asks for: the site, and the operations of its key.
extension NativeIntake {
    /// Of a signature on the event loop; nanoseconds.
    private static let longestWaitHere: UInt64 = 1_000_000

    func perform(_ action: NativeOriginMachine.Action) {
        switch action {
        case .wait: break
        case .chooseSite(let hello): self.choose(hello)
        case .sign(let content):
            guard let content = SignedContent(native: content) else {
                return self.fail(.internalFailure("a content without a context of the native handshake"))
            }
            let scheme: SignatureScheme = self.served?.kind == .rsa ? .rsaPSSSHA256 : .ecdsaP256SHA256
            self.ask(.sign(scheme, content: content)) { (machine, result) throws(NativeError) in
                guard case .success(let signature) = result else { throw .internalFailure("signature") }
                return try machine.signed(signature)
            }
        case .decrypt(let sealed):
            self.ask(sealed.operation) { (machine, result) throws(NativeError) in
                // A failure is not told apart from a wrong secret.
                try machine.decrypted(try? result.get())
            }
        case .send(let output): self.send(output)
        case .established(let output, let session): self.established(output, session)
        }
    }

    func choose(_ hello: NativeHello) {
        // A client that left again costs no signature.
        if let channel = self.context?.channel as? StreamChannel, channel.peerIsGone { return self.fail(.truncated) }
        let edge: String = self.edge
        let now: UInt64 = Clock.monotonic()
        guard self.core.audit.reserve() else {
            self.core.metrics.operation(KeyProtocol.Operation.native.rawValue, .overloaded, nanoseconds: 0)
            return self.end(.busy)
        }
        let judge = NativeJudge(
            edge: edge, policy: self.core.policy, now: now, wallSeconds: self.core.wallClock() / 1000)
        let site: Site? = judge.site(hello)
        self.line = AuditDraft(
            edge: edge, site: site?.name, serverName: hello.serverName.rawValue,
            clientIP: self.header.source.flatMap(IPAddress.init)?.bytes,
            operation: KeyProtocol.Operation.native.rawValue, arrival: now, detail: "\(hello.variant)")
        do throws(NativeJudge.Refusal) {
            let verdict: NativeJudge.Verdict = try judge.judge(site)
            self.served = Served(
                site: verdict.grant.site, credential: verdict.service.credential,
                application: verdict.service.application,
                kind: verdict.service.origin.keyKind, serverName: hello.serverName)
            do throws(NativeError) {
                self.perform(try self.machine.serve(verdict.service.origin))
            } catch {
                self.fail(error)
            }
        } catch {
            if let detail = error.detail { self.line?.detail = detail }
            self.conclude(error.outcome)
            self.end(error.alert)
        }
    }

    typealias Answer =
        (inout NativeOriginMachine, Result<[UInt8], KeyOperationError>) throws(NativeError) ->
        NativeOriginMachine.Action

    /// Has the site's key do something in its turn, here or on a thread, and goes on with the result.
    func ask(_ operation: KeyOperation, then answer: @escaping Answer) {
        guard let served = self.served, let context = self.context else { return }
        guard !self.core.audit.isClosed else {
            self.conclude(.overloaded)
            return self.end(.busy)
        }
        let key: any StoredKey = served.credential.key
        let cost: KeyOperationCost = key.cost(of: operation)
        let now: UInt64 = Clock.monotonic()
        let end: UInt64 = self.connectedAt + UInt64(self.limits.handshakeTimeout.nanoseconds)
        let owner = WorkOwner(
            edge: self.edge, site: served.site.name, network: ClientNetwork(self.header.source),
            urgency: self.hasAsked ? .underWay : .beginning,
            deadline: min(now + UInt64(self.core.limits.requestDeadline.nanoseconds), end))
        self.hasAsked = true
        let work: LoopWork = self.core.loops.work(of: context.eventLoop)
        // What comes over one link comes on one event loop: RSA, and what would wait there, goes to all cores.
        let isHere: Bool = cost == .inPlace && !key.type.isRSA && work.estimatedTime(owner) < Self.longestWaitHere
        let refusal: WorkRefusal? =
            isHere
            ? self.performHere(operation, served, owner, work, answer)
            : self.performElsewhere(operation, cost, served, owner, on: context.eventLoop, answer)
        guard let refusal else { return }
        self.conclude(refusal.outcome)
        self.end(.busy)
    }

    /// In its turn among the work of this event loop, which may be now.
    private func performHere(
        _ operation: KeyOperation, _ served: Served, _ owner: WorkOwner, _ work: LoopWork, _ answer: @escaping Answer
    ) -> WorkRefusal? {
        let times: Int = owner.urgency == .underWay ? 2 : 1
        let account: EdgeAccount = self.account
        guard account.enter(limit: self.core.limits.inFlightPerEdge * times) else { return .overloaded }
        let refusal: WorkRefusal? = work.submit(owner, now: Clock.monotonic()) { turn in
            account.leave()
            // Given up while it waited: its audit line is written, and says that no key was used.
            guard case .handshake = self.phase else { return }
            guard case .perform = turn else { return self.performed(.pastDeadline, answer) }
            guard !self.core.audit.isClosed, self.core.policy.stillServes(served, to: self.edge) else {
                return self.performed(.notDone, answer)
            }
            self.line?.usedKey = true
            self.performed(
                .done(Result { () throws(KeyOperationError) in try served.credential.key.perform(operation) }), answer)
        }
        if refusal != nil { account.leave() }
        return refusal
    }

    /// On a thread, of those for the processor's work or of those for the key's device.
    private func performElsewhere(
        _ operation: KeyOperation, _ cost: KeyOperationCost, _ served: Served, _ owner: WorkOwner,
        on eventLoop: any EventLoop, _ answer: @escaping Answer
    ) -> WorkRefusal? {
        let edge: String = self.edge
        guard self.core.slow.begin(edge) else { return .overloaded }
        let core: KeyHolderCore = self.core
        let key: any StoredKey = served.credential.key
        let isConcluded: Flag = self.isConcluded
        var isUnderWay = true
        let ended = NIOLoopBound(
            { (outcome: SlowOutcome<KeyResult>) in
                // A key that answers twice is heard once.
                guard isUnderWay else { return }
                isUnderWay = false
                core.slow.end(edge)
                self.isAsking = false
                self.performed(outcome, answer)
            }, eventLoop: eventLoop)
        let done: @Sendable (SlowOutcome<KeyResult>) -> Void = { outcome in
            eventLoop.execute { ended.value(outcome) }
        }
        // Before a thread can have begun.
        self.isAsking = true
        let refusal: WorkRefusal? = core.slow.submit(owner, cost, now: Clock.monotonic()) { turn in
            switch turn {
            case .drop: done(.pastDeadline)
            case .end: done(.notDone)
            case .perform:
                // It may have waited for long: look again whether the operation is allowed.
                guard !core.audit.isClosed, !isConcluded.value.load(ordering: .relaxed),
                    core.policy.stillServes(served, to: edge)
                else { return done(.notDone) }
                done(.done(Result { () throws(KeyOperationError) in try key.perform(operation) }))
            }
        }
        guard refusal != nil else { return nil }
        self.isAsking = false
        core.slow.end(edge)
        return refusal
    }

    /// An operation was done, or will not be.
    func performed(_ outcome: SlowOutcome<KeyResult>, _ answer: Answer) {
        guard case .handshake = self.phase, let served = self.served else { return }
        if case .done = outcome { self.line?.usedKey = true }
        switch outcome {
        case .done(let result) where self.core.policy.stillServes(served, to: self.edge):
            self.answered(result, answer)
            self.pump()
        case .pastDeadline:
            self.conclude(.pastDeadline)
            self.end(.busy)
        case .done, .notDone:
            self.conclude(.denied)
            self.end(.notAllowed)
        }
    }

    func answered(_ result: Result<[UInt8], KeyOperationError>, _ answer: Answer) {
        do throws(NativeError) {
            self.perform(try answer(&self.machine, result))
        } catch {
            self.fail(error)
        }
    }

    func send(_ output: ByteBuffer) {
        self.context?.writeAndFlush(self.wrapOutboundOut(output), promise: nil)
    }
}
