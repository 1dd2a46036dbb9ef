internal import EdgeModel

/// Reads what one client, and the clients of one site, may take of an edge.
struct ClientLimitsReader {
    /// In `limits`.
    static let keys = ["connections-per-client", "handshakes-per-client", "exempt", "ipv6-prefix"]

    let report: DiagnosticCollector

    private var values: ValueReaders { ValueReaders(report: self.report) }

    func read(_ reader: MappingReader, into limits: inout EdgeLimits) {
        limits.connectionsPerClient = reader.optional("connections-per-client") {
            self.values.integer($0, in: SettingsRanges.edgeConnections)
        }
        if let perClient = limits.connectionsPerClient, perClient > limits.connections {
            self.report.error(
                at: reader.valuePosition(of: "connections-per-client"),
                "one client may not have more connections than all, which is \(limits.connections)",
                remedy: "Make it smaller, or \"connections\" larger.")
        }
        if let rate = reader.optional(
            "handshakes-per-client", { self.values.integer($0, in: SettingsRanges.handshakesPerClient) })
        {
            limits.handshakesPerClient = rate
        }
        if let networks = reader.optional("exempt", { ListenerReader(report: self.report).networks($0) }) {
            limits.exempt = networks
        }
        if let bits = reader.optional("ipv6-prefix", { self.values.integer($0, in: SettingsRanges.ipv6Prefix) }) {
            limits.ipv6PrefixLength = bits
        }
    }

    /// `connections` of a site: a number, or a percentage.
    func bound(_ node: ConfigurationNode) -> ConnectionBound? {
        guard case .scalar(let text, plain: true) = node.kind, text.hasSuffix("%") else {
            return self.values.integer(node, in: SettingsRanges.edgeConnections).map { .number($0) }
        }
        guard let percent = Int(text.dropLast()), (1...100).contains(percent) else {
            self.report.error(
                at: node.position, "\"\(text)\" is not a percentage", remedy: "The range is 1% to 100%.")
            return nil
        }
        return .percent(percent)
    }
}
