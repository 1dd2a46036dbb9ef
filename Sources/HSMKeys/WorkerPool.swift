import Dispatch
import HSMWire
import KeyHolder
import Logging
import Synchronization

/// The workers of one token: started when they are needed, and again when they have ended.
///
/// Calls block. ``RestartPlan`` and ``PINGate`` decide; this carries out.
final class WorkerPool: Sendable {
    struct Configuration: Hashable, Sendable {
        var module: TokenModule
        var token: TokenSelection
        var pin: PINSource?
        /// What is run as a worker, with arguments.
        var program: [String]
    }

    private struct State {
        var idle: [WorkerProcess] = []
        var plan = RestartPlan()
        /// Of the token, since a worker was started.
        var facts: TokenFacts?
        /// Whether what is wrong has been logged.
        var isSick = false
        /// When a failed operation may be logged again.
        var nextNote: UInt64 = 0
    }

    /// For a worker's start: the module is loaded, the session opened.
    static let startTimeout: UInt64 = 10_000_000_000
    /// Workers that were killed and do not end: with more of them, none is started.
    private static let mostStuck = 16

    /// For the threads that wait for this token.
    let device: KeyDevice
    private let configuration: Configuration
    private let desk: LoginDesk
    private let logger: Logger
    private let events: TokenEvents
    private let reaper = ProcessReaper()
    /// How many more may be at work.
    private let free: DispatchSemaphore
    private let state = Mutex(State())

    init(_ configuration: Configuration, desk: LoginDesk, events: TokenEvents, logger: Logger) {
        self.configuration = configuration
        self.device = KeyDevice(concurrency: configuration.module.workers)
        self.desk = desk
        self.logger = logger
        self.events = events
        self.free = DispatchSemaphore(value: configuration.module.workers)
    }

    deinit {
        self.state.withLock { state in
            for worker in state.idle { worker.end() }
            state.idle = []
        }
    }

    /// Whether the last thing that it was asked for was done.
    var isWell: Bool { self.state.withLock { !$0.isSick } }

    private var timeout: UInt64 {
        let (seconds, attoseconds) = self.configuration.module.timeout.components
        return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }

    /// At a start or reload: sees to it that the PIN, as its file is now, was taken by the token.
    func prepare() throws(HSMError) {
        if let facts = self.state.withLock({ $0.facts }),
            try self.desk.knows(facts, self.configuration.pin)
        {
            return
        }
        do throws(HSMError) {
            self.giveBack(try self.start(.load))
        } catch {
            self.failed(error)
            throw error
        }
    }

    /// Has a key sign. Where the worker is gone when it is asked, another one is asked once.
    ///
    /// - Parameter isGood: Verifies the signature. A worker that makes wrong ones is ended.
    func sign(
        _ key: KeySelection, _ mechanism: TokenMechanism, _ data: [UInt8], _ occasion: PINGate.Occasion = .restart,
        isGood: ([UInt8]) -> Bool
    ) throws(HSMError) -> [UInt8] {
        guard self.free.wait(timeout: .now() + .nanoseconds(Int(self.timeout))) == .success else { throw .busy }
        defer { self.free.signal() }
        let begin = Clock.monotonic()
        do throws(HSMError) {
            return try self.attempt(key, mechanism, data, occasion, isGood)
        } catch {
            // One that did not answer in time has used up the caller's, too.
            guard case .lost = error.consequence, Clock.monotonic() < begin + self.timeout,
                self.state.withLock({ $0.plan.mayStart(now: Clock.monotonic()) })
            else { throw error }
            return try self.attempt(key, mechanism, data, occasion, isGood)
        }
    }

    private func attempt(
        _ key: KeySelection, _ mechanism: TokenMechanism, _ data: [UInt8], _ occasion: PINGate.Occasion,
        _ isGood: ([UInt8]) -> Bool
    ) throws(HSMError) -> [UInt8] {
        var worker = try self.take(occasion)
        do throws(HSMError) {
            let signature = try worker.sign(key, mechanism, data, deadline: Clock.monotonic() + self.timeout)
            guard isGood(signature) else { throw .wrongSignature("\(mechanism)") }
            self.giveBack(worker)
            return signature
        } catch {
            switch error.consequence {
            case .refused: self.giveBack(worker, hasSigned: false)
            case .lost: self.lose(worker, error)
            }
            throw error
        }
    }

    /// An operation failed: says so where nothing else does, once in a second.
    func noted(_ error: HSMError) {
        guard case .refused = error.consequence else { return }
        let now = Clock.monotonic()
        let isNews = self.state.withLock { state in
            if error.saysTokenFails { state.isSick = true }
            guard now >= state.nextNote else { return false }
            state.nextNote = now + 1_000_000_000
            return true
        }
        guard isNews else { return }
        var metadata = self.metadata
        metadata["reason"] = "\(error)"
        self.logger.error("an operation on the HSM failed", metadata: metadata)
    }

    // MARK: Workers

    private func take(_ occasion: PINGate.Occasion) throws(HSMError) -> WorkerProcess {
        while let worker = self.state.withLock({ $0.idle.popLast() }) {
            if worker.isQuiet { return worker }
            worker.end()
            self.logger.warning("a worker of the HSM ended while it was idle", metadata: self.metadata)
        }
        // At a start or reload an operator waits, and wants to know.
        guard occasion == .load || self.state.withLock({ $0.plan.mayStart(now: Clock.monotonic()) }) else {
            throw .paused
        }
        guard self.reaper.stuck < Self.mostStuck else { throw .start("too many that were killed do not end") }
        do throws(HSMError) {
            return try self.start(occasion)
        } catch {
            self.failed(error)
            throw error
        }
    }

    private func start(_ occasion: PINGate.Occasion) throws(HSMError) -> WorkerProcess {
        var worker = try WorkerProcess(program: self.configuration.program, reaper: self.reaper)
        do throws(HSMError) {
            let facts = try worker.open(
                self.configuration.module.module, self.configuration.token,
                deadline: Clock.monotonic() + Self.startTimeout)
            do throws(HSMError) {
                try self.desk.login(
                    &worker, to: facts, self.configuration.pin, occasion, timeout: Self.startTimeout)
            } catch {
                self.events.tell(.hsmLogin, isGood: false, "\(self.name): \(error)")
                throw error
            }
            self.events.tell(.hsmLogin, isGood: true, "\(self.name), serial \(facts.serial)")
            self.state.withLock { $0.facts = facts }
            var metadata = self.metadata
            metadata["serial"] = "\(facts.serial)"
            metadata["pid"] = "\(worker.identifier)"
            self.logger.info("a worker of the HSM is ready", metadata: metadata)
            return worker
        } catch {
            worker.end()
            throw error
        }
    }

    /// - Parameter hasSigned: Or logged in. A token that refuses what it is asked is not well for having answered.
    private func giveBack(_ worker: WorkerProcess, hasSigned: Bool = true) {
        let (wasSick, surplus) = self.state.withLock { state -> (Bool, WorkerProcess?) in
            let surplus = state.idle.count < self.configuration.module.workers ? nil : state.idle.removeFirst()
            state.idle.append(worker)
            guard hasSigned else { return (false, surplus) }
            state.plan.succeeded()
            defer { state.isSick = false }
            return (state.isSick, surplus)
        }
        surplus?.end()
        guard wasSick else { return }
        self.logger.notice("the HSM works again", metadata: self.metadata)
        self.events.tell(.hsmBack, isGood: true, self.name)
    }

    private func lose(_ worker: WorkerProcess, _ error: HSMError) {
        worker.end()
        self.failed(error)
    }

    private func failed(_ error: HSMError) {
        self.state.withLock { state in
            state.plan.failed(now: Clock.monotonic())
            state.isSick = true
        }
        var metadata = self.metadata
        metadata["reason"] = "\(error)"
        self.logger.error("the HSM cannot be used", metadata: metadata)
        self.events.tell(.hsmLost, isGood: false, "\(self.name): \(error)")
    }

    /// How the audit calls the token.
    private var name: String { "token \(self.configuration.token.label ?? "at \(self.configuration.module.module)")" }

    private var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = ["module": "\(self.configuration.module.module)"]
        if let label = self.configuration.token.label { metadata["token"] = "\(label)" }
        return metadata
    }
}

extension HSMError {
    enum Consequence {
        /// It was about what was asked.
        case refused
        /// The worker is of no use any more.
        case lost
    }

    var consequence: Consequence {
        switch self {
        case .failure(let failure):
            switch failure.reason {
            case .noKey, .severalKeys, .keyDoesNotSign, .keyAsksEachTime, .request: .refused
            case .function:
                switch TokenStatus(failure.code) {
                case .refused, .pin: .refused
                case .lost: .lost
                }
            case .module, .noToken, .severalTokens: .lost
            }
        case .ended: .lost
        case .start, .noPIN, .pinFile, .pinForm, .noCredentials, .pinRefusedBefore, .pinLastTry, .memory, .paused,
            .busy, .loginBusy:
            .refused
        case .wrongSignature: .lost
        }
    }

    /// Whether what the key holder needs of the token cannot be had of it, though it answers.
    var saysTokenFails: Bool {
        guard case .failure(let failure) = self else { return false }
        return failure.reason != .request
    }
}
