import Atomics
import CoreMetrics
public import Logging
import NIOConcurrencyHelpers
import NIOCore

/// Takes records of the access log on any event loop, and writes their lines on a thread of its own.
///
/// What nothing takes in time is left out, and counted: `latchstring_access_log_lines_dropped_total`, and a line in the log. The same is
/// done with lines that the disk or the log daemon refuses.
public final class AccessLogWriter: Sendable {
    private enum Item: Sendable {
        case record(AccessRecord)
        /// Between two records.
        case turn(@Sendable () -> Void)
    }

    /// Records that wait take so many bytes, at most.
    static let capacity = 8 << 20
    /// A line is on its way after so many milliseconds, at most.
    private static let rest = 20
    /// How long a change of logs is waited for: what takes the lines may stand still without end.
    private static let patience = Duration.seconds(2)
    private static let stalled = AccessLogError(
        description: "it takes nothing now; lines go on in the new one when it does")

    private let thread: WriterThread<Item>
    private let on = ManagedAtomic(false)
    /// For records that are made.
    private let layout = NIOLockedValueBox<AccessLayout?>(nil)
    /// What the thread writes to; behind ``layout`` by what is in the queue.
    private let open: NIOLockedValueBox<OpenAccessLog?>
    private let logger: Logger

    /// Writes nothing until it is given a log: ``use(_:)``.
    public init(logger: Logger) {
        let open = NIOLockedValueBox<OpenAccessLog?>(nil)
        let losses = NIOLockedValueBox(LossReport())
        self.open = open
        self.logger = logger
        self.thread = WriterThread(capacity: Self.capacity, rest: Self.rest) { items, leftOut, done in
            for item in items {
                switch item {
                case .turn(let action): action()
                case .record(let record):
                    open.withLockedValue { $0 }?.write(record)
                    done(record.size)
                }
            }
            let log = open.withLockedValue { $0 }
            log?.flush()
            let (refused, problem) = log?.takeLost() ?? (0, nil)
            let lost = refused + leftOut
            guard lost > 0 else { return }
            Counter(label: "latchstring_access_log_lines_dropped_total").increment(by: lost)
            guard let told = losses.withLockedValue({ $0.add(lost, now: .now()) }) else { return }
            logger.warning(
                "lines of the access log left out",
                metadata: ["left_out": "\(told)", "reason": "\(problem ?? "nothing took them in time")"])
        }
    }

    /// Whether there is a log: the one question that is asked where there is none.
    public var isOn: Bool { self.on.load(ordering: .relaxed) }

    /// Takes what `make` says of a request; asks for nothing where there is no log.
    public func record(_ make: (AccessLayout) -> AccessRecord) {
        guard self.isOn, let layout = self.layout.withLockedValue({ $0 }) else { return }
        let record = make(layout)
        self.thread.add(.record(record), size: record.size)
    }

    /// Writes to this one from now on; nil: to none. What was recorded before goes where it belongs. Returns when that is done.
    ///
    /// If the log before takes nothing for two seconds, this throws; what was asked for is done when it does.
    public func use(_ log: OpenAccessLog?) async throws(AccessLogError) {
        self.layout.withLockedValue { $0 = log?.layout }
        self.on.store(log != nil, ordering: .relaxed)
        let open = self.open
        try await self.takeTurn {
            open.withLockedValue { $0 }?.flush()
            open.withLockedValue { $0 = log }
            return nil
        }
    }

    /// Opens the file of the log's name again, and goes on there: for those who move it away. If it cannot be opened, lines go on to the
    /// old one.
    ///
    /// If that one takes nothing for two seconds, this throws, too; what was asked for is done when it does.
    public func reopen() async throws(AccessLogError) {
        let open = self.open
        try await self.takeTurn { open.withLockedValue { $0 }?.reopen() }
    }

    /// Has the thread do something between two records, and waits for it, but not for long.
    private func takeTurn(_ action: @escaping @Sendable () -> AccessLogError?) async throws(AccessLogError) {
        let logger = self.logger
        let problem = await withCheckedContinuation { (continuation: CheckedContinuation<AccessLogError?, Never>) in
            let waiting = NIOLockedValueBox<CheckedContinuation<AccessLogError?, Never>?>(continuation)
            /// Whether the caller was still waiting for that.
            @Sendable func answer(_ problem: AccessLogError?) -> Bool {
                let continuation = waiting.withLockedValue { waiting in
                    defer { waiting = nil }
                    return waiting
                }
                continuation?.resume(returning: problem)
                return continuation != nil
            }
            let alarm = Task {
                try? await Task.sleep(for: Self.patience)
                _ = answer(Self.stalled)
            }
            let turn: @Sendable () -> Void = {
                let problem = action()
                if !answer(problem), let problem {
                    logger.error("still writing to the old access log", metadata: ["error": "\(problem)"])
                }
                alarm.cancel()
            }
            self.thread.add(.turn(turn), size: 0)
        }
        if let problem { throw problem }
    }

    /// Waits until everything is written, for so many milliseconds at most. Blocks: for the end of the process, and tests.
    public func flush(milliseconds: Int) { self.thread.flush(milliseconds: milliseconds) }
}

/// How often lost lines are told of. The first at once, then what has come together in ten seconds.
struct LossReport: Sendable {
    private static let interval = TimeAmount.seconds(10)
    private var untold = 0
    private var next = NIODeadline.uptimeNanoseconds(0)

    /// - Returns: how many to tell of now, if any.
    mutating func add(_ lines: Int, now: NIODeadline) -> Int? {
        self.untold += lines
        guard now >= self.next else { return nil }
        defer { self.untold = 0 }
        self.next = now + Self.interval
        return self.untold
    }
}
