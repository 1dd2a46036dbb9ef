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
        var cache = ResolverCache(capacity: 2, lifetime: .seconds(30))
        cache.store(Self.one, for: "a", now: Self.start)
        #expect(cache.addresses(of: "a", now: Self.start + .seconds(29)) == Self.one)
        #expect(cache.addresses(of: "a", now: Self.start + .seconds(30)) == nil)
        #expect(cache.addresses(of: "b", now: Self.start) == nil)
    }

    @Test func fullCacheDropsWhatExpiresFirst() {
        var cache = ResolverCache(capacity: 2, lifetime: .seconds(30))
        cache.store(Self.one, for: "a", now: Self.start)
        cache.store(Self.one, for: "b", now: Self.start + .seconds(1))
        cache.store(Self.one, for: "c", now: Self.start + .seconds(2))
        #expect(cache.count == 2)
        #expect(cache.addresses(of: "a", now: Self.start + .seconds(2)) == nil)
        #expect(cache.addresses(of: "b", now: Self.start + .seconds(2)) == Self.one)
        #expect(cache.addresses(of: "c", now: Self.start + .seconds(2)) == Self.one)
    }

    @Test func expiredAnswersMakeRoomTogether() {
        var cache = ResolverCache(capacity: 2, lifetime: .seconds(30))
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
        let first = resolver.resolve("a.test", on: self.loop, now: .now())
        let second = resolver.resolve("a.test", on: self.loop, now: .now())
        gate.isOpen.withLock { $0 = true }
        #expect(try await first.get() == [.v4(7)])
        #expect(try await second.get() == [.v4(7)])
        #expect(try await resolver.resolve("a.test", on: self.loop, now: .now()).get() == [.v4(7)])
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
        let first = resolver.resolve("a.test", on: self.loop, now: .now())
        await #expect(throws: ResolveError.tooManyLookups) {
            try await resolver.resolve("b.test", on: self.loop, now: .now()).get()
        }
        gate.isOpen.withLock { $0 = true }
        #expect(try await first.get() == [.v4(7)])
        #expect(try await resolver.resolve("b.test", on: self.loop, now: .now()).get() == [.v4(7)])
    }

    @Test func failuresAreNotRemembered() async throws {
        let calls = Mutex(0)
        let resolver = NameResolver(lookup: { host throws(ResolveError) in
            let call = calls.withLock { calls in
                calls += 1
                return calls
            }
            switch call {
            case 1: throw .failed("try again")
            case 2: return []
            default: return [.v4(7)]
            }
        })
        defer { resolver.shutdown() }
        await #expect(throws: ResolveError.failed("try again")) {
            try await resolver.resolve("a.test", on: self.loop, now: .now()).get()
        }
        await #expect(throws: ResolveError.noSuchName) {
            try await resolver.resolve("a.test", on: self.loop, now: .now()).get()
        }
        #expect(try await resolver.resolve("a.test", on: self.loop, now: .now()).get() == [.v4(7)])
    }

    @Test func systemFindsLocalhost() async throws {
        let addresses = try await blocking { try NameResolver.systemLookup("localhost") }
        #expect(addresses.contains { AddressPolicy.classify($0) == .loopback })
        #expect(Set(addresses).count == addresses.count)
    }
}
