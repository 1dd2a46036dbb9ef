import Foundation
import RecordLayer
import SecretFiles
import TLSEngine
import TLSWire
import Testing

@testable import KeyHolder

@Suite("Ticket keys that key holders share", .timeLimit(.minutes(2)))
struct SharedTicketTests {
    // MARK: The file

    @Test("What is written is read, and a rotation moves each key on")
    func text() throws {
        let file = TicketKeyFile()
        #expect(try TicketKeyFile(parsing: file.text) == file)
        #expect(file.previous == nil && file.current != file.next)
        let rotated = file.rotated()
        #expect(try TicketKeyFile(parsing: rotated.text) == rotated)
        #expect(rotated.previous == file.current && rotated.current == file.next)
        #expect(rotated.next != file.next && rotated.next != file.current)
        #expect(rotated.secrets.others == [rotated.next, file.current])
        #expect(try TicketKeyFile(parsing: "# mine\n\n" + file.text.replacing("\n", with: "\r\n")) == file)
    }

    @Test("Whatever is not such a file is refused, and the reason has nothing of a key")
    func badText() throws {
        let lines = TicketKeyFile().rotated().text.split(separator: "\n").map(String.init)
        let key = String(lines[1].split(separator: " ")[1])
        for (text, error) in [
            ("", TicketKeyFileError.title), (lines[1...].joined(separator: "\n"), .title),
            ("latchstring ticket keys 2\n" + lines[1...].joined(separator: "\n"), .title),
            (lines[0], .missing("current")), (lines[0...1].joined(separator: "\n"), .missing("next")),
            ((lines + [lines[1]]).joined(separator: "\n"), .twice("current")),
            ((lines + ["older \(key)"]).joined(separator: "\n"), .line),
            ((lines + ["next"]).joined(separator: "\n"), .line),
            (lines[0] + "\ncurrent \(key)\nnext \(key)", .same),
            (lines[0] + "\ncurrent \(key.dropLast(4))\nnext \(key)", .secret),
            (lines[0] + "\ncurrent ***\nnext \(key)", .secret),
        ] as [(String, TicketKeyFileError)] {
            #expect(throws: error) { try TicketKeyFile(parsing: text) }
            #expect(!"\(error)".contains(key))
        }
    }

    // MARK: Key holders

    private static func write(_ file: TicketKeyFile, to path: String) throws {
        try SecretFile.write(file.text, to: path)
    }

    /// Two key holders with the same sites, and what they share.
    private static func holders(_ path: String, _ other: String? = nil) async throws -> [TestHolder] {
        var holders: [TestHolder] = []
        for file in [path, other ?? path] {
            let holder = try await TestHolder()
            try holder.server.reload(Self.sharing(holder, in: file))
            holders.append(holder)
        }
        return holders
    }

    private static func sharing(_ holder: TestHolder, in file: String) -> KeyHolderConfiguration {
        var configuration = holder.configuration
        for index in configuration.sites.indices { configuration.sites[index].handshakes.ticketKeys = file }
        return configuration
    }

    private static func client(
        _ arguments: String, name: String = "p256.test", _ holder: TestHolder
    ) async throws -> String {
        let edge = try await holder.edge("paris")
        let output: String = try await EdgeStandIn.client(arguments, through: edge, name: name)
        await edge.close()
        #expect(output.contains(OpenSSLHandoffTests.served), "\(output)")
        return output
    }

    @Test("A client resumes at the other key holder of the site, and at no other site", arguments: [2, 3])
    func resumption(version: Int) async throws {
        let path: String = AuditTests.temporaryFile()
        let ticket: String = AuditTests.temporaryFile()
        defer { for file in [path, ticket] { try? FileManager.default.removeItem(atPath: file) } }
        try Self.write(TicketKeyFile(), to: path)
        let holders = try await Self.holders(path)
        let first = try await Self.client("-tls1_\(version) -sess_out \(ticket)", holders[0])
        #expect(first.contains("New, TLSv1.\(version)"))
        let second = try await Self.client("-tls1_\(version) -sess_in \(ticket)", holders[1])
        #expect(second.contains("Reused, TLSv1.\(version)"), "\(second)")
        // The same secrets, and another site's name.
        let elsewhere = try await Self.client("-tls1_\(version) -sess_in \(ticket)", name: "rsa.test", holders[1])
        #expect(elsewhere.contains("New, TLSv1.\(version)"), "\(elsewhere)")
        #expect(try await holders[0].stop().map { $0["resumed"] } == ["0"])
        #expect(try await holders[1].stop().map { $0["resumed"] } == ["1", "0"])
    }

    @Test("A key holder that has the older file opens tickets of the rotated one, and the other way round")
    func rotation() async throws {
        let paths: [String] = [AuditTests.temporaryFile(), AuditTests.temporaryFile()]
        let tickets: [String] = [AuditTests.temporaryFile(), AuditTests.temporaryFile()]
        defer { for file in paths + tickets { try? FileManager.default.removeItem(atPath: file) } }
        let file = TicketKeyFile()
        for path in paths { try Self.write(file, to: path) }
        let holders = try await Self.holders(paths[0], paths[1])
        try Self.write(file.rotated(), to: paths[0])
        for holder in holders { holder.server.rereadTicketKeys() }
        for (index, holder) in holders.enumerated() {
            _ = try await Self.client("-tls1_3 -sess_out \(tickets[index])", holder)
        }
        for (index, holder) in holders.enumerated() {
            let resumed = try await Self.client("-tls1_3 -sess_in \(tickets[1 - index])", holder)
            #expect(resumed.contains("Reused, TLSv1.3"))
        }
        // Keys that are replaced at once leave nothing of before.
        try Self.write(TicketKeyFile(), to: paths[0])
        holders[0].server.rereadTicketKeys()
        for ticket in tickets {
            let full = try await Self.client("-tls1_3 -sess_in \(ticket)", holders[0])
            #expect(full.contains("New, TLSv1.3"))
        }
        for holder in holders { _ = try await holder.stop() }
    }

    @Test("A file that cannot be used is refused at a reload, and leaves the keys of before when it is read again")
    func badFile() async throws {
        let path: String = AuditTests.temporaryFile()
        let ticket: String = AuditTests.temporaryFile()
        defer { for file in [path, ticket] { try? FileManager.default.removeItem(atPath: file) } }
        let holder = try await TestHolder()
        let configuration = Self.sharing(holder, in: path)
        #expect(throws: SiteLoadError.self) { try holder.server.reload(configuration) }
        try SecretFile.write("no keys\n", to: path)
        #expect(throws: SiteLoadError.ticketKeys(path, "\(TicketKeyFileError.title)")) {
            try holder.server.reload(configuration)
        }
        try Self.write(TicketKeyFile(), to: path)
        chmod(path, 0o644)
        #expect(throws: SiteLoadError.secretFile(SecretFileError(path: path, reason: .open(mode: 0o644)))) {
            try holder.server.reload(configuration)
        }
        chmod(path, 0o600)
        try holder.server.reload(configuration)
        let tickets = try #require(holder.server.core.policy.sites.first).handoff.tickets
        _ = try await Self.client("-tls1_3 -sess_out \(ticket)", holder)
        try SecretFile.write("no keys\n", to: path)
        guard case .problem = tickets.news(), case .none = tickets.news() else {
            Issue.record("a problem is told once")
            return
        }
        try FileManager.default.removeItem(atPath: path)
        guard case .problem = tickets.news() else {
            Issue.record("another problem is told as well")
            return
        }
        #expect(throws: SiteLoadError.self) { try holder.server.reload(configuration) }
        #expect(try await Self.client("-tls1_3 -sess_in \(ticket)", holder).contains("Reused, TLSv1.3"))
        try Self.write(TicketKeyFile(), to: path)
        guard case .replaced = tickets.news(), case .none = tickets.news() else {
            Issue.record("new keys are told once")
            return
        }
        #expect(try await Self.client("-tls1_3 -sess_in \(ticket)", holder).contains("New, TLSv1.3"))
        _ = try await holder.stop()
    }

    @Test("Key holders call a site by the same name, in whatever order they list its domains")
    func name() throws {
        let names = try ["b.test", "*.a.test", "a.test"].map { try ServerNamePattern($0) }
        #expect(Site.sharedName(names) == "*.a.test" && Site.sharedName(names.reversed()) == "*.a.test")
    }
}
