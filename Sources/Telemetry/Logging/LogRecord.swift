internal import Logging

/// One event, ready to be written: metadata merged, time taken.
struct LogRecord {
    var time: LogTimestamp
    var level: Logger.Level
    var label: String
    var message: String
    var error: String?
    var metadata: Logger.Metadata
}

extension LogRecord {
    /// Nested metadata is flattened with dots, in the order of keys. Lists stay lists.
    enum FlatValue: Equatable {
        case text(String)
        case list([String])
    }

    /// Deeper nesting is written as one text.
    private static let maximumDepth = 4

    func flattened() -> [(key: String, value: FlatValue)] {
        var result: [(key: String, value: FlatValue)] = []
        Self.flatten(self.metadata, prefix: "", depth: 1, into: &result)
        return result
    }

    private static func flatten(
        _ metadata: Logger.Metadata, prefix: String, depth: Int, into result: inout [(key: String, value: FlatValue)]
    ) {
        for key in metadata.keys.sorted() {
            guard let value = metadata[key] else { continue }
            switch value {
            case .dictionary(let inner) where depth < Self.maximumDepth:
                Self.flatten(inner, prefix: "\(prefix)\(key).", depth: depth + 1, into: &result)
            case .array(let items):
                result.append((prefix + key, .list(items.map(\.description))))
            default:
                result.append((prefix + key, .text(value.description)))
            }
        }
    }
}
