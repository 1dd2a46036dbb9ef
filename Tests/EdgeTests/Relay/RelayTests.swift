import Admission
import Crypto
import EdgeModel
import NIOCore
import TestLogs
import TestSockets
import Testing

@testable import Edge

/// Clients and origins over real sockets: what arrives, and how connections end.
@Suite(.timeLimit(.minutes(2))) struct RelayTests {
    @Test func bulkBothWaysAtOnceIsByteExact() async throws {
        let origin = try TestListener()
        try await withHarness(try await RelayHarness(relayTo: origin)) { edge in
            let (client, server) = try RelayTraffic.connect(edge, origin)
            let up = RelayTraffic.pattern(3_000_000, seed: 1)
            let down = RelayTraffic.pattern(5_000_000, seed: 2)
            let workers = Workers()
            workers.run {
                try client.send(up)
                client.shutdownOutput()
            }
            workers.run {
                try server.send(down)
                server.shutdownOutput()
            }
            workers.run {
                let received = try server.receiveToEnd()
                #expect(SHA256.hash(data: received) == SHA256.hash(data: up))
            }
            let received = try client.receiveToEnd()
            #expect(SHA256.hash(data: received) == SHA256.hash(data: down))
            try workers.wait()
            #expect(try edge.log.wait(for: "relay ended").metadata["reason"] == "closed")
            let bytes = "latchstring_edge_relay_bytes_total"
            #expect(edge.counter(bytes, [("from", "client")]) == Int64(RelayTraffic.hello.count + up.count))
            #expect(edge.counter(bytes, [("from", "origin")]) == Int64(down.count))
        }
    }

    @Test func helloInSingleBytesArrivesUnchanged() async throws {
        let origin = try TestListener()
        try await withHarness(try await RelayHarness(relayTo: origin)) { edge in
            let client = try TestSocket.connect(port: edge.port)
            let bytes = TestHello().records(of: 7)
            for byte in bytes { try client.send([byte]) }
            let server = try origin.accept()
            #expect(try server.receive(exactly: bytes.count) == bytes)
            try server.send([1])
            #expect(try client.receive() == [1])
        }
    }

    @Test func bytesBehindTheHelloFollowIt() async throws {
        let origin = try TestListener()
        try await withHarness(try await RelayHarness(relayTo: origin)) { edge in
            let client = try TestSocket.connect(port: edge.port)
            let early = RelayTraffic.pattern(200_000, seed: 3)
            try client.send(RelayTraffic.hello + early)
            client.shutdownOutput()
            let server = try origin.accept()
            #expect(try server.receiveToEnd() == RelayTraffic.hello + early)
            try server.send([7])
            server.close()
            #expect(try client.receiveToEnd() == [7])
        }
    }

    @Test func slowClientHoldsTheOriginBack() async throws {
        let origin = try TestListener()
        try await withHarness(try await RelayHarness(relayTo: origin)) { edge in
            let (client, server) = try RelayTraffic.connect(edge, origin, receiveBuffer: 8192)
            // Sends until nothing moves any more: what was taken is in the system's buffers and the edge's.
            let block = RelayTraffic.pattern(65_536, seed: 4)
            let sent = try RelayTraffic.sendUntilStuck(server, block)
            let total = sent + block.count
            #expect(sent < 48 * 1024 * 1024)
            let workers = Workers()
            workers.run {
                try server.send(block)
                server.shutdownOutput()
            }
            var received = 0
            var hash = SHA256()
            while true {
                let bytes = try client.receive()
                if bytes.isEmpty { break }
                received += bytes.count
                hash.update(data: bytes)
            }
            try workers.wait()
            #expect(received == total)
            var expected = SHA256()
            var left = sent
            while left > 0 {
                expected.update(data: block.prefix(left))
                left -= min(left, block.count)
            }
            expected.update(data: block)
            #expect(hash.finalize() == expected.finalize())
        }
    }

    @Test func clientEndsFirst() async throws {
        let origin = try TestListener()
        try await withHarness(try await RelayHarness(relayTo: origin)) { edge in
            let (client, server) = try RelayTraffic.connect(edge, origin)
            client.shutdownOutput()
            #expect(try server.receiveToEnd().isEmpty)
            let late = RelayTraffic.pattern(1_000_000, seed: 5)
            let workers = Workers()
            workers.run {
                try server.send(late)
                server.close()
            }
            #expect(try client.receiveToEnd() == late)
            try workers.wait()
            #expect(try edge.log.wait(for: "relay ended").metadata["reason"] == "closed")
        }
    }

    @Test func originEndsFirst() async throws {
        let origin = try TestListener()
        try await withHarness(try await RelayHarness(relayTo: origin)) { edge in
            let (client, server) = try RelayTraffic.connect(edge, origin)
            server.shutdownOutput()
            #expect(try client.receiveToEnd().isEmpty)
            let late = RelayTraffic.pattern(1_000_000, seed: 6)
            let workers = Workers()
            workers.run {
                try client.send(late)
                client.close()
            }
            #expect(try server.receiveToEnd() == late)
            try workers.wait()
            #expect(try edge.log.wait(for: "relay ended").metadata["reason"] == "closed")
        }
    }

    @Test func clientAbortResetsTheOrigin() async throws {
        let origin = try TestListener()
        try await withHarness(try await RelayHarness(relayTo: origin)) { edge in
            let (client, server) = try RelayTraffic.connect(edge, origin)
            client.reset()
            #expect(try server.endsWithReset())
            #expect(try edge.log.wait(for: "relay ended").metadata["reason"] == "reset")
        }
    }

    @Test func originAbortResetsTheClient() async throws {
        let origin = try TestListener()
        try await withHarness(try await RelayHarness(relayTo: origin)) { edge in
            let (client, server) = try RelayTraffic.connect(edge, origin)
            try server.send([1, 2, 3])
            #expect(try client.receive(exactly: 3) == [1, 2, 3])
            server.reset()
            #expect(try client.endsWithReset())
        }
    }

    @Test func originThatIsDoneDoesNotCostTheClientItsLastBytes() async throws {
        let origin = try TestListener()
        try await withHarness(try await RelayHarness(relayTo: origin)) { edge in
            let (client, server) = try RelayTraffic.connect(edge, origin)
            // Few enough to have arrived, with the end, before the reset follows them.
            let last = RelayTraffic.pattern(1000, seed: 7)
            try server.send(last)
            server.shutdownOutput()
            server.reset()
            #expect(try client.receive(exactly: 1) == [last[0]])
            // The client still talks; nothing listens, and nothing is amiss.
            try client.send([1, 2, 3])
            #expect(try client.receiveToEnd() == Array(last.dropFirst()))
            client.close()
            #expect(try edge.log.wait(for: "relay ended").metadata["reason"] == "closed")
        }
    }

    @Test func idleConnectionIsClosed() async throws {
        let origin = try TestListener()
        let harness = try await RelayHarness(relayTo: origin) { $0.idleTimeout = .milliseconds(100) }
        try await withHarness(harness) { edge in
            let (client, server) = try RelayTraffic.connect(edge, origin)
            #expect(try client.receiveToEnd().isEmpty)
            #expect(try server.receiveToEnd().isEmpty)
            #expect(try edge.log.wait(for: "relay ended").metadata["reason"] == "idle")
            #expect(edge.counter("latchstring_edge_relay_ended_total", [("reason", "idle")]) == 1)
        }
    }

    @Test func busyConnectionEndsWithItsLifetime() async throws {
        let origin = try TestListener()
        let harness = try await RelayHarness(relayTo: origin) { $0.lifetime = .milliseconds(200) }
        try await withHarness(harness) { edge in
            let (client, server) = try RelayTraffic.connect(edge, origin)
            #expect(throws: TestSocketError.self) {
                while true {
                    try client.send([1])
                    if try server.receive().isEmpty { try client.send([UInt8](repeating: 0, count: 1)) }
                }
            }
            #expect(try edge.log.wait(for: "relay ended").metadata["reason"] == "lifetime")
        }
    }

    @Test(arguments: [ProxyProtocolVersion.v1, .v2])
    func originSeesTheProxyHeaderFirst(version: ProxyProtocolVersion) async throws {
        let origin = try TestListener()
        let harness = try await RelayHarness(relayTo: origin) { $0.proxyProtocol = version }
        try await withHarness(harness) { edge in
            let client = try TestSocket.connect(port: edge.port)
            try client.send(RelayTraffic.hello)
            let header = ProxyProtocolHeader(
                source: try SocketAddress(ipAddress: "127.0.0.1", port: Int(client.port)),
                destination: try SocketAddress(ipAddress: "127.0.0.1", port: Int(edge.port)))
            let expected = Array(buffer: try #require(header.encoded(version))) + RelayTraffic.hello
            let server = try origin.accept()
            #expect(try server.receive(exactly: expected.count) == expected)
        }
    }
}
