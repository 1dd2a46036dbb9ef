/// Reads a key holder's site's certificates and keys: one, or a list of several.
struct SiteCertificatesReader {
    let report: DiagnosticCollector
    let files: FileChecks

    private static let own = ["certificate", "key", "passphrase-file"]

    private var values: ValueReaders { ValueReaders(report: self.report) }

    /// nil where errors were reported, and with `acme`, which has its certificate in the state folder.
    func read(_ site: MappingReader) -> [KeyHolderSettings.Certificate]? {
        guard !site.has("acme") else {
            if let key = (Self.own + ["certificates"]).first(where: site.has) {
                self.report.error(
                    at: site.position(of: key), "\"\(key)\" names a file, and the site has its certificate by ACME",
                    remedy: "Remove it, or remove acme.")
            }
            return nil
        }
        guard site.has("certificates") else { return self.certificate(site).map { [$0] } }
        if let key = Self.own.first(where: site.has) {
            self.report.error(
                at: site.position(of: key), "the site has \"\(key)\" and \"certificates\"",
                remedy: "Write each certificate and its key as one entry of certificates.")
        }
        return site.optional("certificates") { self.list($0) }
    }

    private func list(_ node: ConfigurationNode) -> [KeyHolderSettings.Certificate]? {
        guard case .list(let items) = node.kind else {
            self.values.wrongType(node, wanted: "a list of certificates (`- {certificate: …, key: …}`)")
            return nil
        }
        guard SettingsRanges.certificates.contains(items.count) else {
            self.report.error(
                at: node.position, "the site has \(items.count) certificates",
                remedy:
                    "Name 1 to \(SettingsRanges.certificates.upperBound): one for each kind of key, and the ones before for a while."
            )
            return nil
        }
        var lines: [String: Int] = [:]
        let certificates = items.compactMap { item -> KeyHolderSettings.Certificate? in
            let reader = MappingReader(item, noun: "a certificate", keys: Self.own, report: self.report)
            guard let certificate = reader.flatMap(self.certificate) else { return nil }
            if let line = lines.updateValue(item.position.line, forKey: certificate.chain) {
                self.report.error(
                    at: item.position, "the certificate \(certificate.chain) stands in line \(line) also",
                    remedy: "Remove one of the two.")
                return nil
            }
            return certificate
        }
        return certificates.count == items.count ? certificates : nil
    }

    private func certificate(_ reader: MappingReader) -> KeyHolderSettings.Certificate? {
        let chain = reader.required("certificate", remedy: "Name its chain, or write acme: {directory: …}.") {
            self.files.readable($0, self.values)
        }
        let key = SiteKeyReader(report: self.report, files: self.files).read(reader)
        guard let chain, let key else { return nil }
        return KeyHolderSettings.Certificate(location: self.report.location(reader.position), chain: chain, key: key)
    }
}

extension KeyHolderSettings.Certificate {
    var isOnToken: Bool { if case .token = self.key { true } else { false } }
}
