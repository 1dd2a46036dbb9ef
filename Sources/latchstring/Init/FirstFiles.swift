import FoundationEssentials
import Settings
import TLSWire

/// A pair of configuration files to begin with: an edge's and a key holder's, for one site in `handoff` mode. Text in, text out.
struct FirstFiles {
    /// The site's domains, the first of which names it.
    var domains: [ServerNamePattern]
    /// `http://host[:port]` or `https://host[:port]`.
    var origin: String
    /// Names of the two parties.
    var edge: String
    var keyHolder: String
    /// Where clients and edges connect.
    var listen: [String]
    var keyHolderListen: String
    /// The site's chain and key, as the key holder's file names them.
    var certificate: String
    var key: String
    /// The audit log; `audit.jsonl` beside the file, or an absolute path.
    var audit: String
    /// What the key holder keeps; `state` beside the file, or an absolute path.
    var state: String
    /// Where responses are kept on disk; nil: in memory alone.
    var disk: String?

    var edgeText: String {
        """
        # An edge: faces clients, holds no site's private key. Every setting: docs/configuration.md and Examples/edge.yaml.
        # What is wrong with this file: latchstring check --config edge.yaml
        role: edge

        listen: [\(self.listen.map { "\"\($0)\"" }.joined(separator: ", "))]

        # Who this edge is towards key holders. No other user may read the key.
        identity:
          certificate: certs/edge-\(self.edge).pem
          key: certs/edge-\(self.edge).key
          authority: certs/authority.pem

        keyholders:
          \(self.keyHolder):
            addresses: ["\(self.keyHolderListen)"]

        sites:
          # handoff: the key holder shakes hands through this edge, and lends it the session's keys.
          - domains: [\(self.domainList)]
            mode: handoff
            keyholder: \(self.keyHolder)
            origin: {url: "\(self.origin)"}
            # Responses are stored as HTTP's caching rules say; the rules below come first.
            # cache:
            #   rules:
            #     - {path: /account/*, bypass: true}
            #     - {path: /static/*, lifetime: 1h}

        # Health, metrics, purging, reload.
        admin: {listen: 127.0.0.1:9435}

        cache:
          memory: 256MiB
        \(self.disk.map { "  disk: {path: \($0), size: 1GiB}" } ?? "  # disk: {path: cache, size: 10GiB}")

        """
    }

    var keyHolderText: String {
        """
        # A key holder: owns the private keys of your sites and uses them for the edges you grant.
        # Every setting: docs/configuration.md and Examples/keyholder.yaml. What is wrong: latchstring check --config keyholder.yaml
        role: keyholder

        # Where edges reach it. Only edges with an identity of your fleet's authority get past the handshake.
        listen: "\(self.keyHolderListen)"

        identity:
          certificate: certs/keyholder-\(self.keyHolder).pem
          key: certs/keyholder-\(self.keyHolder).key
          authority: certs/authority.pem

        sites:
          - certificate: \(Self.quoted(self.certificate))
            key: \(Self.quoted(self.key))
            domains: [\(self.domainList)]

        # Nothing is allowed that does not stand here.
        grants:
          - edge: \(self.edge)
            sites: [\(self.domainList)]
            operations: [handoff]

        # What is kept over restarts: which edges were revoked, the audit's key, keys of certificates that are ordered here (acme).
        # Back it up like a key.
        state: \(Self.quoted(self.state))

        # One JSON line for each operation.
        audit: \(Self.quoted(self.audit))

        # Health, metrics, reload.
        admin: 127.0.0.1:9434

        """
    }

    private var domainList: String { self.domains.map { "\"\($0)\"" }.joined(separator: ", ") }

    private static func quoted(_ path: String) -> String {
        "\"" + path.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }

    /// What is wrong with what was asked for, before anything is written.
    func validate() throws(SettingsError) {
        _ = try Settings.parse(self.edgeText, file: "edge.yaml", role: .edge, checkingFiles: false)
        _ = try Settings.parse(self.keyHolderText, file: "keyholder.yaml", role: .keyHolder, checkingFiles: false)
    }
}
