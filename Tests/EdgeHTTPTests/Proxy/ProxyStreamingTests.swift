import Crypto
import EdgeHTTP
import EdgeModel
import Foundation
import NIOCore
import NIOPosix
import TestWire
import Testing

/// Long bodies, slow readers, and connections that leave HTTP.
@Suite(.timeLimit(.minutes(3))) struct ProxyStreamingTests {
    private static func chunk(_ number: Int, _ size: Int = 65_536) -> ByteBuffer {
        ByteBuffer(bytes: (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ number) })
    }

    private static let chunks = 256

    private static let expected: String = {
        var hash = SHA256()
        for number in 0..<chunks { hash.update(data: Array(chunk(number).readableBytesView)) }
        return hash.finalize().description
    }()

    @Test(arguments: [false, true]) func longResponseToASlowReader(tls: Bool) async throws {
        let sent = Counter()
        let (go, continuation) = AsyncStream.makeStream(of: Bool.self)
        try await ProxyBench.run(tls: tls) { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: \(Self.chunks * 65_536)\r\n\r\n")
            for await _ in go { break }
            for number in 0..<Self.chunks {
                try await wire.send(Self.chunk(number))
                _ = sent.next()
            }
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1"))
            _ = try await client.readHead()
            try await client.channel.setOption(.autoRead, value: false).get()
            continuation.yield(true)
            // Nothing is read, so the origin must get stuck: what lies between holds much less than 16 MiB.
            var last = -1
            var still = 0
            while still < 5 {
                try await Task.sleep(for: .milliseconds(50))
                still = sent.current == last ? still + 1 : 0
                last = sent.current
            }
            #expect(sent.current < Self.chunks)
            try await client.channel.setOption(.autoRead, value: true).get()
            var hash = SHA256()
            for _ in 0..<Self.chunks { hash.update(data: Array(try await client.read(65_536).readableBytesView)) }
            #expect(hash.finalize().description == Self.expected)
        }
    }

    @Test(arguments: [false, true]) func longRequestToASlowOrigin(chunked: Bool) async throws {
        let (go, continuation) = AsyncStream.makeStream(of: Bool.self)
        try await ProxyBench.run { wire, _ in
            try await wire.channel.setOption(.autoRead, value: false).get()
            for await _ in go { break }
            try await wire.channel.setOption(.autoRead, value: true).get()
            _ = try await wire.readHead()
            var hash = SHA256()
            if chunked {
                while case let line = try await wire.readLine(), let size = Int(line, radix: 16), size > 0 {
                    hash.update(data: Array(try await wire.read(size).readableBytesView))
                    _ = try await wire.readLine()
                }
                _ = try await wire.readLine()
            } else {
                for _ in 0..<Self.chunks { hash.update(data: Array(try await wire.read(65_536).readableBytesView)) }
            }
            let text = hash.finalize().description
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await bench.client()
            try await client.send(
                ProxyBench.request(
                    "POST / HTTP/1.1",
                    chunked ? "Transfer-Encoding: chunked" : "Content-Length: \(Self.chunks * 65_536)"))
            let channel = client.channel
            let sent = Counter()
            let sender = Task {
                for number in 0..<Self.chunks {
                    if chunked { try await channel.writeAndFlush(ByteBuffer(string: "10000\r\n")) }
                    try await channel.writeAndFlush(Self.chunk(number))
                    if chunked { try await channel.writeAndFlush(ByteBuffer(string: "\r\n")) }
                    _ = sent.next()
                }
                if chunked { try await channel.writeAndFlush(ByteBuffer(string: "0\r\n\r\n")) }
            }
            var last = -1
            var still = 0
            while still < 5 {
                try await Task.sleep(for: .milliseconds(50))
                still = sent.current == last ? still + 1 : 0
                last = sent.current
            }
            #expect(sent.current < Self.chunks)
            continuation.yield(true)
            try await sender.value
            #expect(try await client.readResponse().text == Self.expected)
        }
    }

    @Test func responseBeginsBeforeTheRequestEnds() async throws {
        try await ProxyBench.run { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
            for _ in 1...3 { try await wire.send(try await wire.read(2)) }
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("POST / HTTP/1.1", "Content-Length: 6"))
            let head = try await client.readHead()
            #expect(Wire.field("connection", in: head) == "close")
            for part in ["ab", "cd", "ef"] {
                try await client.send(part)
                #expect(try await client.readText(2) == part)
            }
        }
    }

    @Test(arguments: [false, true]) func upgrade(tls: Bool) async throws {
        try await ProxyBench.run(tls: tls) { wire, _ in
            let head = try await wire.readHead()
            #expect(Wire.field("connection", in: head) == "Upgrade")
            #expect(Wire.field("upgrade", in: head) == "websocket")
            // The first bytes of the new protocol come with the response.
            try await wire.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX: y\r\n\r\nhello")
            while true { try await wire.send(try await wire.read(4)) }
        } test: { bench in
            let client = try await bench.client()
            // So do the client's.
            try await client.send(
                ProxyBench.request(
                    "GET /ws HTTP/1.1", "Connection: keep-alive, Upgrade", "Upgrade: websocket", body: "ping"))
            let head = try await client.readHead()
            #expect(head.hasPrefix("HTTP/1.1 101 "))
            #expect(Wire.field("upgrade", in: head) == "websocket" && Wire.field("x", in: head) == "y")
            #expect(try await client.readText(5) == "hello")
            #expect(try await client.readText(4) == "ping")
            for number in 1000...1050 {
                try await client.send("\(number)")
                #expect(try await client.readText(4) == "\(number)")
            }
            try await client.channel.close()
        }
    }

    /// The client of an origin that says "bye" right after its 101, closes its output, and waits for "still".
    private static func leaveLast(_ bench: ProxyBench) async throws {
        let client = try await bench.client()
        try await client.channel.setOption(.allowRemoteHalfClosure, value: true).get()
        try await client.send(ProxyBench.request("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: x"))
        _ = try await client.readHead()
        #expect(try await client.readText(3) == "bye")
        try await client.send("still")
        try await client.channel.close(mode: .output)
        #expect(try await client.readToEnd() == "")
    }

    @Test func upgradedConnectionsCloseOneSideAtATime() async throws {
        try await ProxyBench.run { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nbye")
            try await wire.channel.setOption(.allowRemoteHalfClosure, value: true).get()
            try await wire.channel.close(mode: .output)
            // The other direction goes on.
            #expect(try await wire.readText(5) == "still")
        } test: { bench in
            try await Self.leaveLast(bench)
        }
    }

    /// The 101, what follows it and the end of input in one segment or nearly so: how they are read varies.
    @Test func bytesThatCameWithTheEndOfInputAreNotLost() async throws {
        for _ in 0..<20 {
            try await ProxyBench.run { wire, _ in
                _ = try await wire.readHead()
                let channel = wire.channel
                channel.eventLoop.execute {
                    channel.write(
                        ByteBuffer(
                            string: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nbye"),
                        promise: nil)
                    channel.flush()
                    _ = channel.setOption(.allowRemoteHalfClosure, value: true)
                    channel.close(mode: .output, promise: nil)
                }
                #expect(try await wire.readText(5) == "still")
            } test: { bench in
                try await Self.leaveLast(bench)
            }
        }
    }

    @Test func refusedUpgradeIsAnOrdinaryResponse() async throws {
        // The connection waits for the next request, as after any other.
        var limits = ProxyLimits()
        limits.idleTimeout = .milliseconds(300)
        try await ProxyBench.run(limits: limits) { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 426 Upgrade Required\r\nUpgrade: y\r\nContent-Length: 2\r\n\r\nno")
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: x"))
            let response = try await client.readResponse()
            #expect(response.status == 426 && response.text == "no" && response.field("upgrade") == "y")
            #expect(try await client.readToEnd() == "")
        }
    }

    /// What the origin sent before it left waits for the client, but not for ever.
    @Test func whatIsLeftOfATunnelWaitsForABoundedTime() async throws {
        var limits = ProxyLimits()
        limits.tunnelIdleTimeout = .milliseconds(500)
        let (authority, certificate) = try ProxyBench.certificate(for: "origin.example.test")
        let roots = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).pem").path
        try Data(authority.utf8).write(to: URL(fileURLWithPath: roots))
        defer { try? FileManager.default.removeItem(atPath: roots) }
        let children = Children()
        try await ProxyBench.run(
            limits: limits,
            adjust: {
                $0.tlsName = "origin.example.test"
                $0.trustRoots = .file(roots)
            }, originTLS: try ProxyBench.server(certificate), children: children
        ) { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            // More than the client's system takes.
            try await wire.send(ByteBuffer(repeating: 7, count: 1_000_000))
        } test: { bench in
            let client = try await bench.client(reading: false)
            try await client.send(ProxyBench.request("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: x"))
            while children.all.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
            let closed = ManagedCounter()
            try #require(children.all.first).closeFuture.whenComplete { _ in closed.increment() }
            for _ in 0..<500 where closed.value == 0 { try await Task.sleep(for: .milliseconds(10)) }
            #expect(closed.value == 1)
            try await client.channel.close()
        }
    }

    @Test func silentTunnelIsClosed() async throws {
        var limits = ProxyLimits()
        limits.tunnelIdleTimeout = .milliseconds(200)
        try await ProxyBench.run(limits: limits) { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: x"))
            _ = try await client.readHead()
            #expect(try await client.readToEnd() == "")
        }
    }
}
