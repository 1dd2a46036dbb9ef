import Foundation
import PrivateAuthority
import TestSockets
import Testing

/// A key holder that opens no port, with the real binaries.
@Suite(.serialized, .timeLimit(.minutes(5))) struct DialledLinksEndToEndTests {
    private static let links = "latchstring_key_links_ready{keyholder=\"home\"}"

    @Test("Without a listener it serves two edges, keyless and handoff, and goes on after each party's restart")
    func served() async throws {
        let stage = try await DialStage()
        try await blocking {
            let ports = [try Workspace.freePort(), try Workspace.freePort()]
            try stage.configure(ports)
            // Before there is an edge: that is tried again.
            var keyHolder = try stage.keyHolder()
            try keyHolder.wait(for: "no link to an edge")
            var paris = try stage.edge("paris", acceptingAt: ports[0])
            let rome = try stage.edge("rome", acceptingAt: ports[1])
            for edge in [paris, rome] { try stage.awaitService(edge) }
            #expect(try DialStage.listeners(of: keyHolder) == 0)
            #expect(try DialStage.listeners(of: paris.process) >= 3)
            #expect(try rome.metric(Self.links) == 1)

            paris.kill()
            try keyHolder.wait(for: "edge disconnected")
            #expect(try stage.isServed(rome))
            paris = try stage.edge("paris", acceptingAt: ports[0])
            try stage.awaitService(paris)

            keyHolder.kill9()
            try paris.process.wait(for: "key holder is down")
            _ = try eventually("no links") { try paris.metric(Self.links) == 0 ? true : nil }
            keyHolder = try stage.keyHolder()
            for edge in [paris, rome] { try stage.awaitService(edge) }
            #expect(try DialStage.listeners(of: keyHolder) == 0)
            for edge in [paris, rome] { edge.stop() }
            keyHolder.stop()
        }
        try await stage.origin.stop()
    }

    @Test("What is dialled follows the file, an edge reads its own again, and leaves its port to its successor")
    func changes() async throws {
        let stage = try await DialStage()
        try await blocking {
            let ports = [try Workspace.freePort(), try Workspace.freePort()]
            try stage.configure([ports[0]])
            let keyHolder = try stage.keyHolder()
            let paris = try stage.edge("paris", acceptingAt: ports[0], "drain: 3s")
            let rome = try stage.edge("rome", acceptingAt: ports[1])
            try stage.awaitService(paris)
            #expect(try !stage.isServed(rome))
            try stage.configure(ports)
            kill(keyHolder.pid, SIGHUP)
            try stage.awaitService(rome)
            try stage.configure([ports[0]])
            kill(keyHolder.pid, SIGHUP)
            _ = try eventually("the end of the links") { try rome.metric(Self.links) == 0 ? true : nil }
            rome.stop()

            // Another generation wants links of its own, before it takes clients.
            for count in 1...3 {
                kill(paris.process.pid, SIGHUP)
                _ = try eventually("reload \(count)") { paris.process.lines("reloaded").count == count ? true : nil }
                #expect(try stage.isServed(paris))
            }
            kill(paris.process.pid, SIGUSR2)
            let line = try paris.process.wait(for: "handed over")
            let successor = try #require(line["process"].flatMap { Int32($0) })
            #expect(successor != paris.process.pid)
            #expect(try stage.isServed(paris))
            _ = try paris.process.waitForExit()
            #expect(try stage.isServed(paris))
            kill(successor, SIGTERM)
            _ = try eventually("the successor's end") { kill(successor, 0) != 0 ? true : nil }
            keyHolder.stop()
        }
        try await stage.origin.stop()
    }

    @Test("Handed over to its successor, under new connections all the time at two edges: none fails")
    func handedOver() async throws {
        let stage = try await DialStage()
        try await blocking {
            let ports = [try Workspace.freePort(), try Workspace.freePort()]
            try stage.configure(ports, "state: state")
            let keyHolder = try stage.keyHolder()
            let edges = [
                try stage.edge("paris", acceptingAt: ports[0], "limits: { exempt: [127.0.0.0/8] }"),
                try stage.edge("rome", acceptingAt: ports[1], "limits: { exempt: [127.0.0.0/8] }"),
            ]
            for edge in edges { try stage.awaitService(edge) }
            let loads = try edges.flatMap { edge in
                try ["one.test", "two.test"].map { try SteadyClients($0, port: edge.port, in: stage.workspace) }
            }
            var serving = keyHolder.pid
            for count in 1...3 {
                Thread.sleep(forTimeInterval: 1)
                kill(serving, SIGUSR2)
                let line = try eventually("hand-over \(count)") {
                    let lines = keyHolder.lines("handed over")
                    return lines.count == count ? lines.last : nil
                }
                serving = try #require(line["process"].flatMap { Int32($0) })
            }
            Thread.sleep(forTimeInterval: 1)
            for load in loads {
                let result = try load.end()
                #expect(result.contains("failed 0 ") && !result.contains("new 0,"), "\(result)")
            }
            #expect(try keyHolder.waitForExit() == 0)
            for edge in edges { #expect(try stage.isServed(edge)) }
            // Each line of each process follows from the one before.
            let program = TestProcess.executable.path
            let verified = try Tool.run(program, ["audit", "verify", stage.workspace.path("home.jsonl")])
            #expect(verified.status == 0, "\(verified.all)")
            for edge in edges { edge.stop() }
            kill(serving, SIGTERM)
            _ = try eventually("the successor's end") { kill(serving, 0) != 0 ? true : nil }
        }
        try await stage.origin.stop()
    }

    @Test("An edge that is revoked loses its links, and is not dialled until that is taken back")
    func revoked() async throws {
        let stage = try await DialStage()
        try await blocking {
            let port = try Workspace.freePort()
            try stage.configure([port], "admin: 127.0.0.1:\(try Workspace.freePort())\nstate: state")
            let keyHolder = try stage.keyHolder()
            let paris = try stage.edge("paris", acceptingAt: port)
            try stage.awaitService(paris)
            func revoke(_ words: String...) throws {
                let answer = try Tool.run(
                    TestProcess.executable.path,
                    ["revoke", "--config", stage.workspace.path("home.yaml"), "paris"] + words)
                #expect(answer.status == 0, "\(answer.all)")
            }
            try revoke()
            _ = try eventually("the end of the sites") { try stage.isServed(paris) ? nil : true }
            try paris.process.wait(for: "key holder is down") { $0["error"]?.contains("no grant") == true }
            // Longer than the edge waits, at first, before it takes another connection.
            Thread.sleep(forTimeInterval: 3)
            let refused = keyHolder.lines("connection refused").count
            #expect(refused <= 1)
            #expect(try !stage.isServed(paris))
            try revoke("--undo")
            try stage.awaitService(paris)
            paris.stop()
            keyHolder.stop()
        }
        try await stage.origin.stop()
    }

    @Test(
        "Strangers, half-open connections, other identities and edges without a grant come to nothing, and keep none out"
    )
    func strangers() async throws {
        let stage = try await DialStage()
        try stage.workspace.makeIdentity(.keyholder, "other")
        let foreign = try FleetAuthority(name: "another fleet")
        let issued = try foreign.issueIdentity(role: .keyholder, name: "home")
        try stage.workspace.write(issued.chainPEM, to: "keyholder-foreign.pem")
        try stage.workspace.write(issued.keyPEM, to: "keyholder-foreign.key")
        try await blocking {
            let port = try Workspace.freePort()
            let paris = try stage.edge("paris", acceptingAt: port)
            // What is no offer, and one of a name that is not expected, is closed at once.
            for text in [
                "GET / HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1}", "latchstring-offer/1 other\n",
                "latchstring-offer/1 home\nmore",
            ] {
                let socket = try TestSocket.connect(port: port)
                try socket.send(Array(text.utf8))
                let answer = try? socket.receiveToEnd()
                #expect(answer ?? [] == [], "to \(text)")
            }
            // Silent ones, and ones that say the right name, are taken, and do nothing.
            let silent = try (0..<200).map { _ in try TestSocket.connect(port: port) }
            let claiming = try (0..<50).map { _ -> TestSocket in
                let socket = try TestSocket.connect(port: port)
                try? socket.send(Array("latchstring-offer/1 home\n".utf8))
                return socket
            }
            // Of them all a few are open still.
            _ = try eventually("most of them being closed") { paris.process.openDescriptors < 120 ? true : nil }
            // One of another name of the fleet; one of the right name and another fleet.
            try stage.configure([port], name: "other")
            let other = try stage.keyHolder("other")
            try other.wait(for: "no link to an edge") { $0["reason"]?.contains("does not take connections") == true }
            try stage.configure([port], name: "foreign")
            let text = try stage.workspace.read("foreign.yaml")
            try stage.workspace.write(foreign.certificatePEM, to: "foreign-authority.pem")
            try stage.workspace.write(
                text.replacing("authority: authority.pem", with: "authority: foreign-authority.pem"), to: "foreign.yaml"
            )
            let imposter = try stage.keyHolder("foreign")
            try imposter.wait(for: "no link to an edge")
            #expect(try !stage.isServed(paris))
            // The edge has no grant there, and then it has.
            try stage.configure([port], grantedTo: ["rome"])
            let home = try stage.keyHolder()
            try home.wait(for: "connection refused") { $0["reason"] == "the edge has no grant" }
            #expect(try !stage.isServed(paris))
            try stage.configure([port])
            kill(home.pid, SIGHUP)
            try stage.awaitService(paris)
            #expect(try paris.metric("latchstring_edge_link_offers_refused_total{reason=\"crowded\"}") > 100)
            _ = (silent.count, claiming.count)
            for process in [other, imposter, home] { process.stop() }
            paris.stop()
        }
        try await stage.origin.stop()
    }

    @Test("latchstring check connects to the edges, and says which one it met, and what keeps it away")
    func check() async throws {
        let stage = try await DialStage()
        try await blocking {
            let ports = [try Workspace.freePort(), try Workspace.freePort()]
            try stage.configure(ports, grantedTo: ["paris"])
            let paris = try stage.edge("paris", acceptingAt: ports[0])
            func check() throws -> String {
                try Tool.run(TestProcess.executable.path, ["check", "--config", stage.workspace.path("home.yaml")])
                    .output
            }
            let first = try check()
            #expect(first.contains("edge at 127.0.0.1:\(ports[0]) is reached, and is edge paris"), "\(first)")
            #expect(first.contains("edge at 127.0.0.1:\(ports[1]): connection refused"), "\(first)")
            let keyHolder = try stage.keyHolder()
            try stage.awaitService(paris)
            let second = try check()
            #expect(second.contains("127.0.0.1:\(ports[0]) is reached, and has the links that it wants"), "\(second)")
            #expect(try stage.isServed(paris))
            keyHolder.stop()
            paris.stop()
        }
        try await stage.origin.stop()
    }
}
