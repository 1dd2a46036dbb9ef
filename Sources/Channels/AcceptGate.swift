public import Logging
public import Metrics
public import NIOCore
import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Makes a listener pause instead of spinning, where it is full or the system has no descriptors left. First handler of a
/// server channel; lives on its event loop.
///
/// Metric: `latchstring_accept_pauses_total{cause}`. One warning for each episode.
public final class AcceptGate: ChannelDuplexHandler {
    public typealias InboundIn = any Channel
    public typealias OutboundIn = any Channel

    /// After a failed accept(2).
    private static let failurePause = TimeAmount.milliseconds(500)

    private let logger: Logger
    private let address: String
    private let metrics: any MetricsFactory
    private var machine = AcceptPause()
    private var context: ChannelHandlerContext?
    private var timer: Scheduled<Void>?
    private var readIsDue = false

    /// - Parameter address: of the listener, for the log.
    public init(address: String, logger: Logger, metrics: any MetricsFactory = MetricsSystem.factory) {
        self.address = address
        self.logger = logger
        self.metrics = metrics
    }

    public func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    public func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.timer = nil
        self.context = nil
    }

    public func read(context: ChannelHandlerContext) {
        if self.machine.isPaused { self.readIsDue = true } else { context.read() }
    }

    public func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode) else {
            return context.fireErrorCaught(error)
        }
        self.pause(
            .descriptors, for: Self.failurePause,
            "connections cannot be accepted: the system has no file descriptors or memory left for them; raise LimitNOFILE or ulimit -n",
            ["error": "\(SystemError.words(error.errnoCode))"])
    }

    /// There are as many connections as there may be: pauses until ``resume()``, at the latest after this time.
    public func pauseWhileFull(for time: TimeAmount) {
        self.pause(
            .connections, for: time,
            "the limit of connections is reached; further ones wait to be accepted", [:])
    }

    /// Goes on, if it was paused.
    public func resume() {
        guard self.machine.isPaused else { return }
        self.machine.resume()
        self.timer?.cancel()
        self.timer = nil
        guard self.readIsDue else { return }
        self.readIsDue = false
        self.context?.read()
    }

    private func pause(
        _ cause: AcceptPause.Cause, for time: TimeAmount, _ message: Logger.Message, _ more: Logger.Metadata
    ) {
        guard let context else { return }
        let start = self.machine.pause(
            cause, for: UInt64(max(0, time.nanoseconds)), now: NIODeadline.now().uptimeNanoseconds)
        Counter(
            label: "latchstring_accept_pauses_total", dimensions: [("cause", cause.rawValue)], factory: self.metrics
        ).increment()
        if start.isNews {
            self.logger.warning(message, metadata: more.merging(["address": "\(self.address)"]) { $1 })
        }
        self.timer?.cancel()
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(
            deadline: .uptimeNanoseconds(start.until)
        ) { self.resume() }
    }
}
