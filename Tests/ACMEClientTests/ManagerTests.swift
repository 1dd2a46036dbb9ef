import ACME
import ACMEClient
import Foundation
import Logging
import Synchronization
import TestDirectory
import Testing

/// Certificates from a directory over HTTPS, with state on disk.
@Suite(.serialized, .timeLimit(.minutes(4))) struct ManagerTests {
    @Test func aSiteWithoutAnythingGetsACertificate() async throws {
        let server = try TestDirectoryServer()
        defer { server.stop() }
        let bench = try Bench(server.url, root: server.directory.root)
        try bench.state.prepare(bench.site, now: Int64(Date().timeIntervalSince1970 * 1000))
        #expect(bench.chain?.isPlaceholder == true)
        let key = bench.file("site.key")
        try await bench.run(until: "a certificate") {
            bench.host.installed == 1 && bench.host.audited.count == 2
        }
        #expect(bench.chain?.isPlaceholder == false)
        #expect(bench.file("site.key") == key)
        #expect(bench.file("order.json") == nil)
        #expect(bench.host.audited.map { String($0.prefix(12)) } == ["registered: ", "issued: ecds"])
        let seen = bench.host.seen.withLock { $0 }
        #expect(seen.shown == ["www.test"] && seen.withdrawn == ["www.test"])
        // A restart orders nothing.
        try await bench.run(until: "a look") { bench.host.seen.withLock { $0.nextOrder } > 0 }
        #expect(server.directory.log.count { $0 == "new-order" } == 1)
    }

    @Test func itIsRenewedAtTheMomentThatTheDirectorySuggests() async throws {
        let server = try TestDirectoryServer()
        defer { server.stop() }
        server.directory.set { $0.window = 2...4 }
        let bench = try Bench(server.url, root: server.directory.root)
        let began = Date()
        try await bench.run(until: "a renewal") { bench.host.installed == 2 }
        #expect(Date().timeIntervalSince(began) >= 2)
        // The second order says what it replaces, and the directory was asked by that name.
        let replaced = server.directory.replaced
        #expect(replaced.count == 2 && replaced[0] == nil && replaced[1] != nil)
        #expect(server.directory.log.contains("renewal-info \(replaced[1] ?? "")"))
        #expect(server.directory.log.count { $0 == "new-account" } == 1)
    }

    @Test func withoutASuggestionByAShareOfItsLife() async throws {
        let server = try TestDirectoryServer()
        defer { server.stop() }
        server.directory.set { $0.validity = -1...19 }
        let bench = try Bench(server.url, root: server.directory.root) { $0.renewAfter = 20 }
        try await bench.run(until: "two renewals") { bench.host.installed == 3 }
        #expect(server.directory.replaced == [nil, nil, nil])
    }

    @Test func aDirectoryThatIsDown() async throws {
        let server = try TestDirectoryServer()
        let (url, root) = (server.url, server.directory.root)
        server.stop()
        let bench = try Bench(url, root: root)
        try await bench.run(until: "a failure") { !bench.host.audited.isEmpty }
        #expect(
            bench.host.audited.first
                == "failed: the ACME directory cannot be reached: localhost:\(server.port): connection refused")
        // The back-off outlives a restart: no second attempt.
        try await bench.run(until: "a look") { bench.host.seen.withLock { $0.nextOrder } > 0 }
        try await Task.sleep(for: .milliseconds(300))
        #expect(bench.host.audited.count == 1)
        #expect(bench.chain?.isPlaceholder == true)
    }

    @Test func whatFailsIsAuditedAndKeepsTheOldCertificate() async throws {
        let server = try TestDirectoryServer()
        defer { server.stop() }
        server.directory.set { $0.validity = -1...19 }
        let bench = try Bench(server.url, root: server.directory.root) { $0.renewAfter = 10 }
        try await bench.run(until: "a certificate") { bench.host.installed == 1 }
        let chain = bench.chain
        server.directory.set { $0.checksFail = true }
        try await bench.run(until: "a failure") { bench.host.audited.contains { $0.hasPrefix("failed") } }
        #expect(bench.host.audited.last == "failed: the check of www.test failed: connection: nothing is there")
        #expect(bench.chain == chain)
        // A chain that the key holder does not take is set back.
        server.directory.set { $0.checksFail = false }
        try FileManager.default.removeItem(atPath: "\(bench.folder.path)/state/sites/www.test/plan.json")
        bench.host.seen.withLock { $0.refuses = true }
        let before = bench.host.audited.count
        try await bench.run(until: "a refusal") { bench.host.audited.count > before }
        #expect(bench.host.audited.last?.contains("the key holder does not take it") == true)
        #expect(bench.chain == chain)
    }

    @Test func itWaitsForAnEdge() async throws {
        let server = try TestDirectoryServer()
        defer { server.stop() }
        let bench = try Bench(server.url, root: server.directory.root)
        bench.host.seen.withLock { $0.hasEdge = false }
        let began = Date()
        Task {
            try await Task.sleep(for: .seconds(1))
            #expect(server.directory.log.isEmpty)
            bench.host.seen.withLock { $0.hasEdge = true }
        }
        try await bench.run(until: "a certificate") { bench.host.installed == 1 }
        #expect(Date().timeIntervalSince(began) >= 4)
    }

    @Test func anExternalAccountFromAFile() async throws {
        let key = (0..<32).map { UInt8($0) }
        let server = try TestDirectoryServer(externalAccount: (kid: "kid-1", key: key))
        defer { server.stop() }
        let folder = try Folder()
        folder.write(Data(key).base64EncodedString().replacing("=", with: "") + "\n", "eab.key")
        let bench = try Bench(server.url, root: server.directory.root, folder: folder) {
            $0.externalAccount = ManagedSite.Binding(kid: "kid-1", keyFile: "\(folder.path)/eab.key")
        }
        try await bench.run(until: "a certificate") { bench.host.installed == 1 }
        folder.write("short", "eab.key")
        let other = try Bench(server.url, root: server.directory.root) {
            $0.externalAccount = ManagedSite.Binding(kid: "kid-1", keyFile: "\(folder.path)/eab.key")
        }
        try await other.run(until: "a failure") { !other.host.audited.isEmpty }
        #expect(other.host.audited.first?.contains("eab.key holds no MAC key") == true)
    }

    @Test func byDNSWithAHook() async throws {
        let folder = try Folder()
        let script = "\(folder.path)/hook"
        folder.write(
            "#!/bin/sh\necho \"$ACME_ACTION $ACME_DOMAIN $ACME_RECORD $ACME_VALUE\" >> \(folder.path)/hook.log\n",
            "hook",
            mode: 0o700)
        let server = try TestDirectoryServer { kind, name, _ in
            let log = (try? String(contentsOfFile: "\(folder.path)/hook.log", encoding: .utf8)) ?? ""
            return kind == "dns-01" && log.contains("present \(name) _acme-challenge.\(name) ")
        }
        defer { server.stop() }
        let bench = try Bench(server.url, root: server.directory.root, folder: folder) {
            $0.challenge = .dns01
            $0.domains = ["www.test", "*.www.test"]
            $0.hook = HookProgram(command: [script], timeout: .seconds(10))
        }
        // Nothing here needs an edge.
        bench.host.seen.withLock { $0.hasEdge = false }
        try await bench.run(until: "a certificate") { bench.host.installed == 1 }
        #expect(bench.chain?.names == ["*.www.test", "www.test"])
        let lines = (folder.read("hook.log") ?? "").split(separator: "\n").map { $0.split(separator: " ")[0] }
        #expect(lines == ["present", "present", "cleanup", "cleanup"])
    }
}
