/// The parts that both roles' files have.
struct CommonReaders {
    let report: DiagnosticCollector
    let files: FileChecks

    private var values: ValueReaders { ValueReaders(report: self.report) }

    func identity(_ node: ConfigurationNode) -> IdentitySettings? {
        guard
            let reader = MappingReader(
                node, noun: "an identity", keys: ["certificate", "key", "authority"], report: self.report)
        else { return nil }
        let values = self.values
        let certificate = reader.required("certificate") { self.files.readable($0, values) }
        let key = reader.required("key") { self.files.secret($0, values) }
        let authority = reader.required("authority", remedy: "It is the authority.pem of `latchstring certs`.") {
            self.files.readable($0, values)
        }
        guard let certificate, let key, let authority else { return nil }
        return IdentitySettings(
            location: self.report.location(node.position), certificate: certificate, key: key, authority: authority)
    }

    func log(_ node: ConfigurationNode) -> LogSettings? {
        guard let reader = MappingReader(node, noun: "log", keys: ["level", "format"], report: self.report) else {
            return nil
        }
        var settings = LogSettings()
        if let level = reader.optional("level", { self.values.word($0, as: LogSettings.Level.self) }) {
            settings.level = level
        }
        if let format = reader.optional("format", { self.values.word($0, as: LogSettings.Format.self) }) {
            settings.format = format
        }
        return settings
    }

    /// `127.0.0.1:9435`, or a mapping with a token. Only with a token may others than this machine reach the port.
    func admin(_ node: ConfigurationNode) -> AdminSettings? {
        if case .scalar = node.kind {
            return self.values.loopbackListener(node).map { AdminSettings(endpoint: $0) }
        }
        guard let reader = MappingReader(node, noun: "admin", keys: ["listen", "token"], report: self.report) else {
            return nil
        }
        let hasToken = reader.has("token")
        let endpoint = reader.required("listen", remedy: "Write listen: 127.0.0.1:9435.") { node in
            hasToken ? self.values.listener(node) : self.values.loopbackListener(node)
        }
        let token = reader.optional("token") { self.files.secret($0, self.values) }
        guard let endpoint else { return nil }
        if !endpoint.isLoopback {
            self.report.warning(
                at: reader.valuePosition(of: "listen"),
                "the admin port speaks plain HTTP, and whoever can read the network reads its token",
                remedy: "Use a private network, or 127.0.0.1 and an SSH tunnel.")
        }
        return AdminSettings(endpoint: endpoint, token: token)
    }

    func threads(_ root: MappingReader) -> Int? {
        root.optional("threads") { self.values.integer($0, in: SettingsRanges.threads) }
    }
}
