import NIOCore
import Synchronization

/// All connections, by state, so that they can be counted, limited and cut off.
final class ConnectionRegistry: Sendable {
    private struct State {
        var shaking: Set<ObjectIdentifier> = []
        var serving: [ObjectIdentifier: (edge: String, channel: any Channel)] = [:]
        var perEdge: [String: Int] = [:]
        /// Everything open, to close it at the end.
        var channels: [ObjectIdentifier: any Channel] = [:]
        var closed: Bool = false
    }

    enum Refusal: Equatable, Sendable {
        case tooManyHandshakes, tooManyConnections, tooManyOfEdge, shuttingDown
    }

    private let limits: KeyHolderLimits
    private let state = Mutex(State())

    init(limits: KeyHolderLimits) {
        self.limits = limits
    }

    /// A connection was accepted.
    func accepted(_ channel: any Channel) -> Refusal? {
        self.state.withLock { state in
            guard !state.closed else { return .shuttingDown }
            guard state.shaking.count < self.limits.handshakes else { return .tooManyHandshakes }
            state.shaking.insert(ObjectIdentifier(channel))
            state.channels[ObjectIdentifier(channel)] = channel
            return nil
        }
    }

    /// A connection proved to be an edge's.
    func identified(_ channel: any Channel, as edge: String) -> Refusal? {
        self.state.withLock { state in
            guard !state.closed else { return .shuttingDown }
            guard state.serving.count < self.limits.connections else { return .tooManyConnections }
            guard state.perEdge[edge, default: 0] < self.limits.connectionsPerEdge else { return .tooManyOfEdge }
            state.shaking.remove(ObjectIdentifier(channel))
            state.serving[ObjectIdentifier(channel)] = (edge, channel)
            state.perEdge[edge, default: 0] += 1
            return nil
        }
    }

    func closed(_ channel: any Channel) {
        self.state.withLock { state in
            state.shaking.remove(ObjectIdentifier(channel))
            state.channels[ObjectIdentifier(channel)] = nil
            guard let (edge, _) = state.serving.removeValue(forKey: ObjectIdentifier(channel)) else { return }
            let left: Int = state.perEdge[edge, default: 1] - 1
            state.perEdge[edge] = left > 0 ? left : nil
        }
    }

    /// Connections of identified edges.
    var count: Int {
        self.state.withLock { $0.serving.count }
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
}
