import Admission
public import Logging
public import NIOCore
import Synchronization

/// Log lines that any client can cause, bounded in rate: so many of each message, and how many were left out. One for all
/// event loops of a process.
public final class ReportLog: Sendable {
    /// Lines of one message each second, in the long run, and at once.
    public static let perSecond = 10
    public static let burst = 100
    /// When what was left out is told, if no line comes that tells it.
    private static let summaryDelay = TimeAmount.seconds(10)

    private struct Kind: Hashable {
        var message: String
        var level: Logger.Level
    }

    private struct State {
        var budgets: [Kind: LineBudget] = [:]
        var summaryIsDue = false
    }

    public let logger: Logger
    private let clock: (any EventLoop)?
    private let state = Mutex(State())

    /// - Parameter clock: keeps the time for summaries; nil: there are none.
    public init(_ logger: Logger, clock: (any EventLoop)?) {
        self.logger = logger
        self.clock = clock
    }

    /// Writes a line, or counts it. Lines below `info` are written only where the operator wants to see all of them.
    ///
    /// - Parameter logger: with metadata of its own; by default the one that this was made with.
    public func write(
        _ level: Logger.Level, _ message: String, by logger: Logger? = nil, now: NIODeadline = .now(),
        _ metadata: @autoclosure () -> Logger.Metadata
    ) {
        let logger = logger ?? self.logger
        guard logger.logLevel <= level else { return }
        guard level >= .info else { return logger.log(level: level, "\(message)", metadata: metadata()) }
        let leftOut = self.state.withLock { state in
            let fresh = LineBudget(perSecond: Self.perSecond, burst: Self.burst, now: now.uptimeNanoseconds)
            return state.budgets[Kind(message: message, level: level), default: fresh].ask(now: now.uptimeNanoseconds)
        }
        guard let leftOut else { return self.scheduleSummary() }
        var all = metadata()
        if leftOut > 0 { all["left_out"] = "\(leftOut)" }
        logger.log(level: level, "\(message)", metadata: all)
    }

    private func scheduleSummary() {
        guard let clock else { return }
        let isFirst = self.state.withLock { state in
            defer { state.summaryIsDue = true }
            return !state.summaryIsDue
        }
        guard isFirst else { return }
        clock.scheduleTask(in: Self.summaryDelay) { self.summarise() }
    }

    private func summarise() {
        let counts = self.state.withLock { state in
            state.summaryIsDue = false
            return state.budgets.keys.compactMap { kind -> (String, Int)? in
                guard let count = state.budgets[kind]?.takeLeftOut(), count > 0 else { return nil }
                return (kind.message, count)
            }
        }
        for (message, count) in counts {
            self.logger.info("lines left out", metadata: ["of": "\(message)", "left_out": "\(count)"])
        }
    }
}
