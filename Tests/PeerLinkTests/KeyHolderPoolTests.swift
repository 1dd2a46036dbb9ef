import KeyProtocol
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL
import PrivateAuthority
import Testing

@testable import PeerLink

@Suite(.timeLimit(.minutes(1))) struct KeyHolderPoolTests {
    private let group = MultiThreadedEventLoopGroup.singleton
    private let fleet: TestFleet

    init() throws { self.fleet = try TestFleet() }

    /// One pool on one event loop, driven from a test.
    private struct Driver {
        let pool: NIOLoopBound<KeyHolderPool>

        func ask(_ message: KeyMessage = KeyMessage(opcode: .custom)) async throws -> String {
            let answer = try await self.pool.eventLoop.flatSubmit { self.pool.value.request(message) }.get()
            return String(buffer: answer.payload)
        }

        func stop() async throws { try await self.pool.eventLoop.submit { self.pool.value.stop() }.get() }
    }

    private func driver(
        _ addresses: [PeerAddress], credentials: PeerCredentials? = nil, deadline: TimeAmount = .seconds(5),
        adjust: @escaping @Sendable (inout KeyHolderPool.Configuration) -> Void = { _ in }
    ) async throws -> Driver {
        let tls = try (credentials ?? self.fleet.credentials(.edge, "paris")).clientContext()
        let expected = try PeerIdentity(role: .keyholder, name: "home")
        let loop = self.group.next()
        return try await loop.submit {
            var configuration = KeyHolderPool.Configuration(expected: expected, addresses: addresses)
            configuration.deadline = deadline
            adjust(&configuration)
            let pool = KeyHolderPool(
                configuration: configuration, tls: tls, eventLoop: loop,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            pool.start()
            return Driver(pool: NIOLoopBound(pool, eventLoop: loop))
        }.get()
    }

    private func failure(of body: () async throws -> String) async -> String? {
        do {
            _ = try await body()
            return nil
        } catch {
            return (error as? LinkFailure)?.label
        }
    }

    @Test func asksAndGetsAnswered() async throws {
        let home = try await FakeKeyHolder.start(self.fleet.credentials(.keyholder, "home"), on: self.group) {
            $0.opcode == .ping ? FakeKeyHolder.pong : FakeKeyHolder.success("signed")
        }
        let driver = try await self.driver([home.address])
        // The link is not up yet: the request waits for it.
        #expect(try await driver.ask() == "signed")
        try await driver.stop()
        try await home.stop()
    }

    /// `localhost` is ::1 and 127.0.0.1 on most machines; the key holder listens on one of them only.
    @Test func aNameIsReachedThoughOneOfItsAddressesIsDead() async throws {
        let home = try await FakeKeyHolder.start(self.fleet.credentials(.keyholder, "home"), on: self.group) {
            $0.opcode == .ping ? FakeKeyHolder.pong : FakeKeyHolder.success("signed")
        }
        let driver = try await self.driver([PeerAddress(host: "localhost", port: home.address.port)])
        #expect(try await driver.ask() == "signed")
        try await driver.stop()
        try await home.stop()
    }

    @Test func aRefusalIsFinalAndKeepsTheLink() async throws {
        let asked = NIOLockedValueBox(0)
        let home = try await FakeKeyHolder.start(self.fleet.credentials(.keyholder, "home"), on: self.group) {
            if $0.opcode == .ping { return FakeKeyHolder.pong }
            let count = asked.withLockedValue {
                $0 += 1
                return $0
            }
            if count == 1 {
                return KeyMessage(
                    opcode: .error, payload: ByteBuffer(bytes: [KeyErrorCode.keyNotFound.rawValue]))
            }
            return FakeKeyHolder.success("yes")
        }
        let driver = try await self.driver([home.address])
        #expect(await self.failure { try await driver.ask() } == "refused")
        #expect(try await driver.ask() == "yes")
        try await driver.stop()
        try await home.stop()
    }

    /// One that refuses at once is the fastest of all.
    @Test func aKeyHolderThatCannotDoItsWorkDrawsNone() async throws {
        let asked = NIOLockedValueBox(0)
        let broken = try await FakeKeyHolder.start(self.fleet.credentials(.keyholder, "home"), on: self.group) {
            if $0.opcode == .ping { return FakeKeyHolder.pong }
            asked.withLockedValue { $0 += 1 }
            return KeyMessage(opcode: .error, payload: ByteBuffer(bytes: [KeyErrorCode.internalError.rawValue]))
        }
        let good = try await FakeKeyHolder.start(self.fleet.credentials(.keyholder, "home"), on: self.group) {
            if $0.opcode == .ping { return FakeKeyHolder.pong }
            // Work takes time.
            let end = ContinuousClock.now + .milliseconds(2)
            while ContinuousClock.now < end {}
            return FakeKeyHolder.success("good")
        }
        let driver = try await self.driver([broken.address, good.address])
        var answer: String?
        while answer != "good" {
            answer = try? await driver.ask()
            try await Task.sleep(for: .milliseconds(5))
        }
        asked.withLockedValue { $0 = 0 }
        let begin = ContinuousClock.now
        for _ in 0..<100 { #expect(try await driver.ask() == "good") }
        let seconds = (ContinuousClock.now - begin) / .seconds(1)
        #expect(Double(asked.withLockedValue { $0 }) <= 2 + seconds)
        try await driver.stop()
        try await broken.stop()
        try await good.stop()
    }

    @Test func aSilentKeyHolderIsLeftForAnother() async throws {
        let silent = try await FakeKeyHolder.start(self.fleet.credentials(.keyholder, "home"), on: self.group) { _ in
            nil
        }
        let good = try await FakeKeyHolder.start(self.fleet.credentials(.keyholder, "home"), on: self.group) {
            $0.opcode == .ping ? FakeKeyHolder.pong : FakeKeyHolder.success("good")
        }
        let driver = try await self.driver([silent.address, good.address], deadline: .seconds(2))
        for _ in 0..<4 { #expect(try await driver.ask() == "good") }
        try await driver.stop()
        try await silent.stop()
        try await good.stop()
    }

    @Test func aKeyHolderThatHangsUpIsLeftForAnother() async throws {
        let rude = try await FakeKeyHolder.start(self.fleet.credentials(.keyholder, "home"), on: self.group) {
            $0.opcode == .ping ? FakeKeyHolder.pong : FakeKeyHolder.hangUp
        }
        let good = try await FakeKeyHolder.start(self.fleet.credentials(.keyholder, "home"), on: self.group) {
            $0.opcode == .ping ? FakeKeyHolder.pong : FakeKeyHolder.success("good")
        }
        let driver = try await self.driver([rude.address, good.address])
        for _ in 0..<4 { #expect(try await driver.ask() == "good") }
        try await driver.stop()
        try await rude.stop()
        try await good.stop()
    }

    @Test func withoutAnyKeyHolderRequestsEndAtTheirDeadline() async throws {
        // A port that was free a moment ago, and is closed now.
        let gone = try await FakeKeyHolder.start(self.fleet.credentials(.keyholder, "home"), on: self.group) { _ in
            nil
        }
        try await gone.stop()
        let driver = try await self.driver([gone.address], deadline: .milliseconds(200))
        #expect(await self.failure { try await driver.ask() } == "not-connected")
        try await driver.stop()
    }

    @Test func aKeyHolderThatComesBackIsUsedAgain() async throws {
        let credentials = try self.fleet.credentials(.keyholder, "home")
        let gone = try await FakeKeyHolder.start(credentials, on: self.group) { _ in nil }
        try await gone.stop()
        let driver = try await self.driver([gone.address], deadline: .seconds(10))
        async let answer = driver.ask()
        let back = try await FakeKeyHolder.start(credentials, on: self.group, port: gone.address.port) {
            $0.opcode == .ping ? FakeKeyHolder.pong : FakeKeyHolder.success("back")
        }
        #expect(try await answer == "back")
        try await driver.stop()
        try await back.stop()
    }

    @Test func onlyTheRightPeerIsAsked() async throws {
        let other = try TestFleet()
        let cases: [PeerCredentials] = [
            // Another key holder of the fleet, an edge posing as one, and one of another fleet.
            try self.fleet.credentials(.keyholder, "elsewhere"),
            try self.fleet.credentials(.edge, "home"),
            try other.credentials(.keyholder, "home", trusting: self.fleet.authority),
        ]
        for credentials in cases {
            let asked = NIOLockedValueBox(0)
            let peer = try await FakeKeyHolder.start(credentials, on: self.group) { _ in
                asked.withLockedValue { $0 += 1 }
                return FakeKeyHolder.success("no")
            }
            let driver = try await self.driver([peer.address], deadline: .milliseconds(500))
            #expect(await self.failure { try await driver.ask() } == "not-connected")
            #expect(asked.withLockedValue { $0 } == 0)
            try await driver.stop()
            try await peer.stop()
        }
    }

    @Test func tooManyRequestsAreRefused() async throws {
        let silent = try await FakeKeyHolder.start(self.fleet.credentials(.keyholder, "home"), on: self.group) {
            if $0.opcode == .ping { return FakeKeyHolder.pong }
            return $0.function == "first" ? FakeKeyHolder.success("connected") : nil
        }
        let driver = try await self.driver([silent.address], deadline: .seconds(3)) { $0.inFlightLimit = 3 }
        // Once this is answered the others need not wait for the link.
        #expect(try await driver.ask(KeyMessage(opcode: .custom, function: "first")) == "connected")
        let labels = await withTaskGroup(of: String?.self) { tasks in
            for _ in 0..<8 { tasks.addTask { await self.failure { try await driver.ask() } } }
            return await tasks.reduce(into: []) { $0.append($1) }
        }
        // Three were asked for. The last to come may have found room for its next attempt and no time.
        #expect(labels.count { $0 == "timed-out" } >= 1)
        #expect(labels.count { $0 == "overloaded" } >= 4)
        #expect(!labels.contains(nil))
        try await driver.stop()
        try await silent.stop()
    }
}
