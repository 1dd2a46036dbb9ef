internal import Telemetry

/// Reads `audit` of a key holder: a path, `-` or syslog; or a mapping.
struct AuditReader {
    static let keys = LogTargetReader.keys + ["key", "checkpoint"]

    let report: DiagnosticCollector
    let files: FileChecks

    /// - Parameter state: The key holder's state folder.
    func read(_ reader: MappingReader, state: String?) -> KeyHolderSettings.Audit {
        let named = reader.optional("audit") { self.audit($0) } ?? Named(target: .standardOutput)
        // Beside the lines where there is no better place; what goes to a pipe or a daemon has no such place.
        var base = state.map { "\($0)/audit" }
        if base == nil, case .file(let path) = named.target, !path.hasPrefix("/dev/") { base = path }
        return KeyHolderSettings.Audit(
            target: named.target, key: named.key ?? base.map { "\($0).key" },
            head: (base ?? named.key).map { "\($0).head" },
            checkpoint: named.checkpoint ?? SettingsRanges.defaultCheckpoint)
    }

    private struct Named {
        var target: LogTarget
        var key: String?
        var checkpoint: Duration?
    }

    private func audit(_ node: ConfigurationNode) -> Named? {
        let targets = LogTargetReader(report: self.report, files: self.files)
        let values = ValueReaders(report: self.report)
        if case .scalar = node.kind { return targets.target(node, facility: nil).map { Named(target: $0) } }
        guard let reader = MappingReader(node, noun: "audit", keys: Self.keys, report: self.report) else { return nil }
        let target = targets.read(reader)
        let key = reader.optional("key") { self.files.writable($0, values) }
        let checkpoint = reader.optional("checkpoint") { values.duration($0, in: SettingsRanges.checkpoint) }
        return target.map { Named(target: $0, key: key, checkpoint: checkpoint) }
    }
}
