import KeyProtocol
import PeerLink
import PrivateAuthority
import TLSWire
import Testing

@testable import KeyHolder

@Suite("Grants that begin and end by the time", .timeLimit(.minutes(2)))
struct GrantsInTimeTests {
    @Test("A grant that ends cuts its edge off, one that begins lets it in; others are served; both are audited")
    func ends() async throws {
        let clock = TestClock()
        let now = clock.milliseconds
        let holder = try await TestHolder(clock: clock)
        var configuration = holder.configuration
        configuration.grants[0].times.until = now + 100_000
        try holder.server.reload(configuration)
        let paris = try await holder.edge("paris")
        let rome = try await holder.edge("rome")
        #expect(try await paris.ask(ServerTests.p256Sign)?.opcode == .success)
        #expect(await rome.ping())
        #expect(holder.server.grantStatus.map(\.state) == [.inForce, .inForce])
        clock.advance(seconds: 101)
        holder.server.reviewGrants()
        #expect(await paris.next() == nil)
        #expect(try await rome.ask(ServerTests.p256Sign)?.opcode == .success)
        let credentials = try TestHolder.credentials(holder.authority, .edge, "paris")
        #expect(try await ServerTests.isServed(credentials, holder) == false)
        #expect(holder.server.grantStatus.map(\.state) == [.notNow, .inForce])
        // Neither a reload nor a renewed certificate brings it back.
        try holder.server.reload(configuration)
        try holder.server.replace(configuration.sites[0])
        #expect(try await ServerTests.isServed(credentials, holder) == false)
        configuration.grants[0].times.until = now + 1_000_000
        try holder.server.reload(configuration)
        #expect(try await ServerTests.isServed(credentials, holder))
        let status = try #require(holder.server.grantStatus.first)
        #expect(status.done["sign-tls13"] == 1)
        #expect((status.seen ?? 0) > now)
        let lines = try await holder.stop()
        #expect(lines.filter { $0["operation"] == "grant-ended" }.map { $0["edge"] } == ["paris"])
    }

    @Test("A grant of a time that is not now is checked as if it were, and begins by itself")
    func begins() async throws {
        let clock = TestClock()
        let holder = try await TestHolder(clock: clock)
        var configuration = holder.configuration
        let minute = Int(clock.milliseconds / 60_000 % 1440)
        configuration.grants[0].times.hours = .init(from: (minute + 10) % 1440, to: (minute + 700) % 1440)
        try holder.server.reload(configuration)
        let credentials = try TestHolder.credentials(holder.authority, .edge, "paris")
        #expect(try await ServerTests.isServed(credentials, holder) == false)
        clock.advance(seconds: 11 * 60)
        holder.server.reviewGrants()
        #expect(try await ServerTests.isServed(credentials, holder))
        var wrong = configuration
        wrong.grants[0].times.until = 0
        wrong.grants[0].sites = [try ServerNamePattern("other.test")]
        #expect(throws: SiteLoadError.grantForUnknownSite(edge: "paris", name: "other.test")) {
            try holder.server.reload(wrong)
        }
        let lines = try await holder.stop()
        #expect(lines.filter { $0["operation"] == "grant-began" }.map { $0["edge"] } == ["paris"])
    }

    @Test("An operation has a rate of its own, and the others go on")
    func rates() throws {
        let site = try PolicyFixtures.site("a.test", ski: 1)
        var configured = try PolicyFixtures.grant("paris", "a.test")
        configured.rates = [.signTLS13: 1]
        let policy = try Policy(sites: [site], grants: [configured], previous: nil, now: 0)
        let grant = try #require(policy.grant(to: "paris", for: site))
        #expect((0..<3).map { _ in grant.takeToken(of: .signTLS13, now: 0) } == [true, true, false])
        #expect(grant.takeToken(of: .certificate, now: 0))
        // A reload is no fresh burst.
        let again = try Policy(sites: [site], grants: [configured], previous: policy, now: 0)
        #expect(again.grant(to: "paris", for: site)?.takeToken(of: .signTLS13, now: 0) == false)
        let judge = RequestJudge(edge: "paris", policy: again, now: 0, wallSeconds: 0)
        let verdict = judge.judge(PolicyFixtures.signRequest("a.test"))
        guard case .refuse(.rateLimited, .rateLimited) = verdict.action else {
            Issue.record("\(verdict.action)")
            return
        }
        guard case .answer = judge.judge(PolicyFixtures.certificateRequest("a.test")).action else {
            Issue.record("no chain")
            return
        }
        configured.rates = [.signTLS13: 0]
        #expect(throws: SiteLoadError.self) { try Policy(sites: [site], grants: [configured], previous: nil, now: 0) }
    }
}
