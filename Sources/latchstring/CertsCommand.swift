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

            So that no key travels: `certs --csr --edge paris` at the edge makes a key, and a request for its certificate; \
            `certs --sign edge-paris.csr --edge paris` at the authority makes the certificate.

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

    @Flag(
        name: .customLong("csr"),
        help: "Make a key where there is none, and a request for its certificate, for each --edge and --keyholder.")
    var requests = false

    @Option(
        help: ArgumentHelp(
            "Make a certificate for a request, for the one --edge or --keyholder that is named.", valueName: "file"))
    var sign: String?

    func validate() throws {
        guard self.requests || self.sign != nil else { return }
        guard !self.requests || self.sign == nil else {
            throw ValidationError("--csr is for the party, --sign for the authority: they are two commands.")
        }
        guard self.sites.isEmpty, !self.edges.isEmpty || !self.keyHolders.isEmpty else {
            throw ValidationError("Name the identity: --edge NAME or --keyholder NAME, and nothing else.")
        }
    }

    func run() throws {
        MemoryProtection.forbidDumps()
        let order = CertificateOrder(
            edges: edges, keyHolders: keyHolders, sites: try sites.map { try CertificateOrder.Site(argument: $0) },
            authorityName: authorityName, authorityDays: authorityDays, identityDays: identityDays,
            siteDays: siteDays)
        let path = out.count > 1 && out.hasSuffix("/") ? String(out.dropLast()) : out
        let directory = CertificateDirectory(path: path)
        if self.requests {
            return print(try directory.request(order).map(RequestReport.text).joined(), terminator: "")
        }
        if let file = self.sign {
            let signed = try directory.sign(file, for: order, replacing: force)
            return print(RequestReport.text(signed), terminator: "")
        }
        let made = try directory.fulfil(order, replacing: force)
        print(CertsReport(made: made, directory: path).text, terminator: "")
    }
}

/// What `latchstring certs --csr` and `--sign` print: what was made, where it goes, and what two persons can compare.
enum RequestReport {
    static func text(_ one: CertificateDirectory.Requested) -> String {
        let option = "--\(one.role.rawValue) \(one.name)"
        return """
            \(one.keyIsNew ? "made a key, and a request for its certificate" : "made a request for the key that is there")
                 \(one.requestPath)
                 \(one.keyPath)
                 key SHA-256 \(one.fingerprint)
            Take the .csr to the authority, and nothing else: latchstring certs --sign \(one.requestPath) \(option). \
            It prints the same SHA-256.

            """
    }

    static func text(_ one: CertificateDirectory.Signed) -> String {
        """
        made a certificate, until \(one.notAfter.formatted(.iso8601.year().month().day()))
             \(one.certificatePath)
             key SHA-256 \(one.fingerprint)
        Compare the SHA-256 with what --csr has printed, and take \(one.certificatePath) and \(one.authorityPath) back.

        """
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
