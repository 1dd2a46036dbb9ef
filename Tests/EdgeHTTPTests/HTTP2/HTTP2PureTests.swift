import HTTP2Wire
import HTTPFields
import HTTPForwarding
import NIOCore
import NIOHPACK
import Testing

@testable import EdgeHTTP

@Suite struct HTTP2PureTests {
    private static let start = NIODeadline.uptimeNanoseconds(0)

    private static func at(_ seconds: Int64) -> NIODeadline { Self.start + .seconds(seconds) }

    private func lifecycle() -> HTTP2Lifecycle {
        HTTP2Lifecycle(
            limits: .init(
                concurrentStreams: 2, requests: 3, firstRequest: .seconds(20), idle: .seconds(60),
                goAwayGrace: .seconds(1)), now: Self.start)
    }

    @Test func waitsForTheFirstRequestAndThenForTheNext() {
        var machine = self.lifecycle()
        machine.settingsAcknowledged()
        #expect(machine.deadline == Self.at(20))
        #expect(machine.timedOut(now: Self.at(19)) == .none)
        #expect(machine.opened(1) == .serve)
        #expect(machine.deadline == .distantFuture)
        #expect(machine.ended(now: Self.at(30)) == .none)
        #expect(machine.deadline == Self.at(90))
        #expect(machine.timedOut(now: Self.at(90)) == .goAwayAndClose(1, .noError))
        #expect(machine.deadline == .distantFuture)
    }

    @Test func sectionsHaveRoomUpToTheLimit() {
        var held = HeldSections(limit: 100)
        #expect(held.hasRoom(for: 1_000))
        held.took(60)
        #expect(held.hasRoom(for: 40) && !held.hasRoom(for: 41))
        held.took(40)
        #expect(!held.hasRoom(for: 1))
        held.gave(back: 60)
        #expect(held.hasRoom(for: 60) && held.bytes == 40)
        held.gave(back: 60)
        #expect(held.bytes == 0)
    }

    @Test func admitsSoManyAtOnceAndInAll() {
        var machine = self.lifecycle()
        #expect(machine.opened(1) == .serve)
        #expect(machine.opened(3) == .serve)
        #expect(machine.opened(5) == .refuse)
        #expect(machine.ended(now: Self.at(1)) == .none)
        #expect(machine.opened(7) == .serveLast)
        #expect(machine.leave(now: Self.at(1)) == .announce)
        #expect(machine.leave(now: Self.at(1)) == .none)
        #expect(machine.announcementIsKnown() == .goAway(7, .noError))
        #expect(machine.announcementIsKnown() == .none)
        #expect(machine.ended(now: Self.at(2)) == .none)
        #expect(machine.ended(now: Self.at(2)) == .close)
    }

    @Test func doesNotWaitLongForAClientThatDoesNotAnswer() {
        var machine = self.lifecycle()
        _ = machine.opened(1)
        #expect(machine.leave(now: Self.at(5)) == .announce)
        #expect(machine.deadline == Self.at(6))
        #expect(machine.opened(3) == .serve)
        #expect(machine.timedOut(now: Self.at(6)) == .goAway(3, .noError))
    }

    @Test func insistsOnItsSettings() {
        var machine = self.lifecycle()
        _ = machine.opened(1)
        #expect(machine.timedOut(now: Self.at(20)) == .goAwayAndClose(1, .settingsTimeout))
    }

    @Test func headsAreSpelledAsHTTP2Does() throws {
        let fields = try FieldSection([
            ("Content-Type", "Text/Plain"), ("connection", "close"), ("Keep-Alive", "1"), ("x-a", "B"),
        ])
        var bytes = ByteBuffer()
        HTTP2ResponseFields.write(OutgoingHead(status: 299, fields: fields, framing: .length(7)), to: &bytes)
        var decoder = HPACKDecoder(allocator: ByteBufferAllocator())
        #expect(
            try decoder.decodeHeaders(from: &bytes).map { "\($0.name)=\($0.value)" } == [
                ":status=299", "content-type=Text/Plain", "x-a=B", "content-length=7",
            ])
    }
}
