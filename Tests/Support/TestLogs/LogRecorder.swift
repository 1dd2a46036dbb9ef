public import Logging
import Synchronization
import TestSockets

/// Keeps log lines for tests to look at.
public final class LogRecorder: Sendable {
    public struct Line: Sendable {
        public var level: Logger.Level
        public var message: String
        public var metadata: [String: String]
    }

    private let lines = Mutex<[Line]>([])

    public init() {}

    public var all: [Line] { self.lines.withLock { $0 } }

    public func lines(_ message: String) -> [Line] {
        self.all.filter { $0.message == message }
    }

    /// Waits until such a line is there. Blocks.
    public func wait(for message: String) throws -> Line {
        try eventually("log line '\(message)'") { self.lines(message).first }
    }

    public var handler: any LogHandler { Handler(recorder: self) }

    private struct Handler: LogHandler {
        let recorder: LogRecorder
        var logLevel = Logger.Level.trace
        var metadata: Logger.Metadata = [:]

        init(recorder: LogRecorder) {
            self.recorder = recorder
        }

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let metadata = self.metadata.merging(event.metadata ?? [:]) { $1 }.mapValues { "\($0)" }
            let line = Line(level: event.level, message: "\(event.message)", metadata: metadata)
            self.recorder.lines.withLock { $0.append(line) }
        }
    }
}
