import Admission
import Channels
import Logging
import NIOCore
import NIOSSL
import NativeHandshake
import TLSWire
import Telemetry

/// One native connection, from the hand-over of its client to its end. Lives on one event loop.
///
/// The edge forwards handshake and stream alike, by the same pump as `relay` mode, and keeps no key of either.
final class NativeForwarding: PumpOwner {
    private enum Phase {
        /// For its turn.
        case waiting
        case connecting(NativeDialer)
        case relaying
        case ended
    }

    private let client: ForwardedClient
    private let keyHolder: String?
    private let holder: NativeForwarder.Holder?
    private let forwarder: NativeForwarder
    /// Until it has ended.
    private var pump: Pump?
    private var phase = Phase.ended
    private var isDialing = false
    private var turn: DialBound.Dial?
    private let begun = NIODeadline.now()
    private var address: SocketAddress?

    init(
        client: ForwardedClient, keyHolder: String?, holder: NativeForwarder.Holder?, forwarder: NativeForwarder
    ) {
        self.client = client
        self.keyHolder = keyHolder
        self.holder = holder
        self.forwarder = forwarder
    }

    private var clientChannel: any Channel { self.client.channel }

    // MARK: Connecting

    /// Takes the client's channel.
    ///
    /// - Returns: whether it is open.
    private func takeClient() -> Bool {
        var client = PumpTraits()
        client.isPlain = true
        var origin = PumpTraits()
        origin.mayLeave = true
        // What the key holder sent before, an alert perhaps, is to arrive.
        origin.closeEndsInput = true
        let idle = NativeForwarder.idleTimeout
        let pump = Pump(
            client: client, origin: origin, idle: idle, lifetime: NativeForwarder.lifetime,
            drop: DropTime(patience: idle, linger: idle), on: self.clientChannel.eventLoop, owner: self)
        do {
            try pump.take(client: self.clientChannel)
            try PumpBuffers.apply(to: self.clientChannel)
        } catch {
            self.clientChannel.close(promise: nil)
            return false
        }
        self.pump = pump
        return true
    }

    func begin() {
        guard self.takeClient() else { return }
        guard let holder = self.holder, let tls = self.forwarder.tls else {
            return self.failed("no key holder", "the key holder has no address for native connections")
        }
        if let end = self.keyHolder.flatMap(self.forwarder.refusal) { return self.failed("no lease", end) }
        guard self.forwarder.mayBegin(self.client.network) else {
            return self.failed("client rate", "more handshakes than limits.handshakes-per-client allows", .busy)
        }
        self.phase = .waiting
        let turn = self.forwarder.makeDial(for: self.client)
        self.turn = turn
        self.forwarder.enter(turn) {
            self.dial(holder, tls)
        } refused: {
            self.failed("busy", "too many connections to key holders are under way", .busy)
        }
    }

    /// Turns the client away.
    func refuse() {
        guard self.takeClient() else { return }
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
        guard let pump = self.pump else { return channel.close(promise: nil) }
        do {
            try pump.take(origin: channel)
            try PumpBuffers.apply(to: channel)
        } catch {
            channel.close(promise: nil)
            return self.failed("key holder unavailable", "\(error)")
        }
        self.phase = .relaying
        self.address = channel.remoteAddress
        self.forwarder.metrics.began()
        self.forwarder.reports.logger.debug("native connection forwarded", metadata: self.metadata)
        if let header = self.client.address.proxyHeader.encoded(.v2) { channel.write(header, promise: nil) }
        channel.writeAndFlush(self.client.receivedBytes, promise: nil)
        pump.start()
    }

    private func dialEnded() {
        guard self.isDialing else { return }
        self.isDialing = false
        if let turn = self.turn { self.forwarder.dialEnded(turn) }
    }

    private func failed(_ reason: String, _ detail: String, _ alert: NativeAlert = .unavailable) {
        self.phase = .ended
        guard let pump = self.pump else { return }
        self.pump = nil
        self.forwarder.metrics.failed(reason)
        var metadata: Logger.Metadata = self.metadata
        metadata["reason"] = "\(reason)"
        metadata["error"] = "\(detail)"
        self.forwarder.reports.write(.warning, "native connection not forwarded", metadata)
        self.record(status: 502, outcome: reason)
        pump.abandonClient()
        LingeringCloseHandler.begin(
            on: self.clientChannel, sending: alert.record, limits: self.forwarder.linger)
    }

    private var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = [
            "site": "\(self.client.serverName?.rawValue ?? self.client.site)", "mode": "native",
            "client": "\(PeerText(self.client.address.source))",
        ]
        if let connection = self.client.connection { metadata["connection"] = "\(connection)" }
        if let keyHolder { metadata["keyholder"] = "\(keyHolder)" }
        return metadata
    }

    // MARK: The access log

    private func record(status: Int, fromClient: Int = 0, fromOrigin: Int = 0, outcome: String) {
        self.forwarder.accessLog?.record { _ in
            let duration = NIODeadline.now() - self.begun
            var record = AccessRecord(
                site: self.client.site, status: status, bytes: fromOrigin, duration: duration, outcome: outcome)
            record.client = self.client.address.source
            record.mode = "native"
            record.host = self.client.serverName?.rawValue
            record.received = fromClient
            record.connection = self.client.connection ?? 0
            if let address { record.origin = .init(address: address, firstByte: nil, duration: duration) }
            return record
        }
    }

    // MARK: What the pump tells

    func clientLeft() {
        switch self.phase {
        case .waiting: if let turn = self.turn { self.forwarder.leave(turn) }
        case .connecting(let dialer):
            dialer.cancel()
            self.dialEnded()
        case .relaying, .ended: break
        }
        self.record(status: 0, outcome: "client-closed")
        self.pump = nil
        self.phase = .ended
    }

    func moved(at now: NIODeadline) { self.client.place?.rests(since: now) }

    func ended(_ end: PumpEnd, fromClient: Int, fromOrigin: Int) {
        self.phase = .ended
        self.pump = nil
        let fromClient: Int = fromClient + self.client.receivedBytes.readableBytes
        self.forwarder.metrics.ended(fromClient: fromClient, fromOrigin: fromOrigin)
        self.record(status: 200, fromClient: fromClient, fromOrigin: fromOrigin, outcome: end.rawValue)
        self.forwarder.reports.logger.debug(
            "native connection ended",
            metadata: self.metadata.merging([
                "reason": "\(end.rawValue)", "bytes_from_client": "\(fromClient)",
                "bytes_from_origin": "\(fromOrigin)",
            ]) { $1 })
    }
}
