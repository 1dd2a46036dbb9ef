import Foundation
import Metrics
import NIOHTTP1
import Telemetry
import Testing

@testable import Admin

@Suite("The page for people")
struct StatusPageTests {
    private static let hostile = "<script>alert('x')</script>\"&\u{202E}\u{1B}[31m"

    private static func router(token: AdminToken? = nil) -> AdminRouter {
        let registry = PrometheusRegistry()
        Gauge(
            label: "latchstring_build_info", dimensions: [("version", "1.2.3"), ("role", "edge")], factory: registry
        ).record(1)
        Counter(
            label: "latchstring_edge_requests_total", dimensions: [("site", Self.hostile), ("status", "2xx")],
            factory: registry
        ).increment(by: 30)
        for (outcome, count) in [("hit", 15), ("miss", 5)] {
            Counter(
                label: "latchstring_cache_requests_total", dimensions: [("site", Self.hostile), ("outcome", outcome)],
                factory: registry
            ).increment(by: count)
        }
        for (domain, leased) in [("a.test", 1), (Self.hostile, 0)] {
            Gauge(label: "latchstring_edge_lease", dimensions: [("domain", domain)], factory: registry).record(leased)
            Gauge(
                label: "latchstring_edge_certificate_not_after_seconds", dimensions: [("domain", domain)],
                factory: registry
            ).record(1000 + 20 * 86_400)
        }
        Gauge(label: "latchstring_key_links_ready", dimensions: [("keyholder", "home")], factory: registry).record(0)
        let problems = RecentProblems()
        problems.add(
            .init(
                time: "2026-11-29T20:00:00.000Z", level: "warning", message: "handshake failed",
                details: "site=\(Self.hostile) user_agent=\(Self.hostile)"))
        return AdminRouter(
            metrics: registry, readiness: [HealthCheck(name: "certificates") { .failed(Self.hostile) }], token: token,
            problems: problems, clock: { 1000 })
    }

    private static func head(
        _ uri: String, _ fields: [(String, String)] = [("host", "127.0.0.1:9435")], method: HTTPMethod = .GET
    ) -> HTTPRequestHead {
        HTTPRequestHead(version: .http1_1, method: method, uri: uri, headers: HTTPHeaders(fields))
    }

    @Test("It shows sites, domains, key holders, health and the last problems")
    func content() async {
        let answer = await Self.router().answer(to: Self.head("/"))
        #expect(answer.status == .ok && answer.contentType == "text/html; charset=utf-8" && answer.isPage)
        for text in [
            "1.2.3", "not ready", "<td>30</td>", "<td>75.0 %</td>", "<td>a.test</td><td>yes</td><td>20 days</td>",
            "<tr class=\"bad\"><td>home</td><td>0</td>", "handshake failed", "<h2>Last warnings and errors</h2>",
        ] { #expect(answer.body.contains(text), "\(text)") }
    }

    @Test("Nothing that comes from outside becomes markup, and the page has no script")
    func escaping() async {
        let body = await Self.router().answer(to: Self.head("/")).body
        #expect(!body.contains("<script"))
        #expect(!body.contains("alert('x')"))
        #expect(!body.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" || $0 == "\u{202E}" })
        // Of a site, a domain, a check, and twice in a problem's details.
        let escaped = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;\u{FFFD}\u{FFFD}[31m"
        #expect(body.components(separatedBy: escaped).count == 6)
    }

    @Test("Figures of one row are those of its labels, and cost no look at other rows")
    func figures() {
        let sites = 3000
        let samples = (0..<sites).flatMap { site in
            ["2xx", "4xx", "5xx"].map {
                MetricSample(name: "r", labels: ["site": "\(site)", "status": $0], value: Double(site))
            }
        }
        let figures = StatusFigures(samples)
        let begun = ContinuousClock.now
        for site in 0..<sites {
            #expect(figures.sum("r", ["site": "\(site)"]) == Double(3 * site))
            #expect(figures.sum("r", ["status": "5xx", "site": "\(site)"]) == Double(site))
        }
        #expect(ContinuousClock.now - begun < .seconds(5))
        #expect(figures.sum("r", ["site": "none"]) == nil && figures.sum("q", ["site": "1"]) == nil)
        #expect(figures.sum("r", ["status": "5xx"]) == Double(sites * (sites - 1) / 2))
    }

    @Test("A browser logs in with the token as its password, and may look")
    func login() async throws {
        let router = Self.router(token: try AdminToken("correct-horse-battery"))
        func field(_ text: String) -> String { "Basic " + Data(text.utf8).base64EncodedString() }
        func status(
            _ authorization: String?, host: String = "10.0.0.5:9435", _ uri: String = "/", method: HTTPMethod = .GET
        ) async -> HTTPResponseStatus {
            var fields = [("host", host)]
            if let authorization { fields.append(("authorization", authorization)) }
            return await router.answer(to: Self.head(uri, fields, method: method)).status
        }
        #expect(await status(nil) == .unauthorized)
        for user in ["", "admin"] {
            #expect(await status(field("\(user):correct-horse-battery")) == .ok)
            #expect(await status(field("\(user):correct-horse-battery"), "/status.css") == .ok)
        }
        for wrong in [
            field("admin:correct-horse-batterx"), field("correct-horse-battery"), field("admin:correct-horse-battery:"),
            "Basic", "Basic ====", "Basic YWRtaW46", field("admin:correct-horse-battery") + "A", "Basic \u{e4}",
            "Digest correct-horse-battery", field("admin:"),
        ] { #expect(await status(wrong) == .unauthorized, "\(wrong)") }
        // What a page elsewhere could have the browser do with it.
        let good = field("admin:correct-horse-battery")
        #expect(await status(good, method: .POST) == .forbidden)
        for host in ["evil.test", "10.0.0.5.evil.test", "", "evil.test:9435"] {
            #expect(await status(good, host: host) == .forbidden, "\(host)")
        }
        for host in ["localhost", "[2001:db8::1]:9435", "192.0.2.1"] { #expect(await status(good, host: host) == .ok) }
        // A program names the machine as it likes.
        #expect(await status("Bearer correct-horse-battery", host: "edge1.internal:9435", "/metrics") == .ok)
    }

    @Test("Another host than this machine is refused without a token, too")
    func rebinding() async {
        #expect(await Self.router().answer(to: Self.head("/", [("host", "evil.test")])).status == .forbidden)
    }

    @Test("Only so many problems are kept, the newest first, and each is bounded")
    func problems() {
        let problems = RecentProblems()
        for number in 1...200 {
            problems.add(
                .init(time: "", level: "error", message: "\(number)", details: String(repeating: "x", count: 5000)))
        }
        #expect(problems.all.count == 50 && problems.all.first?.message == "200")
        #expect(problems.all.allSatisfy { $0.details.count == 1000 })
    }
}
