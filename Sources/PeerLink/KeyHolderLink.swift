import KeyProtocol
import Logging
import NIOCore
import NIOPosix
import NIOSSL

/// Keeps one connection to one address of a key holder alive: connects, backs off, probes.
///
/// Bound to one event loop. Tells its pool when it becomes ready, when it goes down, and what its probes find.
final class KeyHolderLink {
    struct Events {
        var ready: () -> Void
        var down: () -> Void
        var probeAnswered: (_ nanoseconds: Int64) -> Void
        var probeMissed: () -> Void
    }

    private enum State {
        case stopped
        /// TCP is under way.
        case connecting
        /// TLS is under way.
        case shakingHands(LinkHandler)
        case up(LinkHandler)
        case waiting(Scheduled<Void>)
    }

    let address: PeerAddress
    private let configuration: KeyHolderPool.Configuration
    private let tls: NIOSSLContext
    private let loop: any EventLoop
    private let logger: Logger
    private let events: Events
    private var state = State.stopped
    private var backOff = BackOff()
    private var probe: Scheduled<Void>?
    private var probesMissed = 0
    private var reportedDown = false

    /// A link whose probes go unanswered this often in a row is closed and made anew: the peer's machine may be gone
    /// without a word.
    private static let probesBeforeReconnect = 3

    init(
        address: PeerAddress, configuration: KeyHolderPool.Configuration, tls: NIOSSLContext, loop: any EventLoop,
        logger: Logger, events: Events
    ) {
        self.address = address
        self.configuration = configuration
        self.tls = tls
        self.loop = loop
        var logger = logger
        logger[metadataKey: "keyholder"] = "\(configuration.expected.name)"
        logger[metadataKey: "address"] = "\(address)"
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
        switch old {
        case .up(let handler), .shakingHands(let handler): handler.close()
        case .waiting(let timer): timer.cancel()
        case .connecting, .stopped: break
        }
    }

    /// The connection that there is now, if the key holder can be asked.
    var connection: LinkHandler? {
        if case .up(let handler) = self.state { handler } else { nil }
    }

    // MARK: Connecting

    private func connect() {
        self.state = .connecting
        // Handlers come when the connection is there: for a name with several addresses several are tried, and those
        // that fail or lose the race are none of ours.
        ClientBootstrap(group: self.loop)
            .connectTimeout(self.configuration.connectTimeout)
            .channelOption(.autoRead, value: false)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(host: self.address.host, port: self.address.port)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success(let channel): self.shakeHands(on: channel)
                case .failure(let error): self.connectFailed(error)
                }
            }
    }

    private func shakeHands(on channel: any Channel) {
        guard case .connecting = self.state else { return channel.close(promise: nil) }
        let handler = LinkHandler(
            expected: self.configuration.expected, limit: self.configuration.inFlightLimit,
            handshakeLimit: self.configuration.connectTimeout,
            onReady: { handler in self.becameReady(handler) },
            onEnd: { handler, failure in self.ended(handler, failure) })
        self.state = .shakingHands(handler)
        do {
            try channel.pipeline.syncOperations.addHandlers([
                NIOSSLClientHandler(context: self.tls, serverHostname: nil), handler,
            ])
            try channel.syncOptions?.setOption(.autoRead, value: true)
        } catch {
            channel.close(promise: nil)
            self.ended(handler, .lost(ConnectFailure.text(error)))
        }
    }

    private func becameReady(_ handler: LinkHandler) {
        guard case .shakingHands(let current) = self.state, current === handler else { return handler.close() }
        self.state = .up(handler)
        self.backOff.reset()
        self.probesMissed = 0
        if self.reportedDown {
            self.logger.notice("key holder is back")
        } else {
            self.logger.info("key holder connected")
        }
        self.reportedDown = false
        self.events.ready()
        self.scheduleProbe(in: .milliseconds(0))
    }

    private func connectFailed(_ error: any Error) {
        guard case .connecting = self.state else { return }
        self.wait(after: .lost(ConnectFailure.text(error)))
    }

    private func ended(_ handler: LinkHandler, _ failure: LinkFailure) {
        switch self.state {
        case .shakingHands(let current) where current === handler: self.wait(after: failure)
        case .up(let current) where current === handler:
            self.probe?.cancel()
            self.events.down()
            self.wait(after: failure)
        default: break
        }
    }

    private func wait(after failure: LinkFailure) {
        let delay = self.backOff.next(random: Double.random(in: 0...1))
        let level: Logger.Level = self.reportedDown ? .debug : .warning
        self.logger.log(
            level: level, "key holder is down", metadata: ["error": "\(failure)", "retry_ms": "\(delay)"])
        self.reportedDown = true
        self.state = .waiting(
            self.loop.assumeIsolated().scheduleTask(in: .milliseconds(delay)) {
                guard case .waiting = self.state else { return }
                self.connect()
            })
    }

    // MARK: Probing

    private func scheduleProbe(in delay: TimeAmount) {
        self.probe = self.loop.assumeIsolated().scheduleTask(in: delay) { self.sendProbe() }
    }

    /// One ping. An answer keeps the measured latency fresh and brings a suspect key holder back.
    private func sendProbe() {
        guard case .up(let handler) = self.state else { return }
        let ping = KeyMessage(opcode: .ping)
        handler.send(ping, deadline: .now() + self.configuration.deadline, exempt: true) { result, nanoseconds in
            guard case .up(let current) = self.state, current === handler else { return }
            switch result {
            case .success:
                self.probesMissed = 0
                self.events.probeAnswered(nanoseconds)
                self.scheduleProbe(in: self.configuration.probeInterval)
            case .failure:
                self.probesMissed += 1
                self.events.probeMissed()
                if self.probesMissed >= Self.probesBeforeReconnect {
                    handler.close()
                } else {
                    self.scheduleProbe(in: .milliseconds(100))
                }
            }
        }
    }

    /// Probes at once: a request has just timed out.
    func probeNow() {
        guard case .up = self.state, self.probesMissed == 0 else { return }
        self.probe?.cancel()
        self.sendProbe()
    }
}
