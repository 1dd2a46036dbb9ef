import Admission
import NIOCore
import NIOPosix
import Synchronization
import TestSockets
import Testing

@testable import Edge

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
        let first = resolver.resolve("a.test", site: "s", on: self.loop, now: .now()).addresses
        let second = resolver.resolve("a.test", site: "s", on: self.loop, now: .now()).addresses
        gate.isOpen.withLock { $0 = true }
        #expect(try await first.get() == [.v4(7)])
        #expect(try await second.get() == [.v4(7)])
        #expect(try await resolver.resolve("a.test", site: "s", on: self.loop, now: .now()).addresses.get() == [.v4(7)])
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
        let first = resolver.resolve("a.test", site: "s", on: self.loop, now: .now()).addresses
        await #expect(throws: ResolveError.tooManyLookups) {
            try await resolver.resolve("b.test", site: "s", on: self.loop, now: .now()).addresses.get()
        }
        gate.isOpen.withLock { $0 = true }
        #expect(try await first.get() == [.v4(7)])
        #expect(try await resolver.resolve("b.test", site: "s", on: self.loop, now: .now()).addresses.get() == [.v4(7)])
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
                try await resolver.resolve("a.test", site: "s", on: self.loop, now: .now()).addresses.get()
            }
            await #expect(throws: ResolveError.noSuchName) {
                try await resolver.resolve("b.test", site: "s", on: self.loop, now: .now()).addresses.get()
            }
        }
        #expect(calls.withLock { $0 } == ["a.test", "b.test"])
        let later = resolver.resolve("a.test", site: "s", on: self.loop, now: .now() + .hours(2)).addresses
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
            resolver.resolve("\($0).slow.test", site: "*.slow.test", on: self.loop, now: .now())
        }
        // Hangs if the slow names have all threads.
        let other = resolver.resolve("a.test", site: "a.test", on: self.loop, now: .now()).addresses
        #expect(try await other.get() == [.v4(7)])
        #expect(gate.calls.withLock { $0 } <= 4)
        gate.isOpen.withLock { $0 = true }
        for request in slow { #expect(try await request.addresses.get() == [.v4(7)]) }
        #expect(gate.calls.withLock { $0 } == 100)
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
        let first = resolver.resolve("a.test", site: "s", on: self.loop, now: .now())
        let second = resolver.resolve("b.test", site: "s", on: self.loop, now: .now())
        resolver.cancel(second)
        await #expect(throws: CancellationError.self) { try await second.addresses.get() }
        let third = resolver.resolve("c.test", site: "s", on: self.loop, now: .now())
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
        func enter(_ host: String, _ site: String) -> Queue.Entry {
            lastID += 1
            return queue.enter(Int(lastID), id: lastID, host: host, site: site)
        }
        #expect(enter("a", "s") == .start)
        #expect(enter("b", "s") == .wait)
        #expect(enter("a", "s") == .wait)
        #expect(enter("c", "s") == .overloaded)
        #expect(enter("x", "t") == .start)
        #expect(enter("y", "t") == .overloaded)
        let first = queue.finish("a")
        #expect(first.waiters.sorted() == [1, 3] && first.next == "b")
        #expect(enter("c", "s") == .wait)
        let second = queue.finish("b")
        #expect(second.waiters == [2] && second.next == "c")
    }

    @Test func namesThatNobodyWaitsForAreNotLookedUp() {
        var queue = Self.queue { $0.runningPerSite = 1 }
        _ = queue.enter(1, id: 1, host: "a", site: "s")
        _ = queue.enter(2, id: 2, host: "b", site: "s")
        _ = queue.enter(3, id: 3, host: "c", site: "s")
        let (a, b, again) = (
            queue.leave(id: 1, host: "a"), queue.leave(id: 2, host: "b"), queue.leave(id: 2, host: "b")
        )
        #expect(a == 1 && b == 2 && again == nil)
        let start = queue.start("a")
        #expect(start == .abandoned(next: "c"))
        let next = queue.start("c")
        #expect(next == .lookUp)
        let last = queue.finish("c")
        #expect(last.waiters == [3] && last.next == nil)
        let fresh = queue.enter(4, id: 4, host: "a", site: "s")
        #expect(fresh == .start)
    }
}
