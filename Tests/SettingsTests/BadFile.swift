import Settings
import Testing

/// One wrong file, and the first lines of the complaints it must bring.
struct BadFile: Sendable, CustomTestStringConvertible {
    var name: String
    var text: String
    var complaints: [String]

    init(_ name: String, _ text: String, _ complaints: String...) {
        self.name = name
        self.text = text
        self.complaints = complaints
    }

    var testDescription: String { self.name }
}

/// Loads `text` as `c.yaml` without looking for files, and returns the complaints' first lines.
func complaints(_ text: String, checkingFiles: Bool = false) -> [String] {
    do {
        return try Settings.parse(text, file: "c.yaml", checkingFiles: checkingFiles).warnings.map(\.headline)
    } catch {
        return error.diagnostics.map(\.headline)
    }
}

/// Files that wrong ones are made from.
enum GoodFile {
    static let relayEdge = """
        role: edge
        listen: [127.0.0.1:8443]
        sites:
          - domains: [a.test]
            mode: relay
            origin: {address: "127.0.0.1:9443"}

        """

    static let keylessEdge = """
        role: edge
        listen: [127.0.0.1:8443]
        identity: {certificate: e.pem, key: e.key, authority: a.pem}
        keyholders:
          home: {addresses: ["127.0.0.1:4433"]}
        sites:
          - domains: [a.test]
            mode: keyless
            keyholder: home
            origin:
              url: http://127.0.0.1:8080

        """

    static let keyHolder = """
        role: keyholder
        listen: 127.0.0.1:4433
        identity: {certificate: e.pem, key: e.key, authority: a.pem}
        sites:
          - {certificate: s.pem, key: s.key}
        grants:
          - {edge: paris, sites: [a.test], operations: [keyless]}

        """
}
