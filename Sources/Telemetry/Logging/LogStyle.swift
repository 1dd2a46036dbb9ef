import Logging
import Synchronization

/// Which lines the log has, and what they look like. A reload changes it for all loggers.
final class LogStyle: Sendable {
    private enum Formatter: Sendable {
        case text(colours: Bool)
        case json

        init(_ format: LogFormat, for output: LogOutput) {
            switch format {
            case .json: self = .json
            case .text: self = .text(colours: output.wantsColours)
            case .auto: self = output.isTerminal ? .text(colours: output.wantsColours) : .json
            }
        }
    }

    private static let levels = Logger.Level.allCases

    /// Its place in ``levels``: asked for each line that may be written, on every thread.
    private let number: Atomic<Int>
    private let formatter: Mutex<Formatter>

    init(_ level: Logger.Level, _ format: LogFormat, for output: LogOutput) {
        self.number = Atomic(Self.number(of: level))
        self.formatter = Mutex(Formatter(format, for: output))
    }

    private static func number(of level: Logger.Level) -> Int { Self.levels.firstIndex(of: level) ?? 0 }

    var level: Logger.Level { Self.levels[self.number.load(ordering: .relaxed)] }

    func change(_ level: Logger.Level, _ format: LogFormat, for output: LogOutput) {
        self.formatter.withLock { $0 = Formatter(format, for: output) }
        self.number.store(Self.number(of: level), ordering: .relaxed)
    }

    func line(_ record: LogRecord) -> String {
        switch self.formatter.withLock({ $0 }) {
        case .json: JSONLogFormatter.format(record)
        case .text(let colours): TextLogFormatter(colours: colours).format(record)
        }
    }
}
