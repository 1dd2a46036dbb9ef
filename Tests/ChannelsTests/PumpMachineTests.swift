import NIOCore
import Testing

@testable import Channels

@Suite("What the ends of a pump's directions mean") struct PumpMachineTests {
    /// As in `relay` mode: an origin may go once it has said everything, a client may not.
    private static func relay(_ adjust: (inout PumpTraits) -> Void = { _ in }) -> PumpMachine {
        var origin = PumpTraits()
        origin.mayLeave = true
        adjust(&origin)
        return PumpMachine(client: PumpTraits(), origin: origin)
    }

    @Test func endOfInputTravelsOn() {
        var machine = Self.relay()
        #expect(machine.inputEnded(.client) == .closeOutput(.origin))
        #expect(machine.inputEnded(.client) == nil)
        machine.outputEnded(.origin)
        #expect(!machine.isOver)
    }

    @Test func bothEndsInEventsCloseBothConnections() {
        var machine = Self.relay()
        #expect(machine.inputEnded(.client) == .closeOutput(.origin))
        // The origin's end of input arrives while its output is still being written.
        #expect(machine.inputEnded(.origin) == .finish(.client))
        #expect(machine.closed(.client) == [])
        machine.outputEnded(.origin)
        #expect(machine.closed(.origin) == [])
        #expect(machine.isOver)
    }

    @Test func closeAfterClosedOutputIsAnEndOfInput() {
        var machine = Self.relay()
        #expect(machine.inputEnded(.client) == .closeOutput(.origin))
        machine.outputEnded(.origin)
        #expect(machine.closed(.origin) == [.finish(.client)])
        #expect(!machine.isOver)
        #expect(machine.closed(.client) == [])
        #expect(machine.isOver)
    }

    @Test(arguments: [PumpSide.client, .origin])
    func brokenConnectionResetsTheOther(side: PumpSide) {
        var machine = Self.relay()
        machine.broke(side)
        #expect(machine.closed(side) == [.breakOff(side.other)])
        #expect(!machine.isOver)
        #expect(machine.closed(side.other) == [])
        #expect(machine.isOver)
    }

    @Test func clientThatGoesAwayDuringTheResponseResetsTheOrigin() {
        var machine = Self.relay()
        #expect(machine.inputEnded(.client) == .closeOutput(.origin))
        machine.outputEnded(.origin)
        #expect(machine.closed(.client) == [.breakOff(.origin)])
    }

    @Test func brokenAfterClosedOutputIsNoCleanEnd() {
        var machine = Self.relay()
        #expect(machine.inputEnded(.client) == .closeOutput(.origin))
        machine.outputEnded(.origin)
        machine.broke(.origin)
        #expect(machine.closed(.origin) == [.breakOff(.client)])
    }

    @Test func originThatHasSaidEverythingLeavesTheClientInPeace() {
        var machine = Self.relay()
        #expect(machine.inputEnded(.origin) == .closeOutput(.client))
        machine.broke(.origin)
        #expect(machine.closed(.origin) == [.drop(.client)])
        #expect(machine.inputEnded(.client) == nil)
        #expect(machine.closed(.client) == [])
        #expect(machine.isOver)
    }

    @Test("Where a close ends the input, what came before it arrives, and the client is left in peace")
    func closeThatEndsTheInput() {
        var machine = Self.relay { $0.closeEndsInput = true }
        #expect(machine.closed(.origin) == [.closeOutput(.client), .drop(.client)])
        #expect(!machine.brokeOff)
    }

    @Test("A break is no end of the input, whatever a close is")
    func breakThatEndsNothing() {
        var machine = Self.relay { $0.closeEndsInput = true }
        machine.broke(.origin)
        #expect(machine.closed(.origin) == [.breakOff(.client)])
        #expect(machine.brokeOff)
    }
}

@Suite("How long a pump may last") struct PumpLimitsTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000)

    @Test func idleCountsFromTheLastByte() {
        var limits = PumpLimits(idle: .seconds(10), lifetime: .hours(1), now: Self.start)
        #expect(limits.check(now: Self.start) == .check(at: Self.start + .seconds(10)))
        limits.active(now: Self.start + .seconds(4))
        #expect(limits.check(now: Self.start + .seconds(10)) == .check(at: Self.start + .seconds(14)))
        #expect(limits.check(now: Self.start + .seconds(14)) == .idle)
    }

    @Test func lifetimeEndsBusyConnections() {
        var limits = PumpLimits(idle: .seconds(10), lifetime: .seconds(15), now: Self.start)
        limits.active(now: Self.start + .seconds(9))
        #expect(limits.check(now: Self.start + .seconds(9)) == .check(at: Self.start + .seconds(15)))
        limits.active(now: Self.start + .seconds(15))
        #expect(limits.check(now: Self.start + .seconds(15)) == .lifetime)
    }
}
