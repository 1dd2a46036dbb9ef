import Glibc
import KeyProtocol
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL
import PrivateAuthority
import TLSWire
import Testing

@testable import PeerLink

/// Handshakes that live on one link.
@Suite(.timeLimit(.minutes(1))) struct HandshakeLinkTests {
    private let group = MultiThreadedEventLoopGroup.singleton
    private let fleet: TestFleet
    private let name: ServerName

    init() throws {
        self.fleet = try TestFleet()
        self.name = try ServerName("www.example.test")
    }

    /// What a key holder was asked, in order.
    private final class Asked: Sendable {
        private let box = NIOLockedValueBox<[String]>([])
        var all: [String] { self.box.withLockedValue { $0 } }
        func note(_ message: KeyMessage) {
            let function = message.function?.split(separator: "-").last.map(String.init) ?? ""
            self.box.withLockedValue { $0.append("\(function) \(message.payload.readableBytes)") }
        }
    }

    private func holder(
        _ asked: Asked, answering: @escaping @Sendable (KeyFunction?, KeyMessage) -> KeyMessage?
    ) async throws -> FakeKeyHolder {
        try await FakeKeyHolder.start(self.fleet.credentials(.keyholder, "home"), on: self.group) { message in
            if message.opcode == .ping { return FakeKeyHolder.pong }
            asked.note(message)
            return answering(message.function.flatMap(KeyFunction.init(rawValue:)), message)
        }
    }

    private static func progress(_ handshake: UInt64 = 1, _ bytes: String = "flight") -> KeyMessage? {
        let progress = HandshakeProgress(
            handshake: handshake, state: .needsMore, serverBytes: ByteBuffer(string: bytes))
        return (try? progress.encoded()).map { KeyMessage(opcode: .success, payload: $0) }
    }

    private func pool(
        _ addresses: [PeerAddress], deadline: TimeAmount = .seconds(5)
    ) async throws -> NIOLoopBound<KeyHolderPool> {
        let tls = try self.fleet.credentials(.edge, "paris").clientContext()
        let expected = try PeerIdentity(role: .keyholder, name: "home")
        let loop = self.group.next()
        return try await loop.submit {
            var configuration = KeyHolderPool.Configuration(expected: expected, addresses: addresses)
            configuration.deadline = deadline
            let pool = KeyHolderPool(
                configuration: configuration, tls: tls, eventLoop: loop,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            pool.start()
            return NIOLoopBound(pool, eventLoop: loop)
        }.get()
    }

    private func begin(_ pool: NIOLoopBound<KeyHolderPool>) async throws -> (HandshakeProgress, HandshakeLink) {
        let begin = HandshakeBegin(applicationProtocols: ["http/1.1"], clientBytes: ByteBuffer(string: "hello"))
        let name = self.name
        return try await pool.eventLoop.flatSubmit {
            pool.value.beginHandshake(begin, name: name, clientIP: [127, 0, 0, 1])
        }.get()
    }

    private func proceed(
        _ link: HandshakeLink, on pool: NIOLoopBound<KeyHolderPool>, _ text: String = "more"
    ) async throws -> HandshakeProgress {
        try await pool.eventLoop.flatSubmit { link.continueHandshake(ByteBuffer(string: text)) }.get()
    }

    private func label(of body: () async throws -> Void) async -> String? {
        do {
            try await body()
            return nil
        } catch {
            return (error as? LinkFailure)?.label
        }
    }

    private func stop(_ pool: NIOLoopBound<KeyHolderPool>) async throws {
        try await pool.eventLoop.submit { pool.value.stop() }.get()
    }

    @Test func goesOnOverTheLinkThatAnswered() async throws {
        let asked = [Asked(), Asked()]
        var holders: [FakeKeyHolder] = []
        for asked in asked {
            holders.append(
                try await self.holder(asked) { function, _ in
                    function == .handshakeForget ? FakeKeyHolder.success("") : Self.progress()
                })
        }
        let pool = try await self.pool(holders.map(\.address))
        for round in 1...8 {
            let before = asked.map(\.all.count)
            let (progress, link) = try await self.begin(pool)
            #expect(progress.state == .needsMore)
            #expect(try await self.proceed(link, on: pool).serverBytes == ByteBuffer(string: "flight"))
            try await pool.eventLoop.submit { link.abandon() }.get()
            // Its answer is waited for by no caller, and what is asked next comes behind it.
            _ = try await self.proceed(link, on: pool)
            // Where an answer was late, one more forget may come in the next round.
            let news = zip(asked, before).map { $0.0.all.dropFirst($0.1).map { $0.prefix { $0 != "/" } } }
            let grown = news.filter { $0.count >= 4 }
            #expect(grown.count == 1, "round \(round)")
            #expect(grown.first?.filter { $0 != "forget" } == ["begin", "continue", "continue"])
            #expect(grown.first?.suffix(2) == ["forget", "continue"])
        }
        try await self.stop(pool)
        for holder in holders { try await holder.stop() }
    }

    @Test func beginMovesToAnotherKeyHolderAndContinueDoesNot() async throws {
        let (first, second) = (Asked(), Asked())
        let dying = try await self.holder(first) { function, _ in
            function == .handshakeBegin && first.all.count > 1 ? FakeKeyHolder.hangUp : FakeKeyHolder.hangUp
        }
        let good = try await self.holder(second) { function, message in
            function == .handshakeContinue ? FakeKeyHolder.hangUp : Self.progress()
        }
        let pool = try await self.pool([dying.address, good.address])
        let (_, link) = try await self.begin(pool)
        let label = await self.label { _ = try await self.proceed(link, on: pool) }
        #expect(label == "lost")
        #expect(first.all.allSatisfy { $0.hasPrefix("begin") })
        #expect(second.all.filter { $0.hasPrefix("continue") }.count == 1)
        try await self.stop(pool)
        try await dying.stop()
        try await good.stop()
    }

    @Test func aLinkThatWasReplacedIsNotTheSame() async throws {
        let asked = Asked()
        let holder = try await self.holder(asked) { function, message in
            if message.payload.readableBytes == 8 + 3 { return FakeKeyHolder.hangUp }
            return Self.progress()
        }
        let pool = try await self.pool([holder.address])
        let (_, old) = try await self.begin(pool)
        let (_, other) = try await self.begin(pool)
        // Ends the connection.
        #expect(await self.label { _ = try await self.proceed(other, on: pool, "end") } == "lost")
        // The next one is up.
        let (_, new) = try await self.begin(pool)
        let count = asked.all.count
        #expect(await self.label { _ = try await self.proceed(old, on: pool) } == "lost")
        #expect(try await pool.eventLoop.submit { old.isUp }.get() == false)
        try await pool.eventLoop.submit { old.abandon() }.get()
        _ = try await self.proceed(new, on: pool)
        // Neither the continuation nor the abandonment went anywhere.
        #expect(asked.all.count == count + 1)
        try await self.stop(pool)
        try await holder.stop()
    }

    @Test func abandoningSendsAnEmptyFinish() async throws {
        let asked = Asked()
        let holder = try await self.holder(asked) { _, _ in Self.progress() }
        let pool = try await self.pool([holder.address])
        let (_, link) = try await self.begin(pool)
        try await pool.eventLoop.submit { link.abandon() }.get()
        // Requests over one link keep their order.
        _ = try await self.proceed(link, on: pool)
        #expect(asked.all.map { $0.split(separator: " ").last } == ["15", "8", "12"])
        try await self.stop(pool)
        try await holder.stop()
    }

    @Test func answersThatMakeNoSense() async throws {
        let asked = Asked()
        let holder = try await self.holder(asked) { function, _ in
            switch function {
            case .handshakeBegin: asked.all.count == 1 ? FakeKeyHolder.success("no progress") : Self.progress(1)
            default: Self.progress(2)
            }
        }
        let pool = try await self.pool([holder.address])
        #expect(await self.label { _ = try await self.begin(pool) } == "bad-answer")
        let (_, link) = try await self.begin(pool)
        #expect(await self.label { _ = try await self.proceed(link, on: pool) } == "bad-answer")
        try await self.stop(pool)
        try await holder.stop()
    }

    /// A handshake that was begun too late is no caller's: the key holder must not keep it, nor its signature be for nothing
    /// more than once.
    @Test func aBeginThatIsAnsweredTooLateIsGivenUp() async throws {
        let asked = Asked()
        let apart = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let holder = try await FakeKeyHolder.start(self.fleet.credentials(.keyholder, "home"), on: apart) { message in
            if message.opcode == .ping { return FakeKeyHolder.pong }
            asked.note(message)
            // On the key holder's own event loop, so that the answer comes, but late.
            if asked.all.count == 1 { usleep(700_000) }
            return Self.progress(9)
        }
        let pool = try await self.pool([holder.address], deadline: .milliseconds(400))
        #expect(await self.label { _ = try await self.begin(pool) } == "timed-out")
        while asked.all.count < 2 { try await Task.sleep(for: .milliseconds(5)) }
        // Nothing but the handshake's number.
        #expect(asked.all.last == "forget/1 8")
        try await self.stop(pool)
        try await holder.stop()
        try await apart.shutdownGracefully()
    }

    @Test func silenceEndsAtTheDeadlineAndIsNotRepeated() async throws {
        let asked = Asked()
        let holder = try await self.holder(asked) { function, _ in
            function == .handshakeBegin ? Self.progress() : nil
        }
        let pool = try await self.pool([holder.address], deadline: .seconds(2))
        let (_, link) = try await self.begin(pool)
        #expect(await self.label { _ = try await self.proceed(link, on: pool) } == "timed-out")
        #expect(asked.all.filter { $0.hasPrefix("continue") }.count == 1)
        try await self.stop(pool)
        try await holder.stop()
    }
}
