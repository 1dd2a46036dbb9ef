import FoundationEssentials
import PrivateAuthority

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The modes that the demo shows.
enum DemoMode: String, CaseIterable, Sendable {
    case relay
    case handoff
    case keyless

    /// Where the sites' private keys lie: beside the origin's own TLS server, or at the key holder.
    var needsKeyHolder: Bool { self != .relay }
}

/// One of the demo's sites: a mode and a key type, and the certificate and key made for it.
struct DemoSiteFiles: Sendable {
    var mode: DemoMode
    var keyType: SiteKeyType
    var domain: String
    var issued: IssuedCertificate
}

/// The directory that the demo plays in. Each process has a part of its own, holding what it would hold on its own machine:
///
///     origin/      the relayed sites' certificates and keys
///     keyholder/   its identity, the handoff and keyless sites' certificates and keys
///     edge/        its identity, and no site's key
///     token/       with an HSM: the token, which has the keyholder's P-256 and RSA keys
///     test-site-authority.pem   what clients trust
struct DemoStage: Sendable {
    let path: String
    let sites: [DemoSiteFiles]
    let rootPEM: String
    /// nil: all keys are in files.
    let token: DemoToken?
    private let keyHolderIdentity: IssuedCertificate
    /// What the edge shows key holders; its key is the one private key that the edge has.
    let edgeIdentity: IssuedCertificate
    private let authorityPEM: String

    var origin: String { "\(path)/origin" }
    var keyHolder: String { "\(path)/keyholder" }
    var edge: String { "\(path)/edge" }
    var audit: String { "\(keyHolder)/audit.jsonl" }
    var root: String { "\(path)/test-site-authority.pem" }

    /// Makes all certificates and keys, in memory.
    ///
    /// - Parameter hsm: Whether the key holder's keys of kinds that HSMs have are on a token.
    init(path: String, hsm: Bool = false) throws {
        self.token = hsm ? DemoToken(directory: "\(path)/token") : nil
        if hsm, self.token == nil {
            throw DemoFailure.unexpectedOutput("SoftHSM is not installed; on Debian: apt-get install softhsm2")
        }
        let fleet = try FleetAuthority(name: "Demo fleet authority", validity: .days(2))
        let siteAuthority = try TestSiteAuthority(name: "Demo site authority", validity: .days(2))
        self.path = path
        self.authorityPEM = fleet.certificatePEM
        self.rootPEM = siteAuthority.certificatePEM
        self.keyHolderIdentity = try fleet.issueIdentity(role: .keyholder, name: "home", validity: .days(1))
        self.edgeIdentity = try fleet.issueIdentity(role: .edge, name: "demo", validity: .days(1))
        var sites: [DemoSiteFiles] = []
        for mode in DemoMode.allCases {
            for type in SiteKeyType.allCases {
                let domain = "\(mode.rawValue)-\(type.rawValue).example.test"
                let issued = try siteAuthority.issueSite(domains: [domain], keyType: type, validity: .days(1))
                sites.append(DemoSiteFiles(mode: mode, keyType: type, domain: domain, issued: issued))
            }
        }
        self.sites = sites
    }

    func sites(_ mode: DemoMode) -> [DemoSiteFiles] { sites.filter { $0.mode == mode } }

    /// A fresh directory for its owner alone, below `TMPDIR` or `/tmp`.
    static func makeTemporaryDirectory() throws -> String {
        let parent = ProcessInfo.processInfo.environment["TMPDIR"].flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
        var template: [CChar] = Array("\(parent)/latchstring-demo.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw DemoFailure.system("make a directory in \(parent)", errno) }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Writes every party's files except the configuration files, which need to know ports.
    func writeFiles() throws {
        for directory in [origin, keyHolder, edge] + (self.token.map { [$0.directory] } ?? []) {
            guard mkdir(directory, 0o700) == 0 else { throw DemoFailure.system("make \(directory)", errno) }
        }
        try write(rootPEM, to: root)
        if let token {
            try token.make { try write($0, to: "\(token.directory)/\($1)") }
            try write(token.pin, to: "\(keyHolder)/hsm.pin")
        }
        for (number, site) in sites.enumerated() {
            let directory = site.mode.needsKeyHolder ? keyHolder : origin
            try write(site.issued.chainPEM, to: "\(directory)/\(site.domain).pem")
            let file = "\(directory)/\(site.domain).key"
            try write(site.issued.keyPEM, to: file)
            if let token, isOnToken(site) {
                try token.take(file, as: site.domain, number: number)
                try Self.removeDirectory(file)
            }
        }
        for (identity, directory) in [(keyHolderIdentity, keyHolder), (edgeIdentity, edge)] {
            try write(identity.chainPEM, to: "\(directory)/identity.pem")
            try write(identity.keyPEM, to: "\(directory)/identity.key")
            try write(authorityPEM, to: "\(directory)/authority.pem")
        }
    }

    /// Whether the site's key is on the token.
    func isOnToken(_ site: DemoSiteFiles) -> Bool {
        self.token != nil && site.mode.needsKeyHolder && site.keyType != .ed25519
    }

    /// Whether the key holder serves native clients for the site: its key must be able to decrypt.
    func isNative(_ site: DemoSiteFiles) -> Bool {
        site.mode == .keyless && site.keyType != .ed25519 && !isOnToken(site)
    }

    /// - Parameter application: where native clients of the sites get to.
    func writeKeyHolderConfiguration(application: String) throws -> String {
        let modes: [DemoMode] = DemoMode.allCases.filter(\.needsKeyHolder)
        let sites: [DemoSiteFiles] = modes.flatMap(self.sites)
        let grants: String = modes.map { mode in
            """
              - edge: demo
                sites: [\(self.sites(mode).map(\.domain).joined(separator: ", "))]
                operations: [\(mode.rawValue)\(mode == .keyless ? ", native" : "")]

            """
        }.joined()
        let text = """
            role: keyholder
            listen: 127.0.0.1:0
            native: 127.0.0.1:0
            identity:
              certificate: identity.pem
              key: identity.key
              authority: authority.pem
            sites:
            \(sites.map { entry($0, application: application) }.joined())
            \(self.token.map { "hsm: { module: \($0.module), pin-file: hsm.pin, timeout: 10s }" } ?? "")
            grants:
            \(grants)audit: audit.jsonl
            log:
              format: json

            """
        let file = "\(keyHolder)/keyholder.yaml"
        try write(text, to: file)
        return file
    }

    private func entry(_ site: DemoSiteFiles, application: String) -> String {
        "  - certificate: \(site.domain).pem\n"
            + "    key: \(isOnToken(site) ? self.token?.name(of: site.domain) ?? "" : "\(site.domain).key")\n"
            + (isNative(site) ? "    application: \(application)\n" : "")
    }

    /// - Parameters:
    ///   - keyHolderAddress: where the key holder listens.
    ///   - nativeAddress: the same for native connections.
    ///   - originAddresses: by domain for relayed sites, and `plain` for the one that the other sites are fetched from.
    func writeEdgeConfiguration(
        keyHolderAddress: String, nativeAddress: String, originAddresses: [String: String]
    ) throws -> String {
        var text = """
            role: edge
            listen: [127.0.0.1:0]
            identity:
              certificate: identity.pem
              key: identity.key
              authority: authority.pem
            keyholders:
              home:
                addresses: [\(keyHolderAddress)]
                native: [\(nativeAddress)]
                deadline: 5s
            log:
              format: json
            limits:
              exempt: [127.0.0.0/8]
            sites:

            """
        for site in sites {
            text += "  - domains: [\(site.domain)]\n    mode: \(site.mode.rawValue)\n"
            switch site.mode {
            case .relay:
                text += "    origin:\n      address: \(originAddresses[site.domain] ?? "")\n"
            case .handoff, .keyless:
                text += "    keyholder: home\n    origin:\n      url: http://\(originAddresses["plain"] ?? "")\n"
            }
        }
        let file = "\(edge)/edge.yaml"
        try write(text, to: file)
        return file
    }

    /// Every byte that lies in the edge's part of the stage.
    func edgeFiles() throws -> [UInt8] {
        var bytes: [UInt8] = []
        for name in try FileManager.default.subpathsOfDirectory(atPath: edge) {
            if let data = FileManager.default.contents(atPath: "\(edge)/\(name)") { bytes += Array(data) }
        }
        return bytes
    }

    static func removeDirectory(_ path: String) throws {
        try FileManager.default.removeItem(atPath: path)
    }

    private func write(_ text: String, to file: String) throws {
        let descriptor = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw DemoFailure.system("create \(file)", errno) }
        close(descriptor)
        try Data(text.utf8).write(to: URL(filePath: file))
    }
}
