import Foundation
import TestSockets
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Two key holders of a site, of which one is killed, hangs, or is slow: real binaries, ordinary clients, and no handshake fails.
@Suite(.serialized, .timeLimit(.minutes(3))) struct KeyHoldersAsOneEndToEndTests {
    @Test(
        "No handshake fails when one of two key holders is killed, hangs, or answers late",
        arguments: ["keyless", "handoff"])
    func drama(mode: String) async throws {
        let workspace = try Workspace()
        try workspace.makeSite("one.test")
        try workspace.makeSite("origin.test")
        let origin = try await TLSOrigin(domain: "origin.test", in: workspace) { _ in
            .init(body: "from the origin", cacheControl: "max-age=600")
        }
        func keyHolder(_ label: String, port: UInt16 = 0) throws -> RunningKeyHolder {
            try RunningKeyHolder(
                sites: ["one.test"], grantedTo: "paris", operations: mode, rate: 10_000, port: port, label: label,
                in: workspace)
        }
        var first = try keyHolder("home")
        let second = try keyHolder("second")
        let proxy = try DelayingProxy(to: second.port, in: workspace)
        let edge = try RunningEdge(
            """
            keyholders:
              home: { addresses: ["127.0.0.1:\(first.port)", "127.0.0.1:\(proxy.port)"], deadline: 2s }
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
        func states() throws -> [String] {
            let sites = try Tool.run("curl", ["-sS", "http://127.0.0.1:\(edge.adminPort)/health/sites"]).output
            return sites.components(separatedBy: "\"state\":\"").dropFirst().map { String($0.prefix { $0 != "\"" }) }
        }
        func wait(for wanted: [String]) async throws {
            var seen: [String] = []
            for _ in 0..<300 {
                seen = try states()
                if seen == wanted { return }
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(seen == wanted)
        }
        try await wait(for: ["ready", "ready"])
        let load = try SteadyClients("one.test", port: edge.port, in: workspace)
        try await Task.sleep(for: .milliseconds(500))
        // Hangs.
        kill(first.process.pid, SIGSTOP)
        try await wait(for: ["silent", "ready"])
        try await Task.sleep(for: .milliseconds(500))
        kill(first.process.pid, SIGCONT)
        try await wait(for: ["ready", "ready"])
        // Is killed.
        let port = first.port
        first.process.kill9()
        try await wait(for: ["down", "ready"])
        try await Task.sleep(for: .milliseconds(300))
        first = try keyHolder("home", port: port)
        try await wait(for: ["ready", "ready"])
        // Answers late.
        try proxy.delay(0.4)
        try await Task.sleep(for: .seconds(1))
        try proxy.delay(0)
        try await Task.sleep(for: .milliseconds(300))
        // Has another certificate, and the one that has what is shown goes.
        try workspace.makeSite("one.test")
        try second.reload(grantedTo: "paris")
        first.process.kill9()
        try await Task.sleep(for: .seconds(1))
        let result = try load.end()
        let reasons = Set(edge.process.lines("handshake failed").compactMap { $0["error"] })
        let counts = result.split(separator: "\n").last.map(String.init) ?? ""
        #expect(counts.contains("failed 0 "), "\(reasons)")
        edge.stop()
        second.stop()
        try proxy.stop()
        try await origin.stop()
    }
}

/// A TCP proxy in front of a loopback port that passes bytes on late, if it is told to.
final class DelayingProxy {
    private let tool: InteractiveTool
    let port: UInt16

    init(to port: UInt16, in workspace: Workspace) throws {
        try workspace.write(Self.script, to: "delaying.py")
        self.tool = try InteractiveTool("python3", [workspace.path("delaying.py"), String(port)], in: workspace)
        try self.tool.wait(for: " listens")
        self.port = UInt16(self.tool.text.prefix { $0.isNumber }) ?? 0
    }

    /// Of what comes from now on, in seconds.
    func delay(_ seconds: Double) throws { try self.tool.send("\(seconds)\n") }

    func stop() throws { try self.tool.finish() }

    private static let script = """
        import asyncio, sys
        delay = 0.0
        async def pump(reader, writer):
            last = 0.0
            loop = asyncio.get_running_loop()
            try:
                while data := await reader.read(65536):
                    last = max(last, loop.time() + delay)
                    loop.call_at(last, writer.write, data)
            except OSError: pass
            await asyncio.sleep(max(0, last - loop.time()))
            writer.close()
        async def accept(reader, writer):
            try: far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
            except OSError: return writer.close()
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        async def main():
            global delay
            server = await asyncio.start_server(accept, "127.0.0.1", 0)
            print(server.sockets[0].getsockname()[1], "listens", flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline): delay = float(line)
            sys.stdout.flush()
            import os; os._exit(0)
        asyncio.run(main())
        """
}
