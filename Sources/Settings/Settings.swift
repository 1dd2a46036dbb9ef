internal import Foundation

/// What a configuration file turned out to be.
public struct LoadedSettings: Sendable {
    public enum Party: Sendable {
        case edge(EdgeSettings)
        case keyHolder(KeyHolderSettings)
        case fleet(FleetCommandSettings)
    }

    public var party: Party
    /// Things that do not keep the file from being used.
    public var warnings: [SettingsDiagnostic]
}

/// The kinds of configuration file.
public enum SettingsRole: String, CaseIterable, Sendable {
    case edge
    case keyHolder = "keyholder"
    /// For commands to a fleet, on a machine that is no edge.
    case fleet
}

/// Reads configuration files.
public enum Settings {
    /// Reads a file of either role.
    ///
    /// - Parameters:
    ///   - path: Paths inside the file are relative to its folder.
    ///   - role: If given, a file of the other role is an error.
    ///   - checkingFiles: Whether files that are named inside must be there and readable.
    /// - Throws: Everything that is wrong with the file.
    public static func load(
        path: String, role: SettingsRole? = nil, checkingFiles: Bool = true
    ) throws(SettingsError) -> LoadedSettings {
        let text = try self.text(path: path)
        return try Self.parse(text, file: path, role: role, checkingFiles: checkingFiles)
    }

    /// `load(path:)` for an edge's file.
    public static func loadEdge(
        path: String, checkingFiles: Bool = true
    ) throws(SettingsError) -> (settings: EdgeSettings, warnings: [SettingsDiagnostic]) {
        let loaded = try Self.load(path: path, role: .edge, checkingFiles: checkingFiles)
        guard case .edge(let settings) = loaded.party else { throw Self.failure(path, "it is not an edge's file", nil) }
        return (settings, loaded.warnings)
    }

    /// `load(path:)` for a key holder's file.
    public static func loadKeyHolder(
        path: String
    ) throws(SettingsError) -> (settings: KeyHolderSettings, warnings: [SettingsDiagnostic]) {
        let loaded = try Self.load(path: path, role: .keyHolder)
        guard case .keyHolder(let settings) = loaded.party else {
            throw Self.failure(path, "it is not a key holder's file", nil)
        }
        return (settings, loaded.warnings)
    }

    /// `load(path:)` for what commands to a fleet need: a file of role fleet, or an edge's that is part of one.
    public static func loadFleet(
        path: String
    ) throws(SettingsError) -> (settings: FleetCommandSettings, warnings: [SettingsDiagnostic]) {
        // Of an edge's file, what concerns the edge itself is not used, and its files may belong to another user.
        let loaded = try Self.load(path: path, checkingFiles: false)
        switch loaded.party {
        case .fleet(let settings): return (settings, loaded.warnings)
        case .edge(let edge):
            guard let fleet = edge.fleet, let identity = edge.identity else {
                throw Self.failure(
                    path, "this edge is part of no fleet", "Add \"fleet\" to it, or name a file of role: fleet.")
            }
            return (FleetCommandSettings(fleet: fleet, authority: identity.authority), [])
        case .keyHolder:
            throw Self.failure(path, "it is a key holder's file", "Name an edge's file, or one of role: fleet.")
        }
    }

    /// Reads settings from text. `file` is what diagnostics call it and what paths are relative to.
    public static func parse(
        _ text: String, file: String, role wanted: SettingsRole? = nil, checkingFiles: Bool
    ) throws(SettingsError) -> LoadedSettings {
        let report = DiagnosticCollector(file: file, text: text)
        let files = FileChecks(configurationFile: file, checksExistence: checkingFiles)
        let root = YAMLReading.read(text, report: report)
        var party: LoadedSettings.Party?
        if let root, !root.isAbsent {
            switch Self.role(root, wanted: wanted, report: report) {
            case .edge: party = EdgeReader(report: report, files: files).read(root).map { .edge($0) }
            case .keyHolder: party = KeyHolderReader(report: report, files: files).read(root).map { .keyHolder($0) }
            case .fleet: party = FleetReader(report: report, files: files).read(root).map { .fleet($0) }
            case nil: break
            }
        } else if !report.hasErrors {
            report.error(
                at: SourcePosition(line: 1, column: 1), "the file is empty",
                remedy: "Begin with one of the files under Examples.")
        }
        guard let party, !report.hasErrors else { throw SettingsError(diagnostics: report.sorted) }
        return LoadedSettings(party: party, warnings: report.sorted)
    }

    private static func role(
        _ root: ConfigurationNode, wanted: SettingsRole?, report: DiagnosticCollector
    ) -> SettingsRole? {
        guard case .mapping(let entries) = root.kind else {
            report.error(
                at: root.position, "a configuration file is a mapping, and this is \(root.typeName)",
                remedy: "Write key: value lines, role: edge or role: keyholder first.")
            return nil
        }
        guard let entry = entries.first(where: { $0.key == "role" }) else {
            report.error(
                at: root.position, "the key \"role\" is missing", remedy: "Write role: edge or role: keyholder first.")
            return wanted
        }
        guard let role = ValueReaders(report: report).word(entry.value, as: SettingsRole.self) else { return wanted }
        if let wanted, role != wanted {
            switch role {
            case .edge, .keyHolder:
                report.error(
                    at: entry.value.position, role == .edge ? "this is an edge's file" : "this is a key holder's file",
                    remedy: "Start it with `latchstring \(role.rawValue) --config`.")
            case .fleet:
                report.error(
                    at: entry.value.position, "this is a fleet's file",
                    remedy: "It is for `latchstring fleet` and `latchstring purge --fleet`.")
            }
            return nil
        }
        return role
    }

    private static func text(path: String) throws(SettingsError) -> String {
        let data: Data
        do {
            data = try BoundedFile.read(path, maximumBytes: ConfigurationText.maximumBytes)
        } catch {
            throw Self.failure(path, error.reason, error.remedy)
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            // Everything before the first wrong byte is valid, so its end is the place.
            let repaired = String(decoding: data, as: UTF8.self)
            let before = repaired.unicodeScalars.prefix { $0 != "\u{FFFD}" }
            let line = before.filter { $0 == "\n" }.count + 1
            let column = before.reversed().prefix { $0 != "\n" }.count + 1
            throw SettingsError(diagnostics: [
                SettingsDiagnostic(
                    severity: .error, location: SourceLocation(file: path, line: line, column: column),
                    message: "the file is not UTF-8 text", remedy: "Save it as UTF-8.", sourceLine: nil)
            ])
        }
        // Some editors begin a file with a byte order mark, which the YAML parser takes for the end of a document.
        return text.unicodeScalars.first == "\u{FEFF}" ? String(text.unicodeScalars.dropFirst()) : text
    }

    private static func failure(_ path: String, _ message: String, _ remedy: String?) -> SettingsError {
        SettingsError(diagnostics: [
            SettingsDiagnostic(
                severity: .error, location: SourceLocation(file: path, line: 0, column: 0), message: message,
                remedy: remedy, sourceLine: nil)
        ])
    }
}
