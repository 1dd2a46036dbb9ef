internal import Yams

/// YAML text to `ConfigurationNode`, with every syntax error and every duplicate key reported at its place.
enum YAMLReading {
    /// More duplicate keys than this are not listed.
    private static let maximumDuplicates = 50

    /// The document's root; nil if it is empty or an error was reported.
    static func read(_ text: String, report: DiagnosticCollector) -> ConfigurationNode? {
        ConfigurationText.refuseAnchors(in: text, report: report)
        if report.hasErrors { return nil }
        var lines: [[Unicode.Scalar]] = text.unicodeScalars.split(
            separator: "\n", omittingEmptySubsequences: false
        ).map { Array($0) }
        var duplicates = DuplicateKeys()
        while true {
            do {
                let current = duplicates.isEmpty ? text : Self.join(lines)
                guard let root = try Yams.compose(yaml: current, .basic, .default, .utf8) else { return nil }
                return Self.convert(root, duplicates: duplicates, report: report)
            } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
                // The parser stops at the first mapping with a duplicate. To see the rest of the file, and the other
                // place of the key, the key is renamed in the text to something of the same length, and is given its
                // name back in `convert`.
                let place = SourcePosition(line: context.mark.line, column: context.mark.column)
                let renamed =
                    keys.count > 0 && duplicates.count < Self.maximumDuplicates
                    && keys.contains { duplicates.rename($0, at: place, in: &lines) }
                guard renamed else {
                    report.error(
                        at: SourcePosition(line: max(place.line, 1), column: max(place.column, 1)),
                        "the key \(keys.map { "\"\($0)\"" }.joined(separator: ", ")) stands more than once in a mapping",
                        remedy: "Keep one of them.")
                    return nil
                }
            } catch let error as YamlError {
                YAMLSyntaxMessage.report(error, text: text, to: report)
                return nil
            } catch {
                report.error(at: SourcePosition(line: 1, column: 1), "not valid YAML: \(error)")
                return nil
            }
        }
    }

    private static func join(_ lines: [[Unicode.Scalar]]) -> String {
        var text = String.UnicodeScalarView()
        for (index, line) in lines.enumerated() {
            if index > 0 { text.append("\n") }
            text.append(contentsOf: line)
        }
        return String(text)
    }

    private static func convert(
        _ node: Node, duplicates: DuplicateKeys, report: DiagnosticCollector
    ) -> ConfigurationNode {
        let position = Self.position(node)
        switch node {
        case .scalar(let scalar):
            return ConfigurationNode(
                position: position, kind: .scalar(scalar.string, plain: scalar.style == .plain || scalar.style == .any))
        case .sequence(let sequence):
            let items = sequence.map { Self.convert($0, duplicates: duplicates, report: report) }
            return ConfigurationNode(position: position, kind: .list(items))
        case .alias:
            // Only made by Yams' encoder; `refuseAnchors` ran before.
            return ConfigurationNode(position: position, kind: .scalar("", plain: true))
        case .mapping(let mapping):
            var entries: [ConfigurationEntry] = []
            var first: [String: SourcePosition] = [:]
            for (keyNode, valueNode) in mapping {
                let keyPosition = Self.position(keyNode)
                guard case .scalar(let scalar) = keyNode else {
                    report.error(
                        at: keyPosition, "a key must be a word", remedy: "Write `key: value`, one on each line.")
                    continue
                }
                let key = duplicates.originalName(at: keyPosition) ?? scalar.string
                let value = Self.convert(valueNode, duplicates: duplicates, report: report)
                if let earlier = first[key] {
                    report.error(
                        at: keyPosition,
                        "the key \"\(key)\" stands here again; it was first given in line \(earlier.line)",
                        remedy: "Keep one of them.")
                    continue
                }
                first[key] = keyPosition
                entries.append(ConfigurationEntry(key: key, keyPosition: keyPosition, value: value))
            }
            return ConfigurationNode(position: position, kind: .mapping(entries))
        }
    }

    private static func position(_ node: Node) -> SourcePosition {
        SourcePosition(line: max(node.mark?.line ?? 1, 1), column: max(node.mark?.column ?? 1, 1))
    }
}

/// The keys that were renamed so that a mapping with duplicates can be parsed.
private struct DuplicateKeys {
    private var names: [SourcePosition: String] = [:]

    var isEmpty: Bool { self.names.isEmpty }
    var count: Int { self.names.count }

    func originalName(at position: SourcePosition) -> String? { self.names[position] }

    /// Replaces the key at `position` by as many private-use characters; false if it does not stand there literally.
    mutating func rename(_ key: String, at position: SourcePosition, in lines: inout [[Unicode.Scalar]]) -> Bool {
        let scalars = Array(key.unicodeScalars)
        guard lines.indices.contains(position.line - 1), !scalars.isEmpty else { return false }
        let start = position.column - 1
        let line = lines[position.line - 1]
        guard start >= 0, line.count >= start + scalars.count, Array(line[start..<start + scalars.count]) == scalars
        else { return false }
        guard let filler = Unicode.Scalar(0xF0000 as UInt32), let unique = Unicode.Scalar(0xF0001 + UInt32(self.count))
        else { return false }
        lines[position.line - 1][start] = unique
        for index in (start + 1)..<(start + scalars.count) where scalars.count > 1 {
            lines[position.line - 1][index] = filler
        }
        self.names[position] = key
        return true
    }
}
