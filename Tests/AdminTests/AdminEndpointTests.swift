import NIOHTTP1
import Telemetry
import Testing

@testable import Admin

@Suite("What a process adds to its admin port, and who may use it")
struct AdminEndpointTests {
    private static func router(token: AdminToken? = nil) -> AdminRouter {
        AdminRouter(
            metrics: PrometheusRegistry(), readiness: [],
            endpoints: [
                AdminEndpoint(method: "POST", path: "/echo") { AdminAnswer(json: $0.body) },
                AdminEndpoint(method: "GET", path: "/show") { AdminAnswer(json: $0.parameter("url") ?? "none") },
            ], token: token)
    }

    private static func head(
        _ method: HTTPMethod, _ uri: String, _ fields: [(String, String)] = [("host", "127.0.0.1:9435")]
    ) -> HTTPRequestHead {
        HTTPRequestHead(version: .http1_1, method: method, uri: uri, headers: HTTPHeaders(fields))
    }

    private static let local = ("host", "127.0.0.1:9435")
    private static let json = ("content-type", "application/json")

    @Test("An endpoint gets the body, and parameters percent-decoded")
    func requests() async {
        let router = Self.router()
        let posted = await router.answer(to: Self.head(.POST, "/echo", [Self.local, Self.json]), body: "{}")
        #expect(posted.status == .ok)
        #expect(posted.body == "{}")
        #expect(posted.contentType == "application/json")
        let shown = await router.answer(to: Self.head(.GET, "/show?a=b&url=https%3A%2F%2Fa.test%2F%C3%A4+b"))
        #expect(shown.body == "https://a.test/ä b")
        #expect(await router.answer(to: Self.head(.GET, "/show?url=%zz")).body == "none")
        #expect(await router.answer(to: Self.head(.GET, "/echo")).status == .methodNotAllowed)
        #expect(await router.answer(to: Self.head(.GET, "/other")).body.contains("/echo"))
    }

    @Test("A web page in a browser on this machine changes nothing")
    func crossSite() async {
        let router = Self.router()
        let plain = ("content-type", "text/plain")
        #expect(
            await router.answer(to: Self.head(.POST, "/echo", [Self.local, plain]), body: "{}").status
                == .unsupportedMediaType)
        #expect(await router.answer(to: Self.head(.POST, "/echo"), body: "{}").status == .unsupportedMediaType)
        let origin = [Self.local, Self.json, ("origin", "https://evil.test")]
        #expect(await router.answer(to: Self.head(.POST, "/echo", origin), body: "{}").status == .unsupportedMediaType)
        let rebound = [("host", "evil.test"), Self.json]
        #expect(await router.answer(to: Self.head(.POST, "/echo", rebound), body: "{}").status == .forbidden)
    }

    @Test("With a token, everything needs it, from wherever")
    func token() async throws {
        let router = Self.router(token: try AdminToken("  correct-horse-battery\n"))
        for (field, status) in [
            ("Bearer correct-horse-battery", HTTPResponseStatus.ok), ("bearer correct-horse-battery", .ok),
            ("Bearer correct-horse-batterx", .unauthorized), ("Bearer correct-horse-battery2", .unauthorized),
            ("Bearer correct-horse-batter", .unauthorized), ("Bearer ", .unauthorized), ("", .unauthorized),
            ("Basic correct-horse-battery", .unauthorized),
            ("Bearer correct-horse-batterycorrect-horse-battery", .unauthorized),
        ] {
            let head = Self.head(.GET, "/show", [("host", "10.0.0.1:9435"), ("authorization", field)])
            #expect(await router.answer(to: head).status == status, "\(field)")
        }
        #expect(await router.answer(to: Self.head(.GET, "/metrics")).status == .unauthorized)
        let twice = [Self.local, ("authorization", "Bearer correct-horse-battery"), ("authorization", "Bearer x")]
        #expect(await router.answer(to: Self.head(.GET, "/metrics", twice)).status == .unauthorized)
    }

    @Test("What is no token")
    func badTokens() {
        #expect(throws: AdminToken.Invalid.length(5)) { try AdminToken("short") }
        #expect(throws: AdminToken.Invalid.length(257)) { try AdminToken(String(repeating: "a", count: 257)) }
        #expect(throws: AdminToken.Invalid.character) { try AdminToken("sixteen characters and blanks") }
    }
}
