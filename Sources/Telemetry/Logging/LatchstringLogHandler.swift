public import Logging
import NIOConcurrencyHelpers

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// swift-log's backend: text or JSON lines on standard error, written by a thread of its own. See `docs/logging.md`.
public struct LatchstringLogHandler: LogHandler {
    enum Formatter: Sendable {
        case text(colours: Bool)
        case json

        init(_ format: LogFormat, for output: LogOutput) {
            switch format {
            case .json: self = .json
            case .text: self = .text(colours: output.wantsColours)
            case .auto: self = output.isTerminal ? .text(colours: output.wantsColours) : .json
            }
        }

        func line(_ record: LogRecord) -> String {
            switch self {
            case .json: JSONLogFormatter.format(record)
            case .text(let colours): TextLogFormatter(colours: colours).format(record)
            }
        }
    }

    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    public var logLevel: Logger.Level

    private let label: String
    private let formatter: Formatter
    private let writer: LogWriter

    /// The process's last warnings and errors.
    public static let recentProblems = RecentProblems()

    /// The process's own, whose last lines are written before it ends.
    private static let processWriter = NIOLockedValueBox<LogWriter?>(nil)

    init(label: String, level: Logger.Level, formatter: Formatter, writer: LogWriter) {
        self.label = label
        self.logLevel = level
        self.formatter = formatter
        self.writer = writer
    }

    /// Makes this the backend of every `Logger` in the process. Call it once, before the first logger is made.
    public static func bootstrap(level: Logger.Level, format: LogFormat) {
        let output = LogOutput.standardError
        let formatter = Formatter(format, for: output)
        let writer = Self.writer(output, formatter)
        Self.processWriter.withLockedValue { $0 = writer }
        atexit { LatchstringLogHandler.flush() }
        LoggingSystem.bootstrap { label in
            LatchstringLogHandler(label: label, level: level, formatter: formatter, writer: writer)
        }
    }

    /// Waits for a moment for what is not written yet.
    static func flush() { Self.processWriter.withLockedValue { $0 }?.flush(milliseconds: 1000) }

    static func writer(_ output: LogOutput, _ formatter: Formatter) -> LogWriter {
        LogWriter(output) { leftOut in
            formatter.line(
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
        self.writer.write(line: self.formatter.line(record))
    }
}
