import Foundation
import PrivateAuthority
import TestSockets

/// A directory for one test: certificates made for it, configuration files, the processes' output. Removed with the object.
final class Workspace: Sendable {
    let url: URL
    /// Signs identities of edges and key holders.
    let fleet: FleetAuthority
    /// Signs the sites' certificates; clients trust it.
    let sites: TestSiteAuthority

    init() throws {
        self.url = FileManager.default.temporaryDirectory.appending(path: "latchstring-e2e-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.url, withIntermediateDirectories: true)
        self.fleet = try FleetAuthority(name: "test fleet")
        self.sites = try TestSiteAuthority(name: "test sites")
        try self.write(self.fleet.certificatePEM, to: "authority.pem")
        try self.write(self.sites.certificatePEM, to: "roots.pem")
    }

    deinit {
        try? FileManager.default.removeItem(at: self.url)
    }

    func path(_ name: String) -> String { self.url.appending(path: name).path }

    /// Files are their owner's alone, as keys must be.
    func write(_ text: String, to name: String) throws {
        let path = self.path(name)
        guard
            FileManager.default.createFile(
                atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600])
        else { throw CocoaError(.fileWriteUnknown, userInfo: [NSFilePathErrorKey: path]) }
    }

    func read(_ name: String) throws -> String {
        try String(contentsOf: self.url.appending(path: name), encoding: .utf8)
    }

    /// Makes `NAME.pem` and `NAME.key` for a site's domains, NAME being the first one.
    @discardableResult
    func makeSite(_ domains: String..., keyType: SiteKeyType = .p256) throws -> IssuedCertificate {
        let issued = try self.sites.issueSite(domains: domains, keyType: keyType)
        try self.write(issued.chainPEM, to: "\(domains[0]).pem")
        try self.write(issued.keyPEM, to: "\(domains[0]).key")
        return issued
    }

    /// Makes `ROLE-NAME.pem` and `ROLE-NAME.key`, by the fleet's authority or another one.
    func makeIdentity(_ role: IdentityRole, _ name: String, by authority: FleetAuthority? = nil) throws {
        let issued = try (authority ?? self.fleet).issueIdentity(role: role, name: name)
        try self.write(issued.chainPEM, to: "\(role.rawValue)-\(name).pem")
        try self.write(issued.keyPEM, to: "\(role.rawValue)-\(name).key")
    }

    /// A loopback port that was free a moment ago.
    static func freePort() throws -> UInt16 {
        try TestListener().port
    }
}
