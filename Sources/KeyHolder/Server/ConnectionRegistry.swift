import Admission
import NIOCore
import Synchronization

/// All connections, by state, so that they can be counted, limited and cut off.
///
/// A connection whose handshake is under way costs its sender nothing, so such connections never keep others out: where
/// there are too many, the oldest one of the peer that has most of them gives way to the newest.
final class ConnectionRegistry: Sendable {
    private struct Pending {
        var channel: any Channel
        var source: ClientNetwork
        /// Rises with each connection.
        var order: UInt64
    }

    private struct State {
        var shaking: [ObjectIdentifier: Pending] = [:]
        var perSource: [ClientNetwork: Int] = [:]
        var accepted: UInt64 = 0
        var serving: [ObjectIdentifier: (edge: String, channel: any Channel)] = [:]
        var perEdge: [String: Int] = [:]
        /// Opened to an edge, which has yet to prove who it is.
        var dialled: Set<ObjectIdentifier> = []
        /// Everything open, to close it at the end.
        var channels: [ObjectIdentifier: any Channel] = [:]
        var closed: Bool = false

        @discardableResult
        mutating func removePending(_ id: ObjectIdentifier) -> (any Channel)? {
            guard let pending = self.shaking.removeValue(forKey: id) else { return nil }
            let left: Int = self.perSource[pending.source, default: 1] - 1
            self.perSource[pending.source] = left > 0 ? left : nil
            return pending.channel
        }

        /// The oldest pending connection of the source, or of any source that has as many pending as none other has more.
        mutating func evict(from source: ClientNetwork?) -> (any Channel)? {
            let most: Int = self.perSource.values.max() ?? 0
            var oldest: (id: ObjectIdentifier, order: UInt64)?
            for (id, pending) in self.shaking {
                let qualifies: Bool =
                    source.map { pending.source == $0 } ?? (self.perSource[pending.source] == most)
                guard qualifies, pending.order < oldest?.order ?? .max else { continue }
                oldest = (id, pending.order)
            }
            return oldest.flatMap { self.removePending($0.id) }
        }
    }

    enum Refusal: Equatable, Sendable {
        case tooManyConnections, tooManyOfEdge, shuttingDown
        /// Gave way to a newer connection while its handshake was under way.
        case evicted
    }

    enum Admission: Sendable {
        /// In place of the other connection, if there is one: the caller closes that.
        case accepted(evicting: (any Channel)?)
        case refused(Refusal)
    }

    private let limits: KeyHolderLimits
    private let state = Mutex(State())

    init(limits: KeyHolderLimits) {
        self.limits = limits
    }

    /// A connection was accepted.
    func accepted(_ channel: any Channel, from source: ClientNetwork) -> Admission {
        self.state.withLock { state in
            guard !state.closed else { return .refused(.shuttingDown) }
            var evicted: (any Channel)?
            if state.perSource[source, default: 0] >= self.limits.handshakesPerAddress {
                evicted = state.evict(from: source)
            } else if state.shaking.count >= self.limits.handshakes {
                evicted = state.evict(from: nil)
            }
            state.accepted += 1
            state.shaking[ObjectIdentifier(channel)] = Pending(
                channel: channel, source: source, order: state.accepted)
            state.perSource[source, default: 0] += 1
            state.channels[ObjectIdentifier(channel)] = channel
            return .accepted(evicting: evicted)
        }
    }

    /// A connection was opened to an edge. As this key holder decides how many there are, it counts only once it is known whose
    /// it is.
    ///
    /// - Returns: false: the key holder is shutting down.
    func dialled(_ channel: any Channel) -> Bool {
        self.state.withLock { state in
            guard !state.closed else { return false }
            state.dialled.insert(ObjectIdentifier(channel))
            state.channels[ObjectIdentifier(channel)] = channel
            return true
        }
    }

    /// A connection proved to be an edge's.
    func identified(_ channel: any Channel, as edge: String) -> Refusal? {
        self.state.withLock { state in
            guard !state.closed else { return .shuttingDown }
            let id = ObjectIdentifier(channel)
            guard state.shaking[id] != nil || state.dialled.contains(id) else { return .evicted }
            guard state.serving.count < self.limits.connections else { return .tooManyConnections }
            guard state.perEdge[edge, default: 0] < self.limits.connectionsPerEdge else { return .tooManyOfEdge }
            state.removePending(id)
            state.dialled.remove(id)
            state.serving[ObjectIdentifier(channel)] = (edge, channel)
            state.perEdge[edge, default: 0] += 1
            return nil
        }
    }

    func closed(_ channel: any Channel) {
        self.state.withLock { state in
            state.removePending(ObjectIdentifier(channel))
            state.dialled.remove(ObjectIdentifier(channel))
            state.channels[ObjectIdentifier(channel)] = nil
            guard let (edge, _) = state.serving.removeValue(forKey: ObjectIdentifier(channel)) else { return }
            let left: Int = state.perEdge[edge, default: 1] - 1
            state.perEdge[edge] = left > 0 ? left : nil
        }
    }

    /// Connections whose handshake is under way.
    var pending: [any Channel] {
        self.state.withLock { $0.shaking.values.map(\.channel) }
    }

    /// Connections of identified edges.
    var count: Int {
        self.state.withLock { $0.serving.count }
    }

    /// Of identified edges.
    var connectionsByEdge: [String: Int] {
        self.state.withLock { $0.perEdge }
    }

    /// The connections of edges that `isKept` rejects.
    func channels(ofEdgesNot isKept: (String) -> Bool) -> [any Channel] {
        let serving = self.state.withLock { Array($0.serving.values) }
        return serving.filter { !isKept($0.edge) }.map(\.channel)
    }

    /// Refuses all further connections, and returns those there are.
    func shutDown() -> [any Channel] {
        self.state.withLock { state in
            state.closed = true
            return Array(state.channels.values)
        }
    }

    /// Refuses all further connections, and has those there are end; after this time they are closed. Returns when there is none.
    func drain(within time: TimeAmount) async {
        let channels: [any Channel] = self.shutDown()
        for channel in channels { channel.pipeline.fireUserInboundEventTriggered(ConnectionCommand.drain) }
        let timers: [Scheduled<Void>] = channels.map { channel in
            channel.eventLoop.scheduleTask(in: time) { channel.close(mode: .all, promise: nil) }
        }
        for channel in channels { try? await channel.closeFuture.get() }
        for timer in timers { timer.cancel() }
    }

    /// Takes connections again, after ``shutDown()``.
    func reopen() { self.state.withLock { $0.closed = false } }
}
