import Foundation
import PrivateAuthority
import TestSockets
import Testing

/// A site's certificates and keys are replaced, again and again, while clients connect: real binaries, ordinary clients. Without grace a
/// keyless edge finds out in the middle of a handshake, and begins it anew.
@Suite(.serialized, .timeLimit(.minutes(5))) struct RotationEndToEndTests {
    struct Plan: Sendable, CustomTestStringConvertible {
        var mode: String
        var grace = "10m"
        var keyHolders = 1
        var rounds = 20

        var testDescription: String { "\(self.mode), grace \(self.grace), \(self.keyHolders) key holders" }
    }

    @Test(
        "No handshake fails while a key is replaced: by another one, by one of another kind, by itself, by two",
        arguments: [
            Plan(mode: "keyless"), Plan(mode: "handoff"), Plan(mode: "keyless", grace: "0s"),
            // They differ for a while: one is reloaded, and later the other.
            Plan(mode: "keyless", keyHolders: 2, rounds: 10), Plan(mode: "handoff", keyHolders: 2, rounds: 10),
        ])
    func rotations(plan: Plan) async throws {
        let workspace = try Workspace()
        try workspace.makeSite("one.test")
        try workspace.makeSite("origin.test")
        let origin = try await TLSOrigin(domain: "origin.test", in: workspace) { _ in
            .init(body: "from the origin", cacheControl: "max-age=600")
        }
        let keyHolders = try ["home", "second"].prefix(plan.keyHolders).map { label in
            try RunningKeyHolder(
                sites: ["one.test"], grantedTo: "paris", operations: plan.mode, rate: 10_000, grace: plan.grace,
                label: label, in: workspace)
        }
        let addresses = keyHolders.map { "\"127.0.0.1:\($0.port)\"" }.joined(separator: ", ")
        let edge = try RunningEdge(
            """
            keyholders:
              home: { addresses: [\(addresses)], deadline: 2s }
            cache: { memory: 16MiB }
            limits: { exempt: [127.0.0.0/8] }
            sites:
              - domains: [one.test]
                mode: \(plan.mode)
                keyholder: home
                cache: {}
                origin: { url: "https://127.0.0.1:\(origin.port)", name: origin.test, roots: roots.pem }
            """, in: workspace)
        try edge.process.wait(for: "lease begun")
        let load = try SteadyClients("one.test", port: edge.port, in: workspace)
        for round in 0..<plan.rounds {
            // The certificate alone every fifth time, and an RSA one beside it every other fifth.
            let second = round % 5 == 4 ? "+other" : ""
            if round % 5 != 3 {
                try workspace.makeSite("one.test", keyType: round % 5 == 1 ? .rsa2048 : .p256)
                let other = try workspace.sites.issueSite(domains: ["one.test"], keyType: .rsa2048)
                try workspace.write(other.chainPEM, to: "other.pem")
                try workspace.write(other.keyPEM, to: "other.key")
            } else if let key = try? workspace.read("one.test.key") {
                let issued = try workspace.sites.issueSite(domains: ["one.test"], keyPEM: key)
                try workspace.write(issued.chainPEM, to: "one.test.pem")
            }
            for keyHolder in keyHolders {
                try keyHolder.reload(grantedTo: "paris", files: ["one.test\(second)"])
                try await Task.sleep(for: .milliseconds(150))
            }
        }
        let result = try load.end()
        let reasons = Set(edge.process.lines("handshake failed").compactMap { $0["error"] })
        // On one line, which is all that a list of failed tests shows.
        let counts = result.split(separator: "\n").last.map(String.init) ?? ""
        #expect(counts.contains("failed 0 "), "\(reasons)")
        edge.stop()
        for keyHolder in keyHolders { keyHolder.stop() }
        try await origin.stop()
    }
}
