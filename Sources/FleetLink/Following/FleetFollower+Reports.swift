import FleetBus
import Logging

/// Acknowledgements and heartbeats.
extension FleetFollower {
    /// What can't be said now is part of the next acknowledgement.
    func acknowledge(_ client: BusClient) async {
        guard !Task.isCancelled,
            let said = self.machine.acknowledgement(edge: self.membership.seal.name, time: self.wallClock),
            let bytes = try? said.report.sealed({ try self.membership.seal.sign($0) })
        else { return }
        let command = RESPCommand("XADD", self.keys.reports, "MAXLEN", "~", "20000", "*", StreamEntry.field)
        do {
            _ = try await self.ask(client, [command.adding(bytes)])
            self.machine.reported(said)
        } catch {
            self.reportFailed(error)
        }
    }

    func beat(_ client: BusClient) async {
        self.heartbeatAt = self.now + self.membership.heartbeat
        var heartbeat = self.membership.facts()
        let status = self.status.value
        heartbeat.busTime = self.busOffset.map { $0 + self.now } ?? 0
        heartbeat.identityNotAfter = self.membership.seal.notAfter
        heartbeat.position = "\(self.done.last)"
        for (signer, progress) in self.done.signers { heartbeat.counters["\(signer)"] = progress.last }
        heartbeat.refused = status.refused
        heartbeat.doubts = status.doubts
        heartbeat.problem = heartbeat.problem ?? status.problem
        let seal = self.membership.seal
        guard
            let report = heartbeat.report(
                fleet: self.membership.fleet, edge: seal.name, time: self.wallClock, certificate: seal.certificate),
            let bytes = try? report.sealed({ try seal.sign($0) })
        else { return }
        do {
            let replies = try await self.ask(
                client,
                [RESPCommand("TIME"), RESPCommand("HSET", self.keys.edges, seal.name).adding(bytes)])
            self.noteTime(replies[0])
            self.status.change { $0.isListed = true }
            if self.reportsFail {
                let complaint = self.complaint
                self.reportsFail = false
                self.complaint = nil
                self.status.change { if $0.problem == complaint { $0.problem = nil } }
            }
        } catch {
            self.reportFailed(error)
        }
    }

    private func reportFailed(_ error: any Error) {
        self.metrics.reportFailed()
        self.reportsFail = true
        guard case .answer(let text)? = error as? FollowFailure else { return }
        self.status.change { $0.problem = text }
        guard self.complaint != text else { return }
        self.complaint = text
        self.write(.warning, "the fleet's bus does not take this edge's reports", ["reason": "\(text)"])
    }

    func noteTime(_ value: RESPValue) {
        guard let parts = value.elements, parts.count == 2, let seconds = parts[0].number,
            let microseconds = parts[1].number, (0...10_000_000_000).contains(seconds),
            (0..<1_000_000).contains(microseconds)
        else { return }
        self.busOffset = seconds * 1000 + microseconds / 1000 - self.now
    }
}
