import Admission
import EdgeModel
import Logging
import NIOCore
import NIOSSL
import NativeHandshake
import TLSWire
import Telemetry

/// One native connection, from the hand-over of its client to its end. Lives on one event loop.
///
/// The edge forwards handshake and stream alike, by the same handlers as `relay` mode, and keeps no key of either.
final class NativeForwarding: RelayParty {
    private enum Phase {
        /// For its turn.
        case waiting
        case connecting(NativeDialer)
        case relaying(RelayHandler)
        case ended
    }

    private let handOver: NativeHandOver
    private let holder: NativeForwarder.Holder?
    private let forwarder: NativeForwarder
    private var client: RelayHandler?
    private var phase = Phase.ended
    private var machine = RelayMachine()
    private var originBroke = false
    private var isDialing = false
    private var turn: NativeForwarder.Dial?
    private var limits: RelayLimits
    private var timer: Scheduled<Void>?

    init(handOver: NativeHandOver, holder: NativeForwarder.Holder?, forwarder: NativeForwarder) {
        self.handOver = handOver
        self.holder = holder
        self.forwarder = forwarder
        self.limits = RelayLimits(
            idle: NativeForwarder.idleTimeout, lifetime: NativeForwarder.lifetime, now: .now())
    }

    private var clientChannel: any Channel { self.handOver.channel }

    // MARK: Connecting

    func begin() {
        let client = RelayHandler(side: .client, session: self)
        do {
            try self.clientChannel.pipeline.syncOperations.addHandler(client)
            try RelayBuffers.apply(to: self.clientChannel)
        } catch {
            return self.clientChannel.close(promise: nil)
        }
        self.client = client
        guard let holder = self.holder, let tls = self.forwarder.tls else {
            return self.failed("no key holder", "the key holder has no address for native connections")
        }
        if let end = self.forwarder.refusal(self.handOver.site) { return self.failed("no lease", "\(end)") }
        guard self.forwarder.mayBegin(self.handOver.client) else {
            return self.failed("client rate", "more handshakes than limits.handshakes-per-client allows", .busy)
        }
        self.phase = .waiting
        let turn = self.forwarder.makeDial(for: self.handOver.client)
        self.turn = turn
        self.forwarder.enter(turn) {
            self.dial(holder, tls)
        } refused: {
            self.failed("busy", "too many connections to key holders are under way", .busy)
        }
    }

    /// Turns the client away.
    func refuse() {
        let client = RelayHandler(side: .client, session: self)
        do {
            try self.clientChannel.pipeline.syncOperations.addHandler(client)
        } catch {
            return self.clientChannel.close(promise: nil)
        }
        self.client = client
        self.failed("busy", "the site has too many connections", .busy)
    }

    private func dial(_ holder: NativeForwarder.Holder, _ tls: NIOSSLContext) {
        let dialer = NativeDialer(holder, tls: tls, on: self.clientChannel.eventLoop)
        self.phase = .connecting(dialer)
        self.isDialing = true
        dialer.dial { result in
            self.dialEnded()
            switch result {
            case .success(let channel): self.connected(channel)
            case .failure(let failure): self.failed("key holder unavailable", failure.reason)
            }
        }
    }

    private func connected(_ channel: any Channel) {
        guard let client = self.client else { return channel.close(promise: nil) }
        let origin = RelayHandler(side: .origin, session: self)
        do {
            try channel.pipeline.syncOperations.addHandler(origin)
            try RelayBuffers.apply(to: channel)
        } catch {
            channel.close(promise: nil)
            return self.failed("key holder unavailable", "\(error)")
        }
        self.phase = .relaying(origin)
        self.forwarder.metrics.began()
        self.forwarder.reports.logger.debug("native connection forwarded", metadata: self.metadata)
        if let header = self.handOver.client.proxyHeader.encoded(.v2) { channel.write(header, promise: nil) }
        channel.writeAndFlush(self.handOver.receivedBytes, promise: nil)
        self.limits.active(now: .now())
        self.scheduleCheck()
        origin.start(to: client)
        client.start(to: origin)
    }

    private func dialEnded() {
        guard self.isDialing else { return }
        self.isDialing = false
        if let turn = self.turn { self.forwarder.dialEnded(turn) }
    }

    private func failed(_ reason: String, _ detail: String, _ alert: NativeAlert = .unavailable) {
        self.phase = .ended
        guard let client = self.client else { return }
        self.client = nil
        self.forwarder.metrics.failed(reason)
        var metadata: Logger.Metadata = self.metadata
        metadata["reason"] = "\(reason)"
        metadata["error"] = "\(detail)"
        self.forwarder.reports.write(.warning, "native connection not forwarded", metadata)
        client.abandon()
        LingeringCloseHandler.begin(
            on: self.clientChannel, sending: alert.record, limits: self.forwarder.helloLimits)
    }

    private var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = [
            "site": "\(self.handOver.hello.serverName)", "mode": "native",
            "client": "\(PeerText(self.handOver.client.source))",
        ]
        if let connection = self.handOver.connection { metadata["connection"] = "\(connection)" }
        if let keyHolder = self.handOver.site.native { metadata["keyholder"] = "\(keyHolder)" }
        return metadata
    }

    // MARK: Forwarding, as the handlers tell it

    func active() {
        let now = NIODeadline.now()
        self.limits.active(now: now)
        self.handOver.place?.rests(since: now)
    }

    func inputEnded(_ side: RelaySide) {
        self.perform(self.machine.inputEnded(side))
    }

    func outputEnded(_ side: RelaySide) {
        self.machine.outputEnded(side)
    }

    func broke(_ side: RelaySide) {
        if side == .origin { self.originBroke = true }
        self.machine.broke(side)
    }

    func closed(_ side: RelaySide) {
        switch self.phase {
        case .waiting:
            if let turn = self.turn { self.forwarder.leave(turn) }
            self.client = nil
            self.phase = .ended
        case .connecting(let dialer):
            dialer.cancel()
            self.dialEnded()
            self.client = nil
            self.phase = .ended
        case .relaying:
            // TLS says its end and closes in one; what the key holder sent before, an alert perhaps, is to arrive.
            if side == .origin, !self.originBroke { self.perform(self.machine.inputEnded(.origin)) }
            self.perform(self.machine.closed(side))
            if self.machine.isOver { self.end() }
        case .ended:
            break
        }
    }

    private func handler(_ side: RelaySide) -> RelayHandler? {
        switch (side, self.phase) {
        case (.client, _): self.client
        case (.origin, .relaying(let origin)): origin
        case (.origin, _): nil
        }
    }

    private func perform(_ action: RelayMachine.Action) {
        switch action {
        case .none: break
        case .closeOutput(let side): self.handler(side)?.closeOutput()
        case .finish(let side): self.handler(side)?.finish()
        case .reset(let side): self.handler(side)?.reset()
        case .drop(let side): self.handler(side)?.drop()
        }
    }

    // MARK: Limits and the end

    private func scheduleCheck() {
        switch self.limits.check(now: .now()) {
        case .check(let time):
            self.timer = self.clientChannel.eventLoop.assumeIsolated().scheduleTask(deadline: time) {
                self.scheduleCheck()
            }
        case .idle, .lifetime:
            guard case .relaying(let origin) = self.phase else { return }
            let client: RelayHandler? = self.client
            self.end()
            client?.close()
            origin.close()
        }
    }

    private func end() {
        guard case .relaying(let origin) = self.phase, let client = self.client else { return }
        self.phase = .ended
        self.client = nil
        self.timer?.cancel()
        self.timer = nil
        let fromClient: Int = client.bytesReceived + self.handOver.receivedBytes.readableBytes
        self.forwarder.metrics.ended(fromClient: fromClient, fromOrigin: origin.bytesReceived)
        self.forwarder.reports.logger.debug(
            "native connection ended",
            metadata: self.metadata.merging([
                "bytes_from_client": "\(fromClient)", "bytes_from_origin": "\(origin.bytesReceived)",
            ]) { $1 })
    }
}
