import ArgumentParser
import Foundation
import PrivateAuthority
import Settings
import TLSWire

/// `latchstring init`: the files of a first edge and its key holder.
struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Write the files of a first edge and its key holder, for your domain and your origin.",
        discussion: """
            Writes edge.yaml and keyholder.yaml, and under certs/ a private authority, an identity for each of the two, and, without \
            --certificate, a certificate for trials. Both are ready to start, and the commands for it are printed. Nothing \
            that exists is overwritten.

            With --system, as root, the files go to /etc/latchstring, for the services of the Debian package: port 443, and each key \
            readable by its service alone.

            Examples:
              latchstring init www.example.com --origin http://127.0.0.1:8080
              latchstring init --system www.example.com example.com --origin https://origin.example.com \
            --certificate /etc/letsencrypt/live/example.com/fullchain.pem --key /etc/letsencrypt/live/example.com/privkey.pem
            """)

    @Argument(help: ArgumentHelp("The site's domains: a name, or *. and a name.", valueName: "domain"))
    var domains: [String]

    @Option(help: ArgumentHelp("Your web server: http://host[:port] or https://host[:port].", valueName: "url"))
    var origin: String

    @Option(help: ArgumentHelp("The directory; made if missing.", valueName: "directory"))
    var out = "."

    @Option(help: ArgumentHelp("The site's certificate chain, PEM, leaf first (fullchain.pem).", valueName: "file"))
    var certificate: String?

    @Option(help: ArgumentHelp("The private key of --certificate.", valueName: "file"))
    var key: String?

    @Option(
        help: ArgumentHelp(
            "Where clients connect; default: 127.0.0.1:8443, with --system port 443 of all addresses. Can be repeated.",
            valueName: "address:port"))
    var listen: [String] = []

    @Option(
        name: .customLong("keyholder-address"),
        help: ArgumentHelp("Where the edge connects.", valueName: "address:port"))
    var keyHolderAddress = "127.0.0.1:4433"

    @Option(help: ArgumentHelp("The edge's name: a-z, 0-9, '.', '-'.", valueName: "name"))
    var edge = "edge1"

    @Option(name: .customLong("keyholder"), help: ArgumentHelp("The key holder's name.", valueName: "name"))
    var keyHolder = "home"

    @Flag(help: "For the package's services, in /etc/latchstring. Takes root.")
    var system = false

    func validate() throws {
        if self.domains.isEmpty { throw ValidationError("Name the site's domain.") }
        if (self.certificate == nil) != (self.key == nil) {
            throw ValidationError("--certificate and --key belong together.")
        }
        if self.system, self.out != "." { throw ValidationError("--system has its own directory: leave out --out.") }
    }

    func run() throws {
        MemoryProtection.forbidDumps()
        let services = try self.system ? Startup.orExit { try ServiceOwners() } : nil
        let folder = URL(filePath: self.system ? "/etc/latchstring" : self.out, directoryHint: .isDirectory)
        let certs = folder.appending(path: "certs").path
        let order = CertificateOrder(
            edges: [self.edge], keyHolders: [self.keyHolder],
            sites: self.certificate == nil ? [.init(domains: self.domains)] : [])
        let files = try self.files(order)
        do throws(SettingsError) { try files.validate() } catch {
            Startup.complain("\(error)")
            throw ExitCode.failure
        }
        let texts = [("edge.yaml", files.edgeText), ("keyholder.yaml", files.keyHolderText)]
        try self.refuse(existing: texts.map { folder.appending(path: $0.0).path })
        try self.refuse(
            existing: ["edge-\(self.edge)", "keyholder-\(self.keyHolder)"].map { "\(certs)/\($0).pem" })
        let made = try Startup.orExit { try CertificateDirectory(path: certs).fulfil(order) }
        try Startup.orExit {
            for (name, text) in texts {
                try Data(text.utf8).write(to: folder.appending(path: name), options: .withoutOverwriting)
            }
            try services?.take(made)
        }
        print(self.report(folder.path))
    }

    private func files(_ order: CertificateOrder) throws -> FirstFiles {
        let domains = try Startup.orExit { try self.domains.map { try ServerNamePattern($0) } }
        let stem = order.sites.first.map { "certs/\($0.fileStem)" }
        return FirstFiles(
            domains: domains, origin: self.origin, edge: self.edge, keyHolder: self.keyHolder,
            listen: !self.listen.isEmpty
                ? self.listen : self.system ? ["[::]:443"] : ["127.0.0.1:8443"],
            keyHolderListen: self.keyHolderAddress,
            certificate: self.certificate.map(Self.absolute) ?? "\(stem ?? "").pem",
            key: self.key.map(Self.absolute) ?? "\(stem ?? "").key",
            audit: self.system ? "/var/log/latchstring-keyholder/audit.jsonl" : "audit.jsonl",
            state: self.system ? "/var/lib/latchstring-keyholder" : "state",
            disk: self.system ? "/var/cache/latchstring-edge" : nil)
    }

    private static func absolute(_ path: String) -> String { URL(filePath: path).standardizedFileURL.path }

    private func refuse(existing paths: [String]) throws {
        let existing = paths.filter { (try? FileManager.default.attributesOfItem(atPath: $0)) != nil }
        guard !existing.isEmpty else { return }
        Startup.complain(
            """
            error: nothing was written, since this exists already: \(existing.joined(separator: ", ")). Add a site to the files \
            by hand (docs/configuration.md), or choose another directory with --out.
            """)
        throw ExitCode.failure
    }

    private func report(_ folder: String) -> String {
        let name = self.domains[0].hasPrefix("*.") ? "www" + self.domains[0].dropFirst() : self.domains[0]
        let isTrial = self.certificate == nil
        let edge = "\(folder)/edge.yaml".replacing("//", with: "/")
        let keyHolder = "\(folder)/keyholder.yaml".replacing("//", with: "/")
        let start =
            self.system
            ? "  systemctl enable --now latchstring-keyholder latchstring-edge"
            : """
              latchstring keyholder --config \(keyHolder)      # where your keys are
              latchstring edge --config \(edge)      # in front of it
            """
        // As the service's user, it sees what the service sees.
        let check = (self.system ? "runuser -u latchstring-edge -- " : "") + "latchstring check --config \(edge)"
        let port = (self.listen.first ?? (self.system ? ":443" : ":8443")).split(separator: ":").last ?? "8443"
        let trust = isTrial ? "--cacert \(folder)/certs/test-site-authority.pem " : ""
        return """
            wrote \(edge) and \(keyHolder), and identities under \(folder)/certs

            Next:
            \(start)
              \(check)
              curl \(trust)--connect-to ::127.0.0.1:\(port) https://\(name)/

            The edge's machine gets edge.yaml, certs/edge-\(self.edge).pem and .key, and certs/authority.pem: nothing else, and never a \
            site's key. Keep certs/authority.key offline.\(isTrial ? Self.trial : "")
            """
    }

    private static let trial = """
         The site's certificate is for trials, and browsers don't trust it: \
        put yours into keyholder.yaml (certificate, key), or have the key holder order one (docs/acme.md).
        """
}

/// The users of the package's services, who read the keys that are theirs.
struct ServiceOwners {
    private let edge: gid_t
    private let keyHolder: gid_t

    /// What is missing for it.
    struct Missing: Error, CustomStringConvertible {
        var description: String
    }

    init() throws {
        guard geteuid() == 0 else {
            throw Missing(description: "--system writes to /etc/latchstring, which takes root")
        }
        self.edge = try Self.group("latchstring-edge")
        self.keyHolder = try Self.group("latchstring-keyholder")
    }

    private static func group(_ name: String) throws -> gid_t {
        guard let entry = getgrnam(name) else {
            throw Missing(description: "there is no group \(name): install the package first, or use --out")
        }
        return entry.pointee.gr_gid
    }

    /// Gives each service its keys: root's, and readable by the service's group (0640). Authorities' stay root's alone.
    func take(_ made: [CertificateDirectory.Made]) throws {
        for one in made {
            switch one.kind {
            case .edge: try self.give(one.keyPath, to: self.edge)
            case .keyHolder, .site: try self.give(one.keyPath, to: self.keyHolder)
            case .fleetAuthority, .testSiteAuthority: break
            }
        }
    }

    private func give(_ path: String, to group: gid_t) throws {
        guard chown(path, 0, group) == 0, chmod(path, 0o640) == 0 else {
            throw Missing(description: "cannot give \(path) to its service: \(String(cString: strerror(errno)))")
        }
    }
}
