import KeyProtocol
import Logging
import NIOCore

/// How a connection ends, and what its edge hears of it.
extension KeyHolderConnection {
    func refuse(_ reason: String, edge: String? = nil) {
        self.auditRefusal(reason, edge: edge)
        self.close(reason)
    }

    private func auditRefusal(_ reason: String, edge: String?) {
        let isWithinLimit: Bool = self.core.auditRepeated(
            edge: edge, address: self.address, outcome: .refused, detail: reason, since: self.connectedAt)
        if isWithinLimit {
            self.logger.notice(
                "connection refused", metadata: ["reason": "\(reason)", "edge": "\(edge ?? "unknown")"])
        }
    }

    func turnAway(_ edge: String) {
        self.auditRefusal("the edge has no grant", edge: edge)
        self.turnAway()
        self.dialled?.ungranted(edge)
    }

    /// Waits for one packet of an edge without a grant, so that the edge hears why the connection ends. Bounded: by that
    /// packet, which the decoder bounds to 64 KiB, and in time.
    private func turnAway() {
        self.phase = .turningAway
        self.timer?.cancel()
        self.timer = self.context?.eventLoop.assumeIsolated().scheduleTask(in: self.core.limits.turnAwayTimeout) {
            self.close("the edge has no grant")
        }
        self.serve()
    }

    /// The edge's last grant is gone. It hears so before the connection ends: at once if it has asked for a lease, else with
    /// its next request.
    func withdraw() {
        guard let edge = self.edge else { return }
        let reason = "the edge has no grant any more"
        let isWithinLimit: Bool = self.core.auditRepeated(
            edge: edge, address: self.address, outcome: .cutOff, detail: reason, since: self.connectedAt)
        self.logger.log(level: isWithinLimit ? .notice : .debug, "edge cut off", metadata: ["reason": "\(reason)"])
        self.desk?.endAll(reason)
        self.held = HeldAnswers()
        self.leaseTimer?.cancel()
        self.dialled?.ungranted(edge)
        guard let id = self.heldLease.release() else { return self.turnAway() }
        self.send(.failure(id: id, .noGrant))
        self.close(reason)
    }

    func cutOff(_ reason: String) {
        guard let edge = self.edge else { return }
        let isWithinLimit: Bool = self.core.auditRepeated(
            edge: edge, address: self.address, outcome: .cutOff, detail: reason, since: self.connectedAt)
        self.logger.log(level: isWithinLimit ? .notice : .debug, "edge cut off", metadata: ["reason": "\(reason)"])
        self.close(reason)
    }

    func drain() {
        switch self.phase {
        case .offered, .shaking: self.close("shutting down")
        case .serving(let edge):
            self.phase = .draining(edge: edge)
            self.context?.eventLoop.assumeIsolated().scheduleTask(in: self.core.limits.lastTurnsTimeout) {
                self.isLastTurn = true
                self.closeIfDrained()
            }
            self.closeIfDrained()
        case .turningAway: self.close("shutting down")
        case .draining, .closing: break
        }
    }

    /// No request is to be answered.
    var isIdle: Bool {
        self.inFlight == 0 && self.queued == 0 && self.heldBatches == 0 && self.held.isEmpty
            && self.desk?.turnsUnderWay ?? 0 == 0
    }

    func closeIfDrained() {
        guard case .draining = self.phase, self.isIdle else { return }
        guard self.isLastTurn || self.desk?.awaitsClients != true else { return }
        self.close("shutting down")
    }

    /// Answers given so far still go out, but for those whose audit lines are not written yet.
    func close(_ reason: String) {
        if case .closing = self.phase { return }
        self.phase = .closing
        self.closeReason = reason
        self.desk?.endAll(reason)
        self.decoder = KeyPacketDecoder()
        self.held = HeldAnswers()
        self.flushOutbound()
        self.context?.close(promise: nil)
    }

    /// The edge, while it is being served.
    var edge: String? {
        switch self.phase {
        case .serving(let edge), .draining(let edge): edge
        case .offered, .shaking, .turningAway, .closing: nil
        }
    }
}
