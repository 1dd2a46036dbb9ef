import KeyProtocol
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL
import PrivateAuthority
import TestLogs
import Testing

@testable import PeerLink

/// Leases and probes over links, with key holders whose answers the test decides.
@Suite(.timeLimit(.minutes(1))) struct LeaseLinkTests {
    private let group = MultiThreadedEventLoopGroup.singleton
    private let fleet: TestFleet

    init() throws { self.fleet = try TestFleet() }

    /// One pool on one event loop, what it hears of leases, and what it logs.
    private struct Bench {
        let pool: NIOLoopBound<KeyHolderPool>
        let news: Lines
        let log: Lines

        func ask(_ function: String = "sign", excluding: Set<Int> = []) async throws -> String {
            let message = KeyMessage(opcode: .custom, function: function)
            let answer = try await self.pool.eventLoop.flatSubmit {
                self.pool.value.request(message, excluding: excluding)
            }.get()
            return String(buffer: answer.payload)
        }

        func failure(_ function: String = "sign") async -> String? {
            do {
                _ = try await self.ask(function)
                return nil
            } catch {
                return (error as? LinkFailure)?.label
            }
        }

        func stop() async throws { try await self.pool.eventLoop.submit { self.pool.value.stop() }.get() }
    }

    private func bench(_ addresses: [PeerAddress], deadline: TimeAmount = .seconds(5)) async throws -> Bench {
        let tls = try self.fleet.credentials(.edge, "paris").clientContext()
        let expected = try PeerIdentity(role: .keyholder, name: "home")
        let loop = self.group.next()
        let (news, log) = (Lines(), Lines())
        return try await loop.submit {
            var configuration = KeyHolderPool.Configuration(expected: expected, addresses: addresses)
            configuration.deadline = deadline
            configuration.probeInterval = .milliseconds(100)
            let pool = KeyHolderPool(
                configuration: configuration, tls: tls, eventLoop: loop,
                logger: Logger(label: "test") { _ in LineLog(lines: log) })
            pool.onLease { address, item in
                switch item {
                case .renewed(let lease, let changed):
                    news.add("\(address) renewed \(lease.nanoseconds / 1_000_000) \(changed)")
                case .ended(let failure): news.add("\(address) ended \(failure.label)")
                case .disconnected: news.add("\(address) disconnected")
                }
            }
            pool.start()
            return Bench(pool: NIOLoopBound(pool, eventLoop: loop), news: news, log: log)
        }.get()
    }

    private func holder(
        leases: FakeKeyHolder.Leases = .granting, _ behaviour: @escaping FakeKeyHolder.Behaviour
    ) async throws -> FakeKeyHolder {
        try await FakeKeyHolder.start(
            self.fleet.credentials(.keyholder, "home"), on: self.group, leases: leases, behaviour: behaviour)
    }

    private static func refusal(_ code: KeyErrorCode) -> KeyMessage {
        KeyMessage(opcode: .error, payload: ByteBuffer(bytes: [code.rawValue]))
    }

    // MARK: Leases

    @Test func aLeaseIsAskedForBeforeAnythingElseAndThenHeld() async throws {
        let asked = Lines()
        let home = try await self.holder(leases: .decided) { message in
            asked.add(message.function ?? "ping")
            guard message.function == KeyFunction.lease.rawValue else {
                return message.opcode == .ping ? FakeKeyHolder.pong : FakeKeyHolder.success("signed")
            }
            #expect(message.deadline ?? 0 > 0)
            let known = try? LeaseRequest(decoding: message.payload).generation
            return known == 0 ? FakeKeyHolder.lease(600_000, 7) : nil
        }
        let bench = try await self.bench([home.address])
        #expect(try await bench.ask() == "signed")
        #expect(asked.all.first == KeyFunction.lease.rawValue)
        try await eventually { asked.all.filter { $0 == KeyFunction.lease.rawValue }.count == 2 }
        #expect(bench.news.all == ["0 renewed 600000 true"])
        try await bench.stop()
        try await home.stop()
    }

    @Test func answersWithoutAnythingNewAreNoReasonToAskInACircle() async throws {
        let asked = Lines()
        let home = try await self.holder(leases: .decided) { message in
            guard message.function == KeyFunction.lease.rawValue else { return FakeKeyHolder.pong }
            asked.add("lease")
            return FakeKeyHolder.lease(600_000, 7)
        }
        let bench = try await self.bench([home.address])
        try await Task.sleep(for: .milliseconds(2500))
        #expect((3...5).contains(asked.all.count))
        #expect(bench.news.all.first == "0 renewed 600000 true")
        #expect(bench.news.all.dropFirst().allSatisfy { $0 == "0 renewed 600000 false" })
        try await bench.stop()
        try await home.stop()
    }

    /// 2,700 times in 106 s, once.
    @Test func anEdgeWithoutAGrantComesBackSeldom() async throws {
        let home = try await self.holder(leases: .decided) { _ in Self.refusal(.noGrant) }
        let bench = try await self.bench([home.address])
        try await Task.sleep(for: .seconds(3))
        #expect((1...3).contains(home.connectionCount))
        #expect(Set(bench.news.all) == ["0 ended no-grant"])
        // One warning, though it happened more than once.
        #expect(bench.log.all.count { $0.hasPrefix("warning key holder is down") && $0.contains("has no grant") } == 1)
        try await bench.stop()
        try await home.stop()
    }

    @Test func aKeyHolderOfTheFormerRevisionIsNotAskedAnythingAndTheLogSaysWhatToUpgrade() async throws {
        let asked = Lines()
        let home = try await self.holder(leases: .decided) { message in
            asked.add(message.function ?? "ping")
            if message.opcode == .ping { return FakeKeyHolder.pong }
            // What a key holder answers to a function that it does not know.
            return message.function == KeyFunction.lease.rawValue
                ? Self.refusal(.badOpcode) : FakeKeyHolder.success("signed")
        }
        let bench = try await self.bench([home.address], deadline: .milliseconds(500))
        #expect(await bench.failure() == "not-connected")
        #expect(Set(asked.all) == [KeyFunction.lease.rawValue])
        #expect(bench.news.all.first == "0 ended former-revision")
        #expect(
            bench.log.all.contains {
                $0.hasPrefix("warning key holder is down") && $0.contains("upgrade the key holder")
            })
        #expect(home.connectionCount == 1)
        try await bench.stop()
        try await home.stop()
    }

    @Test func aGrantThatIsWithdrawnEndsRequestsUnderWayAtOnce() async throws {
        let home = try await self.holder { message in
            switch message.function {
            case "withdraw": Self.refusal(.noGrant)
            case nil: FakeKeyHolder.pong
            default: nil
            }
        }
        let bench = try await self.bench([home.address])
        async let waiting = bench.failure("slow")
        try await Task.sleep(for: .milliseconds(200))
        let start = NIODeadline.now()
        #expect(await bench.failure("withdraw") == "no-grant")
        #expect(await waiting == "no-grant")
        #expect(NIODeadline.now() - start < .seconds(2))
        #expect(bench.news.all == ["0 renewed 600000 true", "0 disconnected", "0 ended no-grant"])
        try await bench.stop()
        try await home.stop()
    }

    @Test(arguments: [KeyErrorCode.keyNotFound, .certificateNotFound, .noGrant, .rateLimited, .overloaded])
    func whatOneKeyHolderRefusesAnotherMayGrant(_ code: KeyErrorCode) async throws {
        let one = try await self.holder { $0.opcode == .ping ? FakeKeyHolder.pong : Self.refusal(code) }
        let two = try await self.holder { $0.opcode == .ping ? FakeKeyHolder.pong : FakeKeyHolder.success("two") }
        let bench = try await self.bench([one.address, two.address])
        try await eventually { bench.news.all.count == 2 }
        for _ in 0..<4 { #expect(try await bench.ask() == "two") }
        try await bench.stop()
        try await one.stop()
        try await two.stop()
    }

    @Test func anAddressThatIsExcludedIsNotAsked() async throws {
        let one = try await self.holder { $0.opcode == .ping ? FakeKeyHolder.pong : FakeKeyHolder.success("one") }
        let two = try await self.holder { $0.opcode == .ping ? FakeKeyHolder.pong : FakeKeyHolder.success("two") }
        let bench = try await self.bench([one.address, two.address])
        try await eventually { bench.news.all.count == 2 }
        for _ in 0..<6 {
            #expect(try await bench.ask(excluding: [0]) == "two")
            #expect(try await bench.ask(excluding: [1]) == "one")
        }
        try await bench.stop()
        try await one.stop()
        try await two.stop()
    }

    // MARK: Probes

    /// The key holder answers what it is asked, and is much too late with its pongs.
    @Test func aLinkThatDeliversIsNotCutHoweverLateItsPongsAre() async throws {
        let home = try await self.holder { $0.opcode == .ping ? nil : FakeKeyHolder.success("signed") }
        let bench = try await self.bench([home.address], deadline: .milliseconds(200))
        let end = NIODeadline.now() + .seconds(3)
        while NIODeadline.now() < end {
            #expect(try await bench.ask() == "signed")
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(home.connectionCount == 1)
        #expect(!bench.log.all.contains { $0.contains("key holder is down") })
        try await bench.stop()
        try await home.stop()
    }

    @Test func aLinkOverWhichNothingComesIsCutAndTheLogSaysByWhom() async throws {
        let home = try await self.holder { _ in nil }
        let bench = try await self.bench([home.address], deadline: .milliseconds(200))
        try await eventually { home.connectionCount >= 2 }
        let line = bench.log.all.first { $0.contains("key holder is down") }
        #expect(line?.contains("this edge closed the link: nothing came over it for") == true)
        #expect(line?.contains("3 pings went unanswered") == true)
        #expect(line?.contains("the key holder closed") == false)
        try await bench.stop()
        try await home.stop()
    }

    @Test func whoeverClosesIsNamed() async throws {
        let home = try await self.holder { $0.opcode == .ping ? FakeKeyHolder.pong : FakeKeyHolder.hangUp }
        let bench = try await self.bench([home.address], deadline: .milliseconds(500))
        _ = await bench.failure()
        #expect(
            bench.log.all.contains {
                $0.contains("key holder is down") && $0.contains("the key holder closed the connection")
            })
        try await bench.stop()
        try await home.stop()
    }
}
