import Foundation
import PrivateAuthority
import TestSockets
import Yams

/// A recipe made whole and running: certificates, origins, as many key holders as it has addresses, and an edge.
///
/// What the recipe says stays as it is; only places are made real (addresses, ports, folders), and what it leaves out is added.
final class RecipeStage {
    typealias Mapping = Recipe.Mapping

    let workspace: Workspace
    private let recipe: Recipe
    private var edge: Mapping
    private var keyHolder: Mapping
    private var origins: [TLSOrigin] = []
    private(set) var keyHolders: [TestProcess] = []
    private(set) var edgeProcess: TestProcess?
    /// Names to ask for, and what they must answer; nil: an alert, since no DNS knows the name.
    private(set) var names: [(name: String, text: String?)] = []

    init(_ recipe: Recipe) throws {
        self.recipe = recipe
        self.workspace = try Workspace()
        (self.edge, self.keyHolder) = try recipe.files()
    }

    func start() async throws {
        try self.completeSites()
        try await self.makeOriginsReal()
        try self.makePlacesReal()
        try self.completeKeyHolder()
        try self.startAll()
    }

    func stop() async throws {
        self.edgeProcess?.stop()
        for process in self.keyHolders { process.stop() }
        for origin in self.origins { try await origin.stop() }
    }

    var keyHolderFiles: [String] { self.keyHolders.indices.map { "keyholder\($0).yaml" } }

    var hasDefaultSite: Bool { self.edge["default-site"] != nil }

    // MARK: What the recipe leaves out

    private var sites: [Mapping] { self.edge["sites"] as? [Mapping] ?? [] }

    /// An edge without sites gets one, in the mode that the recipe grants.
    private func completeSites() throws {
        self.edge["role"] = "edge"
        self.edge["listen"] = ["127.0.0.1:0"]
        self.edge["log"] = ["format": "json", "level": "debug"]
        if self.edge["sites"] == nil {
            let grant = (self.keyHolder["grants"] as? [Mapping])?.first
            let operations = grant?["operations"] as? [String] ?? ["handoff"]
            self.edge["sites"] = [
                [
                    "domains": grant?["sites"] ?? ["www.example.test"],
                    "mode": operations.contains("handoff") ? "handoff" : "keyless", "keyholder": "home",
                    "origin": ["url": "https://origin.example.test"],
                ] as Mapping
            ]
        }
        let named = Set(self.sites.compactMap { $0["keyholder"] as? String })
        var entries = self.edge["keyholders"] as? Mapping ?? [:]
        for name in named where entries[name] == nil { entries[name] = ["addresses": ["keys.example.test:4433"]] }
        guard !entries.isEmpty else { return }
        self.edge["keyholders"] = entries
        try self.workspace.makeIdentity(.edge, "paris")
        self.edge["identity"] = Self.identity("edge-paris")
    }

    private static func identity(_ stem: String) -> Mapping {
        ["certificate": "\(stem).pem", "key": "\(stem).key", "authority": "authority.pem"]
    }

    private func completeKeyHolder() throws {
        let lent = self.sites.filter { $0["keyholder"] != nil }
        guard !lent.isEmpty else { return }
        if self.keyHolder["sites"] == nil {
            self.keyHolder["sites"] = lent.map { site in
                let stem = "certs/" + ((site["domains"] as? [String])?.first ?? "").replacing("*.", with: "any.")
                return ["certificate": "\(stem).pem", "key": "\(stem).key", "domains": site["domains"] ?? []]
            }
        }
        if self.keyHolder["grants"] == nil {
            self.keyHolder["grants"] = lent.map { site in
                ["edge": "paris", "sites": site["domains"] ?? [], "operations": [site["mode"] ?? ""]] as Mapping
            }
        }
        for site in self.keyHolder["sites"] as? [Mapping] ?? [] {
            guard let certificate = site["certificate"] as? String, let key = site["key"] as? String else {
                throw Recipe.Unplaced.value(recipe: self.recipe.title, "a site without certificate and key")
            }
            let stem = URL(filePath: certificate).deletingPathExtension().lastPathComponent
            let issued = try self.workspace.sites.issueSite(
                domains: site["domains"] as? [String] ?? [stem], keyType: .p256)
            for path in [certificate, key] {
                let folder = URL(filePath: self.workspace.path(path)).deletingLastPathComponent()
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            }
            try self.workspace.write(issued.chainPEM, to: certificate)
            try self.workspace.write(issued.keyPEM, to: key)
        }
        self.keyHolder["role"] = "keyholder"
        self.keyHolder["log"] = ["format": "json", "level": "debug"]
    }

    // MARK: Places

    private func makeOriginsReal() async throws {
        var sites = self.sites
        for (index, site) in sites.enumerated() {
            guard let domain = (site["domains"] as? [String])?.first else { continue }
            let name = domain.replacing("*.", with: "www.")
            if site["origin"] as? String == "resolve" {
                self.names.append((name, nil))
                continue
            }
            guard var origin = site["origin"] as? Mapping else {
                throw Recipe.Unplaced.value(recipe: self.recipe.title, "a site without origin")
            }
            let text = "from the origin of \(name)"
            if let url = (origin["url"] as? String).flatMap({ URL(string: $0) }), url.scheme == "https",
                let host = url.host()
            {
                origin["url"] = "https://127.0.0.1:\(try await self.origin(host, text))"
                origin["name"] = origin["name"] ?? host
                origin["roots"] = "roots.pem"
                self.names.append((name, text))
            } else if origin["address"] != nil {
                origin["address"] = "127.0.0.1:\(try await self.origin(name, text))"
                self.names.append((name, text))
            } else if origin["resolve"] as? Bool == true {
                self.names.append((name, nil))
            } else {
                throw Recipe.Unplaced.value(recipe: self.recipe.title, "the origin \(origin)")
            }
            sites[index]["origin"] = origin
        }
        self.edge["sites"] = sites
    }

    private func origin(_ name: String, _ text: String) async throws -> UInt16 {
        try self.workspace.makeSite(name)
        let origin = try await TLSOrigin(domain: name, text: text, in: self.workspace)
        self.origins.append(origin)
        return origin.port
    }

    private var addresses: [String] = []
    /// Key holders that connect to the edge, and where it takes them.
    private var diallers: (names: [String], address: String) = ([], "")

    private func makePlacesReal() throws {
        if self.edge["admin"] != nil { self.edge["admin"] = "127.0.0.1:\(try Workspace.freePort())" }
        if var cache = self.edge["cache"] as? Mapping, var disk = cache["disk"] as? Mapping {
            disk["path"] = "cache"
            cache["disk"] = disk
            self.edge["cache"] = cache
        }
        var entries = self.edge["keyholders"] as? Mapping ?? [:]
        for (name, value) in entries {
            guard var entry = value as? Mapping else { continue }
            if let names = entry["dialled-by"] as? [String] {
                self.diallers = (names, "127.0.0.1:\(try Workspace.freePort())")
                self.edge["listen-keyholders"] = [self.diallers.address]
                for name in names { try self.workspace.makeIdentity(.keyholder, name) }
            }
            guard let addresses = entry["addresses"] as? [String] else { continue }
            self.addresses = try addresses.map { _ in "127.0.0.1:\(try Workspace.freePort())" }
            entry["addresses"] = self.addresses
            entries[name] = entry
            let identity = entry["name"] as? String ?? name
            try self.workspace.makeIdentity(.keyholder, identity)
            self.keyHolder["identity"] = Self.identity("keyholder-\(identity)")
        }
        if !entries.isEmpty { self.edge["keyholders"] = entries }
    }

    // MARK: Running

    private func startAll() throws {
        for address in self.addresses {
            var file = self.keyHolder
            file["listen"] = address
            _ = try self.startKeyHolder(file).listeningPort()
        }
        for name in self.diallers.names {
            var file = self.keyHolder
            file["identity"] = Self.identity("keyholder-\(name)")
            file["dial"] = [self.diallers.address]
            _ = try self.startKeyHolder(file)
        }
        try self.workspace.write(try Yams.dump(object: self.edge), to: "edge.yaml")
        self.edgeProcess = try TestProcess(["edge", "--config", "edge.yaml"], name: "edge", in: self.workspace)
        _ = try self.edgeProcess?.listeningPort()
    }

    private func startKeyHolder(_ file: Mapping) throws -> TestProcess {
        let index = self.keyHolders.count
        var file = file
        file["audit"] = "audit\(index).jsonl"
        try self.workspace.write(try Yams.dump(object: file), to: "keyholder\(index).yaml")
        let process = try TestProcess(
            ["keyholder", "--config", "keyholder\(index).yaml"], name: "keyholder\(index)", in: self.workspace)
        self.keyHolders.append(process)
        return process
    }
}
