import Foundation
import Testing

@testable import Settings

/// `certificates` of a key holder's site.
@Suite struct SiteCertificatesTests {
    private static func load(_ site: String) throws -> KeyHolderSettings {
        let text = """
            role: keyholder
            listen: 127.0.0.1:4433
            identity: {certificate: a.pem, key: a.key, authority: b.pem}
            state: /var/lib/ls
            sites:
              - \(site)
            grants: [{edge: paris, sites: [www.test], operations: [handoff]}]
            """
        let loaded = try Settings.parse(text, file: "home.yaml", checkingFiles: false)
        guard case .keyHolder(let settings) = loaded.party else { throw CocoaError(.fileReadUnknown) }
        return settings
    }

    private static func complaint(_ site: String) -> String {
        do {
            _ = try self.load(site)
            return "none"
        } catch {
            return "\(error)".split(separator: "\n").first.map(String.init) ?? ""
        }
    }

    @Test func several() throws {
        let site = try Self.load(
            "{certificates: [{certificate: e.pem, key: e.key}, {certificate: r.pem, key: r.key, passphrase-file: r.pass}]}"
        ).sites[0]
        #expect(site.certificates.map(\.chain).map { $0.split(separator: "/").last } == ["e.pem", "r.pem"])
        #expect(site.certificates[0].location.column == 21 && site.certificates[1].location.column == 55)
        guard case .file(_, let passphrase?) = site.certificates[1].key else {
            Issue.record("no passphrase")
            return
        }
        #expect(passphrase.hasSuffix("r.pass"))
    }

    @Test func one() throws {
        let site = try Self.load("{certificate: e.pem, key: e.key}").sites[0]
        #expect(site.certificates.count == 1 && site.certificates[0].location == site.location)
    }

    @Test(arguments: [
        (
            "{certificates: [{certificate: e.pem, key: e.key}], key: e.key}",
            "home.yaml:6:56: error: the site has \"key\" and \"certificates\". Write each certificate and its key as one entry of certificates."
        ),
        (
            "{certificates: {certificate: e.pem, key: e.key}}",
            "home.yaml:6:20: error: a mapping where a list of certificates (`- {certificate: …, key: …}`) is expected"
        ),
        (
            "{certificates: []}",
            "home.yaml:6:20: error: the site has 0 certificates. Name 1 to 8: one for each kind of key, and the ones before for a while."
        ),
        (
            "{certificates: [{certificate: e.pem, key: e.key}, {certificate: e.pem, key: f.key}]}",
            "home.yaml:6:55: error: the certificate e.pem stands in line 6 also. Remove one of the two."
        ),
        (
            "{certificates: [{certificate: e.pem, keys: e.key}]}",
            "home.yaml:6:21: error: a certificate needs the key \"key\""
        ),
        (
            "{acme: {directory: \"https://acme.test/dir\"}, domains: [www.test], certificates: [{certificate: e.pem, key: e.key}]}",
            "home.yaml:6:71: error: \"certificates\" names a file, and the site has its certificate by ACME. Remove it, or remove acme."
        ),
    ])
    func refused(site: String, complaint: String) {
        #expect(Self.complaint(site) == complaint)
    }
}
