import Logging
import NIOCore
import NIOPosix
import NIOSSL
import PrivateAuthority
import StreamWire
import TestLogs
import Testing

@testable import PeerLink

/// Streams over links, through real TLS on loopback.
@Suite(.serialized, .timeLimit(.minutes(2))) struct StreamLinkTests {
    private let fleet: TestFleet

    init() throws { self.fleet = try TestFleet() }

    private struct Opener: Sendable {
        let links: NIOLoopBound<StreamLinks>
        let loop: any EventLoop

        func open(
            _ first: String = "", reads: Bool = true, within time: TimeAmount = .seconds(60)
        ) async throws -> TestStream {
            let promise = self.loop.makePromise(of: TestStream.self)
            self.loop.execute {
                _ = self.links.value.open(
                    introduction: ByteBuffer(string: "client"), first: ByteBuffer(string: first), within: time
                ) { result in
                    promise.completeWith(
                        Result { try TestStream(try result.get(), reads: reads) })
                }
            }
            return try await promise.futureResult.get()
        }

        func warm() async throws { try await self.loop.submit { self.links.value.warm() }.get() }
        func rest() async throws { try await self.loop.submit { self.links.value.rest() }.get() }
        func stop() async throws { try await self.loop.submit { self.links.value.stop() }.get() }
    }

    /// - Parameter silence: long, so that a machine that stalls brings no link about that a test does not expect.
    private func opener(
        _ holders: [StreamHolder], logger: Logger? = nil, limits: StreamMachine.Limits = StreamMachine.Limits(),
        silence: TimeAmount = .seconds(60)
    ) async throws -> Opener {
        let tls = try self.fleet.credentials(.edge, "paris").clientContext(protocols: [StreamFrame.protocolName])
        let expected = try PeerIdentity(role: .keyholder, name: "home")
        let addresses = holders.map(\.address)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let logger = logger ?? Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        return try await loop.submit {
            var configuration = StreamLinks.Configuration(expected: expected, addresses: addresses)
            configuration.limits = limits
            configuration.silence = silence
            let links = StreamLinks(configuration, tls: tls, intake: nil, eventLoop: loop, logger: logger)
            return Opener(links: NIOLoopBound(links, eventLoop: loop), loop: loop)
        }.get()
    }

    private func holder(_ manner: StreamHolder.Manner = .echo) async throws -> StreamHolder {
        try await StreamHolder.start(self.fleet.credentials(.keyholder, "home"), manner)
    }

    @Test func aThousandStreamsGoOverOneHandshake() async throws {
        let holder = try await self.holder()
        let opener = try await self.opener([holder])
        // Fewer at once than what another link would be opened for.
        for _ in 0..<20 {
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<50 {
                    group.addTask {
                        let stream = try await opener.open("hello ")
                        try await stream.send(ByteBuffer(string: "world"))
                        try await stream.end()
                        let (count, last) = await stream.rest()
                        #expect(last == .ended)
                        return count
                    }
                }
                for try await count in group { #expect(count == 11) }
            }
        }
        #expect(holder.introductions.count == 1000)
        #expect(Set(holder.introductions) == ["client"])
        #expect(holder.handshakes == 1)
        try await opener.stop()
        try await holder.stop()
    }

    @Test func oneThatDoesNotReadHoldsNoOtherUp() async throws {
        let holder = try await self.holder(.sending(512 << 10))
        let opener = try await self.opener([holder])
        let slow = try await opener.open(reads: false)
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<100 {
                group.addTask {
                    let stream = try await opener.open()
                    let count = await stream.receive(512 << 10)
                    stream.close()
                    return count
                }
            }
            for try await count in group { #expect(count == 512 << 10) }
        }
        // And it goes on as soon as it does.
        try await slow.channel.setOption(.autoRead, value: true).get()
        #expect(await slow.receive(512 << 10) == 512 << 10)
        slow.close()
        try await opener.stop()
        try await holder.stop()
    }

    @Test func muchDataGoesBothWaysAtOnceAndEndsByHalves() async throws {
        let holder = try await self.holder()
        let opener = try await self.opener([holder])
        let stream = try await opener.open()
        async let answer = stream.rest()
        for _ in 0..<64 { try await stream.send(ByteBuffer(repeating: 7, count: 256 << 10)) }
        try await stream.end()
        let (count, last) = await answer
        #expect(count == 16 << 20)
        #expect(last == .ended)
        try await opener.stop()
        try await holder.stop()
    }

    @Test func aStreamThatIsBrokenOffIsResetAtTheOtherEnd() async throws {
        let holder = try await self.holder()
        let opener = try await self.opener([holder])
        let stream = try await opener.open("x")
        #expect(await stream.receive(1) == 1)
        try await stream.reset()
        let (_, last) = await stream.rest()
        #expect(last == .closed)
        // The link is as it was.
        let next = try await opener.open("y")
        #expect(await next.receive(1) == 1)
        #expect(holder.handshakes == 1)
        try await opener.stop()
        try await holder.stop()
    }

    // MARK: Several key holders

    @Test func whenAKeyHolderIsKilledItsStreamsBreakAndTheNextGoesToAnother() async throws {
        let (one, two) = (try await self.holder(), try await self.holder())
        let opener = try await self.opener([one, two])
        var streams: [TestStream] = []
        while one.introductions.isEmpty || two.introductions.isEmpty {
            let stream = try await opener.open("x")
            #expect(await stream.receive(1) == 1)
            streams.append(stream)
        }
        let before = one.introductions.count
        try await one.kill()
        try await eventually { streams.count { !$0.channel.isActive } >= before }
        for stream in streams where !stream.channel.isActive {
            guard case .broke? = await stream.rest().last else { return #expect(Bool(false), "no end is told") }
        }
        #expect(streams.count { $0.channel.isActive } == streams.count - before)
        for _ in 0..<10 {
            let stream = try await opener.open("y")
            #expect(await stream.receive(1) == 1)
        }
        #expect(one.introductions.count == before)
        try await opener.stop()
        try await two.stop()
    }

    @Test func oneThatRefusesOrSaysNothingIsLeftForAnother() async throws {
        for manner in [StreamHolder.Manner.refusing(.busy), .refusing(.draining), .silent] {
            let (one, two) = (try await self.holder(manner), try await self.holder())
            let isSilent = if case .silent = manner { true } else { false }
            let opener = try await self.opener([one, two], silence: isSilent ? .seconds(2) : .seconds(60))
            for _ in 0..<4 {
                let stream = try await opener.open("hello")
                #expect(await stream.receive(5) == 5)
            }
            // One that takes long to answer is asked once more.
            #expect(isSilent ? two.introductions.count >= 4 : two.introductions.count == 4, "\(manner)")
            try await opener.stop()
            try await one.stop()
            try await two.stop()
        }
    }

    @Test func whereNoneTakesItTheReasonIsTold() async throws {
        let holder = try await self.holder(.refusing(.busy))
        let opener = try await self.opener([holder])
        await #expect(throws: StreamLinks.Failure.refused("the key holder refused the stream: busy")) {
            try await opener.open()
        }
        try await opener.stop()
        try await holder.stop()
        let nobody = try await self.opener([holder])
        let failure = await #expect(throws: StreamLinks.Failure.self) { try await nobody.open() }
        guard case .refused(let reason)? = failure else {
            return #expect(Bool(false), "\(String(describing: failure))")
        }
        #expect(reason.contains("127.0.0.1"), "\(reason)")
        try await nobody.stop()
    }

    @Test func aLinkThatDrainsKeepsItsStreamsAndTheNextGoOverAnother() async throws {
        let holder = try await self.holder()
        let opener = try await self.opener([holder])
        let old = try await opener.open("x")
        #expect(await old.receive(1) == 1)
        try await holder.drain()
        try await eventually { holder.handshakes == 2 }
        let new = try await opener.open("y")
        #expect(await new.receive(1) == 1)
        try await old.send(ByteBuffer(string: "goes on"))
        #expect(await old.receive(7) == 7)
        #expect(holder.handshakes == 2)
        try await opener.stop()
        try await holder.stop()
    }

    @Test func aStopLeavesStreamsTheirLinks() async throws {
        let holder = try await self.holder()
        let opener = try await self.opener([holder])
        let stream = try await opener.open("x")
        #expect(await stream.receive(1) == 1)
        try await opener.stop()
        try await stream.send(ByteBuffer(string: "goes on"))
        #expect(await stream.receive(7) == 7)
        try await stream.end()
        #expect(await stream.rest().last == .ended)
        await #expect(throws: StreamLinks.Failure.refused("the edge is stopping")) { try await opener.open() }
        try await holder.stop()
    }

    @Test func aLinkThatIsDeadIsReplacedWhileAClientWaits() async throws {
        let holder = try await self.holder()
        let opener = try await self.opener([holder], silence: .seconds(4))
        let old = try await opener.open("x")
        #expect(await old.receive(1) == 1)
        try await holder.fallSilent()
        // It waits for what there is, and then gets another link: long before the pings say that the first one is dead.
        let new = try await opener.open("y")
        #expect(await new.receive(1) == 1)
        #expect(holder.handshakes >= 2)
        // The next does not wait.
        let next = try await opener.open("z")
        #expect(await next.receive(1) == 1)
        #expect(holder.handshakes >= 2)
        try await opener.stop()
        try await holder.stop()
    }

    @Test func aKeyHolderThatDrainsEachLinkAtOnceIsNotConnectedToWithoutPause() async throws {
        let holder = try await self.holder(.draining)
        let opener = try await self.opener([holder])
        try await opener.warm()
        try await eventually { holder.handshakes >= 2 }
        try await Task.sleep(for: .seconds(1))
        // After 50 ms at least, 100, 200, 400, 800 and so on: a tenth comes after ten seconds.
        #expect(holder.handshakes < 10)
        try await opener.stop()
        try await holder.stop()
    }

    @Test func aLinkWhoseNumbersAreUsedUpMakesWayForAnother() async throws {
        var limits = StreamMachine.Limits()
        limits.numbers = 3
        let holder = try await self.holder()
        let opener = try await self.opener([holder], limits: limits)
        for _ in 0..<7 {
            let stream = try await opener.open("x")
            #expect(await stream.receive(1) == 1)
            stream.close()
        }
        #expect(holder.handshakes == 3)
        try await opener.stop()
        try await holder.stop()
    }

    @Test func whereClientsOnlyWantLinksEachOfThemIsToldWhyThereIsNone() async throws {
        let holder = try await self.holder()
        try await holder.stop()
        let opener = try await self.opener([holder])
        try await opener.rest()
        // The later ones come while the next attempt waits for its time.
        for _ in 0..<3 {
            let failure = await #expect(throws: StreamLinks.Failure.self) {
                try await opener.open(within: .seconds(20))
            }
            guard case .refused? = failure else { return #expect(Bool(false), "\(String(describing: failure))") }
        }
        try await opener.stop()
    }

    // MARK: Peers that are others

    @Test func anOlderKeyHolderIsNotAskedAgainForEachClient() async throws {
        let holder = try await StreamHolder.start(self.fleet.credentials(.keyholder, "home"), protocols: [])
        let opener = try await self.opener([holder])
        let clock = ContinuousClock()
        let end = clock.now + .milliseconds(1500)
        var failures = 0
        while clock.now < end {
            let failure = await #expect(throws: StreamLinks.Failure.self) { try await opener.open() }
            guard case .refused(let reason)? = failure, reason.contains("upgrade the key holder") else {
                return #expect(Bool(false), "\(String(describing: failure))")
            }
            failures += 1
            try await Task.sleep(for: .milliseconds(20))
        }
        // After half a second at least, then a second, two and so on: what an operator has to mend needs no hurry.
        #expect(holder.handshakes <= 4)
        #expect(failures > 4)
        try await opener.stop()
        try await holder.stop()
    }

    @Test func anOlderKeyHolderIsRefusedWithTheReason() async throws {
        let holder = try await StreamHolder.start(self.fleet.credentials(.keyholder, "home"), protocols: [])
        let opener = try await self.opener([holder])
        let failure = await #expect(throws: StreamLinks.Failure.self) { try await opener.open(within: .seconds(2)) }
        guard case .refused(let reason)? = failure else {
            return #expect(Bool(false), "\(String(describing: failure))")
        }
        #expect(reason.contains("older than this edge (upgrade the key holder)"), "\(reason)")
        #expect(holder.introductions.isEmpty)
        try await opener.stop()
        try await holder.stop()
    }

    @Test func anotherPartyIsToldNothing() async throws {
        let holder = try await StreamHolder.start(self.fleet.credentials(.keyholder, "work"))
        let opener = try await self.opener([holder])
        let failure = await #expect(throws: StreamLinks.Failure.self) { try await opener.open(within: .seconds(2)) }
        guard case .refused(let reason)? = failure else {
            return #expect(Bool(false), "\(String(describing: failure))")
        }
        #expect(reason.contains("expected keyholder home"), "\(reason)")
        #expect(holder.introductions.isEmpty)
        try await opener.stop()
        try await holder.stop()
    }
}
