/// Reads one mapping: knows its keys, reports those it does not know, and hands out values.
struct MappingReader {
    /// A key that is right elsewhere, and what to say about it here.
    struct Misplaced {
        var message: String
        var remedy: String
    }

    let position: SourcePosition
    let values: ValueReaders
    private let noun: String
    private let entries: [String: ConfigurationEntry]

    var report: DiagnosticCollector { self.values.report }

    /// nil, and reported, if `node` is not a mapping. `noun` names it in messages: "a site".
    init?(
        _ node: ConfigurationNode, noun: String, keys: [String], misplaced: [String: Misplaced] = [:],
        report: DiagnosticCollector
    ) {
        self.values = ValueReaders(report: report)
        guard case .mapping(let entries) = node.kind else {
            let example = keys.first.map { " (`\($0): …`)" } ?? ""
            self.values.wrongType(node, wanted: "\(noun), a mapping\(example),")
            return nil
        }
        self.position = node.position
        self.noun = noun
        var known: [String: ConfigurationEntry] = [:]
        for entry in entries {
            if keys.contains(entry.key) {
                known[entry.key] = entry
            } else if let misplaced = misplaced[entry.key] {
                report.error(at: entry.keyPosition, misplaced.message, remedy: misplaced.remedy)
            } else {
                report.error(
                    at: entry.keyPosition, "unknown key \"\(entry.key)\" in \(noun)",
                    remedy: NearestName.advice(entry.key, among: keys, noun: "Known keys"))
            }
        }
        self.entries = known
    }

    /// True if the key stands in the mapping, with or without a value.
    func has(_ key: String) -> Bool { self.entries[key] != nil }

    /// Where the key stands, or the mapping itself if it does not.
    func position(of key: String) -> SourcePosition { self.entries[key]?.keyPosition ?? self.position }

    /// Where the key's value stands.
    func valuePosition(of key: String) -> SourcePosition { self.entries[key]?.value.position ?? self.position }

    func node(_ key: String) -> ConfigurationNode? { self.entries[key]?.value }

    /// The value, or nil: reported as missing where the key is absent, as wrong by `read`.
    func required<Value>(
        _ key: String, remedy: String? = nil, _ read: (ConfigurationNode) -> Value?
    ) -> Value? {
        guard let entry = self.entries[key] else {
            self.report.error(
                at: self.position, "\(self.noun) needs the key \"\(key)\"", remedy: remedy)
            return nil
        }
        return self.present(entry).flatMap(read)
    }

    /// The value, or nil where the key is absent (fine) or wrong (reported).
    func optional<Value>(_ key: String, _ read: (ConfigurationNode) -> Value?) -> Value? {
        guard let entry = self.entries[key] else { return nil }
        return self.present(entry).flatMap(read)
    }

    private func present(_ entry: ConfigurationEntry) -> ConfigurationNode? {
        guard entry.value.isAbsent else { return entry.value }
        self.report.error(
            at: entry.keyPosition, "\"\(entry.key)\" has no value", remedy: "Write one, or remove the key.")
        return nil
    }
}
