internal import KeyProtocol
internal import TLSWire

extension ValueReaders {
    /// An exact domain name, as clients put it into SNI.
    func serverName(_ node: ConfigurationNode) -> ServerName? {
        guard let text = self.text(node, "a domain name") else { return nil }
        do {
            return try ServerName(text)
        } catch {
            self.badName(text, at: node, wildcard: false)
            return nil
        }
    }

    /// A domain name, or `*.` and a domain name.
    func pattern(_ node: ConfigurationNode) -> ServerNamePattern? {
        guard let text = self.text(node, "a domain name") else { return nil }
        do {
            return try ServerNamePattern(text)
        } catch {
            self.badName(text, at: node, wildcard: true)
            return nil
        }
    }

    /// The name in a fleet identity: 1 to 64 of lower-case letters, digits, dot and dash.
    func identityName(_ node: ConfigurationNode) -> String? {
        guard let text = self.text(node, "a name") else { return nil }
        guard PartyName.isLegal(text) else {
            self.report.error(
                at: node.position, "\"\(text)\" is not a name that an identity can have",
                remedy: "Names are 1 to 64 of the characters a-z, 0-9, dot and dash.")
            return nil
        }
        return text
    }

    private func badName(_ text: String, at node: ConfigurationNode, wildcard: Bool) {
        let remedy: String
        if SocketEndpoint.isIPAddress(text) {
            remedy = "Clients send no server name for IP addresses; use a domain name."
        } else if text.hasSuffix(".") {
            remedy = "Leave the dot at the end out."
        } else if text.contains(":") || text.contains("/") {
            remedy = "Write the name alone, without scheme, port or path."
        } else if text.contains("*") {
            remedy =
                wildcard
                ? "A wildcard is \"*.\" at the beginning and stands for exactly one label: \"*.example.com\"."
                : "A wildcard cannot stand here; write one name."
        } else if text.contains(where: { !$0.isASCII }) {
            remedy = "Write an international name in its xn-- form."
        } else {
            remedy = "Labels are 1 to 63 letters, digits, dashes or underscores; 253 characters in all."
        }
        self.report.error(at: node.position, "\"\(text)\" is not a domain name", remedy: remedy)
    }
}
