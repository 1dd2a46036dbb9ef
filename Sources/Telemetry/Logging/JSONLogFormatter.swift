internal import Logging

/// One JSON object on a line: `ts`, `level`, `label`, `message`, `error` where there is one, and the metadata.
///
/// Metadata that bears one of those names gets `metadata.` before it, so that every key stands once.
enum JSONLogFormatter {
    private static let reserved: Set<String> = ["ts", "level", "label", "message", "error"]

    static func format(_ record: LogRecord) -> String {
        var line = "{\"ts\":\""
        record.time.append(to: &line)
        line += "\",\"level\":\"\(record.level.rawValue)\",\"label\":"
        JSONText.quote(record.label, into: &line)
        line += ",\"message\":"
        JSONText.quote(record.message, into: &line)
        if let error = record.error {
            line += ",\"error\":"
            JSONText.quote(error, into: &line)
        }
        var seen: Set<String> = []
        for (key, value) in record.flattened() {
            let isTaken = Self.reserved.contains(key) && (key != "error" || record.error != nil)
            let name = isTaken ? "metadata.\(key)" : key
            guard seen.insert(name).inserted else { continue }
            line += ","
            JSONText.quote(name, into: &line)
            line += ":"
            switch value {
            case .text(let text): JSONText.quote(text, into: &line)
            case .list(let items):
                line += "["
                for (index, item) in items.enumerated() {
                    if index > 0 { line += "," }
                    JSONText.quote(item, into: &line)
                }
                line += "]"
            }
        }
        line += "}"
        return line
    }
}
