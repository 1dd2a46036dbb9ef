import Admission
import NIOCore
import NIOPosix
import Synchronization
import TestSockets
import Testing

@testable import EdgeRelay

@Suite struct ResolverCacheTests {
    private static let one: [IPAddress] = [.v4(1)]
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000)

    @Test func answersExpire() {
        var cache = ResolverCache<[IPAddress]>(capacity: 2, lifetime: .seconds(30))
        cache.store(Self.one, for: "a", now: Self.start)
        #expect(cache.answer(for: "a", now: Self.start + .seconds(29)) == Self.one)
        #expect(cache.answer(for: "a", now: Self.start + .seconds(30)) == nil)
        #expect(cache.answer(for: "b", now: Self.start) == nil)
    }

    @Test func fullCacheDropsWhatExpiresFirst() {
        var cache = ResolverCache<[IPAddress]>(capacity: 2, lifetime: .seconds(30))
        cache.store(Self.one, for: "a", now: Self.start)
        cache.store(Self.one, for: "b", now: Self.start + .seconds(1))
        cache.store(Self.one, for: "c", now: Self.start + .seconds(2))
        #expect(cache.count == 2)
        #expect(cache.answer(for: "a", now: Self.start + .seconds(2)) == nil)
        #expect(cache.answer(for: "b", now: Self.start + .seconds(2)) == Self.one)
        #expect(cache.answer(for: "c", now: Self.start + .seconds(2)) == Self.one)
    }

    @Test func expiredAnswersMakeRoomTogether() {
        var cache = ResolverCache<[IPAddress]>(capacity: 2, lifetime: .seconds(30))
        cache.store(Self.one, for: "a", now: Self.start)
        cache.store(Self.one, for: "b", now: Self.start)
        cache.store(Self.one, for: "c", now: Self.start + .seconds(60))
        #expect(cache.count == 1)
    }
}

@Suite struct NameResolverTests {
    /// A look-up that counts its calls and answers when told.
    private final class Gate: Sendable {
        let calls = Mutex(0)
        let isOpen = Mutex(false)

        func wait() {
            self.calls.withLock { $0 += 1 }
            while !self.isOpen.withLock({ $0 }) { waitBriefly() }
        }
    }

    private let loop = NIOSingletons.posixEventLoopGroup.any()

    @Test func concurrentRequestsShareOneLookup() async throws {
        let gate = Gate()
        let resolver = NameResolver(lookup: { host throws(ResolveError) in
            gate.wait()
            return [.v4(7)]
        })
        defer { resolver.shutdown() }
        let first = resolver.resolve("a.test", site: "s", client: nil, on: self.loop, now: .now()).addresses
        let second = resolver.resolve("a.test", site: "s", client: nil, on: self.loop, now: .now()).addresses
        gate.isOpen.withLock { $0 = true }
        #expect(try await first.get() == [.v4(7)])
        #expect(try await second.get() == [.v4(7)])
        #expect(
            try await resolver.resolve("a.test", site: "s", client: nil, on: self.loop, now: .now()).addresses.get()
                == [.v4(7)])
        #expect(gate.calls.withLock { $0 } == 1)
    }

    @Test func moreThanTheLimitFailAtOnce() async throws {
        let gate = Gate()
        var limits = NameResolver.Limits()
        limits.waiting = 1
        let resolver = NameResolver(
            limits: limits,
            lookup: { host throws(ResolveError) in
                gate.wait()
                return [.v4(7)]
            })
        defer { resolver.shutdown() }
        let first = resolver.resolve("a.test", site: "s", client: nil, on: self.loop, now: .now()).addresses
        await #expect(throws: ResolveError.tooManyLookups) {
            try await resolver.resolve("b.test", site: "s", client: nil, on: self.loop, now: .now()).addresses.get()
        }
        gate.isOpen.withLock { $0 = true }
        #expect(try await first.get() == [.v4(7)])
        #expect(
            try await resolver.resolve("b.test", site: "s", client: nil, on: self.loop, now: .now()).addresses.get()
                == [.v4(7)])
    }

    @Test func failuresAreRememberedForAMoment() async throws {
        let calls = Mutex<[String]>([])
        var limits = NameResolver.Limits()
        limits.failureLifetime = .hours(1)
        let resolver = NameResolver(
            limits: limits,
            lookup: { host throws(ResolveError) in
                let isFirst = calls.withLock { calls in
                    calls.append(host)
                    return calls.filter { $0 == host }.count == 1
                }
                if !isFirst { return [.v4(7)] }
                if host == "a.test" { throw .failed("try again") }
                return []
            })
        defer { resolver.shutdown() }
        for _ in 1...2 {
            await #expect(throws: ResolveError.failed("try again")) {
                try await resolver.resolve("a.test", site: "s", client: nil, on: self.loop, now: .now()).addresses.get()
            }
            await #expect(throws: ResolveError.noSuchName) {
                try await resolver.resolve("b.test", site: "s", client: nil, on: self.loop, now: .now()).addresses.get()
            }
        }
        #expect(calls.withLock { $0 } == ["a.test", "b.test"])
        let later = resolver.resolve("a.test", site: "s", client: nil, on: self.loop, now: .now() + .hours(2)).addresses
        #expect(try await later.get() == [.v4(7)])
    }

    @Test func slowNamesOfOneSiteDelayNoOtherSite() async throws {
        let gate = Gate()
        let resolver = NameResolver(lookup: { host throws(ResolveError) in
            if host.hasSuffix(".slow.test") { gate.wait() }
            return [.v4(7)]
        })
        defer { resolver.shutdown() }
        let slow = (0..<100).map {
            resolver.resolve("\($0).slow.test", site: "*.slow.test", client: nil, on: self.loop, now: .now())
        }
        // Hangs if the slow names have all threads.
        let other = resolver.resolve("a.test", site: "a.test", client: nil, on: self.loop, now: .now()).addresses
        #expect(try await other.get() == [.v4(7)])
        #expect(gate.calls.withLock { $0 } <= 4)
        gate.isOpen.withLock { $0 = true }
        for request in slow { #expect(try await request.addresses.get() == [.v4(7)]) }
        #expect(gate.calls.withLock { $0 } == 100)
    }

    @Test func slowNamesOfOneClientDelayNoOtherClientOfTheSite() async throws {
        let gate = Gate()
        let resolver = NameResolver(lookup: { host throws(ResolveError) in
            if host.hasPrefix("slow") { gate.wait() }
            return [.v4(7)]
        })
        defer { resolver.shutdown() }
        let slow = (0..<100).map {
            resolver.resolve(
                "slow\($0).test", site: "*.test", client: ClientNetwork(.v4(1)), on: self.loop, now: .now())
        }
        // Hangs if the slow names have all of the site's threads.
        let other = resolver.resolve(
            "a.test", site: "*.test", client: ClientNetwork(.v4(2)), on: self.loop, now: .now()
        ).addresses
        #expect(try await other.get() == [.v4(7)])
        gate.isOpen.withLock { $0 = true }
        for request in slow.suffix(64) { #expect(try await request.addresses.get() == [.v4(7)]) }
        for request in slow.prefix(36) {
            await #expect(throws: ResolveError.tooManyLookups) { try await request.addresses.get() }
        }
    }

    @Test func clientsThatLeaveGiveTheirPlaceUp() async throws {
        let gate = Gate()
        var limits = NameResolver.Limits()
        limits.waiting = 2
        limits.runningPerSite = 1
        let resolver = NameResolver(
            limits: limits,
            lookup: { host throws(ResolveError) in
                gate.wait()
                return [.v4(7)]
            })
        defer { resolver.shutdown() }
        let first = resolver.resolve("a.test", site: "s", client: nil, on: self.loop, now: .now())
        let second = resolver.resolve("b.test", site: "s", client: nil, on: self.loop, now: .now())
        resolver.cancel(second)
        await #expect(throws: CancellationError.self) { try await second.addresses.get() }
        let third = resolver.resolve("c.test", site: "s", client: nil, on: self.loop, now: .now())
        gate.isOpen.withLock { $0 = true }
        #expect(try await first.addresses.get() == [.v4(7)])
        #expect(try await third.addresses.get() == [.v4(7)])
        #expect(gate.calls.withLock { $0 } == 2)
        // Too late: nothing happens.
        resolver.cancel(third)
    }

    @Test func systemFindsLocalhost() async throws {
        let addresses = try await blocking { try NameResolver.systemLookup("localhost") }
        #expect(addresses.contains { AddressPolicy.classify($0) == .loopback })
        #expect(Set(addresses).count == addresses.count)
    }
}

@Suite struct LookupQueueTests {
    private typealias Queue = LookupQueue<Int>

    private static func queue(_ edit: (inout NameResolver.Limits) -> Void) -> Queue {
        var limits = NameResolver.Limits()
        edit(&limits)
        return Queue(limits: limits)
    }

    @Test func aSiteHasItsShareAndNoMore() {
        var queue = Self.queue {
            $0.runningPerSite = 1
            $0.waitingPerSite = 3
            $0.waiting = 4
        }
        var lastID: UInt64 = 0
        func enter(_ host: String, _ site: String) -> Queue.Entry.Step {
            lastID += 1
            return queue.enter(Int(lastID), id: lastID, host: host, site: site, client: nil).step
        }
        #expect(enter("a", "s") == .start)
        #expect(enter("b", "s") == .wait)
        #expect(enter("a", "s") == .wait)
        #expect(enter("c", "s") == .overloaded)
        #expect(enter("x", "t") == .start)
        #expect(enter("y", "t") == .overloaded)
        let first = queue.finish("a")
        #expect(first.waiters.sorted() == [1, 3] && first.next == ["b"])
        #expect(enter("c", "s") == .wait)
        let second = queue.finish("b")
        #expect(second.waiters == [2] && second.next == ["c"])
    }

    @Test func namesThatNobodyWaitsForAreNotLookedUp() {
        var queue = Self.queue { $0.runningPerSite = 1 }
        _ = queue.enter(1, id: 1, host: "a", site: "s", client: nil)
        _ = queue.enter(2, id: 2, host: "b", site: "s", client: nil)
        _ = queue.enter(3, id: 3, host: "c", site: "s", client: nil)
        let (a, b, again) = (
            queue.leave(id: 1, host: "a"), queue.leave(id: 2, host: "b"), queue.leave(id: 2, host: "b")
        )
        #expect(a == 1 && b == 2 && again == nil)
        let start = queue.start("a")
        #expect(start == .abandoned(next: ["c"]))
        let next = queue.start("c")
        #expect(next == .lookUp)
        let last = queue.finish("c")
        #expect(last.waiters == [3] && last.next.isEmpty)
        let fresh = queue.enter(4, id: 4, host: "a", site: "s", client: nil)
        #expect(fresh.step == .start)
    }

    // MARK: Networks

    private static func network(_ number: UInt32) -> ClientNetwork { ClientNetwork(.v4(0x0a00_0000 + number)) }

    @Test func namesOfOneNetworkLeaveThreadsToTheOthers() {
        var queue = Self.queue {
            $0.runningPerSite = 3
            $0.runningPerClient = 2
        }
        let (one, two) = (Self.network(1), Self.network(2))
        var steps: [Queue.Entry.Step] = []
        for id in UInt64(1)...5 {
            steps.append(queue.enter(Int(id), id: id, host: "hang\(id)", site: "s", client: one).step)
        }
        #expect(steps == [.start, .start, .wait, .wait, .wait])
        let other = queue.enter(6, id: 6, host: "good", site: "s", client: two)
        #expect(other.step == .start)
        // Its place is of no use to the first network, which has two.
        let good = queue.finish("good")
        #expect(good.waiters == [6] && good.next.isEmpty)
        let first = queue.finish("hang1")
        #expect(first.next == ["hang3"])
    }

    @Test func theBoundOfANetworkHoldsOverAllSites() {
        var queue = Self.queue { $0.runningPerClient = 1 }
        let one = Self.network(1)
        let a = queue.enter(1, id: 1, host: "a", site: "s", client: one)
        let b = queue.enter(2, id: 2, host: "b", site: "t", client: one)
        #expect(a.step == .start && b.step == .wait)
        let next = queue.finish("a").next
        #expect(next == ["b"])
    }

    @Test func networksTakeTurns() {
        var queue = Self.queue {
            $0.runningPerSite = 1
            $0.runningPerClient = 1
        }
        for id in UInt64(1)...4 { _ = queue.enter(Int(id), id: id, host: "x\(id)", site: "s", client: Self.network(1)) }
        for id in UInt64(5)...6 { _ = queue.enter(Int(id), id: id, host: "y\(id)", site: "s", client: Self.network(2)) }
        var (order, running) = ([String](), ["x1"])
        while let host = running.popLast() {
            order.append(host)
            running = queue.finish(host).next
        }
        #expect(order == ["x1", "x2", "y5", "x3", "y6", "x4"])
        #expect(queue.waiters == 0)
    }

    @Test func aNameThatAnotherNetworkWantsComesAtItsTurn() {
        var queue = Self.queue {
            $0.runningPerSite = 2
            $0.runningPerClient = 1
        }
        _ = queue.enter(1, id: 1, host: "a", site: "s", client: Self.network(1))
        _ = queue.enter(2, id: 2, host: "b", site: "s", client: Self.network(1))
        let joins = queue.enter(3, id: 3, host: "b", site: "s", client: Self.network(2))
        #expect(joins.step == .start)
        let b = queue.finish("b")
        #expect(b.waiters.sorted() == [2, 3] && b.next.isEmpty)
        let a = queue.finish("a")
        #expect(a.waiters == [1] && a.next.isEmpty)
    }

    @Test func theOldestOfTheNetworkWithTheMostGivesWay() {
        var queue = Self.queue {
            $0.waitingPerSite = 4
            $0.runningPerSite = 1
        }
        for id in UInt64(1)...4 { _ = queue.enter(Int(id), id: id, host: "x\(id)", site: "s", client: Self.network(1)) }
        let first = queue.enter(5, id: 5, host: "y5", site: "s", client: Self.network(2))
        #expect(first.step == .wait && first.displaced == [1])
        let exempt = queue.enter(6, id: 6, host: "z6", site: "s", client: nil)
        #expect(exempt.step == .wait && exempt.displaced == [2])
        let second = queue.enter(7, id: 7, host: "y7", site: "s", client: Self.network(2))
        #expect(second.step == .overloaded && second.displaced.isEmpty)
        #expect(queue.waiters == 4)
        // What has given way is not looked up; what runs goes on, though its client was told.
        let next = queue.start("x1")
        #expect(next == .abandoned(next: ["x3"]))
    }

    @Test func aNetworkOverItsBoundDisplacesItself() {
        var queue = Self.queue {
            $0.waitingPerClient = 2
            $0.runningPerClient = 1
        }
        let other = queue.enter(1, id: 1, host: "o", site: "s", client: Self.network(2))
        #expect(other.step == .start)
        for id in UInt64(2)...3 { _ = queue.enter(Int(id), id: id, host: "x\(id)", site: "s", client: Self.network(1)) }
        let more = queue.enter(4, id: 4, host: "x4", site: "s", client: Self.network(1))
        #expect(more.step == .wait && more.displaced == [2])
        #expect(queue.waiters == 3)
    }
}
