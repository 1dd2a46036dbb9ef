import CRelaySockets
import Channels
import NIOCore
import Telemetry

/// One relayed connection: from its client's hand-over to its end. Lives on a reactor's thread.
///
/// ``DialPlan`` decides where it connects to, ``PumpMachine`` what ends mean and ``PumpLimits`` how long it may last; this carries it out.
final class RelaySession {
    private enum Phase {
        /// It is not known yet where it goes.
        case waiting
        case dialling(DialPlan<OriginAddress>, OriginAddress, until: NIODeadline)
        case passing
        /// It goes nowhere: the client has its answer, and may send so many bytes more.
        case refusing(bytes: Int)
        case over
    }

    /// It is to be run once more when the others had their turn.
    var waitsForTurn = false
    /// How its deadline is known to the reactor.
    let entry: DeadlineHeap.Entry
    private let place: ClientPlace?
    private let limits: RelayedClient.Limits
    private let clientChoseOrigin: Bool
    private let notices: RelayedClient.Notices
    private let helloBytes: Int
    private var report: ForwardingReport
    private var phase = Phase.waiting
    private let client: RelayEnd
    private let origin = RelayEnd()
    private var toOrigin: RelayDirection
    private var toClient = RelayDirection()
    private var machine: PumpMachine
    private var pumpLimits: PumpLimits
    /// The other side is gone: what this one sends is dropped, for so long at most.
    private var dropping: (side: PumpSide, until: NIODeadline)?

    var id: UInt64 { self.entry.id }
    var isOver: Bool { if case .over = self.phase { true } else { false } }

    init(_ order: RelayedClient, now: NIODeadline) {
        self.entry = DeadlineHeap.Entry(id: order.id)
        self.place = order.place
        self.limits = order.limits
        self.clientChoseOrigin = order.clientChoseOrigin
        self.notices = order.notices
        self.helloBytes = order.received.readableBytes
        self.report = order.report
        self.client = RelayEnd(order.socket)
        self.client.isWritable = true
        self.toOrigin = RelayDirection(first: order.header)
        self.toOrigin.hold(order.received)
        var traits = PumpTraits()
        traits.isPlain = true
        var originTraits = traits
        originTraits.mayLeave = true
        self.machine = PumpMachine(client: traits, origin: originTraits)
        self.pumpLimits = PumpLimits(idle: order.limits.idle, lifetime: order.limits.lifetime, now: now)
    }

    // MARK: Events

    func begin(_ goal: RelayedClient.Goal, _ tools: RelayTools) {
        do throws(DescriptorError) {
            try tools.watch(self.client, self, .client)
        } catch {
            // Nothing would ever be heard of it.
            if case .unresolved = goal { tools.tell(self.notices.abandoned) }
            return self.refuse(.connect(SystemError.words(error.code)), tools)
        }
        tools.deadlines.set(self.entry, to: self.limits.connect)
        self.found(goal, tools)
    }

    /// Where it goes is known.
    func found(_ goal: RelayedClient.Goal, _ tools: RelayTools) {
        guard case .waiting = self.phase else { return }
        switch goal {
        case .unresolved: break
        case .nowhere(let failure): self.refuse(failure, tools)
        case .origins(let addresses):
            var plan = DialPlan(addresses.map { OriginAddress($0) }, deadline: self.limits.connect)
            let step = plan.next(now: tools.now)
            self.dial(plan, step, tools)
        }
    }

    /// The poller tells of one of its sockets.
    func became(_ what: UInt32, _ side: PumpSide, _ tools: RelayTools) {
        self[side].became(what)
        self.run(tools)
    }

    /// Does what can be done.
    func run(_ tools: RelayTools) {
        switch self.phase {
        case .waiting: if self.client.isBroken { self.clientLeft(tools) }
        case .dialling(let plan, let target, _):
            if self.client.isBroken { self.clientLeft(tools) } else { self.checkDialled(plan, target, tools) }
        case .passing: self.pass(tools)
        case .refusing(let bytes): self.linger(bytes, tools)
        case .over: break
        }
    }

    /// Its deadline has come.
    func expire(_ tools: RelayTools) {
        switch self.phase {
        case .waiting:
            tools.tell(self.notices.abandoned)
            self.refuse(.timeout, tools)
        case .dialling(var plan, let target, _):
            self.origin.close()
            let step = plan.timedOut(target, now: tools.now)
            self.dial(plan, step, tools)
        case .passing: self.checkLimits(tools)
        case .refusing: self.over(tools)
        case .over: break
        }
    }

    /// The edge wants its client closed.
    func close(_ tools: RelayTools) {
        switch self.phase {
        case .waiting, .dialling: self.clientLeft(tools)
        case .passing:
            // Cut off by the edge: the origin is not to take it for an end.
            if !self.client.inputEnded { self.machine.broke(.client) }
            self.close(.client)
            self.settle(tools)
        case .refusing: self.over(tools)
        case .over: break
        }
    }

    /// The same, and it is over when this returns.
    func stop(_ tools: RelayTools) {
        self.close(tools)
        guard !self.isOver else { return }
        self.origin.reset()
        self.end(.reset, tools)
    }

    // MARK: Connecting

    private func dial(
        _ plan: DialPlan<OriginAddress>, _ step: DialPlan<OriginAddress>.Step, _ tools: RelayTools
    ) {
        var (plan, step) = (plan, step)
        while true {
            switch step {
            case .timeout: return self.refuse(.timeout, tools)
            case .refused(let reason): return self.refuse(.connect(reason), tools)
            case .connect(let target, let until):
                do throws(DescriptorError) {
                    try self.origin.connect(to: target.address)
                    try tools.watch(self.origin, self, .origin)
                } catch {
                    self.origin.close()
                    plan.failed(target, SystemError.words(error.code))
                    step = plan.next(now: tools.now)
                    continue
                }
                self.phase = .dialling(plan, target, until: until)
                tools.deadlines.set(self.entry, to: until)
                // A near origin has answered already.
                return self.checkDialled(plan, target, tools)
            }
        }
    }

    private func checkDialled(_ plan: DialPlan<OriginAddress>, _ target: OriginAddress, _ tools: RelayTools) {
        self.toOrigin.moved = false
        var failure: Int32?
        if self.origin.isBroken { failure = self.origin.takeError() }
        if failure == nil, case .writerBroke(let code)? = self.toOrigin.drain(to: self.origin) { failure = code }
        if let failure {
            self.origin.close()
            var plan = plan
            plan.failed(target, SystemError.words(failure))
            let step = plan.next(now: tools.now)
            return self.dial(plan, step, tools)
        }
        // What it takes, it takes over a connection.
        guard self.toOrigin.moved else { return }
        self.phase = .passing
        self.report.connected(to: target.address, now: tools.now)
        self.pumpLimits.active(now: tools.now)
        self.checkLimits(tools)
        self.run(tools)
    }

    private func refuse(_ failure: RelayFailure, _ tools: RelayTools) {
        let failure = ForwardingFailure(failure, clientChoseOrigin: self.clientChoseOrigin)
        self.report.failed(failure)
        self.toOrigin.discard(tools)
        self.toClient.hold(failure.answer)
        self.phase = .refusing(bytes: self.limits.linger.bytes)
        tools.deadlines.set(self.entry, to: tools.now + self.limits.linger.time)
        self.linger(self.limits.linger.bytes, tools)
    }

    private func clientLeft(_ tools: RelayTools) {
        if case .waiting = self.phase { tools.tell(self.notices.abandoned) }
        self.report.left()
        self.over(tools)
    }

    /// The answer is to arrive: a close with unread input would be a reset, which can overtake it.
    private func linger(_ bytes: Int, _ tools: RelayTools) {
        switch self.toClient.drain(to: self.client) {
        case nil: self.client.endOutput()
        case .waits?: break
        default: return self.over(tools)
        }
        var left = bytes
        while self.client.isReadable, let socket = self.client.descriptor {
            let result = latchstring_receive(socket.number, tools.buffer.baseAddress, tools.buffer.count)
            switch SystemResult(result) {
            case .bytes(let count) where count > 0 && count <= left: left -= count
            case .later: self.client.isReadable = false
            case .bytes, .unsupported, .failed: return self.over(tools)
            }
        }
        self.phase = .refusing(bytes: left)
    }

    // MARK: Passing on

    private subscript(side: PumpSide) -> RelayEnd {
        switch side {
        case .client: self.client
        case .origin: self.origin
        }
    }

    private func pass(_ tools: RelayTools) {
        (self.toOrigin.moved, self.toClient.moved) = (false, false)
        self.pass(from: .client, tools)
        self.pass(from: .origin, tools)
        if self.client.isBroken, self.client.takeError() != nil { self.broke(.client) }
        if self.origin.isBroken, self.origin.takeError() != nil { self.broke(.origin) }
        if self.toOrigin.moved || self.toClient.moved {
            self.pumpLimits.active(now: tools.now)
            // Whether anything is under way is between the client and the origin.
            self.place?.rests(since: tools.now)
        }
        self.settle(tools)
    }

    private func pass(from side: PumpSide, _ tools: RelayTools) {
        if self.dropping?.side == side { return self.drop(from: side, tools) }
        let (reader, writer) = (self[side], self[side.other])
        let outcome =
            side == .client
            ? self.toOrigin.run(from: reader, to: writer, tools) : self.toClient.run(from: reader, to: writer, tools)
        switch outcome {
        case .waits: break
        case .more: tools.runAgain(self)
        case .ended: self.inputEnded(side)
        case .readerBroke: self.broke(side)
        case .writerBroke:
            // What the origin said before it broke is still there to be read.
            if side == .client {
                self.origin.isReadable = true
                let last = self.toClient.run(from: self.origin, to: self.client, tools)
                if last == .ended { self.inputEnded(.origin) }
            }
            self.broke(side.other)
        }
    }

    private func drop(from side: PumpSide, _ tools: RelayTools) {
        let end = self[side]
        var turns = RelayDirection.turns
        while end.isReadable, !end.inputEnded, let socket = end.descriptor {
            guard turns > 0 else { return tools.runAgain(self) }
            turns -= 1
            let result = latchstring_receive(socket.number, tools.buffer.baseAddress, tools.buffer.count)
            switch SystemResult(result) {
            case .bytes(0): return self.inputEnded(side)
            case .bytes: break
            case .later: end.isReadable = false
            case .unsupported, .failed: return self.broke(side)
            }
        }
    }

    private func inputEnded(_ side: PumpSide) {
        self[side].inputEnded = true
        if let action = self.machine.inputEnded(side) { self.perform(action) }
    }

    private func broke(_ side: PumpSide) {
        guard self[side].isOpen else { return }
        self.machine.broke(side)
        self.close(side)
    }

    private func close(_ side: PumpSide) {
        guard self[side].isOpen else { return }
        self[side].close()
        for action in self.machine.closed(side) { self.perform(action) }
    }

    private func perform(_ action: PumpMachine.Action) {
        switch action {
        case .closeOutput(let side): self[side].endsOutput = true
        case .finish(let side), .finishSoon(let side): self[side].closes = true
        case .breakOff(let side):
            self[side].reset()
            for action in self.machine.closed(side) { self.perform(action) }
        case .drop(let side): self.dropping = (side, .distantFuture)
        }
    }

    /// Ends and closes whose turn has come, since what was to be written before them is.
    private func settle(_ tools: RelayTools) {
        // What one side's close means for the other may be carried out at once.
        while self.settle(.client) || self.settle(.origin) {}
        if self.machine.isOver { return self.end(self.machine.brokeOff ? .reset : .closed, tools) }
        if let dropping, dropping.until == .distantFuture {
            // To take what the other side left.
            self.dropping?.until = tools.now + self.limits.idle
            self.checkLimits(tools)
            // What waits for the side that is gone is wanted no more, and what has arrived already brings no event.
            if dropping.side == .client { self.toOrigin.discard(tools) } else { self.toClient.discard(tools) }
            tools.runAgain(self)
        }
    }

    /// - Returns: whether it was closed.
    private func settle(_ side: PumpSide) -> Bool {
        let end = self[side]
        guard end.isOpen else { return false }
        if side == .client ? self.toClient.isDrained : self.toOrigin.isDrained {
            if end.endsOutput, !end.outputEnded {
                end.endOutput()
                self.machine.outputEnded(side)
                // From here on as long again, for the peer to say the rest.
                if self.dropping?.side == side { self.dropping = (side, .distantFuture) }
            }
            if end.closes {
                self.close(side)
                return true
            }
        }
        guard end.inputEnded, end.outputEnded else { return false }
        self.close(side)
        return true
    }

    // MARK: Limits and the end

    private func checkLimits(_ tools: RelayTools) {
        if let dropping, dropping.until <= tools.now {
            let side = dropping.side
            if self[side].outputEnded { self.close(side) } else { self.perform(.breakOff(side)) }
            return self.settle(tools)
        }
        switch self.pumpLimits.check(now: tools.now) {
        case .check(let time): tools.deadlines.set(self.entry, to: min(time, self.dropping?.until ?? time))
        case .idle: self.end(.idle, tools)
        case .lifetime: self.end(.lifetime, tools)
        }
    }

    private func end(_ end: PumpEnd, _ tools: RelayTools) {
        self.report.ended(
            end, fromClient: self.toOrigin.bytes + self.helloBytes, fromOrigin: self.toClient.bytes)
        self.over(tools)
    }

    private func over(_ tools: RelayTools) {
        self.phase = .over
        self.client.close()
        self.origin.close()
        self.toOrigin.discard(tools)
        self.toClient.discard(tools)
        tools.deadlines.remove(self.entry)
        tools.tell(self.notices.closed)
    }
}

/// An origin's address, for log lines too.
struct OriginAddress: CustomStringConvertible {
    let address: SocketAddress

    init(_ address: SocketAddress) { self.address = address }

    var description: String { "\(PeerText(self.address))" }
}
