import ACME
import ACMEClient
import Foundation
import Logging
import SecretFiles
import Synchronization
import TestDirectory
import Testing

/// Files that are damaged, open to others, or another process's.
@Suite(.serialized, .timeLimit(.minutes(3))) struct StateTests {
    private static func bench() throws -> (Bench, TestDirectoryServer) {
        let server = try TestDirectoryServer()
        return (try Bench(server.url, root: server.directory.root), server)
    }

    private static let files = ["site.key", "chain.pem", "order.json", "plan.json"]

    @Test(arguments: StateTests.files, ["", "{\"directory\":", "-----BEGIN"])
    func aDamagedFileIsSetAsideAndMadeAnew(file: String, text: String) async throws {
        let (bench, server) = try Self.bench()
        defer { server.stop() }
        try await bench.run(until: "a certificate") { bench.host.installed == 1 }
        bench.folder.write(text, "state/sites/www.test/\(file)")
        try bench.state.prepare(bench.site, now: Int64(Date().timeIntervalSince1970 * 1000))
        // Without key or chain there is another order; the others cost nothing.
        let needsOrder = file == "site.key" || file == "chain.pem"
        let wanted = needsOrder ? 2 : 1
        bench.host.seen.withLock { $0.nextOrder = 0 }
        try await bench.run(until: "a certificate again") {
            bench.host.installed == wanted && bench.host.seen.withLock { $0.nextOrder } > 0
        }
        #expect(bench.file("\(file).bad") == text)
        #expect(bench.chain?.isPlaceholder == false)
        #expect(try bench.chain?.belongs(to: SiteKey(pem: bench.file("site.key") ?? "")) == true)
    }

    @Test func aDamagedAccountKeyMakesANewAccount() async throws {
        let (bench, server) = try Self.bench()
        defer { server.stop() }
        try await bench.run(until: "a certificate") { bench.host.installed == 1 }
        let accounts = "\(bench.folder.path)/state/accounts"
        let account = try #require(try FileManager.default.contentsOfDirectory(atPath: accounts).first)
        bench.folder.write("half", "state/accounts/\(account)/account.key")
        try FileManager.default.removeItem(atPath: "\(bench.folder.path)/state/sites/www.test/chain.pem")
        try await bench.run(until: "a certificate") { bench.host.installed == 2 }
        #expect(server.directory.accountCount == 2)
    }

    @Test func aKeyThatOthersCanReadIsNotUsed() async throws {
        let (bench, server) = try Self.bench()
        defer { server.stop() }
        let now = Int64(Date().timeIntervalSince1970 * 1000)
        try bench.state.prepare(bench.site, now: now)
        let key = bench.file("site.key")
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o644], ofItemAtPath: "\(bench.folder.path)/state/sites/www.test/site.key")
        #expect(throws: SecretFileError.self) { try bench.state.prepare(bench.site, now: now) }
        #expect(bench.file("site.key") == key)
    }

    @Test func eachKindOfKeyHasACertificateAnOrderAndATimeOfItsOwn() async throws {
        let (bench, server) = try Self.bench()
        defer { server.stop() }
        try await bench.run(until: "a certificate") { bench.host.installed == 1 }
        let rsa = try Bench(server.url, root: server.directory.root, folder: bench.folder) { $0.key = .rsa }
        let (key, chain, plan) = (bench.file("site.key"), bench.file("chain.pem"), bench.file("plan.json"))
        try await rsa.run(until: "an RSA certificate") { rsa.host.installed == 1 }
        #expect(rsa.host.audited.contains { $0.hasPrefix("issued: rsa, ") })
        let other = try SiteKey(pem: try #require(bench.file("rsa/site.key")))
        #expect(other.kind == .rsa)
        #expect(try IssuedChain(stored: try #require(bench.file("rsa/chain.pem"))).belongs(to: other))
        #expect(bench.file("site.key") == key && bench.file("chain.pem") == chain && bench.file("plan.json") == plan)
        // A failure of one is no other's.
        bench.folder.write("{}", "state/sites/www.test/rsa/plan.json")
        try FileManager.default.removeItem(atPath: "\(bench.folder.path)/state/sites/www.test/rsa/chain.pem")
        try await rsa.run(until: "an RSA certificate again") { rsa.host.installed == 2 }
        #expect(bench.file("chain.pem") == chain)
        // A key of the other kind is none.
        bench.folder.write(key ?? "", "state/sites/www.test/rsa/site.key")
        try rsa.state.prepare(rsa.site, now: Int64(Date().timeIntervalSince1970 * 1000))
        #expect(try SiteKey(pem: try #require(bench.file("rsa/site.key"))).kind == .rsa)
        #expect(bench.file("rsa/site.key.bad") == key)
    }

    @Test func otherDomainsMeanAnotherCertificate() async throws {
        let (bench, server) = try Self.bench()
        defer { server.stop() }
        try await bench.run(until: "a certificate") { bench.host.installed == 1 }
        let more = try Bench(server.url, root: server.directory.root, folder: bench.folder) {
            $0.domains = ["www.test", "api.test"]
        }
        // The one that is there serves its name meanwhile.
        try more.state.prepare(more.site, now: Int64(Date().timeIntervalSince1970 * 1000))
        #expect(more.chain?.names == ["www.test"] && more.chain?.isPlaceholder == false)
        try await more.run(until: "a certificate of both") { more.host.installed == 1 }
        #expect(more.chain?.names == ["api.test", "www.test"])
    }

    /// What cannot be kept on disk is not asked for: else a full disk would have the directory asked again and again.
    @Test(arguments: ["plan.json", "order.json"]) func whatCannotBeWritten(file: String) async throws {
        let (bench, server) = try Self.bench()
        defer { server.stop() }
        try bench.state.prepare(bench.site, now: Int64(Date().timeIntervalSince1970 * 1000))
        // No file can take the place of a folder.
        try FileManager.default.createDirectory(
            atPath: "\(bench.folder.path)/state/sites/www.test/\(file)/x", withIntermediateDirectories: true)
        let began = ContinuousClock.now
        try await bench.run(until: "a look") { ContinuousClock.now - began > .seconds(5) }
        #expect(server.directory.log.count { $0 == "new-order" } <= 1, "\(server.directory.log)")
        #expect(bench.host.installed == 0 && bench.chain?.isPlaceholder == true)
    }

    /// Else its certificate would be fetched once more when the next one is due.
    @Test func anOrderThatIsDoneWithIsForgotten() async throws {
        let (bench, server) = try Self.bench()
        defer { server.stop() }
        try await bench.run(until: "a certificate") { bench.host.installed == 1 }
        bench.folder.write(
            #"{"directory":"\#(server.url)","url":"\#(server.directory.base)/order/1"}"#,
            "state/sites/www.test/order.json")
        try await bench.run(until: "a look") { bench.file("order.json") == nil }
        #expect(bench.host.installed == 1)
    }

    @Test func twoProcessesDoNotShareAFolder() throws {
        let folder = try Folder()
        let state = StateFolder(path: "\(folder.path)/state", logger: Logger(label: "test"))
        try state.lock()
        #expect(throws: StateError.self) { try state.lock() }
    }
}
