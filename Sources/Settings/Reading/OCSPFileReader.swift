/// Reads `ocsp` of a site's `tls`: one file, or a list of them. That a file is there is not asked: something else writes it, and
/// a site is served without.
struct OCSPFileReader {
    let values: ValueReaders
    let files: FileChecks

    func read(_ node: ConfigurationNode) -> [String]? {
        let paths: [String]?
        if case .scalar = node.kind {
            paths = self.values.text(node, "a file with an OCSP response").map { [$0] }
        } else {
            paths = self.values.list(node, of: "file") { self.values.text($0, "a file with an OCSP response") }
        }
        return paths?.map(self.files.resolve)
    }
}
