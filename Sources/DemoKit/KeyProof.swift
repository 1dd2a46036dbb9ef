import PrivateAuthority

/// Where the secrets are: the secret parts of every key at the key holder, and those of handoff sessions that are open
/// meanwhile, looked for in the memory of edge and key holder.
///
/// A search that finds nothing proves something only if it could have found it. So the key holder must show every site's
/// key that is in a file (those on a token, it must not), and the edge what it has by right: the key of its identity, and the
/// traffic secrets that were lent to it.
struct KeyProof: Sendable {
    struct Subject: Sendable {
        var label: String
        var secrets: SiteSecrets
        /// Whether the secret must be there (true), must not be (false), or may be (nil).
        var atKeyHolder: Bool?
        var atEdge: Bool
        var inEdgeFiles: Bool
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
    init(stage: DemoStage, sessions: [DemoSession], edge edgePID: Int32, keyHolder keyHolderPID: Int32) throws {
        var subjects: [Subject] = try stage.sites.filter(\.mode.needsKeyHolder).map { site in
            Subject(
                label:
                    "\(site.mode.rawValue) site's \(site.keyType.displayName)\(stage.isOnToken(site) ? ", on the token" : "")",
                secrets: try SiteSecrets(pkcs8PEM: site.issued.keyPEM), atKeyHolder: !stage.isOnToken(site),
                atEdge: false,
                inEdgeFiles: false)
        }
        for session in sessions {
            // The key holder forgets them when the session is the edge's; how soon its library's memory is reused is no matter.
            for (label, secrets, isLent) in session.secrets {
                subjects.append(
                    Subject(label: label, secrets: secrets, atKeyHolder: nil, atEdge: isLent, inEdgeFiles: false))
            }
        }
        subjects.append(
            Subject(
                label: "edge's own identity", secrets: try SiteSecrets(pkcs8PEM: stage.edgeIdentity.keyPEM),
                atKeyHolder: false, atEdge: true, inEdgeFiles: true))
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

    /// Every secret is where it must be and nowhere that it must not be.
    var holds: Bool {
        subjects.indices.allSatisfy { key in
            let subject = subjects[key]
            let isAtKeyHolder = keyHolder.search.count(key: key) > 0
            return (subject.atKeyHolder ?? isAtKeyHolder) == isAtKeyHolder
                && subject.atEdge == (edge.search.count(key: key) > 0)
                && subject.inEdgeFiles == (edgeFiles.count(key: key) > 0)
        }
    }

    func table() -> TextTable {
        var table = TextTable(headings: [
            ("secret", .left), ("parts looked for", .left), ("key holder's memory", .right),
            ("edge's memory", .right), ("edge's files", .right),
        ])
        for (key, subject) in subjects.enumerated() {
            table.rows.append([
                .init(text: subject.label),
                .init(text: subject.secrets.parts.map(\.name).joined(separator: " ")),
                Self.cell(keyHolder.search.count(key: key), expected: subject.atKeyHolder),
                Self.cell(edge.search.count(key: key), expected: subject.atEdge),
                Self.cell(edgeFiles.count(key: key), expected: subject.inEdgeFiles),
            ])
        }
        return table
    }

    private static func cell(_ hits: Int, expected: Bool?) -> TextTable.Cell {
        let text = hits == 1 ? "1 hit" : "\(hits) hits"
        guard let expected else { return TextTable.Cell(text: text) }
        return TextTable.Cell(text: text, tone: (hits > 0) == expected ? .good : .bad)
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
              What is lent and the last row show that the search would find more at the edge if there were more.

            """
    }
}
