internal import HTTPCaching
internal import HTTPFields

/// Reads `add-fields` and `remove-fields` of a site, and names of fields.
struct ResponseFieldsReader {
    static let keys = ["add-fields", "remove-fields"]

    let report: DiagnosticCollector

    private var values: ValueReaders { ValueReaders(report: self.report) }

    func read(_ reader: MappingReader) -> FieldEdits {
        let added = reader.optional("add-fields") { self.added($0) } ?? []
        let removed =
            reader.optional("remove-fields") { node in
                self.values.list(node, of: "field name") { self.fieldName($0) }
            } ?? []
        // What is added takes the place of the origin's.
        return FieldEdits(remove: (removed + added.map(\.name)).compactMap { FieldName($0) }, add: added)
    }

    private func added(_ node: ConfigurationNode) -> [FieldEdits.Field] {
        guard case .mapping(let entries) = node.kind else {
            self.values.wrongType(node, wanted: "a mapping from field names to values (`X-Edge: paris`)")
            return []
        }
        return entries.compactMap { entry in
            let nameNode = ConfigurationNode(position: entry.keyPosition, kind: .scalar(entry.key, plain: false))
            guard let name = self.fieldName(nameNode), let value = self.values.text(entry.value, "the field's value")
            else { return nil }
            guard value.utf8.allSatisfy({ ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x09 }), value.utf8.count <= 4096 else {
                self.report.error(
                    at: entry.value.position, "a field's value has no control characters, and at most 4096 bytes",
                    remedy: "Write it on one line.")
                return nil
            }
            return FieldEdits.Field(name: name, value: value)
        }
    }

    /// Fields that say how a message is framed, or for whom, are the edge's own business.
    private static let ownFields: Set<String> = [
        "age", "cache-status", "connection", "content-encoding", "content-length", "content-range", "date",
        "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "vary", "via",
    ]

    private func fieldName(_ node: ConfigurationNode) -> String? {
        guard let name = self.anyName(node) else { return nil }
        guard !Self.ownFields.contains(name.lowercased()) else {
            self.report.error(
                at: node.position, "the edge sets \"\(name)\" itself", remedy: "Leave it out; see docs/caching.md.")
            return nil
        }
        return name
    }

    func anyName(_ node: ConfigurationNode) -> String? {
        guard let name = self.values.text(node, "a field name") else { return nil }
        let marks = Set("!#$%&'*+-.^_`|~".utf8)
        let isToken = name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || marks.contains(byte)
        }
        guard isToken, name.utf8.count <= 128 else {
            self.report.error(
                at: node.position, "\"\(name)\" is not a field name",
                remedy: "Names are letters, digits and dashes: X-Edge.")
            return nil
        }
        return name
    }
}
