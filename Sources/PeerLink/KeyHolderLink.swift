import KeyProtocol
import Logging
import NIOCore
import NIOSSL

/// Keeps one connection to one address of a key holder alive: connects, or takes a connection that the key holder has opened,
/// asks for a lease and renews it, backs off, probes.
///
/// Bound to one event loop. Tells its pool when it becomes ready, which it is once the key holder has given a lease; when it
/// goes down; what it hears of the lease; and what its probes find.
final class KeyHolderLink {
    struct Events {
        var ready: () -> Void
        var down: () -> Void
        var lease: (LeaseNews) -> Void
        var probeAnswered: (_ nanoseconds: Int64) -> Void
        var probeMissed: () -> Void
    }

    private enum State {
        case stopped
        /// TCP is under way.
        case connecting
        /// The key holder is to connect.
        case awaiting
        /// TLS is under way.
        case shakingHands(LinkHandler)
        /// The first lease was asked for.
        case asking(LinkHandler)
        case up(LinkHandler)
        case waiting(Scheduled<Void>)
    }

    private let end: KeyHolderEnd
    private let expected: PeerIdentity
    private let opener: LinkOpener
    private var patience: Scheduled<Void>?
    private let configuration: KeyHolderPool.Configuration
    private let tls: NIOSSLContext
    private let loop: any EventLoop
    private let logger: Logger
    private let events: Events
    private var state = State.stopped
    private var backOff = ReconnectPlan()
    private var lease: Scheduled<Void>?
    private var probe: Scheduled<Void>?
    private var isProbing = false
    private var probesMissed = 0
    /// What the log said last of why it is down.
    private var reported: String?

    /// A link over which nothing comes while this many probes in a row go unanswered is closed and made anew: the peer's machine
    /// may be gone without a word.
    private static let probesBeforeReconnect = 3
    /// A lease is not asked for more often, however fast the answers come.
    private static let leaseInterval = TimeAmount.seconds(1)

    /// - Parameter intake: where the key holder connects, if it is to.
    init(
        end: KeyHolderEnd, configuration: KeyHolderPool.Configuration, tls: NIOSSLContext, intake: LinkIntake?,
        loop: any EventLoop, logger: Logger, events: Events
    ) {
        self.end = end
        self.opener = LinkOpener(
            end: end, connectTimeout: configuration.connectTimeout, intake: intake, loop: loop)
        switch end {
        case .address: self.expected = configuration.expected
        case .dialling(let identity): self.expected = identity
        }
        self.configuration = configuration
        self.tls = tls
        self.loop = loop
        var logger = logger
        logger[metadataKey: "keyholder"] = "\(configuration.expected.name)"
        logger[metadataKey: "address"] = "\(end)"
        self.logger = logger
        self.events = events
    }

    func start() {
        guard case .stopped = self.state else { return }
        self.connect()
    }

    func stop() {
        let old = self.state
        self.state = .stopped
        self.probe?.cancel()
        self.lease?.cancel()
        self.patience?.cancel()
        self.opener.cancel()
        switch old {
        case .up(let handler), .asking(let handler), .shakingHands(let handler):
            handler.close(because: .closed("the edge is stopping"))
        case .waiting(let timer): timer.cancel()
        case .connecting, .awaiting, .stopped: break
        }
    }

    /// The connection that there is now, if the key holder can be asked.
    var connection: LinkHandler? {
        if case .up(let handler) = self.state { handler } else { nil }
    }

    // MARK: Connecting

    private func connect() {
        switch self.end {
        case .address: self.state = .connecting
        case .dialling: self.awaitConnection()
        }
        self.opener.open { result in
            switch self.state {
            case .connecting, .awaiting: self.state = .connecting
            default: break
            }
            switch result {
            case .success(let channel): self.shakeHands(on: channel)
            case .failure(let error): self.connectFailed(error)
            }
        }
    }

    /// The key holder is to open a connection, or has opened one.
    private func awaitConnection() {
        self.state = .awaiting
        self.patience?.cancel()
        self.patience = self.loop.assumeIsolated().scheduleTask(in: self.configuration.connectTimeout) {
            guard case .awaiting = self.state, self.reported == nil else { return }
            self.logger.warning("key holder is down", metadata: ["error": "it has not connected to this edge"])
            self.reported = "not-connected"
        }
    }

    private func shakeHands(on channel: any Channel) {
        guard case .connecting = self.state else { return channel.close(promise: nil) }
        let handler = LinkHandler(
            expected: self.expected, limit: self.configuration.inFlightLimit,
            handshakeLimit: self.configuration.connectTimeout,
            onReady: { handler in self.verified(handler) },
            onEnd: { handler, failure in self.ended(handler, failure) })
        self.state = .shakingHands(handler)
        do {
            try channel.pipeline.syncOperations.addHandlers([
                NIOSSLClientHandler(context: self.tls, serverHostname: nil), handler,
            ])
            try channel.syncOptions?.setOption(.autoRead, value: true)
        } catch {
            channel.close(promise: nil)
            self.ended(handler, .lost(LinkProblem.text(error)))
        }
    }

    /// The peer is who it should be. It is asked for a lease before anything else.
    private func verified(_ handler: LinkHandler) {
        guard case .shakingHands(let current) = self.state, current === handler else {
            return handler.close(because: .closed("the connection is not wanted any more"))
        }
        self.opener.found(true)
        self.state = .asking(handler)
        self.askForLease(handler, knowing: 0, for: max(self.configuration.deadline, self.configuration.connectTimeout))
    }

    private func becameReady(_ handler: LinkHandler) {
        self.state = .up(handler)
        self.backOff.served()
        self.probesMissed = 0
        self.isProbing = false
        if self.reported != nil {
            self.logger.notice("key holder is back")
        } else {
            self.logger.info("key holder connected")
        }
        self.reported = nil
        self.events.ready()
        self.scheduleProbe(in: .milliseconds(0))
    }

    private func connectFailed(_ error: any Error) {
        guard case .connecting = self.state else { return }
        self.wait(after: .unreachable(LinkProblem.text(error)))
    }

    private func ended(_ handler: LinkHandler, _ failure: LinkFailure) {
        switch self.state {
        case .shakingHands(let current) where current === handler:
            self.opener.found(false)
            self.wait(after: failure)
        case .asking(let current) where current === handler:
            self.tell(of: failure)
            self.wait(after: self.duringLease(failure), isProved: true)
        case .up(let current) where current === handler:
            self.probe?.cancel()
            self.lease?.cancel()
            self.events.down()
            self.tell(of: failure)
            self.wait(after: failure, isProved: true)
        default: break
        }
    }

    /// It is the key holder, and hangs up when it is asked for a lease.
    private func duringLease(_ failure: LinkFailure) -> LinkFailure {
        // An edge's certificate is refused no sooner, in TLS 1.3. Then that is said, and no guess beside it.
        guard case .lost(let why) = failure, why != LinkProblem.identityRefused, case .address = self.end else {
            return failure
        }
        return .lost(
            "\(why) when it was asked for a lease; is that its port for edges, and not that for native connections? Its log says more"
        )
    }

    /// - Parameter isProved: the other end was the key holder.
    private func wait(after failure: LinkFailure, isProved: Bool = false) {
        let delay: Int64
        let isNews: Bool
        switch self.end {
        case .dialling where !isProved:
            // What connects in the key holder's name must not make it wait, nor fill the log. What that costs is bounded: one
            // handshake at a time.
            delay = Int64.random(in: 20...60)
            isNews = self.reported == nil
        default:
            delay = self.backOff.next(after: failure, random: Double.random(in: 0...1))
            isNews = self.reported != failure.label
        }
        let text = "\(failure)"
        self.logger.log(
            level: isNews ? .warning : .debug, "key holder is down",
            metadata: ["error": "\(text)", "retry_ms": "\(delay)"])
        self.reported = failure.label
        self.state = .waiting(
            self.loop.assumeIsolated().scheduleTask(in: .milliseconds(delay)) {
                guard case .waiting = self.state else { return }
                self.connect()
            })
    }

    // MARK: Leases

    /// Asks for a lease, or for what becomes of the one there is.
    ///
    /// - Parameters:
    ///   - generation: That of the last answer; 0 on a new connection.
    ///   - time: How long an answer may take.
    private func askForLease(_ handler: LinkHandler, knowing generation: UInt64, for time: TimeAmount) {
        let request = KeyMessage(
            opcode: .custom, payload: LeaseRequest(generation: generation).encoded(),
            function: KeyFunction.lease.rawValue)
        handler.send(request, deadline: .now() + time, exempt: true) { result, nanoseconds in
            switch self.state {
            case .asking(let current) where current === handler: break
            case .up(let current) where current === handler: break
            default: return
            }
            switch result {
            case .success(let message):
                do throws(KeyPayloadError) {
                    let answer = try LeaseAnswer(decoding: message.payload)
                    self.leased(answer, handler, knowing: generation, after: .nanoseconds(nanoseconds))
                } catch {
                    handler.close(because: .badAnswer("\(error)"))
                }
            case .failure(.refused(.badOpcode)), .failure(.refused(.unexpectedOpcode)):
                handler.close(because: .formerRevision)
            case .failure(.timedOut):
                handler.close(because: .closed("no lease within \(time.nanoseconds / 1_000_000) ms"))
            case .failure(let failure): handler.close(because: failure)
            }
        }
    }

    private func leased(
        _ answer: LeaseAnswer, _ handler: LinkHandler, knowing generation: UInt64, after time: TimeAmount
    ) {
        if case .asking = self.state { self.becameReady(handler) }
        let lease = TimeAmount.milliseconds(Int64(answer.milliseconds))
        self.events.lease(.renewed(lease: lease, changed: answer.generation != generation))
        guard case .up(let current) = self.state, current === handler else { return }
        // The first answer comes at once. A later one that does so as well is no reason to ask in a circle.
        guard generation != 0, time < Self.leaseInterval else {
            return self.askForLease(handler, knowing: answer.generation, for: lease)
        }
        self.lease = self.loop.assumeIsolated().scheduleTask(in: Self.leaseInterval) {
            guard case .up(let current) = self.state, current === handler else { return }
            self.askForLease(handler, knowing: answer.generation, for: lease)
        }
    }

    /// What the end of a link says of leases: silence and broken connections say nothing.
    private func tell(of failure: LinkFailure) {
        switch failure {
        case .refused(.noGrant), .formerRevision: self.events.lease(.ended(failure))
        default: break
        }
    }

    // MARK: Probing

    private func scheduleProbe(in delay: TimeAmount) {
        self.probe?.cancel()
        self.probe = self.loop.assumeIsolated().scheduleTask(in: delay) { self.sendProbe() }
    }

    /// One ping. An answer keeps the measured latency fresh and brings a suspect key holder back, late as it may be.
    private func sendProbe() {
        guard case .up(let handler) = self.state, !self.isProbing else { return }
        self.isProbing = true
        let start = NIODeadline.now()
        let late: LinkHandler.LateWaiter = { answer, handler in
            guard answer.opcode == .pong, case .up(let current) = self.state, current === handler else { return }
            self.events.probeAnswered((NIODeadline.now() - start).nanoseconds)
        }
        handler.send(
            KeyMessage(opcode: .ping), deadline: start + self.configuration.deadline, exempt: true, late: late
        ) { result, nanoseconds in
            guard case .up(let current) = self.state, current === handler else { return }
            self.isProbing = false
            switch result {
            case .success:
                self.probesMissed = 0
                self.events.probeAnswered(nanoseconds)
                self.scheduleProbe(in: self.configuration.probeInterval)
            case .failure:
                self.probeMissed(handler, since: start)
            }
        }
    }

    /// A link that delivers anything at all is not cut, however late its pongs are: its key holder has much to do.
    private func probeMissed(_ handler: LinkHandler, since start: NIODeadline) {
        guard handler.lastReceived < Int64(start.uptimeNanoseconds) else {
            self.probesMissed = 0
            return self.scheduleProbe(in: self.configuration.probeInterval)
        }
        self.probesMissed += 1
        self.events.probeMissed()
        guard self.probesMissed >= Self.probesBeforeReconnect else {
            return self.scheduleProbe(in: .milliseconds(100))
        }
        let silence = Int64(NIODeadline.now().uptimeNanoseconds) - handler.lastReceived
        handler.close(
            because: .closed(
                "nothing came over it for \(silence / 1_000_000) ms, and \(self.probesMissed) pings went unanswered"))
    }

    /// Probes at once: a request has just timed out.
    func probeNow() {
        guard case .up = self.state, self.probesMissed == 0 else { return }
        self.probe?.cancel()
        self.sendProbe()
    }
}
