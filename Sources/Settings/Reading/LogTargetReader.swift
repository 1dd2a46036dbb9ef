internal import Telemetry

/// Reads where lines of a log go: `access-log` of an edge, `audit` of a key holder.
struct LogTargetReader {
    static let keys = ["to", "facility"]

    let report: DiagnosticCollector
    let files: FileChecks

    private var values: ValueReaders { ValueReaders(report: self.report) }

    /// `to` and `facility` of a mapping.
    func read(_ reader: MappingReader) -> LogTarget? {
        let facility = reader.optional("facility") { self.facility($0) }
        let target = reader.required("to", remedy: "Write the path of a file, \"-\" or syslog.") {
            self.target($0, facility: facility)
        }
        if reader.has("facility"), let target, !target.isSyslog {
            self.report.error(
                at: reader.position(of: "facility"), "only syslog has facilities", remedy: "Remove \"facility\".")
        }
        return target
    }

    func target(_ node: ConfigurationNode, facility: Int?) -> LogTarget? {
        guard let text = self.values.text(node, "a path, \"-\" or syslog") else { return nil }
        let facility = facility ?? 23
        switch text {
        case "-": return .standardOutput
        case "syslog": return .syslog(.init(.local(path: "/dev/log"), facility: facility))
        case _ where text.hasPrefix("syslog:///"):
            return .syslog(.init(.local(path: String(text.dropFirst("syslog://".count))), facility: facility))
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
}

extension LogTarget {
    fileprivate var isSyslog: Bool {
        if case .syslog = self { true } else { false }
    }
}
