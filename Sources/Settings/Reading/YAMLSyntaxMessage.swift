internal import Yams

/// Puts the YAML parser's complaints into words that help.
enum YAMLSyntaxMessage {
    static func report(_ error: YamlError, text: String, to report: DiagnosticCollector) {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _):
            Self.syntax(context: context, problem: problem, mark: mark, text: text, report: report)
        case .composer(_, let problem, let mark, _):
            if problem.contains("another document") {
                report.error(
                    at: Self.position(mark), "a second document starts here",
                    remedy: "Keep one document in a file, without `---` between its parts.")
            } else {
                report.error(at: Self.position(mark), "not valid YAML: \(problem)")
            }
        case .reader(let problem, let offset, _, _):
            let reason = problem == "control characters are not allowed" ? "a control character" : problem
            report.error(
                at: Self.position(ofCharacter: offset ?? 0, in: text), "not valid YAML: \(reason)",
                remedy: "Remove the character, or write the line anew.")
        case .memory:
            report.error(
                at: SourcePosition(line: 1, column: 1), "the file is nested too deeply",
                remedy: "Settings are at most five levels deep.")
        case .no, .writer, .emitter, .representer, .dataCouldNotBeDecoded, .duplicatedKeysInMapping:
            report.error(at: SourcePosition(line: 1, column: 1), "not valid YAML: \(error)")
        }
    }

    private static func syntax(
        context: YamlError.Context?, problem: String, mark: Mark, text: String, report: DiagnosticCollector
    ) {
        let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }
        let line: Substring = lines.indices.contains(mark.line - 1) ? lines[mark.line - 1] : ""
        let indentation = line.prefix { $0 == " " || $0 == "\t" }
        if let tab = indentation.firstIndex(of: "\t") {
            report.error(
                at: SourcePosition(line: mark.line, column: line.distance(from: line.startIndex, to: tab) + 1),
                "a tab is used for indentation", remedy: "Indent with blanks; YAML allows no tabs there.")
            return
        }
        if context?.text.contains("alias") == true, let start = context?.mark {
            report.error(
                at: Self.position(start), "a value cannot begin with * unless it is in quotes",
                remedy: "Write \"*.example.com\" with the quotes.")
            return
        }
        var message = "not valid YAML: \(problem)"
        if let context {
            message += " \(context.text)"
            if context.mark.line != mark.line, context.mark.line > 0 {
                message += " that starts in line \(context.mark.line)"
            }
        }
        report.error(
            at: Self.position(mark), message,
            remedy: "Look at this line and the one before it: indentation, `key: value` with a blank, quotes, brackets."
        )
    }

    private static func position(_ mark: Mark) -> SourcePosition {
        SourcePosition(line: max(mark.line, 1), column: max(mark.column, 1))
    }

    private static func position(ofCharacter offset: Int, in text: String) -> SourcePosition {
        var position = SourcePosition(line: 1, column: 1)
        for character in text.prefix(offset) {
            if character.isNewline {
                position = SourcePosition(line: position.line + 1, column: 1)
            } else {
                position.column += character.unicodeScalars.count
            }
        }
        return position
    }
}
