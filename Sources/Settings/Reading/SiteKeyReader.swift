internal import HSMWire
internal import SecretFiles

/// Reads where a key holder's site has its private key: `key`, and `passphrase-file`.
struct SiteKeyReader {
    let report: DiagnosticCollector
    let files: FileChecks

    private var values: ValueReaders { ValueReaders(report: self.report) }

    func read(_ reader: MappingReader) -> KeyHolderSettings.Key? {
        let passphrase = reader.optional("passphrase-file") { self.files.secret($0, self.values) }
        return reader.required("key") { node in
            guard let text = self.values.text(node, "a path, or the name of a key on a token") else { return nil }
            guard text.hasPrefix(PKCS11URI.scheme) else {
                return self.files.secret(node, self.values).map { .file($0, passphraseFile: passphrase) }
            }
            if reader.has("passphrase-file") {
                self.report.error(
                    at: reader.position(of: "passphrase-file"), "a key on a token has no passphrase",
                    remedy: "Remove it; the token's PIN is found by hsm.pin-file.")
            }
            return self.token(text, node).map { .token($0) }
        }
    }

    private func token(_ text: String, _ node: ConfigurationNode) -> PKCS11URI? {
        var uri: PKCS11URI
        do throws(PKCS11URIError) {
            uri = try PKCS11URI(text)
        } catch {
            self.report.error(
                at: node.position, "this is not the name of a key on a token: \(error)",
                remedy: "Write it as RFC 7512 has it: pkcs11:token=NAME;object=NAME.")
            return nil
        }
        guard let file = uri.pinFile else { return uri }
        let path = self.files.resolve(file)
        if let problem = self.files.problemWithSecret(path) {
            self.report.error(at: node.position, problem.message, remedy: problem.remedy)
            return nil
        }
        uri.pinFile = path
        return uri
    }
}
