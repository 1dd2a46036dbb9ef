import Admission
import KeyProtocol
import NIOCore
import NativeHandshake
import Synchronization
import TLSWire

/// What the machine asks for: the site, and the operations of its key.
extension NativeIntake {
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
        guard let edge = self.edge else { return }
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
            clientIP: self.header?.source.flatMap(IPAddress.init)?.bytes,
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

    /// Has the site's key do something, here or on another thread, and goes on with the result.
    func ask(_ operation: KeyOperation, then answer: @escaping Answer) {
        guard let served = self.served, let edge = self.edge, let context = self.context else { return }
        let key: any StoredKey = served.credential.key
        let cost: KeyOperationCost = key.cost(of: operation)
        guard !self.core.audit.isClosed else {
            self.conclude(.overloaded)
            return self.end(.busy)
        }
        // RSA waits for its turn among edges: here, unlike on links, nothing bounds how many ask in one pass of the event loop.
        if case .inPlace = cost, !key.type.isRSA {
            self.line?.usedKey = true
            let result: Result<[UInt8], KeyOperationError> = Result { () throws(KeyOperationError) in
                try key.perform(operation)
            }
            return self.answered(result, answer)
        }
        guard self.core.slow.begin(edge) else {
            self.conclude(.overloaded)
            return self.end(.busy)
        }
        let core: KeyHolderCore = self.core
        let isConcluded: Flag = self.isConcluded
        let eventLoop: any EventLoop = context.eventLoop
        var isUnderWay = true
        let ended = NIOLoopBound(
            { (outcome: SlowOutcome<KeyResult>) in
                // A key that answers twice is heard once.
                guard isUnderWay else { return }
                isUnderWay = false
                core.slow.end(edge)
                self.performed(outcome, answer)
            }, eventLoop: eventLoop)
        let done: @Sendable (SlowOutcome<KeyResult>) -> Void = { outcome in
            eventLoop.execute { ended.value(outcome) }
        }
        let now: UInt64 = Clock.monotonic()
        let owner = WorkOwner(
            edge: edge, site: served.site.name, network: ClientNetwork(self.header?.source), urgency: .underWay,
            deadline: now + UInt64(self.core.limits.requestDeadline.nanoseconds))
        let refusal: WorkRefusal? = core.slow.submit(owner, cost, now: now) { turn in
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
        guard let refusal else {
            self.isAsking = true
            return
        }
        core.slow.end(edge)
        self.conclude(refusal.outcome)
        self.end(.busy)
    }

    /// A slow operation has come back.
    func performed(_ outcome: SlowOutcome<KeyResult>, _ answer: Answer) {
        self.isAsking = false
        guard case .handshake = self.phase, let edge = self.edge, let served = self.served else { return }
        if case .done = outcome { self.line?.usedKey = true }
        switch outcome {
        case .done(let result) where self.core.policy.stillServes(served, to: edge):
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
