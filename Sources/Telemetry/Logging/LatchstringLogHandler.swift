public import Logging
import NIOConcurrencyHelpers

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// swift-log's backend: text or JSON lines on standard error, written by a thread of its own. See `docs/logging.md`. What is written and how
/// it looks may change while the process runs, for all loggers at once.
public struct LatchstringLogHandler: LogHandler {
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    /// Of this logger alone, once it is set.
    private var ownLevel: Logger.Level?

    private let label: String
    private let style: LogStyle
    private let writer: LogWriter

    /// The process's last warnings and errors.
    public static let recentProblems = RecentProblems()

    /// The process's own, whose last lines are written before it ends.
    private static let processWriter = NIOLockedValueBox<LogWriter?>(nil)
    private static let processStyle = NIOLockedValueBox<LogStyle?>(nil)

    init(label: String, style: LogStyle, writer: LogWriter) {
        self.label = label
        self.style = style
        self.writer = writer
    }

    public var logLevel: Logger.Level {
        get { self.ownLevel ?? self.style.level }
        set { self.ownLevel = newValue }
    }

    /// Makes this the backend of every `Logger` in the process. Call it once, before the first logger is made.
    public static func bootstrap(level: Logger.Level, format: LogFormat) {
        let output = LogOutput.standardError
        let style = LogStyle(level, format, for: output)
        let writer = Self.writer(output, style)
        Self.processWriter.withLockedValue { $0 = writer }
        Self.processStyle.withLockedValue { $0 = style }
        atexit { LatchstringLogHandler.flush() }
        LoggingSystem.bootstrap { label in LatchstringLogHandler(label: label, style: style, writer: writer) }
    }

    /// Has all loggers of the process write by these settings from now on.
    public static func change(level: Logger.Level, format: LogFormat) {
        Self.processStyle.withLockedValue { $0 }?.change(level, format, for: .standardError)
    }

    /// Waits for a moment for what is not written yet.
    static func flush() { Self.processWriter.withLockedValue { $0 }?.flush(milliseconds: 1000) }

    static func writer(_ output: LogOutput, _ style: LogStyle) -> LogWriter {
        LogWriter(output) { leftOut in
            style.line(
                LogRecord(
                    time: .now(), level: .warning, label: "log",
                    message: "log lines left out: nothing took them in time",
                    error: nil, metadata: ["left_out": "\(leftOut)"]))
        }
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var metadata = self.metadata
        if let provided = self.metadataProvider?.get(), !provided.isEmpty {
            metadata.merge(provided) { $1 }
        }
        if let own = event.metadata, !own.isEmpty {
            metadata.merge(own) { $1 }
        }
        let record = LogRecord(
            time: .now(), level: event.level, label: self.label, message: event.message.description,
            error: event.error.map { "\($0)" }, metadata: metadata)
        if event.level >= .warning { Self.recentProblems.add(record) }
        self.writer.write(line: self.style.line(record))
    }
}
