import Admission
import KeyProtocol
import NIOCore
import StreamWire
import Testing

@testable import KeyHolder

/// What a key holder lets edges do with links for native clients: frames by hand, over real TLS.
@Suite(.timeLimit(.minutes(2))) struct NativeLinkTests {
    private static let accepted: UInt32 = 65_536 - 4096

    @Test func aLinkCarriesManyStreams() async throws {
        let holder = try await TestHolder(native: NativeLimits())
        let link = try await NativeTestLink(holder)
        link.send(try (1...100).map { try NativeTestLink.open($0) })
        #expect(await link.next(100) == (1...100).map { StreamFrame.accept($0, window: Self.accepted) })
        #expect(holder.server.nativeConnectionCount == 100)
        link.send((1...100).map { StreamFrame.close($0) })
        #expect(await link.next(100) == (1...100).map { StreamFrame.close($0) })
        _ = try await holder.stop()
    }

    @Test func anOlderEdgeIsToldWhatToUpgrade() async throws {
        let holder = try await TestHolder(native: NativeLimits())
        let link = try await NativeTestLink(holder, protocols: [])
        link.send([try NativeTestLink.open(1)])
        #expect(await link.next() == nil)
        let lines = try await holder.stop()
        #expect(lines.contains { $0["detail"]?.contains("upgrade the edge") == true }, "\(lines)")
        #expect(lines.contains { $0["edge"] == "paris" && $0["outcome"] == "refused" })
    }

    @Test func anEdgeWithoutAGrantGetsNoLink() async throws {
        let holder = try await TestHolder(native: NativeLimits())
        let link = try await NativeTestLink(holder, "oslo")
        link.send([try NativeTestLink.open(1)])
        #expect(await link.next() == nil)
        let lines = try await holder.stop()
        #expect(lines.contains { $0["edge"] == "oslo" && $0["detail"] == "the edge has no grant" }, "\(lines)")
    }

    @Test func streamsBeyondAnEdgesLimitsAreRefused() async throws {
        var limits = NativeLimits()
        limits.connectionsPerEdge = 2
        let holder = try await TestHolder(native: limits)
        let link = try await NativeTestLink(holder)
        link.send(try (1...3).map { try NativeTestLink.open($0) })
        #expect(
            await link.next(3) == [
                .accept(1, window: Self.accepted), .accept(2, window: Self.accepted), .reset(3, .busy),
            ])
        // Another link of the same edge is no fresh budget, and another edge has its own.
        let second = try await NativeTestLink(holder)
        second.send([try NativeTestLink.open(1)])
        #expect(await second.next() == .reset(1, .busy))
        let other = try await NativeTestLink(holder, "rome")
        other.send([try NativeTestLink.open(1)])
        #expect(await other.next() == .accept(1, window: Self.accepted))
        // One that ends makes room.
        link.send([.close(1), .close(3)])
        #expect(await link.next() == .close(1))
        while holder.server.nativeConnectionCount > 2 { try await Task.sleep(for: .milliseconds(5)) }
        link.send([try NativeTestLink.open(4)])
        #expect(await link.next() == .accept(4, window: Self.accepted))
        let lines = try await holder.stop()
        #expect(lines.contains { $0["detail"] == "limit of native connections: too many streams of this edge" })
    }

    @Test func anEdgeThatOpensTooFastIsRefused() async throws {
        var limits = NativeLimits()
        limits.openingsPerEdge = 5
        let holder = try await TestHolder(native: limits)
        let link = try await NativeTestLink(holder)
        link.send(try (1...20).map { try NativeTestLink.open($0) })
        let frames = await link.next(20)
        #expect(Array(frames.prefix(5)) == (1...5).map { StreamFrame.accept($0, window: Self.accepted) })
        #expect(Array(frames.suffix(14)) == (7...20).map { StreamFrame.reset($0, .busy) })
        _ = try await holder.stop()
    }

    @Test func aStreamWithoutAClientIsRefusedAlone() async throws {
        let holder = try await TestHolder(native: NativeLimits())
        let link = try await NativeTestLink(holder)
        link.send([.open(1, window: 1000, introduction: ByteBuffer(string: "nobody")), try NativeTestLink.open(2)])
        #expect(await link.next(2) == [.reset(1, .malformed), .accept(2, window: Self.accepted)])
        _ = try await holder.stop()
    }

    @Test(arguments: [
        StreamFrame.data(1, ByteBuffer(repeating: 0, count: 16_384)), .data(9, ByteBuffer(string: "x")),
        .accept(1, window: 1), .drain, .open(1, window: 0, introduction: ByteBuffer()), .window(1, .max),
    ])
    func anEdgeThatBreaksTheRulesLosesItsLink(frame: StreamFrame) async throws {
        let holder = try await TestHolder(native: NativeLimits())
        let link = try await NativeTestLink(holder)
        link.send([try NativeTestLink.open(1)])
        #expect(await link.next() == .accept(1, window: Self.accepted))
        // Beyond any window.
        link.send(Array(repeating: frame, count: 5))
        while await link.next() != nil {}
        while holder.server.nativeConnectionCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
        _ = try await holder.stop()
    }

    @Test func aStreamWhoseEdgeTakesNothingEndsAtOnce() async throws {
        let holder = try await TestHolder(native: NativeLimits())
        let link = try await NativeTestLink(holder)
        let client = try #require(NativeTestLink.client)
        // Its client is owed an alert, for which the edge has no room.
        link.send([.open(1, window: 0, introduction: client), .data(1, ByteBuffer(string: "no hello"))])
        #expect(await link.next(2) == [.accept(1, window: Self.accepted), .reset(1, .broken)])
        while holder.server.nativeConnectionCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
        // Where it has, the alert comes first.
        link.send([.open(2, window: 1000, introduction: client), .data(2, ByteBuffer(string: "no hello"))])
        let frames = await link.next(3)
        #expect(frames.first == .accept(2, window: Self.accepted) && frames.last == .close(2), "\(frames)")
        guard frames.count == 3, case .data(2, _) = frames[1] else { return #expect(Bool(false), "\(frames)") }
        _ = try await holder.stop()
    }

    @Test func anEdgeThatSendsTooManyFramesIsReadMoreSlowly() async throws {
        var limits = NativeLimits()
        limits.framesPerEdge = 1
        let holder = try await TestHolder(native: limits)
        let links = [try await NativeTestLink(holder), try await NativeTestLink(holder)]
        let begin = ContinuousClock.now
        for number in UInt64(1)...3 {
            for link in links {
                link.send([.ping(number)])
                #expect(await link.next() == .pong(number))
            }
        }
        // What the first link has sent is the second one's debt: of its three frames two wait for a second.
        #expect(ContinuousClock.now - begin >= .milliseconds(1900))
        _ = try await holder.stop()
    }

    @Test func theAuditHasTheEndOfALinkThatItsEdgeEnds() async throws {
        let holder = try await TestHolder(native: NativeLimits())
        let link = try await NativeTestLink(holder)
        link.send([try NativeTestLink.open(1)])
        #expect(await link.next() == .accept(1, window: Self.accepted))
        try await link.channel.close()
        while holder.server.native.linksByEdge["paris"] != nil { try await Task.sleep(for: .milliseconds(5)) }
        let lines = try await holder.stop(all: true)
        #expect(lines.count { $0["operation"] == "edge-connected" } == 1)
        let gone = lines.filter { $0["operation"] == "edge-gone" }
        #expect(gone.count == 1 && gone.first?["edge"] == "paris", "\(gone)")
        #expect(gone.first?["detail"]?.hasPrefix("for native clients: ") == true, "\(gone)")
    }

    @Test func linksThatAnEdgeHasBeforeItsFirstStreamShareItsAccount() {
        let census = NativeCensus(limits: NativeLimits())
        let first = census.account(of: "paris", now: 0)
        #expect(census.account(of: "paris", now: 1) === first)
        #expect(census.enter("paris", now: 2) == nil)
        #expect(census.account(of: "paris", now: 3) === first)
        #expect(census.account(of: "rome", now: 4) !== first)
    }

    @Test func anEdgeHasSoManyLinksAndNoMore() async throws {
        var limits = NativeLimits()
        limits.linksPerEdge = 2
        let holder = try await TestHolder(native: limits)
        let links = [try await NativeTestLink(holder), try await NativeTestLink(holder)]
        for link in links {
            link.send([.ping(1)])
            #expect(await link.next() == .pong(1))
        }
        let third = try await NativeTestLink(holder)
        #expect(await third.next() == nil)
        let lines = try await holder.stop()
        #expect(lines.contains { $0["detail"]?.contains("tooManyOfEdge") == true }, "\(lines)")
    }

    @Test func handshakesThatAreBrokenOffBeforeTheirTurnUseNoKey() async throws {
        var limits = KeyHolderLimits()
        limits.signingThreads = 1
        limits.requestDeadline = .seconds(30)
        let store = BlockedKeyStore()
        let holder = try await TestHolder(
            limits: limits, keyStore: store, native: NativeLimits(),
            application: ApplicationConfiguration(address: .tcp(host: "127.0.0.1", port: 9)))
        let link = try await NativeTestLink(holder)
        let hello = try NativeTestClient.hello("rsa.test")
        link.send([try NativeTestLink.open(1), .data(1, hello)])
        await store.begun()
        link.send(try (2...20).flatMap { [try NativeTestLink.open($0), .data($0, hello)] })
        #expect(await link.next(20) == (1...20).map { StreamFrame.accept($0, window: Self.accepted) })
        link.send((1...20).map { .reset($0, .broken) } + [.ping(1)])
        while let frame = await link.next(), frame != .pong(1) {}
        store.open()
        let lines = try await holder.stop()
        #expect(store.marks.count == 1)
        // The one that was being made has a line of its own.
        #expect(lines.contains { $0["operation"] == "native" && $0["outcome"] == "abandoned" }, "\(lines)")
    }

    @Test func aKeyHolderThatStopsSaysSoOnItsLinks() async throws {
        let holder = try await TestHolder(native: NativeLimits())
        let link = try await NativeTestLink(holder)
        link.send([try NativeTestLink.open(1)])
        #expect(await link.next() == .accept(1, window: Self.accepted))
        async let lines = holder.stop()
        // A handshake that is under way ends, and then the link.
        let rest = await link.next(10)
        #expect(rest.contains(.drain) && rest.contains(.close(1)), "\(rest)")
        _ = try await lines
    }

    @Test func anEdgeThatLosesItsGrantsLosesItsLink() async throws {
        let holder = try await TestHolder(native: NativeLimits())
        let (paris, rome) = (try await NativeTestLink(holder), try await NativeTestLink(holder, "rome"))
        for link in [paris, rome] {
            link.send([try NativeTestLink.open(1)])
            #expect(await link.next() == .accept(1, window: Self.accepted))
        }
        var configuration = holder.configuration
        configuration.grants = try TestHolder.grants(["rome"])
        try holder.server.reload(configuration)
        while await paris.next() != nil {}
        rome.send([.ping(7)])
        #expect(await rome.next() == .pong(7))
        _ = try await holder.stop()
    }
}
