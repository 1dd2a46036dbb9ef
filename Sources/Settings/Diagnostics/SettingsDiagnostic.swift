/// A place in a configuration file.
public struct SourceLocation: Hashable, Sendable, CustomStringConvertible {
    /// The file as the caller named it.
    public var file: String
    /// From 1; 0 if the whole file is meant (it could not be read).
    public var line: Int
    /// From 1, counted in Unicode scalars; 0 if the whole file is meant.
    public var column: Int

    public init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    /// `edge.yaml:12:5`, or `edge.yaml` if the whole file is meant.
    public var description: String {
        self.line == 0 ? self.file : "\(self.file):\(self.line):\(self.column)"
    }
}

/// One complaint about a configuration file: where, what, and what to do about it.
public struct SettingsDiagnostic: Hashable, Sendable, CustomStringConvertible {
    public enum Severity: String, Sendable {
        /// The file cannot be used.
        case error
        /// The file can be used, and probably does not mean what it says.
        case warning
    }

    public var severity: Severity
    public var location: SourceLocation
    /// What is wrong, without a full stop.
    public var message: String
    /// What to do, one or more full sentences; nil where the message says it all.
    public var remedy: String?
    /// The line at fault, without its line break; nil if the whole file is meant.
    public var sourceLine: String?

    public init(
        severity: Severity, location: SourceLocation, message: String, remedy: String?, sourceLine: String?
    ) {
        self.severity = severity
        self.location = location
        self.message = message
        self.remedy = remedy
        self.sourceLine = sourceLine
    }

    /// The first line of `description`: place, severity, message, remedy.
    public var headline: String {
        let advice = self.remedy.map { ". \($0)" } ?? ""
        return "\(self.location): \(self.severity.rawValue): \(self.message)\(advice)"
    }

    /// The headline, the line at fault, and a caret below the column.
    public var description: String {
        guard let sourceLine, self.location.column > 0 else { return self.headline }
        var shown = String.UnicodeScalarView()
        for scalar in sourceLine.unicodeScalars where scalar == "\t" || scalar.value >= 0x20 {
            shown.append(scalar)
        }
        // Tabs stay tabs, so that the caret ends up below its column whatever the terminal's tab width is.
        var padding = String.UnicodeScalarView()
        for scalar in shown.prefix(self.location.column - 1) {
            padding.append(scalar == "\t" ? "\t" : " ")
        }
        return "\(self.headline)\n    \(String(shown))\n    \(String(padding))^"
    }
}

/// A configuration file that cannot be used, with everything that is wrong with it.
public struct SettingsError: Error, Equatable, CustomStringConvertible {
    /// In the order of the file; at least one of them is an error.
    public var diagnostics: [SettingsDiagnostic]

    public init(diagnostics: [SettingsDiagnostic]) {
        self.diagnostics = diagnostics
    }

    public var description: String {
        self.diagnostics.map(\.description).joined(separator: "\n")
    }
}
