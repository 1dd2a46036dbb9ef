import NIOCore
import Testing

@testable import Edge

@Suite struct RelayMachineTests {
    @Test func endOfInputTravelsOn() {
        var machine = RelayMachine()
        #expect(machine.inputEnded(.client) == .closeOutput(.origin))
        #expect(machine.inputEnded(.client) == .none)
        machine.outputEnded(.origin)
        #expect(!machine.isOver)
    }

    @Test func bothEndsInEventsCloseBothConnections() {
        var machine = RelayMachine()
        #expect(machine.inputEnded(.client) == .closeOutput(.origin))
        // The origin's end of input arrives while its output is still being written.
        #expect(machine.inputEnded(.origin) == .finish(.client))
        #expect(machine.closed(.client) == .none)
        machine.outputEnded(.origin)
        #expect(machine.closed(.origin) == .none)
        #expect(machine.isOver)
    }

    @Test func closeAfterClosedOutputIsAnEndOfInput() {
        var machine = RelayMachine()
        #expect(machine.inputEnded(.client) == .closeOutput(.origin))
        machine.outputEnded(.origin)
        #expect(machine.closed(.origin) == .finish(.client))
        #expect(!machine.isOver)
        #expect(machine.closed(.client) == .none)
        #expect(machine.isOver)
    }

    @Test(arguments: [RelaySide.client, .origin])
    func brokenConnectionResetsTheOther(side: RelaySide) {
        var machine = RelayMachine()
        machine.broke(side)
        #expect(machine.closed(side) == .reset(side.other))
        #expect(!machine.isOver)
        #expect(machine.closed(side.other) == .none)
        #expect(machine.isOver)
    }

    @Test func clientThatGoesAwayDuringTheResponseResetsTheOrigin() {
        var machine = RelayMachine()
        #expect(machine.inputEnded(.client) == .closeOutput(.origin))
        machine.outputEnded(.origin)
        #expect(machine.closed(.client) == .reset(.origin))
    }

    @Test func brokenAfterClosedOutputIsNoCleanEnd() {
        var machine = RelayMachine()
        #expect(machine.inputEnded(.client) == .closeOutput(.origin))
        machine.outputEnded(.origin)
        machine.broke(.origin)
        #expect(machine.closed(.origin) == .reset(.client))
    }

    @Test func originThatHasSaidEverythingLeavesTheClientInPeace() {
        var machine = RelayMachine()
        #expect(machine.inputEnded(.origin) == .closeOutput(.client))
        machine.broke(.origin)
        #expect(machine.closed(.origin) == .drop(.client))
        #expect(machine.inputEnded(.client) == .none)
        #expect(machine.closed(.client) == .none)
        #expect(machine.isOver)
    }
}

@Suite struct RelayLimitsTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000)

    @Test func idleCountsFromTheLastByte() {
        var limits = RelayLimits(idle: .seconds(10), lifetime: .hours(1), now: Self.start)
        #expect(limits.check(now: Self.start) == .check(at: Self.start + .seconds(10)))
        limits.active(now: Self.start + .seconds(4))
        #expect(limits.check(now: Self.start + .seconds(10)) == .check(at: Self.start + .seconds(14)))
        #expect(limits.check(now: Self.start + .seconds(14)) == .idle)
    }

    @Test func lifetimeEndsBusyConnections() {
        var limits = RelayLimits(idle: .seconds(10), lifetime: .seconds(15), now: Self.start)
        limits.active(now: Self.start + .seconds(9))
        #expect(limits.check(now: Self.start + .seconds(9)) == .check(at: Self.start + .seconds(15)))
        limits.active(now: Self.start + .seconds(15))
        #expect(limits.check(now: Self.start + .seconds(15)) == .lifetime)
    }
}
