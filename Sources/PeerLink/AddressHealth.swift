import Metrics

/// How one address of a key holder is, as this edge sees it.
public struct AddressHealth: Hashable, Sendable {
    public enum State: String, Sendable {
        /// Not connected.
        case down
        /// Connected and answering.
        case ready
        /// Connected, and silent: it is asked for nothing until it answers.
        case silent
    }

    public var address: String
    public var state: State
    /// What an answer takes, smoothed, in nanoseconds; nil: none came yet.
    public var latency: Int64?

    public init(address: String, state: State, latency: Int64?) {
        self.address = address
        self.state = state
        self.latency = latency
    }
}

/// Says how the addresses of a key holder are: in metrics, and to the one that asked for it.
///
/// Bound to one event loop. Metrics count the loops' links together.
final class AddressHealthReport {
    private let addresses: [String]
    private let ready: [Meter]
    private let latency: [Gauge]
    private var isReady: [Bool]
    /// What was said last.
    private(set) var told: [AddressHealth] = []
    private var stopped = false
    var callback: (([AddressHealth]) -> Void)?

    init(keyHolder: String, ends: [KeyHolderEnd]) {
        self.addresses = ends.map(\.description)
        func dimensions(_ address: String) -> [(String, String)] { [("keyholder", keyHolder), ("address", address)] }
        self.ready = self.addresses.map { Meter(label: "latchstring_key_address_ready", dimensions: dimensions($0)) }
        self.latency = self.addresses.map {
            Gauge(label: "latchstring_key_address_latency_seconds", dimensions: dimensions($0))
        }
        self.isReady = Array(repeating: false, count: ends.count)
    }

    func tell(_ holders: [HolderSelection.Holder]) {
        guard !self.stopped else { return }
        var healths: [AddressHealth] = []
        for (index, holder) in holders.enumerated() {
            let isReady = holder.health == .ready
            if isReady != self.isReady[index] {
                self.isReady[index] = isReady
                if isReady { self.ready[index].increment() } else { self.ready[index].decrement() }
            }
            if let latency = holder.latency, holder.health != .down { self.latency[index].record(latency / 1e9) }
            let state: AddressHealth.State =
                switch holder.health {
                case .down: .down
                case .ready: .ready
                case .suspect: .silent
                }
            healths.append(
                AddressHealth(
                    address: self.addresses[index], state: state,
                    latency: state == .down ? nil : holder.latency.map { Int64($0) }))
        }
        guard healths != self.told else { return }
        self.told = healths
        self.callback?(healths)
    }

    func stop() {
        self.stopped = true
        for (index, isReady) in self.isReady.enumerated() where isReady { self.ready[index].decrement() }
    }
}
