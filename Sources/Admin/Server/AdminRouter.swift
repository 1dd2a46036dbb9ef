internal import NIOCore
internal import NIOHTTP1

/// What the admin port answers, without sockets.
struct AdminRouter: Sendable {
    struct Answer: Equatable, Sendable {
        var status: HTTPResponseStatus
        var contentType: String = "text/plain; charset=utf-8"
        var allow: String?
        var body: String
    }

    let metrics: PrometheusRegistry
    let readiness: [HealthCheck]

    func answer(to head: HTTPRequestHead) async -> Answer {
        // A page in a browser on this machine may have its own name point here (DNS rebinding). Its requests then
        // bear that name.
        let hosts = head.headers["host"]
        guard hosts.count == 1 || (hosts.isEmpty && head.version == .http1_0), hosts.allSatisfy(Self.isLocal) else {
            return Answer(status: .forbidden, body: "Ask for 127.0.0.1, [::1] or localhost.\n")
        }
        let path = head.uri.prefix { $0 != "?" }
        guard ["/metrics", "/health/live", "/health/ready"].contains(path) else {
            return Answer(status: .notFound, body: "Here are /metrics, /health/live and /health/ready.\n")
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
        default:
            let report = await HealthReport.run(self.readiness)
            return Answer(
                status: report.isReady ? .ok : .serviceUnavailable, contentType: "application/json", body: report.json)
        }
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
