import CacheStorage
import Dispatch
import EdgeHTTP
import HTTPCaching
import NIOCore
import NIOPosix
import TestWire
import Testing

/// Requests for the same, at the same time, on several event loops.
@Suite(.timeLimit(.minutes(2))) struct CollapsedForwardingTests {
    private static let followers = 24

    /// Sends a request on each of several connections, and waits until all but the first have joined.
    private func join(
        _ proxy: ProxyBench, _ bench: CacheBench, _ count: Int = Self.followers, target: String = "/a"
    ) async throws -> [Wire] {
        var clients: [Wire] = []
        for _ in 0..<count {
            let client = try await proxy.client()
            try await client.send(ProxyBench.request("GET \(target) HTTP/1.1"))
            clients.append(client)
            if clients.count == 1 { try await eventually("the origin being asked") { bench.count(target) == 1 } }
        }
        try await eventually("followers having joined") { bench.store.statistics.joined == UInt64(count - 1) }
        return clients
    }

    private func run(
        _ bench: CacheBench, children: Children? = nil, origin: @escaping @Sendable (Wire, String) async throws -> Bool,
        test: (ProxyBench) async throws -> Void
    ) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 3)
        do {
            try await bench.runWire(children: children, group: group, origin: origin, test: test)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        try await group.shutdownGracefully()
    }

    @Test func oneRequestServesAllAndEachReadsWhatIsThere() async throws {
        let bench = CacheBench()
        let gate = Gate()
        let second = Gate()
        try await self.run(bench) { wire, _ in
            try await gate.pass()
            try await wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhello")
            try await second.pass()
            try await wire.send("world")
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            let clients = try await self.join(proxy, bench)
            gate.open()
            for client in clients {
                let head = try await client.readHead()
                #expect(head.hasPrefix("HTTP/1.1 200"))
                #expect(Wire.field("content-length", in: head) == "10")
                #expect(try await client.readText(5) == "hello")
            }
            second.open()
            for client in clients { #expect(try await client.readText(5) == "world") }
            #expect(bench.count("/a") == 1)
            let hit = try await proxy.get("/a")
            #expect(hit.field("cache-status")?.hasPrefix("bench; hit") == true)
        }
    }

    @Test func whatIsForOneOnlySendsEachOnItsOwn() async throws {
        let bench = CacheBench()
        let gate = Gate()
        let numbers = Counter()
        try await self.run(bench) { wire, _ in
            let number = numbers.next()
            if number == 1 { try await gate.pass() }
            try await wire.send(CacheBench.response("Cache-Control: private", body: "for \(number)"))
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            let clients = try await self.join(proxy, bench)
            gate.open()
            var seen: Set<String> = []
            for client in clients { seen.insert(try await client.readResponse().text) }
            #expect(seen.count == clients.count)
            #expect(bench.count("/a") == clients.count)
            // And no client waits for the next one.
            _ = try await proxy.get("/a")
            #expect(bench.store.statistics.joined == UInt64(clients.count - 1))
        }
    }

    /// A key that has lately brought a response for one client only is remembered for as long as it does so: its requests go to the
    /// origin at once, side by side.
    @Test func whatIsKnownToBePrivateIsNotWaitedFor() async throws {
        let bench = CacheBench()
        let gate = Gate()
        let numbers = Counter()
        try await self.run(bench) { wire, head in
            if numbers.next() > 4 { try await gate.pass() }
            try await wire.send(CacheBench.response("Cache-Control: private"))
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            for _ in 1...4 {
                #expect(try await proxy.get("/a").text == "hello")
                bench.advance(seconds: 100)
            }
            var clients: [Wire] = []
            for _ in 1...40 {
                let client = try await proxy.client()
                try await client.send(ProxyBench.request("GET /a HTTP/1.1"))
                clients.append(client)
            }
            try await eventually("all being at the origin at once") { bench.count("/a") == 44 }
            #expect(bench.store.statistics.joined == 0)
            gate.open()
            for client in clients { #expect(try await client.readResponse().text == "hello") }
        }
    }

    @Test func thoseWhoWaitedInVainDoNotGoAllAtOnce() async throws {
        let bench = CacheBench()
        let first = Gate()
        let second = Gate()
        let numbers = Counter()
        try await self.run(bench) { wire, head in
            if head.contains(" /a ") {
                let number = numbers.next()
                if number == 1 { try await first.pass() } else { try await second.pass() }
            }
            try await wire.send(CacheBench.response("Cache-Control: private"))
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            let clients = try await self.join(proxy, bench, 60)
            first.open()
            try await eventually("some going to the origin") { bench.count("/a") == 17 }
            for _ in 1...5 { _ = try await proxy.get("/b") }
            #expect(bench.count("/a") == 17)
            second.open()
            for client in clients { #expect(try await client.readResponse().text == "hello") }
            #expect(bench.count("/a") == 60)
        }
    }

    @Test func thoseWhoLeaveTheLineMakeWay() async throws {
        let bench = CacheBench()
        let first = Gate()
        let second = Gate()
        let numbers = Counter()
        try await self.run(bench) { wire, _ in
            if numbers.next() == 1 { try await first.pass() } else { try await second.pass() }
            try await wire.send(CacheBench.response("Cache-Control: private"))
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            let clients = try await self.join(proxy, bench, 40)
            first.open()
            try await eventually("some going to the origin") { bench.count("/a") == 17 }
            for client in clients[1..<39] { try await client.channel.close() }
            // Nothing is in the way of the last one, although the origin has answered none of them.
            let last = clients[39]
            second.open()
            #expect(try await last.readResponse().text == "hello")
        }
    }

    @Test func theLeaderMayLeave() async throws {
        let bench = CacheBench()
        let gate = Gate()
        try await self.run(bench) { wire, _ in
            try await gate.pass()
            try await wire.send(CacheBench.response("Cache-Control: max-age=60"))
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            let clients = try await self.join(proxy, bench)
            try await clients[0].channel.close()
            gate.open()
            for client in clients.dropFirst() { #expect(try await client.readResponse().text == "hello") }
            #expect(bench.count("/a") == 1)
        }
    }

    @Test func aLoneLeaderThatLeavesStillFillsTheStore() async throws {
        let bench = CacheBench()
        let gate = Gate()
        try await self.run(bench) { wire, _ in
            try await gate.pass()
            try await wire.send(CacheBench.response("Cache-Control: max-age=60"))
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            let clients = try await self.join(proxy, bench, 1)
            try await clients[0].channel.close()
            gate.open()
            try await eventually("the response being stored") { !bench.store.lookup(bench.key("/a")).isEmpty }
            #expect(try await proxy.get("/a").text == "hello")
            #expect(bench.count("/a") == 1)
        }
    }

    @Test func aBodyThatBreaksOffIsWholeForNobody() async throws {
        let bench = CacheBench()
        let gate = Gate()
        try await self.run(bench) { wire, _ in
            try await wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhello")
            try await gate.pass()
            return false
        } test: { (proxy: ProxyBench) async throws -> Void in
            let clients = try await self.join(proxy, bench)
            gate.open()
            for client in clients { await #expect(throws: (any Error).self) { try await client.readResponse() } }
            #expect(bench.store.lookup(bench.key("/a")).isEmpty)
        }
    }

    @Test func anOriginThatFailsIsNotAskedByEverybody() async throws {
        let bench = CacheBench()
        let gate = Gate()
        try await self.run(bench) { _, _ in
            try await gate.pass()
            return false
        } test: { (proxy: ProxyBench) async throws -> Void in
            let clients = try await self.join(proxy, bench)
            gate.open()
            for client in clients { #expect(try await client.readResponse().status == 502) }
            #expect(bench.count("/a") <= 4)
        }
    }

    @Test func variantsDoNotServeEachOther() async throws {
        let bench = CacheBench()
        let gate = Gate()
        let numbers = Counter()
        try await self.run(bench) { wire, head in
            if numbers.next() == 1 { try await gate.pass() }
            let language = Wire.field("accept-language", in: head) ?? "none"
            try await wire.send(
                CacheBench.response("Cache-Control: max-age=60", "Vary: Accept-Language", body: language))
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            var clients: [(Wire, String)] = []
            for number in 0..<18 {
                let client = try await proxy.client()
                let language = ["de", "en", "fr"][number % 3]
                try await client.send(ProxyBench.request("GET /a HTTP/1.1", "Accept-Language: \(language)"))
                clients.append((client, language))
                if number == 0 { try await eventually("the origin being asked") { bench.count("/a") == 1 } }
            }
            try await eventually("followers having joined") { bench.store.statistics.joined >= 17 }
            gate.open()
            for (client, language) in clients { #expect(try await client.readResponse().text == language) }
            #expect(bench.count("/a") == 3)
        }
    }

    /// One that waited hears of its variant only when another has brought it and is through: the store has it.
    @Test func whoHearsLateFindsWhatTheOthersBrought() async throws {
        let bench = CacheBench()
        let gate = Gate()
        let children = Children()
        try await self.run(bench, children: children) { wire, head in
            let language = Wire.field("accept-language", in: head) ?? "none"
            if language == "de" { try await gate.pass() }
            try await wire.send(
                CacheBench.response("Cache-Control: max-age=60", "Vary: Accept-Language", body: language))
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            var clients: [Wire] = []
            for (number, language) in ["de", "en", "en"].enumerated() {
                let client = try await proxy.client()
                try await client.send(ProxyBench.request("GET /a HTTP/1.1", "Accept-Language: \(language)"))
                clients.append(client)
                try await eventually("the request being there") {
                    number == 0 ? bench.count("/a") == 1 : bench.store.statistics.joined == number
                }
            }
            let loops = children.all.map(\.eventLoop)
            try #require(loops.count == 3 && loops[2] !== loops[0] && loops[2] !== loops[1])
            let held = DispatchSemaphore(value: 0)
            loops[2].execute { held.wait() }
            gate.open()
            #expect(try await clients[1].readResponse().text == "en")
            held.signal()
            #expect(try await clients[2].readResponse().text == "en")
            #expect(bench.count("/a") == 2)
        }
    }

    /// The edge asked for everything; what came is a part.
    @Test func aPartThatNobodyAskedForIsForItsOwnClientOnly() async throws {
        let bench = CacheBench()
        let gate = Gate()
        let numbers = Counter()
        try await self.run(bench) { wire, _ in
            if numbers.next() > 1 {
                try await wire.send(CacheBench.response("Cache-Control: max-age=60", body: "the whole"))
                return true
            }
            try await wire.send(
                "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=600\r\nContent-Range: bytes 0-9/20\r\n"
                    + "Content-Length: 10\r\n\r\nhello")
            try await gate.pass()
            try await wire.send("world")
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            let client = try await proxy.client()
            try await client.send(ProxyBench.request("GET /a HTTP/1.1", "Range: bytes=0-4"))
            #expect(try await client.readHead().hasPrefix("HTTP/1.1 206"))
            for _ in 1...2 { #expect(try await proxy.get("/a").text == "the whole") }
            gate.open()
            #expect(try await client.readText(10) == "helloworld")
            #expect(Wire.field("range", in: bench.requests("/a")[0]) == nil)
        }
    }

    @Test func aClientThatReadsNothingHoldsUpNobody() async throws {
        let bench = CacheBench()
        let gate = Gate()
        let body = String(repeating: "0123456789abcdef", count: 65_536)
        try await self.run(bench) { wire, _ in
            try await gate.pass()
            try await wire.send(CacheBench.response("Cache-Control: max-age=60", body: body))
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            let leader = try await proxy.client(reading: false)
            try await leader.send(ProxyBench.request("GET /a HTTP/1.1"))
            try await eventually("the origin being asked") { bench.count("/a") == 1 }
            let others = try await self.others(proxy, bench)
            gate.open()
            for client in others { #expect(try await client.readResponse().text == body) }
            try await leader.channel.setOption(.autoRead, value: true).get()
            #expect(try await leader.readResponse().text == body)
            #expect(bench.count("/a") == 1)
        }
    }

    private func others(_ proxy: ProxyBench, _ bench: CacheBench) async throws -> [Wire] {
        var clients: [Wire] = []
        for _ in 0..<6 {
            let client = try await proxy.client()
            try await client.send(ProxyBench.request("GET /a HTTP/1.1"))
            clients.append(client)
        }
        try await eventually("followers having joined") { bench.store.statistics.joined == 6 }
        return clients
    }
}
