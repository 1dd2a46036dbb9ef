internal import Telemetry

/// Reads `access-log` of an edge.
struct AccessLogReader {
    static let keys = ["to", "format", "facility", "mask"]

    let report: DiagnosticCollector
    let files: FileChecks

    private var values: ValueReaders { ValueReaders(report: self.report) }
    private var targets: LogTargetReader { LogTargetReader(report: self.report, files: self.files) }

    /// A path, or a mapping.
    func read(_ node: ConfigurationNode) -> AccessLogSettings? {
        if case .scalar = node.kind {
            return self.targets.target(node, facility: nil).map {
                AccessLogSettings(target: $0, layout: AccessLayout(.json))
            }
        }
        guard let reader = MappingReader(node, noun: "access-log", keys: Self.keys, report: self.report) else {
            return nil
        }
        let target = self.targets.read(reader)
        let mask = reader.optional("mask") { self.mask($0) } ?? AccessMask()
        let layout =
            reader.has("format")
            ? reader.required("format") { self.layout($0, mask) } : AccessLayout(.json, mask: mask)
        guard let target, let layout else { return nil }
        return AccessLogSettings(target: target, layout: layout)
    }

    // MARK: What

    private func layout(_ node: ConfigurationNode, _ mask: AccessMask) -> AccessLayout? {
        guard let text = self.values.text(node, "json, combined or a template") else { return nil }
        switch text {
        case "json": return AccessLayout(.json, mask: mask)
        case "combined": return AccessLayout(.combined, mask: mask)
        case _ where text.contains("{"):
            do throws(AccessTemplateError) { return try AccessLayout(template: text, mask: mask) } catch {
                let names = AccessField.allCases.map(\.rawValue)
                let message =
                    error.name.map { "the template has \"{\($0)}\", which is not known or not written" }
                    ?? "the template has a brace without its other half, or a line break"
                self.report.error(
                    at: node.position, message,
                    remedy: error.name.map { NearestName.advice($0, among: names, noun: "Names") }
                        ?? "Write {{ and }} for braces.")
                return nil
            }
        default:
            self.report.error(
                at: node.position, "\"\(text)\" is no format",
                remedy: "Write json, combined, or a template such as '{client} {status} {request}'.")
            return nil
        }
    }

    private func mask(_ node: ConfigurationNode) -> AccessMask? {
        guard
            let reader = MappingReader(node, noun: "mask", keys: ["parameters", "fields"], report: self.report)
        else { return nil }
        let parameters = reader.optional("parameters") { node in
            self.values.list(node, of: "parameter") { self.values.text($0, "the name of a query parameter") }
        }
        let fields = reader.optional("fields") { node in
            self.values.list(node, of: "field") { self.values.word($0, as: AccessField.self) }
        }
        return AccessMask(
            parameters: Set(parameters?.map { $0.lowercased() } ?? []), fields: Set(fields ?? []))
    }
}
