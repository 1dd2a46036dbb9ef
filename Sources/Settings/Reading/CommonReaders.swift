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
                "the admin port speaks plain HTTP: its token can be read on the network",
                remedy: "Use a private network, an SSH tunnel to 127.0.0.1, or \"monitoring\", which speaks TLS.")
        }
        return AdminSettings(endpoint: endpoint, token: token)
    }

    /// - Parameter others: where the process listens otherwise.
    func monitoring(_ node: ConfigurationNode, others: [SocketEndpoint]) -> MonitoringSettings? {
        guard
            let reader = MappingReader(
                node, noun: "monitoring", keys: ["listen", "certificate", "key", "clients"], report: self.report)
        else { return nil }
        let endpoint = reader.required("listen", remedy: "Write listen: 0.0.0.0:9436.") { self.values.listener($0) }
        let certificate = reader.required("certificate") { self.files.readable($0, self.values) }
        let key = reader.required("key") { self.files.secret($0, self.values) }
        let clients = reader.required(
            "clients", remedy: "Name the file with the authority that signs the monitoring system's certificate."
        ) { self.files.readable($0, self.values) }
        guard let endpoint, let certificate, let key, let clients else { return nil }
        if endpoint.port != 0, others.contains(endpoint) {
            self.report.error(
                at: reader.valuePosition(of: "listen"), "\(endpoint) is also another listener of this file",
                remedy: "Use another port.")
        }
        return MonitoringSettings(
            endpoint: endpoint,
            identity: IdentitySettings(
                location: self.report.location(node.position), certificate: certificate, key: key, authority: clients))
    }

    func handOver(_ node: ConfigurationNode) -> HandOverSettings? {
        guard
            let reader = MappingReader(node, noun: "hand-over", keys: ["program", "timeout"], report: self.report)
        else { return nil }
        var settings = HandOverSettings()
        settings.program = reader.optional("program") { node in
            guard let path = self.values.text(node, "a path").map(self.files.resolve) else { return nil }
            guard path.hasPrefix("/") else {
                self.report.error(
                    at: node.position, "\"\(path)\" is no absolute path", remedy: "Write program: /usr/bin/latchstring."
                )
                return nil
            }
            if let problem = self.files.problemRunning(path) {
                self.report.error(
                    at: node.position, "cannot run \"\(path)\": \(problem)",
                    remedy: "Name the program of the next version, or remove \"program\".")
            }
            return path
        }
        if let timeout = reader.optional(
            "timeout", { self.values.duration($0, in: SettingsRanges.handOverTimeout) })
        {
            settings.timeout = timeout
        }
        return settings
    }

    func threads(_ root: MappingReader) -> Int? {
        root.optional("threads") { self.values.integer($0, in: SettingsRanges.threads) }
    }
}
