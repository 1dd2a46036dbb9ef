import Admission
internal import NIOConcurrencyHelpers
internal import NIOCore

/// Which connections an admin port has room for. Pure.
///
/// Every client that reaches the port can open connections. One that has not shown that it may ask keeps no other out: where there are too
/// many, the oldest of the network that has most of them gives way to the newest.
struct AdminPlaces<Key: Hashable & Sendable>: Sendable {
    enum Verdict: Equatable {
        /// In place of the other connection, if there is one.
        case taken(insteadOf: Key?)
        case full
    }

    private struct Stranger {
        var network: ClientNetwork
        /// Rises with each connection.
        var order: UInt64
    }

    private let maximum: Int
    private var strangers: [Key: Stranger] = [:]
    private var admitted: Set<Key> = []
    private var order: UInt64 = 0

    init(maximum: Int) {
        self.maximum = maximum
    }

    mutating func add(_ key: Key, from network: ClientNetwork) -> Verdict {
        guard self.admitted.count < self.maximum else { return .full }
        self.order += 1
        self.strangers[key] = Stranger(network: network, order: self.order)
        guard self.strangers.count + self.admitted.count > self.maximum else { return .taken(insteadOf: nil) }
        let counts = self.strangers.values.reduce(into: [ClientNetwork: Int]()) { $0[$1.network, default: 0] += 1 }
        let most = counts.values.max() ?? 0
        let oldest = self.strangers.filter { $0.key != key && counts[$0.value.network] == most }
            .min { $0.value.order < $1.value.order }
        guard let oldest else { return .full }
        self.strangers[oldest.key] = nil
        return .taken(insteadOf: oldest.key)
    }

    /// It has made a request that it may make.
    mutating func admit(_ key: Key) {
        if self.strangers.removeValue(forKey: key) != nil { self.admitted.insert(key) }
    }

    mutating func remove(_ key: Key) {
        self.strangers[key] = nil
        self.admitted.remove(key)
    }
}

/// The connections of one admin port: counted, and closed with it.
final class AdminConnections: Sendable {
    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        var places: AdminPlaces<ObjectIdentifier>
        var isClosed = false
    }

    private let state: NIOLockedValueBox<State>

    init(maximum: Int) {
        self.state = NIOLockedValueBox(State(places: AdminPlaces(maximum: maximum)))
    }

    /// False if there is no room.
    func add(_ channel: any Channel) -> Bool {
        let key = ObjectIdentifier(channel)
        let (isAdded, former) = self.state.withLockedValue { state -> (Bool, (any Channel)?) in
            guard !state.isClosed,
                case .taken(let former) = state.places.add(key, from: ClientNetwork(channel.remoteAddress))
            else { return (false, nil) }
            state.channels[key] = channel
            return (true, former.flatMap { state.channels[$0] })
        }
        former?.close(promise: nil)
        if isAdded {
            channel.closeFuture.whenComplete { _ in
                self.state.withLockedValue {
                    $0.channels[key] = nil
                    $0.places.remove(key)
                }
            }
        }
        return isAdded
    }

    /// The connection has made a request that it may make: it gives way to no other.
    func admit(_ channel: any Channel) {
        self.state.withLockedValue { $0.places.admit(ObjectIdentifier(channel)) }
    }

    func closeAll() {
        let open = self.state.withLockedValue { state in
            state.isClosed = true
            return Array(state.channels.values)
        }
        for channel in open { channel.close(promise: nil) }
    }
}
