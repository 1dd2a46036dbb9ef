internal import HSMWire

/// Reads `hsm`.
struct HSMReader {
    static let keys = ["module", "pin-file", "pin-credential", "workers", "timeout"]

    let report: DiagnosticCollector
    let files: FileChecks

    private var values: ValueReaders { ValueReaders(report: self.report) }

    func read(_ node: ConfigurationNode) -> TokenModule? {
        let misplaced: [String: MappingReader.Misplaced] = [
            "pin": .init(
                message: "a PIN does not stand in a configuration file",
                remedy: "Put it into a file that the key holder's user alone may read, and write pin-file.")
        ]
        guard
            let reader = MappingReader(node, noun: "hsm", keys: Self.keys, misplaced: misplaced, report: self.report)
        else { return nil }
        let module = reader.required(
            "module", remedy: "Write the path of the HSM's PKCS #11 library, as in /usr/lib/softhsm/libsofthsm2.so."
        ) { self.files.readable($0, self.values) }
        let file = reader.optional("pin-file") { self.files.secret($0, self.values) }
        let credential = reader.optional("pin-credential") { self.credential($0) }
        let workers = reader.optional("workers") { self.values.integer($0, in: TokenModule.workerRange) }
        let timeout = reader.optional("timeout") { self.values.duration($0, in: TokenModule.timeoutRange) }
        if reader.has("pin-file"), reader.has("pin-credential") {
            self.report.error(
                at: reader.position(of: "pin-credential"), "there is one PIN, and two places for it",
                remedy: "Keep pin-file or pin-credential.")
        }
        guard let module else { return nil }
        var hsm = TokenModule(module: module, pin: file.map { .file($0) } ?? credential.map { .credential($0) })
        if let workers { hsm.workers = workers }
        if let timeout { hsm.timeout = timeout }
        return hsm
    }

    /// What systemd calls a credential: a file's name.
    private func credential(_ node: ConfigurationNode) -> String? {
        guard let text = self.values.text(node, "a credential's name") else { return nil }
        guard !text.contains("/"), text != ".", text != "..", text.utf8.count <= 255 else {
            self.report.error(
                at: node.position, "\"\(text)\" is not the name of a credential",
                remedy: "Write the name in LoadCredential=NAME:PATH of the unit.")
            return nil
        }
        return text
    }
}
