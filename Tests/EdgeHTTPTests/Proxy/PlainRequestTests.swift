import EdgeHTTP
import NIOCore
import TLSWire
import Testing

@Suite struct PlainRequestTests {
    private static func verdict(_ site: PlainSite?) -> PlainVerdict? {
        var request = PlainRequest(PlainRules(), limits: ProxyLimits())
        return request.receive(
            ByteBuffer(string: "GET /.well-known/acme-challenge/abc HTTP/1.1\r\nHost: one.test\r\n\r\n")
        ) { _ in site }
    }

    @Test func aChallengeIsForASiteWithAnOriginAndOtherwiseNotFound() throws {
        guard case .challenge(let challenge)? = Self.verdict(PlainSite(hasOrigin: true)) else {
            Issue.record("no challenge")
            return
        }
        #expect(challenge.name == (try ServerName("one.test")))
        #expect(challenge.token == "abc")
        for site in [PlainSite(hasOrigin: false), nil] {
            guard case .answer(let answer)? = Self.verdict(site) else {
                Issue.record("no answer")
                continue
            }
            #expect(String(buffer: answer.bytes).hasPrefix("HTTP/1.1 404 Not Found\r\n"))
        }
    }
}
