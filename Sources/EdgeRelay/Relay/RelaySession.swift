import Admission
import Channels
import EdgeModel
import Logging
import NIOCore
import TLSWire
import Telemetry

/// One relayed connection, from the hand-over of its client to its end. Lives on one event loop.
final class RelaySession: PumpOwner {
    private enum Phase {
        case connecting(OriginDialer)
        case relaying
        case ended
    }

    private let client: ForwardedClient
    private let configuration: RelayConfiguration
    private let connector: RelayConnector
    /// Until it has ended.
    private var pump: Pump?
    private var phase = Phase.ended
    private let begun = NIODeadline.now()
    private var address: SocketAddress?
    private var connectedAt: NIODeadline?

    init(client: ForwardedClient, configuration: RelayConfiguration, connector: RelayConnector) {
        self.client = client
        self.configuration = configuration
        self.connector = connector
    }

    private var clientChannel: any Channel { self.client.channel }

    // MARK: Connecting

    func begin() {
        var client = PumpTraits()
        client.isPlain = true
        var origin = client
        origin.mayLeave = true
        let idle = self.configuration.idleTimeout
        let pump = Pump(
            client: client, origin: origin, idle: idle, lifetime: self.configuration.lifetime,
            drop: DropTime(patience: idle, linger: idle), on: self.clientChannel.eventLoop, owner: self)
        do {
            // At once, so that nothing the client sends meanwhile gets lost.
            try pump.take(client: self.clientChannel)
            try PumpBuffers.apply(to: self.clientChannel)
        } catch {
            return self.clientChannel.close(promise: nil)
        }
        self.pump = pump
        pump.readAhead()
        let dialer = OriginDialer(
            on: self.clientChannel.eventLoop, connector: self.connector, configuration: self.configuration,
            serverName: self.client.serverName, site: self.client.site, network: self.client.network)
        self.phase = .connecting(dialer)
        dialer.dial { result in
            switch result {
            case .success(let channel): self.connected(channel)
            case .failure(let failure): self.failed(failure)
            }
        }
    }

    private func connected(_ channel: any Channel) {
        guard let pump else { return channel.close(promise: nil) }
        do {
            try pump.take(origin: channel)
        } catch {
            channel.close(promise: nil)
            return self.failed(.connect("\(error)"))
        }
        self.phase = .relaying
        if self.connector.accessLog != nil {
            self.address = channel.remoteAddress
            self.connectedAt = .now()
        }
        self.connector.metrics.began()
        if let header = self.client.address.proxyHeader.encoded(self.configuration.proxyProtocol) {
            channel.write(header, promise: nil)
        }
        channel.writeAndFlush(self.client.receivedBytes, promise: nil)
        pump.start()
    }

    private func failed(_ failure: RelayFailure) {
        self.phase = .ended
        guard let pump else { return }
        self.pump = nil
        self.connector.metrics.failed(failure)
        let alert = failure.alert(clientChoseOrigin: self.clientChoseOrigin)
        var metadata = self.metadata
        metadata["reason"] = "\(failure.reason)"
        metadata["alert"] = "\(alert.name)"
        if let detail = failure.detail { metadata["error"] = "\(detail)" }
        self.connector.reports.write(.info, "relay failed", metadata)
        self.record(status: 502, outcome: failure.reason)
        pump.abandonClient()
        LingeringCloseHandler.begin(
            on: self.clientChannel, sending: Alert(alert).record(), limits: self.connector.linger)
    }

    private var clientChoseOrigin: Bool {
        switch self.configuration.origin {
        case .fixed: false
        case .resolve: true
        }
    }

    private var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = [
            "site": "\(self.client.serverName?.rawValue ?? self.client.site)", "mode": "relay",
            "client": "\(PeerText(self.client.address.source))",
        ]
        if let connection = self.client.connection { metadata["connection"] = "\(connection)" }
        if case .fixed(let host, let port) = self.configuration.origin { metadata["address"] = "\(host):\(port)" }
        return metadata
    }

    // MARK: The access log

    private func record(status: Int, fromClient: Int = 0, fromOrigin: Int = 0, outcome: String) {
        self.connector.accessLog?.record { _ in
            let now = NIODeadline.now()
            var record = AccessRecord(
                site: self.client.site, status: status, bytes: fromOrigin, duration: now - self.begun,
                outcome: outcome)
            record.client = self.client.address.source
            record.mode = "relay"
            record.host = self.client.serverName?.rawValue
            record.received = fromClient
            record.connection = self.client.connection ?? 0
            if let address {
                record.origin = .init(
                    address: address, firstByte: nil, duration: now - (self.connectedAt ?? self.begun))
            }
            return record
        }
    }

    // MARK: What the pump tells

    func clientLeft() {
        guard case .connecting(let dialer) = self.phase else { return }
        dialer.cancel()
        self.connector.reports.logger.debug("relay given up by its client", metadata: self.metadata)
        self.record(status: 0, outcome: "client-closed")
        self.pump = nil
        self.phase = .ended
    }

    func moved(at now: NIODeadline) {
        // Whether anything is under way is between the client and the origin.
        self.client.place?.rests(since: now)
    }

    func ended(_ end: PumpEnd, fromClient: Int, fromOrigin: Int) {
        self.phase = .ended
        self.pump = nil
        let fromClient = fromClient + self.client.receivedBytes.readableBytes
        self.connector.metrics.ended(end, fromClient: fromClient, fromOrigin: fromOrigin)
        self.record(status: 200, fromClient: fromClient, fromOrigin: fromOrigin, outcome: end.rawValue)
        self.connector.reports.logger.debug(
            "relay ended",
            metadata: self.metadata.merging([
                "reason": "\(end.rawValue)", "bytes_from_client": "\(fromClient)",
                "bytes_from_origin": "\(fromOrigin)",
            ]) { $1 })
    }
}
