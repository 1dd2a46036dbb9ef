/// What must hold for a configuration file's text before the YAML parser sees it.
enum ConfigurationText {
    /// Larger files are refused. Ten thousand sites fit.
    static let maximumBytes: Int = 1 << 20

    /// Reports anchors and aliases (`&name`, `*name`), which no setting needs.
    ///
    /// Nested aliases grow exponentially when they are expanded ("billion laughs"), and comparing keys already expands
    /// them, so this looks at the text before it is parsed. It does not know quoted text from plain text: a quoted
    /// value with a blank before `&name` is refused also.
    static func refuseAnchors(in text: String, report: DiagnosticCollector) {
        var line = 1
        var column = 0
        var previous: Unicode.Scalar = "\n"
        var inComment = false
        var candidate: (mark: Unicode.Scalar, position: SourcePosition)?
        for scalar in text.unicodeScalars {
            if let found = candidate {
                candidate = nil
                if Self.canBeginName(scalar) {
                    let noun = found.mark == "&" ? "anchors" : "aliases"
                    report.error(
                        at: found.position, "YAML \(noun) (\"\(found.mark)name\") are not used in configuration files",
                        remedy: "Write the value out, and put it in quotes if the \"\(found.mark)\" belongs to it.")
                }
            }
            if scalar == "\n" {
                line += 1
                column = 0
                inComment = false
            } else {
                column += 1
                let startsToken = Self.endsToken(previous)
                if scalar == "#" && startsToken { inComment = true }
                if !inComment && startsToken && (scalar == "&" || scalar == "*") {
                    candidate = (scalar, SourcePosition(line: line, column: column))
                }
            }
            previous = scalar
        }
    }

    private static func endsToken(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "\n", "\r", " ", "\t", "[", "{", ",", "\u{FEFF}": true
        default: false
        }
    }

    /// libyaml takes letters, digits, `-` and `_` as names.
    private static func canBeginName(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "-" || scalar == "_" || ("0"..."9").contains(scalar) || ("a"..."z").contains(scalar)
            || ("A"..."Z").contains(scalar)
    }
}
