import Fleet

/// Where the private keys are: the secret parts of every keyless site's key, looked for in the memory of edge and key holder.
struct KeyProof: Sendable {
    struct Place: Sendable {
        var outcome: ProcessMemory.Outcome
        var search: MemorySearch
    }

    var sites: [DemoSiteFiles]
    var edge: Place
    var keyHolder: Place
    var edgeFiles: MemorySearch
    var edgeFilesBytes: Int

    init(stage: DemoStage, edge edgePID: Int32, keyHolder keyHolderPID: Int32) throws {
        self.sites = stage.sites(.keyless)
        let secrets = try sites.map { try SiteSecrets(pkcs8PEM: $0.issued.keyPEM) }
        self.keyHolder = try Self.search(keyHolderPID, for: secrets)
        self.edge = try Self.search(edgePID, for: secrets)
        self.edgeFiles = MemorySearch(keys: secrets)
        let files = try stage.edgeFiles()
        self.edgeFilesBytes = files.count
        files.withUnsafeBytes { edgeFiles.search($0, repeated: 0) }
    }

    private static func search(_ pid: Int32, for secrets: [SiteSecrets]) throws -> Place {
        var search = MemorySearch(keys: secrets)
        let outcome = try ProcessMemory.search(pid: pid, with: &search)
        return Place(outcome: outcome, search: search)
    }

    /// Every key is in the key holder, and no part of any is at the edge.
    var holds: Bool {
        sites.indices.allSatisfy { key in
            keyHolder.search.count(key: key) > 0 && edge.search.count(key: key) == 0 && edgeFiles.count(key: key) == 0
        }
    }

    func table() -> TextTable {
        var table = TextTable(headings: [
            ("site's key", .left), ("parts looked for", .left), ("key holder's memory", .right),
            ("edge's memory", .right), ("edge's files", .right),
        ])
        for (key, site) in sites.enumerated() {
            let held = keyHolder.search.count(key: key)
            let leaked = edge.search.count(key: key)
            let inFiles = edgeFiles.count(key: key)
            var names: [String] = []
            for pattern in edge.search.patterns where pattern.key == key && pattern.form == .bigEndian {
                names.append(pattern.part)
            }
            table.rows.append([
                .init(text: site.keyType.displayName),
                .init(text: names.joined(separator: " ")),
                .init(text: "\(held) \(held == 1 ? "hit" : "hits")", tone: held > 0 ? .good : .bad),
                .init(text: "\(leaked) hits", tone: leaked == 0 ? .good : .bad),
                .init(text: "\(inFiles) hits", tone: inFiles == 0 ? .good : .bad),
            ])
        }
        return table
    }

    /// How much was searched, for what.
    var summary: String {
        func megabytes(_ place: Place) -> String {
            "\((place.outcome.bytes + 500_000) / 1_000_000) MB in \(place.outcome.regions) mappings"
        }
        return "  Searched \(megabytes(keyHolder)) of the key holder, \(megabytes(edge)) of the edge,"
            + " and \(edgeFilesBytes) bytes of the edge's files,\n"
            + "  for each part as big-endian and little-endian number, and for the key files' text.\n"
    }
}
