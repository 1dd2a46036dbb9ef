import NIOCore
import NIOPosix
import NIOSSL
import NativeHandshake
import PrivateAuthority
import Telemetry

/// The demo from beginning to end.
public struct DemoPerformance {
    /// Everything that runs or lies about, so that one place can clear it away.
    private struct Company {
        var children: [ChildProcess] = []
        var directory: String
    }

    private let stage: DemoStage
    private let colours: DemoColours
    private let verbose: Bool
    private let explains: Bool
    private let began: ContinuousClock.Instant
    private let group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton

    /// Runs it, and says on standard output what happens.
    ///
    /// - Parameters:
    ///   - once: return after the proof; otherwise all parties serve until the task is cancelled.
    ///   - verbose: show the processes' logs on standard error.
    ///   - explains: show the steps of the native handshakes.
    ///   - hsm: have the key holder's keys on a token of SoftHSM.
    /// - Returns: whether everything held.
    /// - Throws: `CancellationError`, or why the demo cannot go on.
    public static func run(once: Bool, verbose: Bool, explains: Bool = false, hsm: Bool = false) async throws -> Bool {
        let colours = DemoColours(isOn: StandardOutput.wantsColours)
        let began = ContinuousClock.now
        let directory = try DemoStage.makeTemporaryDirectory()
        var company = Company(directory: directory)
        do {
            let performance = DemoPerformance(
                stage: try DemoStage(path: directory, hsm: hsm), colours: colours, verbose: verbose, explains: explains,
                began: began)
            let held = try await performance.play(once: once, &company)
            await clearAway(company)
            return held
        } catch {
            await clearAway(company)
            throw error
        }
    }

    private static func clearAway(_ company: Company) async {
        // The edge first, then what it leans on; all at once would fill logs with complaints about each other.
        for child in company.children.reversed() { await child.end(within: .seconds(3)) }
        try? DemoStage.removeDirectory(company.directory)
    }

    private func play(once: Bool, _ company: inout Company) async throws -> Bool {
        step("made \(stage.sites.count) sites' keys and certificates, and identities for edge and key holder")
        try stage.writeFiles()

        let origin = try await start(
            "origin", ["demo-origin"] + stage.sites(.relay).flatMap { ["--site", $0.domain] }, in: stage.origin,
            &company)
        var addresses: [String: String] = [:]
        for listener in ["plain", "native"] + stage.sites(.relay).map(\.domain) {
            addresses[listener] = try await origin.address(of: listener, deadline: .now + Self.patience)
        }
        step("origin is up (process \(origin.pid)): plain HTTP, and TLS of its own for relayed sites")

        let keyHolder = try await start(
            "keyholder",
            [
                "keyholder", "--inspectable", "--config",
                try stage.writeKeyHolderConfiguration(application: addresses["native"] ?? ""),
            ], in: stage.keyHolder, environment: stage.token?.environment ?? [],
            &company)
        let keyHolderAddress = try await keyHolder.address(of: "", deadline: .now + Self.patience)
        let nativeAddress = try await keyHolder.address(of: "native", deadline: .now + Self.patience)
        step("key holder is up (process \(keyHolder.pid)) on \(keyHolderAddress)")
        if let token = stage.token {
            let count = stage.sites.filter(stage.isOnToken).count
            step("\(count) sites' keys are on a token of SoftHSM, reached by \(token.module) in processes of its own")
        }

        let configuration = try stage.writeEdgeConfiguration(
            keyHolderAddress: keyHolderAddress, nativeAddress: nativeAddress, originAddresses: addresses)
        let edge = try await start(
            "edge", ["edge", "--inspectable", "--config", configuration], in: stage.edge, &company)
        let edgeAddress = try await edge.address(of: "", deadline: .now + Self.patience)
        guard let port = edgeAddress.split(separator: ":").last.flatMap({ Int($0) }) else {
            throw DemoFailure.unexpectedOutput("the edge listens on \(edgeAddress), which has no port")
        }
        step("edge is up (process \(edge.pid)) on \(edgeAddress), without any site's key")

        let served = try await request(port: port)
        if !served { say("\n" + logs(of: company.children)) }
        let proved = await prove(edge: edge, keyHolder: keyHolder, port: port)
        let held = served && proved
        say(
            held
                ? colours.good("\nEverything held.") + " (\((ContinuousClock.now - began).milliseconds) ms)\n"
                : colours.bad("\nNot everything held.") + "\n")
        guard !once else { return held }
        say(tryItYourself(port: port))
        try await serveUntilCancelled(company.children)
        return held
    }

    private static let patience: Duration = .seconds(15)

    private func start(
        _ name: String, _ arguments: [String], in directory: String, environment: [String] = [],
        _ company: inout Company
    ) async throws -> ChildProcess {
        let child = try await ChildProcess.start(
            name: name, arguments: arguments, directory: directory, environment: environment, echo: verbose, on: group)
        company.children.append(child)
        return child
    }

    /// Every mode, key type and TLS version; prints the table.
    private func request(port: Int) async throws -> Bool {
        let trail = AuditTrail(path: stage.audit)
        let roots = try NIOSSLCertificate.fromPEMBytes(Array(stage.rootPEM.utf8))
        var table = TextTable(headings: [
            ("mode", .left), ("key", .left), ("TLS", .left), ("certificate", .left), ("status", .right), ("ms", .right),
            ("key operations", .right),
        ])
        var failures: [String] = []
        for site in stage.sites {
            for version in [TLSVersion.tlsv13, .tlsv12] {
                let label = "\(site.mode.rawValue), \(site.keyType.displayName)"
                try Task.checkCancellation()
                var row: [TextTable.Cell] = [.init(text: site.mode.rawValue), .init(text: site.keyType.displayName)]
                let before = trail.operations(for: site.domain)
                let request = DemoRequest(host: site.domain, port: port, version: version, roots: roots)
                do {
                    let outcome = try await request.run(on: group)
                    // One signature for a full handshake, or the handshake itself; none for a relayed one, since the origin
                    // has its own key.
                    let expected = site.mode.needsKeyHolder ? 1 : 0
                    let after = try await trail.operations(for: site.domain, expected: before + expected)
                    let right = outcome.status == 200 && outcome.body.hasPrefix(DemoSite.greeting(site.domain))
                    row += [
                        .init(text: outcome.version), .init(text: "verified", tone: .good),
                        .init(text: String(outcome.status), tone: right ? .good : .bad),
                        .init(text: outcome.duration.milliseconds),
                        .init(text: String(after - before), tone: after - before == expected ? .plain : .bad),
                    ]
                    if !right { failures.append("\(label): not the page of \(site.domain)") }
                    if after - before != expected {
                        failures.append("\(label): \(after - before) key operations instead of \(expected)")
                    }
                } catch let error where !(error is CancellationError) {
                    row += [
                        .init(text: version == .tlsv13 ? "1.3" : "1.2"), .init(text: "failed", tone: .bad),
                        .init(text: "-"), .init(text: "-"), .init(text: "-"),
                    ]
                    failures.append("\(label): \(error)")
                }
                table.rows.append(row)
            }
        }
        let explanations = try await requestNatively(port: port, trail, &table, &failures)
        step("\(table.rows.count) requests through the edge, each on a new connection")
        say("\n" + table.text(colours))
        say(
            "\n  relay: the edge passes bytes; the TLS server is the origin's own."
                + "\n  handoff: the key holder shakes hands through the edge, then lends it this session's record keys."
                + "\n  keyless: the edge is the TLS server; the key holder signs each handshake, and makes those of TLS 1.2 itself."
                + "\n  native: the published text's own handshakes; the edge passes bytes to the key holder.\n")
        if explains { say("\n" + explanations.joined(separator: "\n") + "\n") }
        if !failures.isEmpty {
            say("\n" + failures.map { colours.bad("  failed: ") + $0 + "\n" }.joined())
        }
        return failures.isEmpty
    }

    /// Both native key agreements with both kinds of keys; adds to the table.
    /// - Returns: what happened, step by step.
    private func requestNatively(
        port: Int, _ trail: AuditTrail, _ table: inout TextTable, _ failures: inout [String]
    ) async throws -> [String] {
        var explanations: [String] = []
        for variant in NativeVariant.allCases {
            for site in stage.sites where stage.isNative(site) {
                try Task.checkCancellation()
                let label = "native \(variant), \(site.keyType.displayName)"
                var row: [TextTable.Cell] = [
                    .init(text: "native \(variant)"), .init(text: site.keyType.displayName), .init(text: "-"),
                ]
                let before = trail.operations(for: site.domain)
                let request = DemoNative(
                    site: site, port: port, variant: variant, rootPEM: stage.rootPEM, explains: explains)
                do {
                    let outcome = try await request.run()
                    let after = try await trail.operations(for: site.domain, expected: before + 1)
                    let right = outcome.status == 200 && outcome.body.hasPrefix(DemoSite.greeting(site.domain))
                    row += [
                        .init(text: "verified", tone: .good),
                        .init(text: String(outcome.status), tone: right ? .good : .bad),
                        .init(text: outcome.duration.milliseconds),
                        .init(text: String(after - before), tone: after - before == 1 ? .plain : .bad),
                    ]
                    if !right { failures.append("\(label): not the page of \(site.domain)") }
                    explanations += [colours.strong("  \(label)")] + outcome.steps
                } catch let error where !(error is CancellationError) {
                    row += [.init(text: "failed", tone: .bad), .init(text: "-"), .init(text: "-"), .init(text: "-")]
                    failures.append("\(label): \(error)")
                }
                table.rows.append(row)
            }
        }
        return explanations
    }

    /// Searches both processes; prints the counts, or why there are none.
    private func prove(edge: ChildProcess, keyHolder: ChildProcess, port: Int) async -> Bool {
        say("\n" + colours.strong("Where are the sites' private keys, and the secrets of handoff sessions?") + "\n")
        var sessions: [DemoSession] = []
        defer { for session in sessions { session.close() } }
        do {
            let roots = try NIOSSLCertificate.fromPEMBytes(Array(stage.rootPEM.utf8))
            if let site = stage.sites(.handoff).first {
                for version in [TLSVersion.tlsv13, .tlsv12] {
                    let request = DemoRequest(host: site.domain, port: port, version: version, roots: roots)
                    sessions.append(try await request.open(on: group))
                }
                step("opened \(sessions.count) handoff sessions, which stay open for the search")
            }
            step("searching the memory of key holder and edge for the keys' secret parts")
            let proof = try KeyProof(stage: stage, sessions: sessions, edge: edge.pid, keyHolder: keyHolder.pid)
            say("\n" + proof.table().text(colours) + "\n" + proof.summary)
            if !proof.holds {
                say(
                    colours.bad("  Not proved: ")
                        + "the key holder must show every site's key that is in a file of its, the edge only its own and the open "
                        + "session's.\n")
            }
            return proof.holds
        } catch {
            say("  " + colours.bad("Not proved: ") + "\(error).\n")
            return false
        }
    }

    private func tryItYourself(port: Int) -> String {
        var text = "\nTry it yourself, until you press Ctrl-C:\n\n"
        for site in stage.sites {
            text +=
                "  curl --cacert \(stage.root) --resolve \(site.domain):\(port):127.0.0.1 "
                + "https://\(site.domain):\(port)/\n"
        }
        text += "\nConfiguration and certificates are in \(stage.path) until then.\n"
        return text
    }

    private func serveUntilCancelled(_ children: [ChildProcess]) async throws {
        while !Task.isCancelled {
            if let ended = children.first(where: \.hasEnded) {
                throw DemoFailure.childEnded(ended.name, ended.recentOutput)
            }
            try? await Task.sleep(for: .milliseconds(200))
        }
    }

    private func logs(of children: [ChildProcess]) -> String {
        children.map { "  last lines of \($0.name):\n" + DemoFailure.indented($0.recentOutput) + "\n" }.joined()
    }

    private func step(_ text: String) {
        let elapsed = (ContinuousClock.now - began).milliseconds
        let padding = String(repeating: " ", count: max(0, 8 - elapsed.count))
        say(colours.faint("\(padding)\(elapsed) ms") + "  \(text)\n")
    }

    /// Written at once: what waits in a buffer shows no progress.
    private func say(_ text: String) {
        StandardOutput.write(text)
    }
}
