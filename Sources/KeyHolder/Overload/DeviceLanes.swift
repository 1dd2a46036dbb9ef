import Synchronization

/// Threads for devices: each has its own, so that one that does not answer holds up no other one's keys.
///
/// A device has its threads from its first operation on, and as long as there are keys on it. Devices beyond ``most`` share the threads
/// of one lane, so that the number of threads is bounded whatever the configuration.
final class DeviceLanes: Sendable {
    /// Devices with threads of their own at once.
    static let most: Int = 32
    /// Of the lane of all other ones.
    static let shared: Int = 8
    /// What an operation takes until some were measured; nanoseconds.
    private static let cost: UInt64 = 5_000_000

    private struct Entry {
        weak var device: KeyDevice?
        var lane: WorkLane
    }

    private struct State {
        var entries: [ObjectIdentifier: Entry] = [:]
        var others: WorkLane?
        var hasEnded: Bool = false
    }

    private let state = Mutex(State())

    /// Devices that have threads of their own.
    var count: Int { self.state.withLock { $0.entries.count } }

    func lane(of device: KeyDevice) -> WorkLane {
        self.state.withLock { state in
            let name = ObjectIdentifier(device)
            if let entry = state.entries[name], entry.device === device { return entry.lane }
            // An operation has a key, and so its device: nothing waits for one that is gone.
            for (name, entry) in state.entries where entry.device == nil {
                state.entries[name] = nil
                entry.lane.discard()
            }
            if state.entries.count >= Self.most, let others = state.others { return others }
            let isOwn: Bool = state.entries.count < Self.most
            let lane = WorkLane(threads: isOwn ? device.concurrency : Self.shared, cost: Self.cost)
            // One that has not started tells each job that it ends.
            if state.hasEnded { lane.discard() } else { lane.start() }
            if isOwn { state.entries[name] = Entry(device: device, lane: lane) } else { state.others = lane }
            return lane
        }
    }

    /// - Parameter patience: How long what is being done is waited for on all lanes together; nanoseconds.
    /// - Returns: Whether all of it was done by then.
    func shutDown(patience: UInt64) async -> Bool {
        let lanes: [WorkLane] = self.state.withLock { state in
            state.hasEnded = true
            return state.entries.values.map(\.lane) + (state.others.map { [$0] } ?? [])
        }
        return await withTaskGroup(of: Bool.self) { group in
            for lane in lanes { group.addTask { await lane.shutDown(patience: patience) } }
            return await group.reduce(true) { $0 && $1 }
        }
    }
}
