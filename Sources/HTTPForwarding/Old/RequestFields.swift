/// One pass over a request's fields: those that are passed on as they are, and what the others say.
struct RequestFields {
    var kept: [(String, String)] = []
    var connection = OldConnectionOptions()
    var framing = FramingFields()
    var host: String?
    var hostCount = 0
    var vias: [String] = []
    var isLoop = false
    var maxForwards: String?
    var expectation: String?
    var trailers: [String] = []
    var acceptsTrailers = false
    var mentionsUpgrade = false
    var upgradeProtocols: [String] = []
    var forwarded: [String] = []
    var xForwardedFor: [String] = []
    var xForwardedProto: String?
    var xForwardedHost: String?

    init(capacity: Int) {
        self.kept.reserveCapacity(capacity)
    }

    mutating func add(name: String, value: String, policy: ForwardingPolicy) throws(RequestRefusal) {
        guard FieldText.isToken(name) else { throw .badFieldName }
        guard FieldText.isValue(value) else { throw .badFieldValue }
        guard let special = SpecialField(name) else {
            self.kept.append((name, value))
            return
        }
        switch special {
        case .connection: self.connection.add(value)
        case .keepAlive, .proxyConnection, .http2Settings, .proxyCredentials: break
        case .host:
            self.host = value
            self.hostCount += 1
        case .contentLength: self.framing.addLength(value)
        case .transferEncoding: self.framing.addCoding(value)
        case .trailer: self.trailers.append(value)
        case .te:
            FieldText.forEachElement(value) { element in
                if FieldText.equal(element, "trailers") { self.acceptsTrailers = true }
            }
        case .upgrade:
            self.mentionsUpgrade = true
            FieldText.forEachElement(value) { element in
                if Self.mayUpgrade(to: element) { self.upgradeProtocols.append(String(element)) }
            }
        case .via:
            self.vias.append(value)
            if OldViaField.mentions(policy.pseudonym, in: value) { self.isLoop = true }
        case .maxForwards: self.maxForwards = value
        case .expect:
            // Several expectations are one list; only one member is known.
            self.expectation = self.expectation.map { $0 + ", " + value } ?? value
        case .clientAddress(let field):
            guard policy.clientClaims == .append else { return }
            switch field {
            case .forwarded: self.forwarded.append(value)
            case .xForwardedFor: self.xForwardedFor.append(value)
            case .xForwardedProto: self.xForwardedProto = value
            case .xForwardedHost: self.xForwardedHost = value
            case .other: self.kept.append((name, value))
            }
        }
    }

    /// Protocols that concern HTTP or TLS on this hop are not the origin's business.
    private static func mayUpgrade(to name: Substring) -> Bool {
        if FieldText.equal(name, "h2c") || FieldText.equal(name, "h2") { return false }
        let lowered = FieldText.lowercased(name)
        return !lowered.hasPrefix("http/") && !lowered.hasPrefix("tls/") && FieldText.isToken(name.filter { $0 != "/" })
    }
}
