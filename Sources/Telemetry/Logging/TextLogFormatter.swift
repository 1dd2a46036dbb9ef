internal import Logging

/// A line for people: `2026-01-31T12:00:00.000Z info  edge: message key=value other="two words"`.
struct TextLogFormatter {
    var colours: Bool

    func format(_ record: LogRecord) -> String {
        var line = self.colours ? "\u{1B}[2m" : ""
        record.time.append(to: &line)
        if self.colours { line += "\u{1B}[0m" }
        line += " "
        let level = record.level.rawValue
        let padding = String(repeating: " ", count: max(0, 8 - level.utf8.count))
        if let colour = self.colours ? Self.colour(record.level) : nil {
            line += "\u{1B}[\(colour)m\(level)\u{1B}[0m\(padding)"
        } else {
            line += level + padding
        }
        line += " "
        Self.appendClean(record.label, to: &line)
        line += ": "
        Self.appendClean(record.message, to: &line)
        if let error = record.error { self.append(key: "error", value: error, to: &line) }
        for (key, value) in record.flattened() {
            switch value {
            case .text(let text): self.append(key: key, value: text, to: &line)
            case .list(let items): self.append(key: key, value: "[\(items.joined(separator: ", "))]", to: &line)
            }
        }
        return line
    }

    private func append(key: String, value: String, to line: inout String) {
        line += self.colours ? " \u{1B}[36m" : " "
        Self.appendClean(key, to: &line)
        line += self.colours ? "\u{1B}[0m=" : "="
        let needsQuotes =
            value.isEmpty
            || value.unicodeScalars.contains {
                $0.value <= 0x20 || $0 == "\"" || $0 == "=" || $0 == "\\" || Self.isControl($0)
            }
        if needsQuotes {
            JSONText.quote(value, into: &line)
        } else {
            line += value
        }
    }

    /// Text from outside must not end the line or move the terminal's cursor.
    private static func appendClean(_ text: String, to line: inout String) {
        for scalar in text.unicodeScalars {
            if scalar.value < 0x20 || Self.isControl(scalar) {
                line += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                line.unicodeScalars.append(scalar)
            }
        }
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        (0x7F...0x9F).contains(scalar.value) || scalar.value == 0x2028 || scalar.value == 0x2029
    }

    private static func colour(_ level: Logger.Level) -> String? {
        switch level {
        case .trace, .debug: "2"
        case .info: nil
        case .notice: "32"
        case .warning: "33"
        case .error: "31"
        case .critical: "1;31"
        }
    }
}
