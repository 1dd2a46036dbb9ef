import ACME
import ACMEClient
import Foundation
import Logging
import NIOPosix
import Synchronization
import TestDirectory
import Testing

/// A folder for one test's state.
final class Folder: Sendable {
    let path = FileManager.default.temporaryDirectory.appending(path: "latchstring-acme-\(UUID().uuidString)").path

    init() throws { try FileManager.default.createDirectory(atPath: self.path, withIntermediateDirectories: true) }

    deinit { try? FileManager.default.removeItem(atPath: self.path) }

    func write(_ text: String, _ name: String, mode: Int = 0o600) {
        _ = FileManager.default.createFile(
            atPath: "\(self.path)/\(name)", contents: Data(text.utf8), attributes: [.posixPermissions: mode])
    }

    func read(_ name: String) -> String? { try? String(contentsOfFile: "\(self.path)/\(name)", encoding: .utf8) }
}

/// What a key holder would do.
final class FakeHost: CertificateHost {
    struct Seen {
        var shown: [String] = []
        var withdrawn: [String] = []
        var installed = 0
        var audited: [String] = []
        var nextOrder: Int64 = 0
        var hasEdge = true
        var refuses = false
    }

    struct Refusal: Error {}

    let seen = Mutex(Seen())

    var hasEdge: Bool { self.seen.withLock { $0.hasEdge } }

    func show(_ challenge: ChallengeCertificate, for name: String) throws {
        self.seen.withLock { $0.shown.append(name) }
    }

    func show(token: String, value: String, for name: String) throws {
        self.seen.withLock { $0.shown.append("\(name) \(token)") }
    }

    func withdraw(token: String, for name: String) {
        self.seen.withLock { $0.withdrawn.append("\(name) \(token)") }
    }

    func withdraw(challengeFor name: String) { self.seen.withLock { $0.withdrawn.append(name) } }

    func install(_ site: ManagedSite) throws {
        try self.seen.withLock { seen in
            if seen.refuses { throw Refusal() }
            seen.installed += 1
        }
    }

    func audit(_ event: CertificateEvent, of site: ManagedSite, detail: String) {
        self.seen.withLock { $0.audited.append("\(event.rawValue): \(detail)") }
    }

    func measured(_ site: ManagedSite, nextOrder: Int64) { self.seen.withLock { $0.nextOrder = nextOrder } }

    var audited: [String] { self.seen.withLock { $0.audited } }
    var installed: Int { self.seen.withLock { $0.installed } }
}

/// A manager with its parts, running.
struct Bench {
    let folder: Folder
    let host = FakeHost()
    let site: ManagedSite
    let state: StateFolder

    init(_ url: String, root: String, folder: Folder? = nil, adjust: (inout ManagedSite) -> Void = { _ in }) throws {
        self.folder = try folder ?? Folder()
        self.folder.write(root, "roots.pem")
        var site = ManagedSite(
            name: "www.test", domains: ["www.test"], directory: url, email: "owner@www.test",
            roots: "\(self.folder.path)/roots.pem")
        adjust(&site)
        self.site = site
        self.state = StateFolder(path: "\(self.folder.path)/state", logger: Logger(label: "test"))
    }

    /// Runs the manager until something is so, then stops it.
    func run(until what: String, _ condition: @escaping @Sendable () -> Bool) async throws {
        try self.state.prepare(self.site, now: Int64(Date().timeIntervalSince1970 * 1000))
        let manager = CertificateManager(
            sites: [self.site], state: self.state, host: self.host, group: MultiThreadedEventLoopGroup.singleton,
            userAgent: "latchstring-tests", logger: Logger(label: "test"))
        let running = Task { try await manager.run() }
        let end = ContinuousClock.now + .seconds(40)
        while !condition(), ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(20)) }
        let came = condition()
        running.cancel()
        _ = await running.result
        #expect(came, "\(what) did not come about; \(self.host.audited)")
    }

    func file(_ name: String) -> String? { self.folder.read("state/sites/www.test/\(name)") }

    /// The chain on disk.
    var chain: IssuedChain? { self.file("chain.pem").flatMap { try? IssuedChain(stored: $0) } }
}
