import Foundation
import KeyProtocol
import PrivateAuthority
import Testing

@testable import KeyHolder

@Suite("The catalogue of audit lines", .timeLimit(.minutes(1)))
struct AuditCatalogueTests {
    static let always: Set<String> = [
        "seq", "time", "edge", "site", "client", "operation", "outcome", "us", "chain",
    ]

    static func page() throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        return try String(contentsOf: root.appendingPathComponent("docs/audit.md"), encoding: .utf8)
    }

    static func words(_ text: some StringProtocol) -> [String] {
        text.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }.map {
            String($0.element)
        }
    }

    @Test("The documentation has each event that there is, with its members, and no other")
    func documented() throws {
        let page = try Self.page()
        let section = try #require(
            page.components(separatedBy: "\n## Events\n").last?.components(separatedBy: "\n## ").first)
        var documented: [String: [String]] = [:]
        for line in section.split(separator: "\n") where line.hasPrefix("| `") {
            let cells = line.split(separator: "|", omittingEmptySubsequences: false)
            documented[Self.words(cells[1]).first ?? ""] = Self.words(cells[3]).sorted()
        }
        var known: [String: [String]] = [:]
        for event in AuditEvent.allCases { known[event.rawValue] = event.members.sorted() }
        #expect(documented == known)
        let requests = try #require(section.components(separatedBy: "\nRequests of edges").last)
        let words = Set(Self.words(requests))
        #expect(words == Set(AuditEvent.requests + AuditEvent.requestMembers))
    }

    @Test("Every outcome is documented")
    func outcomes() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(contentsOf: root.appendingPathComponent("docs/key-protocol.md"), encoding: .utf8)
        let words = Set(Self.words(page))
        #expect(AuditOutcome.allCases.filter { !words.contains($0.rawValue) } == [])
    }

    @Test("Lines have the members that the catalogue says, and every change of sites, grants and edges has one")
    func written() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        #expect(try await edge.ask(ServerTests.p256Sign)?.opcode == .success)
        _ = try await edge.ask(PolicyFixtures.signRequest("nowhere.test"))
        var configuration = holder.configuration
        configuration.sites.removeLast()
        for index in configuration.grants.indices { configuration.grants[index].sites.removeLast() }
        try holder.server.reload(configuration)
        try holder.server.revoke("paris")
        try holder.server.restore("paris")
        let other = try TestHolder.siteAuthority.get().issueSite(domains: ["p256.test", "*.p256.test"], keyType: .p256)
        configuration.sites[0] = TestHolder.site(other)
        try holder.server.reload(configuration)
        let lines = try await holder.stop(all: true)
        for line in lines {
            let operation = try #require(line["operation"])
            let members: Set<String> =
                AuditEvent(rawValue: operation).map { Set($0.members) } ?? Set(AuditEvent.requestMembers)
            #expect(AuditEvent(rawValue: operation) != nil || AuditEvent.requests.contains(operation), "\(operation)")
            #expect(Set(line.keys).subtracting(Self.always).subtracting(members) == [], "\(line)")
            #expect(Self.always.subtracting(line.keys) == [], "\(line)")
        }
        #expect(lines.map { $0["seq"] ?? "" } == (1...lines.count).map { "\($0)" })
        func count(_ operation: String) -> Int { lines.count { $0["operation"] == operation } }
        #expect(lines.first?["operation"] == "start")
        #expect(lines.last?["operation"] == "stop")
        #expect(count("site-added") == 3)
        #expect(count("site-removed") == 1)
        #expect(count("certificate-changed") == 1)
        #expect(count("reload") == 2)
        #expect(count("grant-removed") == 2)
        #expect(count("grant-added") == holder.configuration.grants.count + 2)
        #expect(count("edge-connected") == 1)
        #expect(count("edge-gone") == 1)
        let changed = try #require(lines.first { $0["operation"] == "certificate-changed" })
        #expect(changed["site"] == "p256.test")
        #expect(changed["detail"]?.matches(of: #/sha256 [0-9a-f]{64}/#).count == 2)
    }

    @Test("However long a detail is, a line stays short, and is one line")
    func long() {
        var record = AuditTests.record
        record.detail = String(repeating: "ä\n", count: 100_000)
        let line = AuditTests.line(record)
        #expect(line.utf8.count < 16_384)
        #expect(line.count { $0 == "\n" } == 1)
    }
}
