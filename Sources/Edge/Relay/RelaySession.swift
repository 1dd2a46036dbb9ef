import Admission
import EdgeModel
import Logging
import NIOCore
import TLSWire
import Telemetry

/// One relayed connection, from the hand-over of its client to its end. Lives on one event loop.
final class RelaySession: RelayParty {
    private enum Phase {
        case connecting(OriginDialer)
        case relaying(RelayHandler)
        case ended
    }

    private let handOver: HelloHandOver
    private let configuration: RelayConfiguration
    private let connector: RelayConnector
    private var client: RelayHandler?
    private var phase = Phase.ended
    private var machine = RelayMachine()
    private var limits: RelayLimits
    private var timer: Scheduled<Void>?
    private var endReason = RelayEnd.closed

    init(handOver: HelloHandOver, configuration: RelayConfiguration, connector: RelayConnector) {
        self.handOver = handOver
        self.configuration = configuration
        self.connector = connector
        self.limits = RelayLimits(idle: configuration.idleTimeout, lifetime: configuration.lifetime, now: .now())
    }

    private var clientChannel: any Channel { self.handOver.channel }

    // MARK: Connecting

    func begin() {
        let client = RelayHandler(side: .client, session: self)
        do {
            // At once, so that nothing the client sends meanwhile gets lost.
            try self.clientChannel.pipeline.syncOperations.addHandler(client)
            try RelayBuffers.apply(to: self.clientChannel)
        } catch {
            return self.clientChannel.close(promise: nil)
        }
        self.client = client
        let dialer = OriginDialer(
            on: self.clientChannel.eventLoop, connector: self.connector, configuration: self.configuration,
            serverName: self.handOver.serverName, site: self.handOver.site.name, network: self.handOver.network)
        self.phase = .connecting(dialer)
        dialer.dial { result in
            switch result {
            case .success(let channel): self.connected(channel)
            case .failure(let failure): self.failed(failure)
            }
        }
    }

    private func connected(_ channel: any Channel) {
        guard let client else { return channel.close(promise: nil) }
        let origin = RelayHandler(side: .origin, session: self)
        do {
            try channel.pipeline.syncOperations.addHandler(origin)
        } catch {
            channel.close(promise: nil)
            return self.failed(.connect("\(error)"))
        }
        self.phase = .relaying(origin)
        self.connector.metrics.began()
        if let header = self.handOver.client.proxyHeader.encoded(self.configuration.proxyProtocol) {
            channel.write(header, promise: nil)
        }
        channel.writeAndFlush(self.handOver.receivedBytes, promise: nil)
        self.limits.active(now: .now())
        self.scheduleCheck()
        origin.start(to: client)
        client.start(to: origin)
    }

    private func failed(_ failure: RelayFailure) {
        self.phase = .ended
        guard let client else { return }
        self.client = nil
        self.connector.metrics.failed(failure)
        let alert = failure.alert(clientChoseOrigin: self.clientChoseOrigin)
        var metadata = self.metadata
        metadata["reason"] = "\(failure.reason)"
        metadata["alert"] = "\(alert.name)"
        if let detail = failure.detail { metadata["error"] = "\(detail)" }
        self.connector.reports.write(.info, "relay failed", metadata)
        client.abandon()
        LingeringCloseHandler.begin(
            on: self.clientChannel, sending: Alert(alert).record(), limits: self.connector.helloLimits)
    }

    private var clientChoseOrigin: Bool {
        switch self.configuration.origin {
        case .fixed: false
        case .resolve: true
        }
    }

    private var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = [
            "site": "\(self.handOver.serverName?.rawValue ?? self.handOver.site.name)", "mode": "relay",
            "client": "\(PeerText(self.handOver.client.source))",
        ]
        if let connection = self.handOver.connection { metadata["connection"] = "\(connection)" }
        if case .fixed(let host, let port) = self.configuration.origin { metadata["address"] = "\(host):\(port)" }
        return metadata
    }

    // MARK: Relaying, as the handlers tell it

    func active() {
        let now = NIODeadline.now()
        self.limits.active(now: now)
        // Whether anything is under way is between the client and the origin.
        self.handOver.place?.rests(since: now)
    }

    func inputEnded(_ side: RelaySide) {
        self.perform(self.machine.inputEnded(side))
    }

    func outputEnded(_ side: RelaySide) {
        self.machine.outputEnded(side)
    }

    func broke(_ side: RelaySide) {
        self.machine.broke(side)
    }

    func closed(_ side: RelaySide) {
        switch self.phase {
        case .connecting(let dialer):
            dialer.cancel()
            self.connector.reports.logger.debug("relay given up by its client", metadata: self.metadata)
            self.client = nil
            self.phase = .ended
        case .relaying:
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
        case .none:
            break
        case .closeOutput(let side):
            self.handler(side)?.closeOutput()
        case .finish(let side):
            self.handler(side)?.finish()
        case .reset(let side):
            self.endReason = .reset
            self.handler(side)?.reset()
        case .drop(let side):
            self.handler(side)?.drop()
        }
    }

    // MARK: Limits and the end

    private func scheduleCheck() {
        switch self.limits.check(now: .now()) {
        case .check(let time):
            self.timer = self.clientChannel.eventLoop.assumeIsolated().scheduleTask(deadline: time) {
                self.scheduleCheck()
            }
        case .idle: self.expire(.idle)
        case .lifetime: self.expire(.lifetime)
        }
    }

    private func expire(_ reason: RelayEnd) {
        guard case .relaying(let origin) = self.phase else { return }
        self.endReason = reason
        let client = self.client
        self.end()
        client?.close()
        origin.close()
    }

    private func end() {
        guard case .relaying(let origin) = self.phase, let client else { return }
        self.phase = .ended
        self.client = nil
        self.timer?.cancel()
        self.timer = nil
        let (fromClient, fromOrigin) = (
            client.bytesReceived + self.handOver.receivedBytes.readableBytes, origin.bytesReceived
        )
        self.connector.metrics.ended(self.endReason, fromClient: fromClient, fromOrigin: fromOrigin)
        self.connector.reports.logger.debug(
            "relay ended",
            metadata: self.metadata.merging([
                "reason": "\(self.endReason.rawValue)", "bytes_from_client": "\(fromClient)",
                "bytes_from_origin": "\(fromOrigin)",
            ]) { $1 })
    }
}
