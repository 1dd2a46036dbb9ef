import Fleet

/// Where the private keys are: the secret parts of every keyless site's key, looked for in the memory of edge and key holder.
///
/// A search that finds nothing proves something only if it could have found it. So the key holder must show every site's
/// key, and the edge the one key that is its own, that of its identity.
struct KeyProof: Sendable {
    struct Subject: Sendable {
        var label: String
        var secrets: SiteSecrets
        /// Whether the edge has this key by right.
        var belongsToEdge: Bool
    }

    struct Place: Sendable {
        var outcome: ProcessMemory.Outcome
        var search: MemorySearch
    }

    let subjects: [Subject]
    let edge: Place
    let keyHolder: Place
    let edgeFiles: MemorySearch
    let edgeFilesBytes: Int

    /// - Throws: ``ProcessMemory/Failure`` where a process can't be searched.
    init(stage: DemoStage, edge edgePID: Int32, keyHolder keyHolderPID: Int32) throws {
        var subjects: [Subject] = try stage.sites(.keyless).map { site in
            Subject(
                label: "site's \(site.keyType.displayName)", secrets: try SiteSecrets(pkcs8PEM: site.issued.keyPEM),
                belongsToEdge: false)
        }
        subjects.append(
            Subject(
                label: "edge's own identity", secrets: try SiteSecrets(pkcs8PEM: stage.edgeIdentity.keyPEM),
                belongsToEdge: true))
        self.subjects = subjects
        let secrets = subjects.map(\.secrets)
        self.keyHolder = try Self.search(keyHolderPID, for: secrets)
        self.edge = try Self.search(edgePID, for: secrets)
        var search = MemorySearch(keys: secrets)
        let files = try stage.edgeFiles()
        files.withUnsafeBytes { search.search($0, repeated: 0) }
        self.edgeFiles = search
        self.edgeFilesBytes = files.count
    }

    private static func search(_ pid: Int32, for secrets: [SiteSecrets]) throws -> Place {
        var search = MemorySearch(keys: secrets)
        let outcome = try ProcessMemory.search(pid: pid, with: &search)
        return Place(outcome: outcome, search: search)
    }

    /// Every site's key is in the key holder, and no part of any is at the edge, where its own key was found.
    var holds: Bool {
        subjects.indices.allSatisfy { key in
            let atKeyHolder = keyHolder.search.count(key: key) > 0
            let atEdge = edge.search.count(key: key) > 0
            let inFiles = edgeFiles.count(key: key) > 0
            return subjects[key].belongsToEdge ? atEdge && inFiles && !atKeyHolder : atKeyHolder && !atEdge && !inFiles
        }
    }

    func table() -> TextTable {
        var table = TextTable(headings: [
            ("key", .left), ("parts looked for", .left), ("key holder's memory", .right),
            ("edge's memory", .right), ("edge's files", .right),
        ])
        for (key, subject) in subjects.enumerated() {
            table.rows.append([
                .init(text: subject.label),
                .init(text: subject.secrets.parts.map(\.name).joined(separator: " ")),
                Self.cell(keyHolder.search.count(key: key), expected: !subject.belongsToEdge),
                Self.cell(edge.search.count(key: key), expected: subject.belongsToEdge),
                Self.cell(edgeFiles.count(key: key), expected: subject.belongsToEdge),
            ])
        }
        return table
    }

    private static func cell(_ hits: Int, expected: Bool) -> TextTable.Cell {
        TextTable.Cell(text: hits == 1 ? "1 hit" : "\(hits) hits", tone: (hits > 0) == expected ? .good : .bad)
    }

    /// How much was searched, for what.
    var summary: String {
        func megabytes(_ place: Place) -> String {
            "\((place.outcome.bytes + 500_000) / 1_000_000) MB in \(place.outcome.regions) mappings"
        }
        return """
              Searched \(megabytes(keyHolder)) of the key holder, \(megabytes(edge)) of the edge, and \
            \(edgeFilesBytes) bytes of the edge's files,
              for each part as big-endian and little-endian number, and for the key files' text.
              The last row shows that the search would find a key at the edge if there were one.

            """
    }
}
