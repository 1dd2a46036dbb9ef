public import Logging

/// swift-log's backend: text or JSON lines on standard error. See `docs/logging.md`.
public struct LatchstringLogHandler: LogHandler {
    private enum Formatter: Sendable {
        case text(colours: Bool)
        case json
    }

    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    public var logLevel: Logger.Level

    private let label: String
    private let formatter: Formatter
    private let output: LogOutput

    public init(label: String, level: Logger.Level, format: LogFormat) {
        self.init(label: label, level: level, format: format, output: .standardError)
    }

    init(label: String, level: Logger.Level, format: LogFormat, output: LogOutput) {
        self.label = label
        self.logLevel = level
        self.output = output
        switch format {
        case .json: self.formatter = .json
        case .text: self.formatter = .text(colours: output.wantsColours)
        case .auto: self.formatter = output.isTerminal ? .text(colours: output.wantsColours) : .json
        }
    }

    /// Makes this the backend of every `Logger` in the process. Call it once, before the first logger is made.
    public static func bootstrap(level: Logger.Level, format: LogFormat) {
        LoggingSystem.bootstrap { label in
            LatchstringLogHandler(label: label, level: level, format: format)
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
        switch self.formatter {
        case .json: self.output.write(line: JSONLogFormatter.format(record))
        case .text(let colours): self.output.write(line: TextLogFormatter(colours: colours).format(record))
        }
    }
}
