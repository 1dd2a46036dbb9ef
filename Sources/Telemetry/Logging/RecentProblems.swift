internal import Logging
import NIOConcurrencyHelpers

/// The last warnings and errors of the log, for people who look at a page and not at the log. Bounded in number and in length.
public final class RecentProblems: Sendable {
    public struct Line: Sendable, Equatable {
        /// RFC 3339.
        public var time: String
        public var level: String
        public var message: String
        /// `key=value`, as the log has it, unescaped.
        public var details: String

        public init(time: String, level: String, message: String, details: String) {
            self.time = time
            self.level = level
            self.message = message
            self.details = details
        }
    }

    static let count = 50
    static let maximumDetails = 1000

    private let lines = NIOLockedValueBox<[Line]>([])

    public init() {}

    /// The newest first.
    public var all: [Line] { self.lines.withLockedValue { $0.reversed() } }

    public func add(_ line: Line) {
        var line = line
        line.details = String(line.details.prefix(Self.maximumDetails))
        self.lines.withLockedValue { lines in
            if lines.count >= Self.count { lines.removeFirst() }
            lines.append(line)
        }
    }

    func add(_ record: LogRecord) {
        var time = ""
        record.time.append(to: &time)
        var details = record.error.map { ["error=\($0)"] } ?? []
        for (key, value) in record.flattened() {
            switch value {
            case .text(let text): details.append("\(key)=\(text)")
            case .list(let items): details.append("\(key)=\(items.joined(separator: ","))")
            }
        }
        self.add(
            Line(
                time: time, level: record.level.rawValue, message: record.message,
                details: details.joined(separator: " ")))
    }
}
