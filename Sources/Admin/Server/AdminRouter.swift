internal import NIOCore
internal import NIOHTTP1
import Telemetry

/// What the admin port answers, without sockets.
struct AdminRouter: Sendable {
    struct Answer: Equatable, Sendable {
        var status: HTTPResponseStatus
        var contentType: String = "text/plain; charset=utf-8"
        var allow: String?
        var body: String
        /// For a browser that shows it to people.
        var isPage = false
    }

    let metrics: PrometheusRegistry
    let readiness: [HealthCheck]
    var endpoints: [AdminEndpoint] = []
    var token: AdminToken?
    /// Clients have shown a certificate, which is enough to look: so TLS has verified by which name they came here, too.
    var isForLooking = false
    var problems = RecentProblems()
    /// Unix time.
    var clock: @Sendable () -> Double = { 0 }

    func answer(to head: HTTPRequestHead, body: String = "") async -> Answer {
        if let refusal = self.refusal(head) { return refusal }
        let path = String(head.uri.prefix { $0 != "?" })
        if let endpoint = self.endpoints.first(where: { $0.path == path }) {
            return await self.answer(to: head, body: body, endpoint: endpoint)
        }
        guard ["/metrics", "/health/live", "/health/ready", StatusPage.path, StatusPage.stylePath].contains(path) else {
            let others = self.endpoints.map { ", \($0.path)" }.joined()
            return Answer(
                status: .notFound,
                body: "Here are / (a page for people), /metrics, /health/live, /health/ready\(others).\n")
        }
        guard head.method == .GET || head.method == .HEAD else {
            return Answer(status: .methodNotAllowed, allow: "GET, HEAD", body: "Use GET.\n")
        }
        switch path {
        case "/metrics":
            return Answer(
                status: .ok, contentType: "text/plain; version=0.0.4; charset=utf-8", body: self.metrics.exposition())
        case "/health/live":
            return Answer(status: .ok, contentType: "application/json", body: "{\"status\":\"live\"}\n")
        case StatusPage.stylePath:
            return Answer(status: .ok, contentType: "text/css; charset=utf-8", body: StatusPage.style, isPage: true)
        case StatusPage.path:
            let page = StatusPage(
                figures: StatusFigures(MetricSample.all(in: self.metrics.exposition())),
                health: await HealthReport.run(self.readiness), problems: self.problems.all, now: self.clock())
            return Answer(status: .ok, contentType: "text/html; charset=utf-8", body: page.html, isPage: true)
        default:
            let report = await HealthReport.run(self.readiness)
            return Answer(
                status: report.isReady ? .ok : .serviceUnavailable, contentType: "application/json", body: report.json)
        }
    }

    /// Who may not ask at all.
    func refusal(_ head: HTTPRequestHead) -> Answer? {
        if self.isForLooking {
            guard head.method == .GET || head.method == .HEAD else {
                return Answer(status: .forbidden, body: "This port is for looking. Use the admin port.\n")
            }
            return nil
        }
        if let token {
            let fields = head.headers["authorization"]
            if token.isBorne(by: fields) { return nil }
            guard token.isPassword(in: fields) else {
                return Answer(
                    status: .unauthorized,
                    body: "Send the admin token: Authorization: Bearer TOKEN; or as a password, with any user name.\n")
            }
            return self.refusalOfBrowser(head)
        }
        // A page in a browser on this machine may have its own name point here (DNS rebinding). Its requests then
        // bear that name.
        let hosts = head.headers["host"]
        guard hosts.count == 1 || (hosts.isEmpty && head.version == .http1_0), hosts.allSatisfy(Self.isLocal) else {
            return Answer(status: .forbidden, body: "Ask for 127.0.0.1, [::1] or localhost.\n")
        }
        return nil
    }

    /// A browser sends a password that it once learned with whatever a page of any origin has it ask for here: it may look, and change
    /// nothing. And where a name of that page's own points here (DNS rebinding), it may not even look.
    private func refusalOfBrowser(_ head: HTTPRequestHead) -> Answer? {
        let hosts = head.headers["host"]
        guard hosts.count == 1, Self.isAddress(host: hosts[0]) else {
            return Answer(status: .forbidden, body: "Ask by this machine's address, or for localhost.\n")
        }
        guard head.method == .GET || head.method == .HEAD else {
            return Answer(status: .forbidden, body: "A password is for looking. Send Authorization: Bearer TOKEN.\n")
        }
        return nil
    }

    private func answer(to head: HTTPRequestHead, body: String, endpoint: AdminEndpoint) async -> Answer {
        guard head.method.rawValue == endpoint.method else {
            return Answer(status: .methodNotAllowed, allow: endpoint.method, body: "Use \(endpoint.method).\n")
        }
        // What changes something must not be done by a web page in a browser on this machine: a page can't send JSON
        // to another origin without being asked first, and that question isn't answered here.
        if endpoint.method != "GET" {
            let type = head.headers["content-type"]
            guard type.count == 1, type[0].prefix(while: { $0 != ";" }).lowercased() == "application/json",
                !head.headers.contains(name: "origin")
            else {
                return Answer(status: .unsupportedMediaType, body: "Send Content-Type: application/json.\n")
            }
        }
        let query = head.uri.firstIndex(of: "?").map { String(head.uri[head.uri.index(after: $0)...]) } ?? ""
        let answer = await endpoint.run(AdminRequest(query: query, body: body))
        return Answer(
            status: HTTPResponseStatus(statusCode: answer.status), contentType: "application/json", body: answer.json)
    }

    /// True for `localhost` and for IP addresses, with or without a port.
    static func isAddress(host field: String) -> Bool {
        if self.isLocal(host: field) { return true }
        var host = Substring(field)
        if host.hasPrefix("[") {
            guard let close = host.firstIndex(of: "]") else { return false }
            let port = host[host.index(after: close)...]
            guard port.isEmpty || port.hasPrefix(":") && port.dropFirst().allSatisfy(\.isNumber) else { return false }
            host = host[host.index(after: host.startIndex)..<close]
            return host.contains(":") && (try? SocketAddress(ipAddress: String(host), port: 0)) != nil
        }
        if let colon = host.firstIndex(of: ":") {
            guard host[host.index(after: colon)...].allSatisfy(\.isNumber) else { return false }
            host = host[..<colon]
        }
        return (try? SocketAddress(ipAddress: String(host), port: 0)) != nil
    }

    /// True for `localhost`, 127.0.0.0/8 and ::1, with or without a port.
    static func isLocal(host field: String) -> Bool {
        var host = Substring(field)
        if host.hasPrefix("[") {
            guard let close = host.firstIndex(of: "]") else { return false }
            let rest = host[host.index(after: close)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { return false }
            let address = String(host[host.index(after: host.startIndex)..<close])
            return (try? SocketAddress(ipAddress: address, port: 0)) == (try? SocketAddress(ipAddress: "::1", port: 0))
        }
        if let colon = host.firstIndex(of: ":") {
            guard host[host.index(after: colon)...].allSatisfy(\.isNumber) else { return false }
            host = host[..<colon]
        }
        if host.lowercased() == "localhost" { return true }
        return host.hasPrefix("127.") && (try? SocketAddress(ipAddress: String(host), port: 0)) != nil
    }
}
