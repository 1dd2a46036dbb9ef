/// Reads what stands behind a key holder's site for native clients: an address alone, or a mapping.
struct ApplicationReader {
    let report: DiagnosticCollector

    private var values: ValueReaders { ValueReaders(report: self.report) }

    func read(_ node: ConfigurationNode) -> KeyHolderSettings.Application? {
        if case .scalar = node.kind {
            guard let address = self.address(node) else { return nil }
            return KeyHolderSettings.Application(
                address: address, proxyProtocol: .none, variants: Set(KeyHolderSettings.Application.Variant.allCases))
        }
        guard
            let reader = MappingReader(
                node, noun: "an application", keys: ["address", "proxy-protocol", "variants"], report: self.report)
        else { return nil }
        let address = reader.required("address", remedy: "Write address: HOST:PORT or unix:/PATH.") {
            self.address($0)
        }
        let proxyProtocol = reader.optional("proxy-protocol") {
            self.values.word($0, as: KeyHolderSettings.Application.ProxyProtocol.self)
        }
        let variants = reader.optional("variants") { node in
            self.values.list(node, of: "variant") {
                self.values.word($0, as: KeyHolderSettings.Application.Variant.self)
            }
        }
        guard let address else { return nil }
        return KeyHolderSettings.Application(
            address: address, proxyProtocol: proxyProtocol ?? .none,
            variants: variants.map { Set($0) } ?? Set(KeyHolderSettings.Application.Variant.allCases))
    }

    private func address(_ node: ConfigurationNode) -> KeyHolderSettings.Application.Address? {
        guard let text = self.values.text(node, "HOST:PORT or unix:/PATH") else { return nil }
        guard text.hasPrefix("unix:") else {
            return self.values.endpoint(node, allowPortZero: false).map { .tcp($0) }
        }
        let path = String(text.dropFirst("unix:".count))
        // The system's limit for such a path.
        guard path.hasPrefix("/"), path.utf8.count <= 100 else {
            self.report.error(
                at: node.position, "\"\(path)\" is not an absolute path of at most 100 bytes",
                remedy: "Write unix:/run/app.sock.")
            return nil
        }
        return .unix(path)
    }
}
