import HTTPForwarding
import NIOHTTP1
import TLSWire
import Testing

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

    func decide(
        _ method: HTTPMethod = .GET, _ uri: String = "/", version: HTTPVersion = .http1_1,
        host: String? = "www.example.test", _ fields: [(String, String)] = []
    ) -> RequestDecision {
        var all = fields
        if let host { all.insert(("Host", host), at: 0) }
        return RequestForwarding(policy: self.policy, serverName: self.serverName, client: self.client).decide(
            HTTPRequestHead(version: version, method: method, uri: uri, headers: HTTPHeaders(all)))
    }

    func forwarded(
        _ method: HTTPMethod = .GET, _ uri: String = "/", version: HTTPVersion = .http1_1,
        host: String? = "www.example.test", _ fields: [(String, String)] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> ForwardedRequest {
        let decision = self.decide(method, uri, version: version, host: host, fields)
        guard case .forward(let request) = decision else {
            Issue.record("not forwarded: \(decision)", sourceLocation: sourceLocation)
            throw NotForwarded()
        }
        return request
    }

    func refusal(
        _ method: HTTPMethod = .GET, _ uri: String = "/", version: HTTPVersion = .http1_1,
        host: String? = "www.example.test", _ fields: [(String, String)] = []
    ) -> RequestRefusal? {
        guard case .refuse(let refusal) = self.decide(method, uri, version: version, host: host, fields) else {
            return nil
        }
        return refusal
    }
}

struct NotForwarded: Error {}
