import TLSWire
import TestSockets
import Testing

@testable import CAARecords

/// The climb, against a DNS server of the tests' own and the system's resolver.
@Suite("Looking up CAA records", .serialized, .timeLimit(.minutes(2)))
struct CAALookupTests {
    private static func lookup(_ server: TestDNSServer, attempts: Int32 = 1) throws -> CAALookup {
        let resolver = try #require(
            SystemResolver(server: "127.0.0.1", port: server.port, seconds: 1, attempts: attempts))
        return CAALookup { name async throws(ResolverFailure) in
            // One question at a time, so that a blocked thread is no matter here.
            try resolver.caa(name)
        }
    }

    private static func policy(
        _ name: String, _ answer: @escaping @Sendable (String) -> TestDNSServer.Answer
    ) async throws -> (policy: CAAPolicy, questions: [String]) {
        let server = try TestDNSServer(answer: answer)
        defer { server.stop() }
        var lookup = try Self.lookup(server)
        return (try await lookup.policy(for: try ServerName(name)), server.questions)
    }

    @Test("From the name upwards to the first records, whether names exist or not")
    func climbing() async throws {
        let found = try await Self.policy("a.b.shop.example") { name in
            switch name {
            case "a.b.shop.example": .noName
            case "b.shop.example": .noData
            case "shop.example": .caa([(0, "issue", "ca.test; accounturi=x")])
            default: .caa([(0, "issue", "wrong.test")])
            }
        }
        #expect(found.policy == .bound(at: "shop.example", issuers: ["ca.test"]))
        #expect(found.questions == ["a.b.shop.example", "b.shop.example", "shop.example"])
    }

    @Test("None anywhere: asked up to the top-level domain, and no further")
    func none() async throws {
        let found = try await Self.policy("www.shop.example") { _ in .noName }
        #expect(found.policy == .none)
        #expect(found.questions == ["www.shop.example", "shop.example", "example"])
    }

    @Test("An alias's target counts; where it has none, the climb goes on from the name, not from the target")
    func aliases() async throws {
        let direct = try await Self.policy("www.shop.example") { _ in
            .alias("cdn.elsewhere.example", [(0, "issue", "ca.test")])
        }
        #expect(direct.policy == .unbound(at: "www.shop.example", issuers: ["ca.test"]))
        let climbing = try await Self.policy("www.shop.example") { name in
            name == "www.shop.example"
                ? .alias("cdn.elsewhere.example", []) : .caa([(0, "issue", ";")])
        }
        #expect(climbing.policy == .bound(at: "shop.example", issuers: []))
        #expect(climbing.questions == ["www.shop.example", "shop.example"])
    }

    @Test("An answer that does not fit in a datagram comes over TCP")
    func overTCP() async throws {
        let found = try await Self.policy("shop.example") { _ in
            .overTCP(.caa((0..<40).map { (0, "issue", "ca\($0).test; accounturi=https://ca\($0).test/acct/\($0)") }))
        }
        #expect(found.policy == .bound(at: "shop.example", issuers: (0..<40).map { "ca\($0).test" }))
        #expect(found.questions == ["shop.example", "tcp:shop.example"])
    }

    @Test(
        "Without an answer the climb ends: records might stand there",
        arguments: [
            (.failure, "the DNS server cannot say (SERVFAIL)"), (.silence, "no answer in time"),
            (.refused, "the DNS server refuses the question (REFUSED)"),
            (.raw(answers: 1, [0xC0, 0xFF]), "the answer cannot be read (name)"),
        ] as [(TestDNSServer.Answer, String)])
    func unanswered(answer: TestDNSServer.Answer, reason: String) async throws {
        let server = try TestDNSServer { name in name == "www.shop.example" ? .noName : answer }
        defer { server.stop() }
        var lookup = try Self.lookup(server)
        await #expect(throws: CAALookup.Failure.unanswered("shop.example", reason: reason)) {
            try await lookup.policy(for: try ServerName("www.shop.example"))
        }
    }

    @Test("A name is asked for once; after two questions without an answer no more are asked")
    func bounds() async throws {
        let server = try TestDNSServer { name in name.hasSuffix("good.example") ? .noData : .silence }
        defer { server.stop() }
        var lookup = try Self.lookup(server)
        for name in ["www.good.example", "api.good.example"] {
            // The top-level domain is silent here.
            await #expect(throws: CAALookup.Failure.unanswered("example", reason: "no answer in time")) {
                try await lookup.policy(for: try ServerName(name))
            }
        }
        #expect(server.questions == ["www.good.example", "good.example", "example", "api.good.example"])
        await #expect(throws: CAALookup.Failure.self) { try await lookup.policy(for: try ServerName("one.test")) }
        await #expect(throws: CAALookup.Failure.self) { try await lookup.policy(for: try ServerName("two.test")) }
        let asked = server.questions.count
        await #expect(throws: CAALookup.Failure.notAsked) { try await lookup.policy(for: try ServerName("three.test")) }
        #expect(server.questions.count == asked)
    }
}
