import Foundation
import TestSockets
import Testing

/// Many reloads, with every kind of traffic there is.
@Suite("Two hundred reloads", .serialized, .timeLimit(.minutes(5)))
struct ReloadLoadTests {
    @Test("HTTP/1.1, HTTP/2, relays, WebSockets, uploads and downloads: none fails, and nothing grows")
    func reloads() async throws {
        let workspace = try Workspace()
        for site in ["one.test", "two.test", "three.test", "more.test"] { try workspace.makeSite(site) }
        let mixed = try MixedLoad(in: workspace)
        let relayed = try await TLSOrigin(domain: "three.test", text: "from the origin", in: workspace)
        let keyHolder = try RunningKeyHolder(
            sites: ["one.test", "two.test", "more.test"], grantedTo: "paris", operations: "keyless, handoff",
            rate: 100_000,
            in: workspace)
        let origin = "{ url: \"http://127.0.0.1:\(mixed.port)\" }"
        let edge = try RunningEdge(
            """
            keyholders:
              home: { addresses: ["127.0.0.1:\(keyHolder.port)"], deadline: 5s }
            limits: { exempt: [127.0.0.0/8] }
            cache: { memory: 16MiB }
            sites:
              - { domains: [one.test], mode: keyless, keyholder: home, origin: \(origin) }
              - { domains: [two.test], mode: handoff, keyholder: home, origin: \(origin) }
              - { domains: [three.test], mode: relay, origin: { address: "127.0.0.1:\(relayed.port)" } }
            """, in: workspace)
        for site in ["one.test", "two.test"] { try edge.process.wait(for: "lease begun") { $0["site"] == site } }
        let file = try workspace.read("paris.yaml")
        let more = file + "  - { domains: [more.test], mode: keyless, keyholder: home, origin: \(origin) }\n"
        let steady = try ["one.test", "two.test", "three.test"].map {
            try SteadyClients($0, port: edge.port, seconds: 280, in: workspace)
        }
        try mixed.begin(["one.test", "two.test"], edge: edge.port)
        var memory: [Double] = []
        for round in 1...200 {
            try workspace.write(round.isMultiple(of: 2) ? file : more, to: "paris.yaml")
            let result = try Tool.run(
                TestProcess.executable.path, ["reload", "--config", workspace.path("paris.yaml")])
            #expect(result.status == 0, "\(result.all)")
            if round.isMultiple(of: 50) { memory.append(try edge.metric("process_resident_memory_bytes")) }
        }
        for load in steady {
            let result = try load.end()
            #expect(result.contains("failed 0 ") && !result.contains("new 0,"), "\(result)")
        }
        let result = try mixed.end()
        #expect(result.contains("failed 0 "), "\(result)")
        for kind in ["websocket", "upload", "download", "http2"] {
            #expect(!result.contains("\(kind) 0,"), "\(result)")
        }
        // Links of former generations are closed, and so are their connections.
        _ = try eventually("links of former generations to end") {
            try edge.metric(#"latchstring_key_links_ready{keyholder="home"}"#) == 1 ? true : nil
        }
        _ = try eventually("descriptors to be given back") { edge.process.openDescriptors < 40 ? true : nil }
        // The first fifty warm everything up.
        #expect(memory[3] < memory[0] * 1.25, "\(memory)")
        print("200 reloads: \(result); resident \(memory.map { Int($0) >> 20 }) MiB")
        edge.stop()
        keyHolder.stop()
        try await relayed.stop()
    }
}
