import Admission
import Channels
import Logging
import NIOCore
import TLSWire
import Telemetry

/// What a way of passing clients on has of its own.
struct ForwardingTerms: Sendable {
    /// For log lines and the access log.
    var mode: String
    /// Of log lines: for a client that could not be passed on, for one that left before it was, and for a connection that has ended.
    var failedMessage: String
    var failedLevel: Logger.Level
    var leftMessage: String
    var endedMessage: String
    /// How connections on the other side end.
    var origin: PumpTraits
    /// Without a byte for so long, both connections are closed.
    var idle: TimeAmount
    /// Both are closed at this age.
    var lifetime: TimeAmount
    /// Bounds for closing clients that could not be passed on.
    var linger: LingerLimits
    /// For log lines, beside what says who the client is.
    var metadata: @Sendable () -> Logger.Metadata
    var metrics: ForwardingMetrics
    var reports: ReportLog
    var accessLog: AccessLogWriter?
}

/// Why a client is not passed on, and what it is told.
struct ForwardingFailure: Sendable {
    /// A constant for the metric and the log line.
    var reason: String
    /// What the reason leaves open.
    var detail: String?
    /// The alert's name, for the log line.
    var alert: String?
    /// What is sent before the close.
    var answer: ByteBuffer
}

/// One connection that is passed on, from the hand-over of its client to its end: the bytes of both sides go by the pump, and are read by neither.
/// Lives on one event loop.
final class ForwardedConnection: PumpOwner {
    private enum Phase {
        /// To the other side; how that is given up.
        case connecting(cancel: () -> Void)
        case passing
        case ended
    }

    private let client: ForwardedClient
    private let terms: ForwardingTerms
    /// Until it has ended.
    private var pump: Pump?
    private var phase = Phase.ended
    private var report: ForwardingReport

    init(_ client: ForwardedClient, _ terms: ForwardingTerms) {
        self.client = client
        self.terms = terms
        self.report = ForwardingReport(.init(client), terms)
    }

    // MARK: Connecting

    /// Takes the client's channel: at once, so that nothing the client sends meanwhile gets lost. Call it in the channel's `channelReadComplete`.
    ///
    /// - Returns: whether it is open.
    func takeClient() -> Bool {
        let channel = self.client.channel
        var traits = PumpTraits()
        traits.isPlain = true
        traits.grows = true
        var origin = self.terms.origin
        origin.grows = true
        let pump = Pump(
            client: traits, origin: origin, idle: self.terms.idle, lifetime: self.terms.lifetime,
            drop: DropTime(patience: self.terms.idle, linger: self.terms.idle), on: channel.eventLoop, owner: self)
        do {
            try pump.take(client: channel)
        } catch {
            channel.close(promise: nil)
            return false
        }
        self.pump = pump
        pump.readAhead()
        return true
    }

    /// The other side is being connected to, or that waits for its turn.
    ///
    /// - Parameter cancel: called if the client leaves before ``connected(_:)`` or ``failed(_:)``.
    func connecting(cancel: @escaping () -> Void) {
        self.phase = .connecting(cancel: cancel)
    }

    /// The other side is there, and has what the client sent first.
    ///
    /// - Returns: false if it is closed already: then there is a client to be told.
    func connected(_ channel: any Channel) -> Bool {
        guard let pump = self.pump else {
            channel.close(promise: nil)
            return true
        }
        do {
            try pump.take(origin: channel)
        } catch {
            channel.close(promise: nil)
            return false
        }
        self.phase = .passing
        self.report.connected(to: channel.remoteAddress, now: .now())
        pump.start()
        return true
    }

    /// There is no other side: the client gets its answer, and is closed so that it arrives.
    func failed(_ failure: ForwardingFailure) {
        self.phase = .ended
        guard let pump = self.pump else { return }
        self.pump = nil
        self.report.failed(failure)
        pump.abandonClient()
        LingeringCloseHandler.begin(on: self.client.channel, sending: failure.answer, limits: self.terms.linger)
    }

    // MARK: What the pump tells

    func clientLeft() {
        guard case .connecting(let cancel) = self.phase else { return }
        self.phase = .ended
        self.pump = nil
        cancel()
        self.report.left()
    }

    func moved(at now: NIODeadline) {
        // Whether anything is under way is between the client and the other side.
        self.client.place?.rests(since: now)
    }

    func ended(_ end: PumpEnd, fromClient: Int, fromOrigin: Int) {
        self.phase = .ended
        self.pump = nil
        let fromClient = fromClient + self.client.receivedBytes.readableBytes
        self.report.ended(end, fromClient: fromClient, fromOrigin: fromOrigin)
    }
}
