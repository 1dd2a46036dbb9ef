internal import Telemetry

/// Reads `access-log` of an edge.
struct AccessLogReader {
    static let keys = ["to", "format", "facility", "mask"]

    let report: DiagnosticCollector
    let files: FileChecks

    private var values: ValueReaders { ValueReaders(report: self.report) }

    /// A path, or a mapping.
    func read(_ node: ConfigurationNode) -> AccessLogSettings? {
        if case .scalar = node.kind {
            return self.target(node, facility: nil).map { AccessLogSettings(target: $0, layout: AccessLayout(.json)) }
        }
        guard let reader = MappingReader(node, noun: "access-log", keys: Self.keys, report: self.report) else {
            return nil
        }
        let facility = reader.optional("facility") { self.facility($0) }
        let target = reader.required("to", remedy: "Write the path of a file, \"-\" or syslog.") {
            self.target($0, facility: facility)
        }
        if reader.has("facility"), let target, !target.isSyslog {
            self.report.error(
                at: reader.position(of: "facility"), "only syslog has facilities", remedy: "Remove \"facility\".")
        }
        let mask = reader.optional("mask") { self.mask($0) } ?? AccessMask()
        let layout =
            reader.has("format")
            ? reader.required("format") { self.layout($0, mask) } : AccessLayout(.json, mask: mask)
        guard let target, let layout else { return nil }
        return AccessLogSettings(target: target, layout: layout)
    }

    // MARK: Where to

    private func target(_ node: ConfigurationNode, facility: Int?) -> AccessTarget? {
        guard let text = self.values.text(node, "a path, \"-\" or syslog") else { return nil }
        let facility = facility ?? 23
        switch text {
        case "-": return .standardOutput
        case "syslog": return .syslog(.init(.local(path: "/dev/log"), facility: facility))
        case _ where text.hasPrefix("syslog://"):
            var place = String(text.dropFirst("syslog://".count))
            if !place.contains(":") || place.hasSuffix("]") { place += ":514" }
            do {
                let endpoint = try SocketEndpoint.parse(place, allowPortZero: false)
                return .syslog(.init(.udp(host: endpoint.host, port: endpoint.port), facility: facility))
            } catch {
                self.report.error(at: node.position, error.message, remedy: error.remedy)
                return nil
            }
        default: return self.files.writable(node, self.values).map { .file($0) }
        }
    }

    /// RFC 5424 §6.2.1.
    private static let facilities = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
        "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
    ]

    private func facility(_ node: ConfigurationNode) -> Int? {
        guard let text = self.values.text(node, "a facility such as local7") else { return nil }
        guard let number = Self.facilities.firstIndex(of: text) else {
            self.report.error(
                at: node.position, "\"\(text)\" is no facility of syslog",
                remedy: NearestName.advice(text, among: Self.facilities, noun: "Facilities"))
            return nil
        }
        return number
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

extension AccessTarget {
    fileprivate var isSyslog: Bool {
        if case .syslog = self { true } else { false }
    }
}
