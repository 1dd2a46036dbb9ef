import FoundationEssentials
import Glibc
import NIOCore
import NIOPosix
import NIOSSL
import PrivateAuthority
import Testing

@testable import DemoKit

/// The demo's own origin as a process: it serves TLS with keys of its own, and the memory search finds them there.
@Suite struct DemoProcessTests {
    static let executable: String = {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path()
        return "\(root)/.build/debug/latchstring"
    }()

    @Test func originServesAndItsKeysAreFoundInItsMemory() async throws {
        let directory = try DemoStage.makeTemporaryDirectory()
        let stage = try DemoStage(path: directory)
        try stage.writeFiles()
        let group = MultiThreadedEventLoopGroup.singleton
        let relayed = stage.sites(.relay)
        let origin = try await ChildProcess.start(
            name: "origin", arguments: ["demo-origin"] + relayed.flatMap { ["--site", $0.domain] },
            directory: stage.origin, echo: false, on: group, executable: Self.executable)
        do {
            let roots = try NIOSSLCertificate.fromPEMBytes(Array(stage.rootPEM.utf8))
            for site in relayed {
                let address = try await origin.address(of: site.domain, deadline: .now + .seconds(20))
                let port = try #require(address.split(separator: ":").last.flatMap { Int($0) })
                for version in [TLSVersion.tlsv12, .tlsv13] {
                    let outcome = try await DemoRequest(host: site.domain, port: port, version: version, roots: roots)
                        .run(on: group)
                    #expect(outcome.status == 200)
                    #expect(outcome.version == (version == .tlsv12 ? "1.2" : "1.3"))
                    #expect(outcome.body.hasPrefix(DemoSite.greeting(site.domain)))
                }
                await #expect(throws: (any Error).self, "a name that the certificate doesn't have") {
                    _ = try await DemoRequest(host: "other.test", port: port, version: .tlsv13, roots: roots)
                        .run(on: group)
                }
            }
            var search = MemorySearch(keys: try relayed.map { try SiteSecrets(pkcs8PEM: $0.issued.keyPEM) })
            let outcome = try ProcessMemory.search(pid: origin.pid, with: &search)
            #expect(outcome.bytes > 1_000_000)
            for (key, site) in relayed.enumerated() {
                #expect(search.count(key: key) > 0, "\(site.domain)")
            }
            var others = MemorySearch(
                keys: try stage.sites(.keyless).map { try SiteSecrets(pkcs8PEM: $0.issued.keyPEM) })
            _ = try ProcessMemory.search(pid: origin.pid, with: &others)
            #expect(others.hits.allSatisfy { $0 == 0 })
        } catch {
            Issue.record(error)
        }
        await origin.end(within: .seconds(5))
        #expect(origin.hasEnded || kill(origin.pid, 0) != 0)
        try DemoStage.removeDirectory(directory)
    }

    @Test func aProcessThatFailsIsNamedWithItsLastWords() async throws {
        let child = try await ChildProcess.start(
            name: "edge", arguments: ["no-such-subcommand"], directory: "/", echo: false,
            on: MultiThreadedEventLoopGroup.singleton, executable: Self.executable)
        let error = await #expect(throws: DemoFailure.self) {
            _ = try await child.address(of: "", deadline: .now + .seconds(20))
        }
        #expect(error?.description.contains("no-such-subcommand") == true)
        await child.end(within: .seconds(5))
    }
}
