internal import Admission
internal import EdgeModel

/// Reads where clients connect, and which networks speak for others.
struct ListenerReader {
    let report: DiagnosticCollector

    private var values: ValueReaders { ValueReaders(report: self.report) }

    private enum Others: String, CaseIterable {
        case refuse, serve
    }

    /// `listen`: addresses, or mappings that say more.
    func listeners(_ node: ConfigurationNode) -> [ListenAddress] {
        var seen: Set<SocketEndpoint> = []
        let read: (ConfigurationNode) -> ListenAddress? = { item in
            guard let listener = self.listener(item) else { return nil }
            let endpoint = SocketEndpoint(listener)
            if endpoint.port != 0, !seen.insert(endpoint).inserted {
                self.report.error(
                    at: item.position, "\(endpoint) stands twice in the list", remedy: "Keep one of them.")
            }
            return listener
        }
        if case .mapping = node.kind { return read(node).map { [$0] } ?? [] }
        return self.values.list(node, of: "address", read)
    }

    /// `listen-http`: addresses, or a mapping that says more.
    func plain(_ node: ConfigurationNode) -> EdgeSettings.PlainSettings? {
        guard case .mapping = node.kind else { return EdgeSettings.PlainSettings(listen: self.endpoints(node)) }
        guard
            let reader = MappingReader(
                node, noun: "listen-http", keys: ["listen", "redirect", "port"], report: self.report)
        else { return nil }
        let listen = reader.required("listen", remedy: "Write listen: [0.0.0.0:80].") { self.endpoints($0) }
        var settings = EdgeSettings.PlainSettings(listen: listen ?? [])
        if let status = reader.optional("redirect", { self.redirect($0) }) { settings.redirect = status }
        if let port = reader.optional("port", { self.values.integer($0, in: 1...65535) }) { settings.port = port }
        return settings
    }

    /// Listeners, each once.
    func endpoints(_ node: ConfigurationNode) -> [SocketEndpoint] {
        var seen: Set<SocketEndpoint> = []
        return self.values.list(node, of: "address") { item -> SocketEndpoint? in
            guard let endpoint = self.values.listener(item) else { return nil }
            if endpoint.port != 0, !seen.insert(endpoint).inserted {
                self.report.error(
                    at: item.position, "\(endpoint) stands twice in the list", remedy: "Keep one of them.")
            }
            return endpoint
        }
    }

    private func redirect(_ node: ConfigurationNode) -> Int? {
        guard let status = self.values.integer(node, in: 301...308) else { return nil }
        guard status == 301 || status == 308 else {
            self.report.error(
                at: node.position, "\(status) is not what a site that has moved to HTTPS for good answers",
                remedy: "Write 308, or 301 for clients that do not know it.")
            return nil
        }
        return status
    }

    private func listener(_ node: ConfigurationNode) -> ListenAddress? {
        guard case .mapping = node.kind else {
            return self.values.listener(node).map { ListenAddress(host: $0.host, port: $0.port) }
        }
        let keys = ["address", "proxy-protocol-from", "others"]
        let misplaced: [String: MappingReader.Misplaced] = [
            "proxy-protocol": .init(
                message: "unknown key \"proxy-protocol\" in a listener",
                remedy:
                    "Write proxy-protocol-from: [10.0.0.0/8], with the networks of the balancers that send the header.")
        ]
        guard
            let reader = MappingReader(
                node, noun: "a listener", keys: keys, misplaced: misplaced, report: self.report)
        else { return nil }
        let endpoint = reader.required("address", remedy: "Write address: 0.0.0.0:443.") { self.values.listener($0) }
        let networks = reader.optional("proxy-protocol-from") { self.networks($0) }
        let others = reader.optional("others") { self.values.word($0, as: Others.self) }
        if reader.has("others"), !reader.has("proxy-protocol-from") {
            self.report.error(
                at: reader.position(of: "others"), "\"others\" says nothing without \"proxy-protocol-from\"",
                remedy: "Name the networks whose connections begin with a PROXY header, or remove it.")
        }
        return endpoint.map {
            ListenAddress(
                host: $0.host, port: $0.port,
                policy: networks.map { .proxies($0, servesOthers: others == .serve) } ?? .clients)
        }
    }

    /// Networks in CIDR notation, or single addresses.
    func networks(_ node: ConfigurationNode) -> [IPNetwork] {
        self.values.list(node, of: "network") { item -> IPNetwork? in
            guard let text = self.values.text(item, "a network such as 10.0.0.0/8") else { return nil }
            do throws(IPNetwork.ParsingError) {
                return try IPNetwork(parsing: text)
            } catch {
                self.report.error(at: item.position, Self.message(text, error), remedy: Self.remedy(error))
                return nil
            }
        }
    }

    private static func message(_ text: String, _ error: IPNetwork.ParsingError) -> String {
        switch error {
        case .notAnAddress: "\"\(text)\" is not a network"
        case .badPrefixLength: "\"\(text)\" has no valid prefix length"
        case .bitsBehindPrefix: "\"\(text)\" is an address inside a network"
        }
    }

    private static func remedy(_ error: IPNetwork.ParsingError) -> String {
        switch error {
        case .notAnAddress: "Write an IP address, or a network such as 10.0.0.0/8 or 2001:db8::/32."
        case .badPrefixLength(let maximum): "The range behind the slash is 0 to \(maximum)."
        case .bitsBehindPrefix(let network): "Did you mean \(network)?"
        }
    }
}
