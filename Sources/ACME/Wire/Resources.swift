/// What a directory says (RFC 8555 section 7.1.1, RFC 9773 section 4.1). Other members are ignored.
struct Directory: Decodable, Equatable, Sendable {
    var newNonce: String
    var newAccount: String
    var newOrder: String
    var renewalInfo: String?
    var meta: Meta?

    struct Meta: Decodable, Equatable, Sendable {
        var externalAccountRequired: Bool?
    }

    init(_ response: ACMEResponse) throws(ACMEFailure) {
        self = try JSONText.decode(Directory.self, from: response.body, "the directory")
        for url in [self.newNonce, self.newAccount, self.newOrder, self.renewalInfo].compactMap({ $0 }) {
            try ACMEURL.check(url)
        }
    }
}

/// URLs that a directory names are asked only if they are HTTPS and of a sane length.
enum ACMEURL {
    static func check(_ url: String) throws(ACMEFailure) {
        guard HTTPSURL(url) != nil
        else { throw ACMEFailure(.badAnswer("a URL that is not HTTPS, or too long")) }
    }
}

/// RFC 8555 section 6.7.
public struct ACMEProblem: Codable, Equatable, Sendable, CustomStringConvertible {
    public var type: String?
    public var detail: String?
    var subproblems: [Subproblem]?

    struct Subproblem: Codable, Equatable, Sendable {
        var type: String?
        var detail: String?
        var identifier: Identifier?
    }

    /// The part of the type behind `urn:ietf:params:acme:error:`; the whole type if it is another.
    public var name: String {
        guard let type = self.type else { return "unknown" }
        let prefix = "urn:ietf:params:acme:error:"
        return Self.printable(type.hasPrefix(prefix) ? String(type.dropFirst(prefix.count)) : type, most: 80)
    }

    public var description: String {
        var text = self.name
        if let detail = self.detail { text += ": \(Self.printable(detail, most: 400))" }
        for one in (self.subproblems ?? []).prefix(5) {
            let name = one.identifier.map { "\(Self.printable($0.value, most: 253)): " } ?? ""
            text += "; \(name)\(Self.printable(one.detail ?? one.type ?? "no reason", most: 200))"
        }
        return text
    }

    /// Text of a directory's, for log lines.
    static func printable(_ text: String, most: Int) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.prefix(most).map { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) ? "?" : $0 })
        )
    }

    init(type: String? = nil, detail: String? = nil) {
        self.type = type
        self.detail = detail
    }

    /// What an answer's body says; nothing, where it is no problem document.
    init(_ response: ACMEResponse) {
        self =
            (try? JSONText.decode(ACMEProblem.self, from: response.body, "the error"))
            ?? ACMEProblem(detail: "status \(response.status)")
    }
}

/// RFC 8555 section 9.7.7: here always of type `dns`.
struct Identifier: Codable, Equatable, Sendable {
    var type: String
    var value: String

    init(dns name: String) {
        self.type = "dns"
        self.value = name
    }
}

/// RFC 8555 section 7.1.3.
struct OrderObject: Decodable, Equatable, Sendable {
    enum Status: String, Decodable, Sendable { case pending, ready, processing, valid, invalid }

    var status: Status
    var identifiers: [Identifier]
    var authorizations: [String]
    var finalize: String
    var certificate: String?
    var error: ACMEProblem?

    static let mostAuthorizations = 100

    init(_ response: ACMEResponse) throws(ACMEFailure) {
        self = try JSONText.decode(OrderObject.self, from: response.body, "the order")
        guard (1...Self.mostAuthorizations).contains(self.authorizations.count) else {
            throw ACMEFailure(.badAnswer("an order with \(self.authorizations.count) authorizations"))
        }
        for url in self.authorizations + [self.finalize] + [self.certificate].compactMap({ $0 }) {
            try ACMEURL.check(url)
        }
    }

    /// Whether the order is for these names and no others; lower case.
    func isFor(_ names: [String]) -> Bool {
        self.identifiers.allSatisfy { $0.type == "dns" }
            && Set(self.identifiers.map { $0.value.lowercased() }) == Set(names)
    }
}

/// RFC 8555 section 7.1.4.
struct AuthorizationObject: Decodable, Equatable, Sendable {
    enum Status: String, Decodable, Sendable { case pending, valid, invalid, deactivated, expired, revoked }

    var status: Status
    var identifier: Identifier
    var challenges: [ChallengeObject]
    var wildcard: Bool?

    init(_ response: ACMEResponse) throws(ACMEFailure) {
        self = try JSONText.decode(AuthorizationObject.self, from: response.body, "the authorization")
        guard self.challenges.count <= 32 else { throw ACMEFailure(.badAnswer("too many challenges")) }
    }

    /// The name as the order has it.
    var name: String { (self.wildcard == true ? "*." : "") + self.identifier.value.lowercased() }
}

/// RFC 8555 section 8.
struct ChallengeObject: Decodable, Equatable, Sendable {
    enum Status: String, Decodable, Sendable { case pending, processing, valid, invalid }

    var type: String
    var url: String
    var status: Status?
    var token: String?
    var error: ACMEProblem?
}
