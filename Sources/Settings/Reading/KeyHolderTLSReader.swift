/// Reads `tls` of a key holder's site: the handshakes that the key holder makes for it.
struct KeyHolderTLSReader {
    let report: DiagnosticCollector
    let files: FileChecks

    private var values: ValueReaders { ValueReaders(report: self.report) }

    func read(_ node: ConfigurationNode) -> KeyHolderSettings.TLS? {
        guard
            let reader = MappingReader(
                node, noun: "tls",
                keys: [
                    "minimum-version", "maximum-version", "cipher-suites", "groups", "rsa-key-exchange",
                    "ticket-lifetime",
                    "ticket-keys", "ocsp",
                ],
                report: self.report)
        else { return nil }
        var tls = KeyHolderSettings.TLS()
        if let version = reader.optional("minimum-version", { self.values.word($0, as: MinimumTLSVersion.self) }) {
            tls.minimumVersion = version
        }
        if let version = reader.optional("maximum-version", { self.values.word($0, as: MinimumTLSVersion.self) }) {
            tls.maximumVersion = version
        }
        tls.suites = reader.optional("cipher-suites") { self.words($0, of: "suite", self.suite) }
        tls.groups = reader.optional("groups") { node in
            self.words(node, of: "group") { self.values.word($0, as: KeyExchangeGroup.self) }
        }
        tls.allowsRSAKeyExchange = reader.optional("rsa-key-exchange") { self.values.boolean($0) } ?? false
        if let lifetime = reader.optional(
            "ticket-lifetime", { self.values.duration($0, in: SettingsRanges.ticketLifetime) })
        {
            tls.ticketLifetime = lifetime
        }
        tls.ticketKeys = reader.optional("ticket-keys") { self.files.secret($0, self.values) }
        tls.ocsp = reader.optional("ocsp") { OCSPFileReader(values: self.values, files: self.files).read($0) } ?? []
        self.check(tls, reader)
        return tls
    }

    private func check(_ tls: KeyHolderSettings.TLS, _ reader: MappingReader) {
        if tls.maximumVersion == .tls12, tls.minimumVersion == .tls13 {
            self.report.error(
                at: reader.position(of: "maximum-version"), "\"maximum-version\" is below \"minimum-version\"",
                remedy: "Remove one of them.")
        } else if tls.minimumVersion == .tls13 {
            for key in ["cipher-suites", "rsa-key-exchange"]
            where key == "cipher-suites" ? tls.suites != nil : tls.allowsRSAKeyExchange {
                self.report.error(
                    at: reader.position(of: key), "\"\(key)\" is for TLS 1.2 clients, and the site takes none",
                    remedy: "Remove it, or write minimum-version: 1.2.")
            }
        }
        if tls.ticketLifetime == .zero, reader.has("ticket-keys") {
            self.report.error(
                at: reader.position(of: "ticket-keys"), "\"ticket-keys\" are for tickets, and the site makes none",
                remedy: "Remove them, or ticket-lifetime: 0s.")
        }
    }

    private func suite(_ node: ConfigurationNode) -> TLS12Suite? {
        if case .scalar(let text, _) = node.kind, text.hasPrefix("TLS_"), !text.contains("_WITH_") {
            self.report.error(
                at: node.position, "\"\(text)\" is a suite of TLS 1.3, and those are always offered",
                remedy: "Suites are for TLS 1.2.")
            return nil
        }
        return self.values.word(node, as: TLS12Suite.self)
    }

    /// Each at most once.
    private func words<Word: Hashable & RawRepresentable>(
        _ node: ConfigurationNode, of noun: String, _ read: (ConfigurationNode) -> Word?
    ) -> [Word] where Word.RawValue == String {
        var seen: Set<Word> = []
        return self.values.list(node, of: noun) { item in
            guard let word = read(item) else { return nil }
            guard seen.insert(word).inserted else {
                self.report.error(
                    at: item.position, "\"\(word.rawValue)\" stands there twice", remedy: "Remove one of them.")
                return nil
            }
            return word
        }
    }
}
