public import Logging
import Synchronization

/// Lines that a test looks at from another thread.
public final class Lines: Sendable {
    private let lines = Mutex<[String]>([])

    public init() {}

    public var all: [String] { self.lines.withLock { $0 } }
    public func add(_ line: String) { self.lines.withLock { $0.append(line) } }
    /// How many of them contain the text.
    public func count(_ text: String) -> Int { self.all.count { $0.contains(text) } }
}

/// A log as lines of level, message and metadata.
public struct LineLog: LogHandler {
    private let lines: Lines
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    public var logLevel: Logger.Level

    public init(lines: Lines, level: Logger.Level = .trace) {
        self.lines = lines
        self.logLevel = level
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        let metadata = self.metadata.merging(event.metadata ?? [:]) { $1 }
        let items = metadata.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        self.lines.add("\(event.level) \(event.message) \(items.joined(separator: " "))")
    }
}
