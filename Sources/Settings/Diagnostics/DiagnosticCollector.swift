/// A position in the file being read; both count from 1.
struct SourcePosition: Hashable, Comparable, Sendable {
    var line: Int
    var column: Int

    static func < (left: SourcePosition, right: SourcePosition) -> Bool {
        (left.line, left.column) < (right.line, right.column)
    }
}

/// Collects what is wrong with one file, so that its owner sees all of it at once.
///
/// Lives for one synchronous read and never leaves it.
final class DiagnosticCollector {
    let file: String
    private let lines: [Substring]
    private var diagnostics: [SettingsDiagnostic] = []

    init(file: String, text: String) {
        self.file = file
        self.lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }
    }

    var hasErrors: Bool { self.diagnostics.contains { $0.severity == .error } }

    /// Everything reported so far, in the order of the file.
    var sorted: [SettingsDiagnostic] {
        self.diagnostics.sorted { left, right in
            (left.location.line, left.location.column) < (right.location.line, right.location.column)
        }
    }

    func error(at position: SourcePosition, _ message: String, remedy: String? = nil) {
        self.add(.error, position, message, remedy)
    }

    func warning(at position: SourcePosition, _ message: String, remedy: String? = nil) {
        self.add(.warning, position, message, remedy)
    }

    func location(_ position: SourcePosition) -> SourceLocation {
        SourceLocation(file: self.file, line: position.line, column: position.column)
    }

    private func add(
        _ severity: SettingsDiagnostic.Severity, _ position: SourcePosition, _ message: String, _ remedy: String?
    ) {
        let line = self.lines.indices.contains(position.line - 1) ? String(self.lines[position.line - 1]) : nil
        self.diagnostics.append(
            SettingsDiagnostic(
                severity: severity, location: self.location(position), message: message, remedy: remedy,
                sourceLine: line))
    }
}
