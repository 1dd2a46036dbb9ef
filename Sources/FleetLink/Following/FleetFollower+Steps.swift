import FleetBus
import Logging

/// What the machine decides, done to the store and noted on disk.
extension FleetFollower {
    /// Does steps in order; does not return before they are done, or the task is cancelled.
    func carryOut(_ steps: [FollowMachine.Step]) async {
        // What comes before a removal of everything is done by it.
        let last = steps.lastIndex { if case .remove(.everything, _, _) = $0 { true } else { false } } ?? -1
        var purges: [(PurgeEntry, Refusal)] = []
        var confirmed: [PurgeRights] = []
        for (index, step) in steps.enumerated() {
            switch step {
            case .purge(let order, let refusal): if index > last { purges.append((order, refusal)) }
            case .remove(let rights, let signer, let missing):
                self.missed(missing, of: signer)
                if index >= last { await self.untilDone { try await self.store.remove(rights) } }
            case .confirm(let rights, let doubt):
                self.metrics.flushed(.init(doubt))
                guard !confirmed.contains(where: { $0 == rights || $0 == .everything }) else { continue }
                confirmed.append(rights)
                // Also where nothing is stored: it may be on its way from an origin.
                if !self.store.isEmpty {
                    self.write(
                        .warning,
                        "purges may have been missed: what is stored is confirmed by its origin before it is used",
                        ["reason": "\(doubt.rawValue)"])
                    self.status.change { $0.doubts += 1 }
                }
                await self.untilDone { try await self.store.confirm(rights) }
            }
        }
        guard !purges.isEmpty else { return }
        self.ordersSinceLoss += purges.count
        let orders = purges.map { $0.0.purge }
        await self.untilDone {
            let understood = try await self.store.carryOut(orders)
            for (index, isUnderstood) in understood.enumerated() where !isUnderstood {
                self.machine.refused(purges[index].0, purges[index].1)
                self.refused(purges[index].1)
            }
        }
        self.metrics.done(purges.count)
    }

    private func missed(_ count: UInt64, of signer: String) {
        self.write(
            .warning, "purges are missing: all that their signer may purge is removed",
            ["signer": "\(signer)", "missing": "\(count)"])
        self.metrics.flushed(.missingOrders)
        self.status.change { $0.doubts += 1 }
    }

    /// The store's disk may fail: what is not done is tried again, and nothing is acknowledged meanwhile.
    private func untilDone(_ body: () async throws -> Void) async {
        var isFirst = true
        while !Task.isCancelled {
            do {
                try await body()
                if !isFirst { self.status.change { $0.problem = nil } }
                return
            } catch {
                self.metrics.storeFailed()
                if isFirst {
                    self.write(
                        .error, "a purge of the fleet is not done for certain: it is tried again",
                        ["reason": "\(error)"])
                }
                isFirst = false
                self.status.change { $0.problem = "a purge is not done for certain: \(error)" }
                try? await Task.sleep(for: .seconds(1))
            }
        }
    }

    func save() async {
        self.recordAt = self.now
        let record = self.machine.record
        await self.untilDone {
            try await self.record.write(record)
            self.done = record
        }
    }

    func refused(_ refusal: Refusal) {
        self.metrics.refused(refusal.reason)
        self.status.change { $0.refused += 1 }
        self.refusalsUnlogged += 1
        // A bus can make as many as it likes.
        guard self.refusalsLoggedAt.map({ self.now - $0 > 60_000 }) ?? true else { return }
        self.write(
            .warning, "an entry on the fleet's bus was refused",
            ["id": "\(refusal.id)", "reason": "\(refusal.reason.text)", "count": "\(self.refusalsUnlogged)"])
        self.refusalsLoggedAt = self.now
        self.refusalsUnlogged = 0
    }
}
