import Logging
import NIOConcurrencyHelpers

/// Lines that a test looks at from another thread.
final class Lines: Sendable {
    private let box = NIOLockedValueBox<[String]>([])
    var all: [String] { self.box.withLockedValue { $0 } }
    func add(_ line: String) { self.box.withLockedValue { $0.append(line) } }
}

/// A log as lines of level, message and metadata.
struct LineLog: LogHandler {
    let lines: Lines
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    var logLevel: Logger.Level = .trace

    init(lines: Lines) { self.lines = lines }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let metadata = self.metadata.merging(event.metadata ?? [:]) { $1 }
        let items = metadata.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        self.lines.add("\(event.level) \(event.message) \(items.joined(separator: " "))")
    }
}

/// Waits for something to become true; the suite's time limit ends it.
func eventually(_ condition: () -> Bool) async throws {
    while !condition() { try await Task.sleep(for: .milliseconds(5)) }
}
