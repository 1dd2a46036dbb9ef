import ArgumentParser
import FoundationEssentials
import PrivateAuthority

/// `latchstring certs`: a private fleet authority, identities, and test site certificates.
struct CertsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "certs",
        abstract: "Make a private fleet authority, identities for edges and key holders, and test site certificates.",
        discussion: """
            Makes what is missing in the directory. An authority that is there already is used again, so that edges and \
            key holders can be added later; that takes its key. Nothing is overwritten without --force, and authorities \
            not even then. Keys are readable by you alone.

            Example: latchstring certs --edge paris --keyholder home --site www.example.test
            """)

    @Option(help: ArgumentHelp("The directory; made if missing.", valueName: "directory"))
    var out = "certs"

    @Option(
        name: .customLong("edge"), parsing: .singleValue,
        help: ArgumentHelp("An edge to make an identity for: a-z, 0-9, '.', '-'. Can be repeated.", valueName: "name"))
    var edges: [String] = []

    @Option(
        name: .customLong("keyholder"), parsing: .singleValue,
        help: ArgumentHelp("A key holder to make an identity for. Can be repeated.", valueName: "name"))
    var keyHolders: [String] = []

    @Option(
        name: .customLong("site"), parsing: .singleValue,
        help: ArgumentHelp(
            """
            A site to make a test certificate for, with further domains after commas and the key type (p256, rsa-2048 \
            or ed25519; default p256) after a colon. Can be repeated.
            """, valueName: "domain[,domain][:type]"))
    var sites: [String] = []

    @Option(help: ArgumentHelp("The name of a new fleet authority.", valueName: "name"))
    var authorityName = "Latchstring fleet authority"

    @Option(help: ArgumentHelp("How long new authorities count, in days (1 to 7300).", valueName: "days"))
    var authorityDays = 3650

    @Option(help: ArgumentHelp("How long identities count, in days (1 to 7300).", valueName: "days"))
    var identityDays = 730

    @Option(help: ArgumentHelp("How long test site certificates count, in days (1 to 7300).", valueName: "days"))
    var siteDays = 90

    @Flag(help: "Replace identities and sites that exist. Authorities are never replaced.")
    var force = false

    func run() throws {
        MemoryProtection.forbidDumps()
        let order = CertificateOrder(
            edges: edges, keyHolders: keyHolders, sites: try sites.map { try CertificateOrder.Site(argument: $0) },
            authorityName: authorityName, authorityDays: authorityDays, identityDays: identityDays,
            siteDays: siteDays)
        let path = out.count > 1 && out.hasSuffix("/") ? String(out.dropLast()) : out
        let made = try CertificateDirectory(path: path).fulfil(order, replacing: force)
        print(CertsReport(made: made, directory: path).text, terminator: "")
    }
}

/// What `latchstring certs` prints: what was made, and what belongs where.
struct CertsReport {
    var made: [CertificateDirectory.Made]
    var directory: String

    var text: String {
        guard !made.isEmpty else {
            return """
                Nothing was missing in \(directory). To add an identity or a test site, name it: --edge, --keyholder, --site.

                """
        }
        return made.map(line).joined() + "\n" + advice.map { "\($0)\n" }.joined()
    }

    private func line(_ one: CertificateDirectory.Made) -> String {
        let what =
            switch one.kind {
            case .fleetAuthority: "fleet authority"
            case .edge(let name): "edge \(name)"
            case .keyHolder(let name): "key holder \(name)"
            case .testSiteAuthority(let type): "test site authority (\(type.displayName))"
            case .site(let domains, let type): "test site \(domains.joined(separator: ", ")) (\(type.displayName))"
            }
        let until = one.notAfter.formatted(.iso8601.year().month().day())
        return "made \(what), until \(until)\n     \(one.certificatePath)\n     \(one.keyPath)\n"
    }

    private var advice: [String] {
        var lines: [String] = []
        for one in made {
            switch one.kind {
            case .edge(let name):
                lines.append(
                    "To edge \(name) copy \(one.certificatePath), \(one.keyPath) and \(directory)/authority.pem; "
                        + "nothing else, and never a site's key.")
            case .keyHolder(let name):
                lines.append(
                    "To key holder \(name) copy \(one.certificatePath), \(one.keyPath) and \(directory)/authority.pem, "
                        + "and give it its sites' certificates and keys.")
            case .testSiteAuthority(.rsa2048):
                lines.append(
                    "Clients that know RSA only trust \(one.certificatePath) instead; it signs the sites with RSA keys."
                )
            case .testSiteAuthority:
                lines.append(
                    "For trials, clients trust \(one.certificatePath): curl --cacert \(one.certificatePath). "
                        + "Browsers don't, and need a certificate from a public authority.")
            case .site(let domains, _):
                lines.append("Only the key holder (or origin) of \(domains[0]) gets \(one.keyPath).")
            case .fleetAuthority:
                lines.append(
                    "\(one.keyPath) makes new edges and key holders: keep it offline, on no edge and no key holder.")
            }
        }
        return lines
    }
}
