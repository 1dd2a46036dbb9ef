import KeyProtocol
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import PrivateAuthority
import Testing

@testable import PeerLink

/// Several addresses of a key holder as one: hedges, what is taken back, and one that goes silent.
@Suite(.serialized, .timeLimit(.minutes(1))) struct KeyHolderHedgingTests {
    private let group = MultiThreadedEventLoopGroup.singleton
    private let fleet: TestFleet

    init() throws { self.fleet = try TestFleet() }

    /// A key holder that says its name for each request, until it is told to be silent.
    private final class Holder: Sendable {
        struct State {
            var answersWork = true
            var answersPings = true
            var hedges = 0
            var cancels = 0
            var requests = 0
        }

        let state = NIOLockedValueBox(State())

        func start(_ name: String, _ fleet: TestFleet, on group: any EventLoopGroup) async throws -> FakeKeyHolder {
            try await FakeKeyHolder.start(fleet.credentials(.keyholder, "home"), on: group) { message in
                self.state.withLockedValue { state in
                    switch message.opcode {
                    case .ping: return state.answersPings ? FakeKeyHolder.pong : nil
                    case .cancel:
                        state.cancels += 1
                        return nil
                    default: break
                    }
                    state.requests += 1
                    if message.isHedge { state.hedges += 1 }
                    return state.answersWork ? FakeKeyHolder.success(name) : nil
                }
            }
        }
    }

    private struct Stage {
        let holders: [Holder]
        let servers: [FakeKeyHolder]
        let pool: NIOLoopBound<KeyHolderPool>

        func ask(isSignature: Bool = true, preferring: Set<Int>? = nil) async throws -> String {
            let answer = try await self.pool.eventLoop.flatSubmit {
                self.pool.value.request(
                    KeyMessage(opcode: .custom), preferring: preferring, isSignature: isSignature)
            }.get()
            return String(buffer: answer.payload)
        }

        /// What so many get that ask at the same time.
        func answers(_ count: Int, isSignature: Bool = true) async throws -> Set<String> {
            try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<count { group.addTask { try await self.ask(isSignature: isSignature) } }
                return try await group.reduce(into: []) { $0.insert($1) }
            }
        }

        func states() async throws -> [AddressHealth.State] {
            try await self.pool.eventLoop.submit {
                self.pool.value.tellHealth()
                return self.pool.value.health.told.map(\.state)
            }.get()
        }

        /// Waits until the addresses are so; the suite's time limit ends it.
        func wait(for states: [AddressHealth.State]) async throws {
            while try await self.states() != states { try await Task.sleep(for: .milliseconds(5)) }
        }

        func stop() async throws {
            try await self.pool.eventLoop.submit { self.pool.value.stop() }.get()
            for server in self.servers { try await server.stop() }
        }
    }

    private func stage(hedge: Double = 0.05) async throws -> Stage {
        let holders = [Holder(), Holder()]
        let servers = [
            try await holders[0].start("a", self.fleet, on: self.group),
            try await holders[1].start("b", self.fleet, on: self.group),
        ]
        let tls = try self.fleet.credentials(.edge, "paris").clientContext()
        let expected = try PeerIdentity(role: .keyholder, name: "home")
        let loop = self.group.next()
        let pool = try await loop.submit {
            var configuration = KeyHolderPool.Configuration(expected: expected, addresses: servers.map(\.address))
            configuration.deadline = .seconds(8)
            configuration.hedge = hedge
            let pool = KeyHolderPool(
                configuration: configuration, tls: tls, eventLoop: loop,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            pool.start()
            return NIOLoopBound(pool, eventLoop: loop)
        }.get()
        let stage = Stage(holders: holders, servers: servers, pool: pool)
        try await stage.wait(for: [.ready, .ready])
        // A measure of what answers take, and a budget.
        for _ in 0..<100 { _ = try await stage.ask() }
        // The second one is the farther one, so that the first one is asked first however the machine's load falls.
        try await loop.submit {
            pool.value.selection.sent(1, now: KeyHolderPool.now)
            pool.value.selection.answered(1, after: 100_000_000_000, now: KeyHolderPool.now)
        }.get()
        return stage
    }

    @Test func aSlowSignatureIsAskedForElsewhereAndTakenBack() async throws {
        let stage = try await self.stage()
        stage.holders[0].state.withLockedValue { $0.answersWork = false }
        #expect(try await stage.answers(8) == ["b"])
        #expect(stage.holders[1].state.withLockedValue { $0.hedges } > 0)
        #expect(stage.holders[0].state.withLockedValue { $0.hedges } == 0)
        try await eventually { stage.holders[0].state.withLockedValue { $0.cancels } > 0 }
        try await stage.stop()
    }

    @Test func thereIsNoHedgeWithoutBudgetNorOfAnythingElse() async throws {
        let stage = try await self.stage(hedge: 0)
        stage.holders[0].state.withLockedValue { $0.answersWork = false }
        for isSignature in [true, false] { #expect(try await stage.answers(8, isSignature: isSignature) == ["b"]) }
        #expect(stage.holders[1].state.withLockedValue { $0.hedges } == 0)
        try await stage.stop()
    }

    @Test func oneThatAnswersPingsIsNotLeftForItsSlowWork() async throws {
        let stage = try await self.stage(hedge: 0)
        stage.holders[0].state.withLockedValue { $0.answersWork = false }
        let before = ContinuousClock.now
        #expect(try await stage.answers(8, isSignature: false) == ["b"])
        // It had half of the deadline.
        #expect(ContinuousClock.now - before > .milliseconds(3500))
        try await stage.stop()
    }

    @Test func oneThatGoesSilentIsLeftBeforeTheDeadlineAndComesBack() async throws {
        let stage = try await self.stage(hedge: 0)
        stage.holders[0].state.withLockedValue {
            $0.answersWork = false
            $0.answersPings = false
        }
        let before = ContinuousClock.now
        // Begins, which are never hedged.
        #expect(try await stage.answers(8, isSignature: false) == ["b"])
        // Half of the deadline would be 4 s.
        #expect(ContinuousClock.now - before < .milliseconds(3500))
        #expect(try await stage.states() == [.silent, .ready])
        stage.holders[0].state.withLockedValue {
            $0.answersWork = true
            $0.answersPings = true
        }
        try await stage.wait(for: [.ready, .ready])
        try await stage.stop()
    }

    @Test func whatOneAloneHasIsAskedThere() async throws {
        let stage = try await self.stage()
        for index in [0, 1] {
            for _ in 0..<4 { #expect(try await stage.ask(preferring: [index]) == (index == 0 ? "a" : "b")) }
        }
        // Where it is gone, the other one may sign all the same.
        stage.holders[0].state.withLockedValue {
            $0.answersWork = false
            $0.answersPings = false
        }
        #expect(try await stage.ask(preferring: [0]) == "b")
        try await stage.stop()
    }
}
