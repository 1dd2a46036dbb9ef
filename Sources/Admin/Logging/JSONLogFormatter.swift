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
        Self.quote(record.label, into: &line)
        line += ",\"message\":"
        Self.quote(record.message, into: &line)
        if let error = record.error {
            line += ",\"error\":"
            Self.quote(error, into: &line)
        }
        var seen: Set<String> = []
        for (key, value) in record.flattened() {
            let isTaken = Self.reserved.contains(key) && (key != "error" || record.error != nil)
            let name = isTaken ? "metadata.\(key)" : key
            guard seen.insert(name).inserted else { continue }
            line += ","
            Self.quote(name, into: &line)
            line += ":"
            switch value {
            case .text(let text): Self.quote(text, into: &line)
            case .list(let items):
                line += "["
                for (index, item) in items.enumerated() {
                    if index > 0 { line += "," }
                    Self.quote(item, into: &line)
                }
                line += "]"
            }
        }
        line += "}"
        return line
    }

    /// RFC 8259 §7.
    static func quote(_ text: String, into line: inout String) {
        line += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": line += "\\\""
            case "\\": line += "\\\\"
            case "\n": line += "\\n"
            case "\r": line += "\\r"
            case "\t": line += "\\t"
            // Also DEL and the C1 controls: the line may end up on a terminal.
            case let control where control.value < 0x20 || (0x7F...0x9F).contains(control.value):
                let hex = String(control.value, radix: 16)
                line += "\\u" + String(repeating: "0", count: 4 - hex.utf8.count) + hex
            default: line.unicodeScalars.append(scalar)
            }
        }
        line += "\""
    }
}
