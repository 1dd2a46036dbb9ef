import HTTPFields
import HTTPForwarding
import HTTPWire
import NIOCore
import TLSWire
import Testing

/// What became of a request's bytes.
enum Outcome {
    case accepted(CheckedRequest)
    case answered
    case refused(RequestRefusal)
    /// By the reader.
    case unread(WireFault)
}

/// A head as the origin gets it.
struct OriginHead {
    let request: CheckedRequest
    let head: RequestHead
    var body: BodyFraming { self.request.framing }
    var clientPersists: Bool { self.request.clientPersists }
    var expectsContinue: Bool { self.request.expectsContinue }
    var upgrades: Bool { self.request.upgrades }

    var target: String { self.head.fields.text(self.head.targetRange) }
    var method: String { self.head.fields.text(self.head.methodRange) }

    subscript(name: String) -> [String] { self.head.fields.values(name) }
}

extension FieldSection {
    /// The values of all fields of a name, in their order.
    func values(_ name: String) -> [String] {
        guard let name = FieldName(name) else { return [] }
        return self.filter { self.isNamed($0, name) }.map { self.text($0.value) }
    }
}

struct RequestBuilder {
    var policy: ForwardingPolicy
    var serverName: ServerName
    var client: ClientNode = .ipv4("192.0.2.7")

    init(claims: ForwardingPolicy.ClientClaims = .replace) throws {
        self.policy = ForwardingPolicy(
            domains: [try ServerNamePattern("www.example.test"), try ServerNamePattern("*.shop.example.test")],
            pseudonym: "paris", clientClaims: claims)
        self.serverName = try ServerName("www.example.test")
    }

    var rules: RequestRules { RequestRules(policy: self.policy, serverName: self.serverName, client: self.client) }

    func judge(
        _ method: String = "GET", _ target: String = "/", version: String = "1.1",
        host: String? = "www.example.test", _ fields: [(String, String)] = []
    ) -> Outcome {
        var text = "\(method) \(target) HTTP/\(version)\r\n"
        if let host { text += "Host: \(host)\r\n" }
        for (name, value) in fields { text += "\(name): \(value)\r\n" }
        return self.judge(ByteBuffer(string: text + "\r\n"))
    }

    func judge(_ bytes: ByteBuffer) -> Outcome {
        var reader = RequestReader(limits: WireLimits(startLineBytes: 1 << 16))
        reader.receive(bytes)
        do throws(WireError) {
            guard case .head(let head)? = try reader.next() else { return .unread(.incomplete) }
            switch self.rules.judge(head) {
            case .accept(let request): return .accepted(request)
            case .answerOptions: return .answered
            case .refuse(let refusal): return .refused(refusal)
            }
        } catch {
            return .unread(error.fault)
        }
    }

    func accepted(
        _ method: String = "GET", _ target: String = "/", version: String = "1.1",
        host: String? = "www.example.test", _ fields: [(String, String)] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> CheckedRequest {
        let outcome = self.judge(method, target, version: version, host: host, fields)
        guard case .accepted(let request) = outcome else {
            Issue.record("not accepted: \(outcome)", sourceLocation: sourceLocation)
            throw NotForwarded()
        }
        return request
    }

    /// What the origin gets.
    func sent(
        _ method: String = "GET", _ target: String = "/", version: String = "1.1",
        host: String? = "www.example.test", _ fields: [(String, String)] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> OriginHead {
        try self.accepted(method, target, version: version, host: host, fields, sourceLocation: sourceLocation).sent()
    }

    func refusal(
        _ method: String = "GET", _ target: String = "/", version: String = "1.1",
        host: String? = "www.example.test", _ fields: [(String, String)] = []
    ) -> RequestRefusal? {
        guard case .refused(let refusal) = self.judge(method, target, version: version, host: host, fields) else {
            return nil
        }
        return refusal
    }

    func fault(
        _ method: String = "GET", _ target: String = "/", version: String = "1.1",
        host: String? = "www.example.test", _ fields: [(String, String)] = []
    ) -> WireFault? {
        guard case .unread(let fault) = self.judge(method, target, version: version, host: host, fields) else {
            return nil
        }
        return fault
    }
}

extension CheckedRequest {
    /// Written for the origin, and read again.
    func sent(edits: OriginRequestEdits = OriginRequestEdits()) throws -> OriginHead {
        var bytes = ByteBuffer()
        self.writeOriginHead(edits: edits, to: &bytes)
        var parser = RequestHeadParser(limits: WireLimits(startLineBytes: 1 << 16))
        return OriginHead(request: self, head: try #require(try parser.parse(&bytes)))
    }

    /// What the origin gets for a name, as `Vary` asks.
    func selectorLines(_ name: String) throws -> [String] {
        var lines: [String] = []
        self.forEachSelectorLine(try #require(FieldName(name))) { lines.append(String(decoding: $0, as: UTF8.self)) }
        return lines
    }
}

struct NotForwarded: Error {}
