import Admission
import Channels
import Logging
import NIOCore
import TLSWire
import Telemetry

/// What is told of one connection that is passed on: in metrics, log lines and the access log. On any thread.
struct ForwardingReport: Sendable {
    /// Who is passed on.
    struct Party: Sendable {
        var connection: UInt64?
        var address: ClientAddress
        var site: String
        var serverName: ServerName?

        init(_ client: ForwardedClient) {
            self.connection = client.connection
            self.address = client.address
            self.site = client.site
            self.serverName = client.serverName
        }
    }

    private let party: Party
    private let terms: ForwardingTerms
    private let begun: NIODeadline
    /// Where it goes, and since when; only for the access log.
    private var origin: (address: SocketAddress, since: NIODeadline)?

    init(_ party: Party, _ terms: ForwardingTerms, now: NIODeadline = .now()) {
        self.party = party
        self.terms = terms
        self.begun = now
    }

    /// The other side is there.
    mutating func connected(to address: @autoclosure () -> SocketAddress?, now: NIODeadline) {
        self.terms.metrics.began()
        guard self.terms.accessLog != nil, let address = address() else { return }
        self.origin = (address, now)
    }

    /// There is no other side.
    func failed(_ failure: ForwardingFailure) {
        self.terms.metrics.failed(failure.reason)
        self.terms.reports.write(self.terms.failedLevel, self.terms.failedMessage, self.metadata(of: failure))
        self.record(status: 502, outcome: failure.reason)
    }

    /// The client left before there was another side.
    func left() {
        self.terms.reports.logger.debug("\(self.terms.leftMessage)", metadata: self.metadata)
        self.record(status: 0, outcome: "client-closed")
    }

    func ended(_ end: PumpEnd, fromClient: Int, fromOrigin: Int) {
        self.terms.metrics.ended(end, fromClient: fromClient, fromOrigin: fromOrigin)
        self.record(status: 200, fromClient: fromClient, fromOrigin: fromOrigin, outcome: end.rawValue)
        self.terms.reports.logger.debug(
            "\(self.terms.endedMessage)",
            metadata: self.metadata.merging([
                "reason": "\(end.rawValue)", "bytes_from_client": "\(fromClient)",
                "bytes_from_origin": "\(fromOrigin)",
            ]) { $1 })
    }

    private var metadata: Logger.Metadata {
        var metadata = self.terms.metadata()
        metadata["site"] = "\(self.party.serverName?.rawValue ?? self.party.site)"
        metadata["mode"] = "\(self.terms.mode)"
        metadata["client"] = "\(PeerText(self.party.address.source))"
        if let connection = self.party.connection { metadata["connection"] = "\(connection)" }
        return metadata
    }

    private func metadata(of failure: ForwardingFailure) -> Logger.Metadata {
        var metadata = self.metadata
        metadata["reason"] = "\(failure.reason)"
        if let alert = failure.alert { metadata["alert"] = "\(alert)" }
        if let detail = failure.detail { metadata["error"] = "\(detail)" }
        return metadata
    }

    private func record(status: Int, fromClient: Int = 0, fromOrigin: Int = 0, outcome: String) {
        self.terms.accessLog?.record { _ in
            let now = NIODeadline.now()
            var record = AccessRecord(
                site: self.party.site, status: status, bytes: fromOrigin, duration: now - self.begun, outcome: outcome)
            record.client = self.party.address.source
            record.mode = self.terms.mode
            record.host = self.party.serverName?.rawValue
            record.received = fromClient
            record.connection = self.party.connection ?? 0
            if let origin {
                record.origin = .init(address: origin.address, firstByte: nil, duration: now - origin.since)
            }
            return record
        }
    }
}
