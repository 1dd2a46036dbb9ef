import Admission
import Channels
import Crypto
import EdgeModel
import EdgeTLS
import NIOCore
import NIOEmbedded
import Synchronization
import TestLogs
import TestSockets
import Testing

@testable import EdgeRelay

/// What a reactor carries, over real sockets: bulk, crowds, ends from outside.
@Suite(.timeLimit(.minutes(2))) struct RelayReactorTests {
    private static let blockLength = 1_048_573

    private static func hash(_ block: [UInt8], times: Int) -> SHA256.Digest {
        var hash = SHA256()
        for _ in 0..<times { hash.update(data: block) }
        return hash.finalize()
    }

    private static func receive(_ socket: TestSocket) throws -> (count: Int, digest: SHA256.Digest) {
        var (count, hash) = (0, SHA256())
        while true {
            let bytes = try socket.receive()
            if bytes.isEmpty { return (count, hash.finalize()) }
            count += bytes.count
            hash.update(data: bytes)
        }
    }

    @Test(
        "64 MiB in each direction at once arrive as they were sent, through pipes and by copies", arguments: [16, 1, 0])
    func bulk(pipes: Int) async throws {
        let origin = try TestListener()
        try await withHarness(try await RelayHarness(relayTo: origin, pipes: pipes)) { edge in
            let (client, server) = try RelayTraffic.connect(edge, origin)
            let (up, down, times) = (
                RelayTraffic.pattern(Self.blockLength, seed: 1), RelayTraffic.pattern(Self.blockLength, seed: 2), 64
            )
            let workers = Workers()
            workers.run {
                for _ in 0..<times { try client.send(up) }
                client.shutdownOutput()
            }
            workers.run {
                for _ in 0..<times { try server.send(down) }
                server.shutdownOutput()
            }
            workers.run {
                let received = try Self.receive(server)
                #expect(received.count == times * up.count && received.digest == Self.hash(up, times: times))
            }
            let received = try Self.receive(client)
            #expect(received.count == times * down.count && received.digest == Self.hash(down, times: times))
            try workers.wait()
            #expect(try edge.log.wait(for: "relay ended").metadata["reason"] == "closed")
            let bytes = "latchstring_edge_relay_bytes_total"
            #expect(edge.counter(bytes, [("from", "client")]) == Int64(RelayTraffic.hello.count + times * up.count))
            #expect(edge.counter(bytes, [("from", "origin")]) == Int64(times * down.count))
        }
    }

    @Test("An origin that reads slowly holds its client back, and gets every byte")
    func slowOrigin() async throws {
        let origin = try TestListener(receiveBuffer: 8192)
        try await withHarness(try await RelayHarness(relayTo: origin)) { edge in
            let (client, server) = try RelayTraffic.connect(edge, origin)
            let block = RelayTraffic.pattern(Self.blockLength, seed: 3)
            let sent = try RelayTraffic.sendUntilStuck(client, block)
            #expect(sent < 48 << 20)
            client.shutdownOutput()
            let received = try Self.receive(server)
            var expected = SHA256()
            for start in stride(from: 0, to: sent, by: block.count) {
                expected.update(data: block.prefix(min(block.count, sent - start)))
            }
            #expect(received.count == sent && received.digest == expected.finalize())
        }
    }

    @Test("What waits for a slow reader is dropped when the other side breaks off, and the reader sees the break")
    func resetWithBytesHeld() async throws {
        let origin = try TestListener()
        try await withHarness(try await RelayHarness(relayTo: origin)) { edge in
            let client = try TestSocket.connect(port: edge.port, receiveBuffer: 8192)
            try client.send(RelayTraffic.hello)
            let server = try origin.accept()
            let block = RelayTraffic.pattern(Self.blockLength, seed: 4)
            _ = try RelayTraffic.sendUntilStuck(server, block)
            server.reset()
            #expect(try client.endsWithReset())
            #expect(try edge.log.wait(for: "relay ended").metadata["reason"] == "reset")
        }
    }

    @Test("A thousand short connections at once come to their end, and each is told of")
    func crowd() async throws {
        let origin = try TestListener(backlog: 1024)
        try await withHarness(try await RelayHarness(relayTo: origin)) { edge in
            let (count, workers) = (1000, Workers())
            workers.run {
                for _ in 0..<count {
                    let server = try origin.accept()
                    #expect(try server.receive(exactly: RelayTraffic.hello.count) == RelayTraffic.hello)
                    try server.send([1, 2, 3])
                    server.close()
                }
            }
            for _ in 0..<(count / 50) {
                let clients = try (0..<50).map { _ in try TestSocket.connect(port: edge.port) }
                for client in clients { try client.send(RelayTraffic.hello) }
                for client in clients {
                    #expect(try client.receiveToEnd() == [1, 2, 3])
                    client.close()
                }
            }
            try workers.wait()
            _ = try eventually("all ends") {
                edge.counter("latchstring_edge_relay_ended_total", [("reason", "closed")]) == Int64(count) ? true : nil
            }
        }
    }

    @Test("A name whose addresses are known already is waited for by nothing", arguments: [true, false])
    func knownName(exists: Bool) async throws {
        let origin = try TestListener()
        let configuration = RelayConfiguration(
            origin: .fixed(host: "origin.test", port: origin.port), connectTimeout: .minutes(1))
        let lookups = Ends()
        let harness = try await RelayHarness(mode: .relay(configuration)) { _ throws(ResolveError) in
            lookups.count.add(1, ordering: .relaxed)
            guard exists else { throw .noSuchName }
            return [.v4(0x7f00_0001)]
        }
        try await withHarness(harness) { edge in
            for _ in 0..<3 {
                guard exists else {
                    let client = try TestSocket.connect(port: edge.port)
                    try client.send(RelayTraffic.hello)
                    #expect(try client.receiveToEnd() == [0x15, 3, 3, 0, 2, 2, 80])
                    continue
                }
                let (client, server) = try RelayTraffic.connect(edge, origin)
                try server.send([5])
                #expect(try client.receive() == [5])
            }
            #expect(lookups.count.load(ordering: .relaxed) == 1)
        }
    }

    @Test("An origin whose queue of connections is full is given up at the connect limit")
    func neverAccepts() async throws {
        let origin = try TestListener(backlog: 0)
        var fillers: [TestSocket] = []
        fillers.append(try TestSocket.connect(port: origin.port))
        let harness = try await RelayHarness(relayTo: origin) { $0.connectTimeout = .milliseconds(300) }
        try await withHarness(harness) { edge in
            let client = try TestSocket.connect(port: edge.port)
            try client.send(RelayTraffic.hello)
            #expect(try client.receiveToEnd() == [0x15, 3, 3, 0, 2, 2, 80])
            #expect(try edge.log.wait(for: "relay failed").metadata["reason"] == "connect timeout")
        }
        withExtendedLifetime(fillers) {}
    }

    @Test("A client that sends on after it was refused has its answer, and is closed at the bound of bytes")
    func refusedTalker() async throws {
        let origin = try TestListener()
        origin.close()
        var limits = RelayHarness.patientLimits
        limits.linger.time = .minutes(1)
        limits.linger.bytes = 100_000
        let harness = try await RelayHarness(
            mode: .relay(RelayConfiguration(origin: .fixed(host: "127.0.0.1", port: origin.port))), limits: limits)
        try await withHarness(harness) { edge in
            let client = try TestSocket.connect(port: edge.port)
            try client.send(RelayTraffic.hello)
            #expect(try client.receive(exactly: 7) == [0x15, 3, 3, 0, 2, 2, 80])
            #expect(throws: TestSocketError.self) {
                for _ in 0..<10_000 { try client.send([UInt8](repeating: 0, count: 10_000)) }
            }
        }
    }

    @Test("A place among the edge's clients outlives the channel, closes what is carried, and hears of the end once")
    func place() async throws {
        let origin = try TestListener()
        let ends = Ends()
        let harness = try await RelayHarness(
            relayTo: origin, place: { ClientPlace(id: 1, channel: $0) },
            closed: { ends.count.add(1, ordering: .relaxed) })
        try await withHarness(harness) { edge in
            let (client, server) = try RelayTraffic.connect(edge, origin)
            try server.send([7])
            #expect(try client.receive() == [7])
            let place = try #require(edge.places.first)
            #expect(place.channel == nil)
            #expect(ends.count.load(ordering: .relaxed) == 0)
            place.close()
            #expect(try client.receiveToEnd().isEmpty)
            #expect(try server.endsWithReset())
            _ = try eventually("the end") { ends.count.load(ordering: .relaxed) == 1 ? true : nil }
            place.close()
            #expect(try edge.log.wait(for: "relay ended").metadata["reason"] == "reset")
        }
        #expect(ends.count.load(ordering: .relaxed) == 1)
    }

    @Test("A close that was asked for while its channel carried the client is carried out after the hand-over")
    func closedBefore() async throws {
        let origin = try TestListener()
        let harness = try await RelayHarness(
            relayTo: origin,
            place: { _ in
                let place = ClientPlace(id: 1, channel: EmbeddedChannel())
                place.close()
                return place
            })
        try await withHarness(harness) { edge in
            let client = try TestSocket.connect(port: edge.port)
            try client.send(RelayTraffic.hello)
            _ = try? client.receiveToEnd()
            _ = try eventually("an end") { edge.log.lines("relay ended").count == 1 ? true : nil }
        }
    }

    @Test("A client that sends to an origin that has answered and gone is read on, though it was held back")
    func droppedAfterBackPressure() async throws {
        let origin = try TestListener(receiveBuffer: 8192)
        try await withHarness(try await RelayHarness(relayTo: origin)) { edge in
            let (client, server) = try RelayTraffic.connect(edge, origin)
            let block = RelayTraffic.pattern(Self.blockLength, seed: 5)
            _ = try RelayTraffic.sendUntilStuck(client, block)
            try server.send([9])
            server.shutdownOutput()
            #expect(try client.receive() == [9])
            server.reset()
            // Far more than any buffer on the way holds.
            for _ in 0..<16 { try client.send(block) }
            #expect(try client.receiveToEnd().isEmpty)
        }
    }

    @Test("A client that the edge closes is no end to the origin, though that has said everything")
    func closedByTheEdge() async throws {
        let origin = try TestListener(receiveBuffer: 8192)
        let harness = try await RelayHarness(relayTo: origin, place: { ClientPlace(id: 1, channel: $0) })
        try await withHarness(harness) { edge in
            let (client, server) = try RelayTraffic.connect(edge, origin)
            server.shutdownOutput()
            #expect(try client.receiveToEnd().isEmpty)
            let block = RelayTraffic.pattern(Self.blockLength, seed: 6)
            _ = try RelayTraffic.sendUntilStuck(client, block)
            try #require(edge.places.first).close()
            #expect(try edge.log.wait(for: "relay ended").metadata["reason"] == "reset")
            #expect(try server.endsWithReset())
        }
    }

    @Test("What is open when the edge ends is closed, and told of")
    func shutdown() async throws {
        let origin = try TestListener()
        let harness = try await RelayHarness(relayTo: origin)
        let (client, server) = try await blocking { try RelayTraffic.connect(harness, origin) }
        let log = harness.log
        try await harness.stop()
        #expect(log.lines("relay ended").count == 1)
        let (rest, isReset) = try await blocking { (try client.receiveToEnd(), try server.endsWithReset()) }
        #expect(rest.isEmpty && isReset)
    }

    private final class Ends: Sendable {
        let count = Atomic<Int>(0)
    }
}
