import EdgeHTTP
import EdgeModel
import NIOCore
import NIOPosix
import Synchronization
import TestWire
import Testing

/// What the origin's name means at the moment: a resolver of the test's own.
private final class MovingName: Resolver, Sendable {
    private let address = Mutex("127.0.0.1")
    private let count = Mutex(0)
    private let eventLoop: any EventLoop = MultiThreadedEventLoopGroup.singleton.any()

    var lookups: Int { self.count.withLock { $0 } }

    func move(to address: String) { self.address.withLock { $0 = address } }

    func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
        self.count.withLock { $0 += 1 }
        let address = self.address.withLock { $0 }
        return self.eventLoop.makeCompletedFuture { [try SocketAddress(ipAddress: address, port: port)] }
    }

    func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
        self.eventLoop.makeSucceededFuture([])
    }

    func cancelQueries() {}
}

/// An origin whose name gets another address while its site has traffic all the time.
@Suite(.timeLimit(.minutes(2))) struct OriginMoveTests {
    private static func answering(_ name: String) -> @Sendable (Wire, Int) async throws -> Void {
        { wire, _ in
            while true {
                _ = try await wire.readHead()
                try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: \(name.utf8.count)\r\n\r\n\(name)")
            }
        }
    }

    @Test("Steady traffic on kept connections follows a change in DNS within their age")
    func follows() async throws {
        let name = MovingName()
        try await ProxyBench.run(
            adjust: {
                $0.host = "origin.test"
                $0.maximumConnectionAge = .milliseconds(400)
            }, resolver: name, origin: Self.answering("old")
        ) { bench in
            // Another machine with the same port.
            let port = try #require(bench.origin.localAddress?.port)
            let moved = try await Wire.listen(host: "127.0.0.2", port: port, script: Self.answering("new"))
            let client = try await bench.client()
            func ask() async throws -> String {
                try await client.send(ProxyBench.request("GET / HTTP/1.1"))
                let response = try await client.readResponse()
                #expect(response.status == 200)
                return response.text
            }
            for _ in 1...5 { #expect(try await ask() == "old") }
            #expect(name.lookups == 1, "kept connections are used again")
            name.move(to: "127.0.0.2")
            let began = ContinuousClock.now
            var answer = "old"
            while answer == "old", ContinuousClock.now - began < .seconds(10) {
                answer = try await ask()
                try await Task.sleep(for: .milliseconds(5))
            }
            #expect(answer == "new")
            #expect(name.lookups < 10, "a look-up for each connection, not for each request")
            try await moved.close()
        }
    }

    @Test("A request that is under way when its connection has that age ends well, and is the connection's last")
    func isNotCut() async throws {
        let name = MovingName()
        try await ProxyBench.run(
            adjust: {
                $0.host = "origin.test"
                $0.maximumConnectionAge = .milliseconds(200)
            }, resolver: name,
            origin: { wire, _ in
                while true {
                    _ = try await wire.readHead()
                    try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbef")
                    try await Task.sleep(for: .milliseconds(500))
                    try await wire.send("ore")
                }
            }
        ) { bench in
            let client = try await bench.client()
            for number in 1...2 {
                try await client.send(ProxyBench.request("GET / HTTP/1.1"))
                let response = try await client.readResponse()
                #expect(response.status == 200 && response.text == "before")
                #expect(name.lookups == number)
            }
        }
    }
}
