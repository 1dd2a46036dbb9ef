import Foundation
import PrivateAuthority
import TestSockets
import Testing

/// A site's certificate and key are replaced, again and again, while clients connect: real binaries, ordinary clients. Without grace a
/// keyless edge finds out in the middle of a handshake, and begins it anew.
@Suite(.serialized, .timeLimit(.minutes(5))) struct RotationEndToEndTests {
    @Test(
        "No handshake fails while a key is replaced: by another one, by one of another kind, and by itself",
        arguments: [("keyless", "10m"), ("handoff", "10m"), ("keyless", "0s")])
    func rotations(mode: String, grace: String) async throws {
        let workspace = try Workspace()
        try workspace.makeSite("one.test")
        try workspace.makeSite("origin.test")
        let origin = try await TLSOrigin(domain: "origin.test", in: workspace) { _ in
            .init(body: "from the origin", cacheControl: "max-age=600")
        }
        let keyHolder = try RunningKeyHolder(
            sites: ["one.test"], grantedTo: "paris", operations: mode, rate: 10_000, grace: grace,
            in: workspace)
        let edge = try RunningEdge(
            """
            keyholders:
              home: { addresses: ["127.0.0.1:\(keyHolder.port)"], deadline: 2s }
            cache: { memory: 16MiB }
            limits: { exempt: [127.0.0.0/8] }
            sites:
              - domains: [one.test]
                mode: \(mode)
                keyholder: home
                cache: {}
                origin: { url: "https://127.0.0.1:\(origin.port)", name: origin.test, roots: roots.pem }
            """, in: workspace)
        try edge.process.wait(for: "lease begun")
        let load = try SteadyClients("one.test", port: edge.port, in: workspace)
        for round in 0..<20 {
            // The certificate alone every fourth time.
            if round % 4 != 3 { try workspace.makeSite("one.test", keyType: round % 4 == 1 ? .rsa2048 : .p256) }
            try keyHolder.reload(grantedTo: "paris")
            try await Task.sleep(for: .milliseconds(150))
        }
        let result = try load.end()
        let reasons = Set(edge.process.lines("handshake failed").compactMap { $0["error"] })
        // On one line, which is all that a list of failed tests shows.
        let counts = result.split(separator: "\n").last.map(String.init) ?? ""
        #expect(counts.contains("failed 0 "), "\(reasons)")
        edge.stop()
        keyHolder.stop()
        try await origin.stop()
    }
}
