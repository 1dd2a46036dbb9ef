import NIOCore
import PeerLink
import TLSWire

/// One domain of a keyless site on one event loop: its certificate once there is one, and the handshakes that wait for it.
final class KeylessDomain {
    enum State {
        /// Not fetched yet: handshakes wait.
        case pending
        case ready(SiteCertificate)
        /// The key holder said no: handshakes end at once.
        case refused(String)
    }

    let pattern: ServerNamePattern
    let pool: KeyHolderPool
    private let waiterLimit = 4096
    private var state = State.pending
    private var waiters: [(promise: EventLoopPromise<SiteCertificate>, timer: Scheduled<Void>)] = []

    init(pattern: ServerNamePattern, pool: KeyHolderPool) {
        self.pattern = pattern
        self.pool = pool
    }

    /// The certificate if it is there: the usual case, without a future.
    var current: SiteCertificate? {
        if case .ready(let certificate) = self.state { certificate } else { nil }
    }

    /// The certificate as soon as it is there, at the latest after the key holder's time limit.
    func certificate() -> EventLoopFuture<SiteCertificate> {
        let loop = self.pool.eventLoop
        switch self.state {
        case .ready(let certificate): return loop.makeSucceededFuture(certificate)
        case .refused(let why): return loop.makeFailedFuture(KeylessError.certificateUnavailable(why))
        case .pending:
            guard self.waiters.count < self.waiterLimit else {
                return loop.makeFailedFuture(KeylessError.certificateUnavailable("too many handshakes wait for it"))
            }
            let promise = loop.makePromise(of: SiteCertificate.self)
            let timer = loop.assumeIsolated().scheduleTask(in: self.pool.configuration.deadline) {
                self.waiters.removeAll { $0.promise.futureResult === promise.futureResult }
                promise.fail(KeylessError.certificateUnavailable("no key holder has answered yet"))
            }
            self.waiters.append((promise, timer))
            return promise.futureResult
        }
    }

    func update(_ state: State) {
        self.state = state
        if case .pending = state { return }
        let waiting = self.waiters
        self.waiters.removeAll()
        for waiter in waiting {
            waiter.timer.cancel()
            switch state {
            case .ready(let certificate): waiter.promise.succeed(certificate)
            case .refused(let why): waiter.promise.fail(KeylessError.certificateUnavailable(why))
            case .pending: break
            }
        }
    }
}
