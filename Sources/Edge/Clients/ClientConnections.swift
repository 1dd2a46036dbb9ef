import Admission
import Channels
import EdgeModel
import Metrics
import NIOCore
import Synchronization

/// The connections of all event loops: how many there may be, of one client and for one site, and which gives way.
///
/// A lock, held at the steps of a connection: accepted, identified, hello read, handshake done, closed. Not for requests.
///
/// Metrics: `latchstring_edge_connections_refused_total{reason}`, `latchstring_edge_connections_gave_way_total{stage}`.
final class ClientConnections: Sendable {
    enum Refusal: String, CaseIterable, Sendable {
        /// The client's network has as many as it may have.
        case client
        /// The site has as many as it may have.
        case site
        /// The edge has as many as it may have.
        case total
        /// The edge is about to end.
        case draining
    }

    struct Bounds: Sendable {
        var total: Int
        var perClient: Int
        /// By the site's name; none: no bound of its own.
        var perSite: [String: Int] = [:]
        var exempt: [IPNetwork] = []
        var ipv6PrefixLength = ClientNetwork.usualIPv6PrefixLength
    }

    private struct State {
        var all: ConnectionShare
        var sites: [String: SiteShare]
        var places = Places()
        /// Called once when a place becomes free; one for each listener that rests.
        var waiting: [ObjectIdentifier: @Sendable () -> Void] = [:]
    }

    /// By reference: a connection that is a site's need not look it up again.
    private final class SiteShare {
        var share: ConnectionShare

        init(_ share: ConnectionShare) { self.share = share }
    }

    /// By reference, so that a look at one while another is let in copies nothing.
    private final class Places {
        private var records: [UInt64: Record] = [:]

        var count: Int { self.records.count }

        subscript(id: UInt64) -> Record? {
            get { self.records[id] }
            set { self.records[id] = newValue }
        }

        func remove(_ id: UInt64) -> Record? { self.records.removeValue(forKey: id) }

        func mayGiveWay(_ id: UInt64, _ now: NIODeadline) -> Bool {
            self.records[id]?.place.mayGiveWay(now: now) ?? false
        }
    }

    private struct Record {
        var place: ClientPlace
        var network: ClientNetwork
        var site: SiteShare?
    }

    private let bounds: Mutex<Bounds>
    private let state: Mutex<State>
    private let refusals: [Refusal: Counter]
    private let gaveWay: [ConnectionStage: Counter]

    init(_ bounds: Bounds, metrics: any MetricsFactory = MetricsSystem.factory) {
        self.bounds = Mutex(bounds)
        self.state = Mutex(
            State(
                all: ConnectionShare(total: bounds.total, perClient: bounds.perClient),
                sites: bounds.perSite.mapValues {
                    SiteShare(ConnectionShare(total: $0, perClient: Self.perClient(of: $0)))
                }))
        self.refusals = Dictionary(
            uniqueKeysWithValues: Refusal.allCases.map { refusal in
                let label = "latchstring_edge_connections_refused_total"
                return (refusal, Counter(label: label, dimensions: [("reason", refusal.rawValue)], factory: metrics))
            })
        self.gaveWay = Dictionary(
            uniqueKeysWithValues: ConnectionStage.allCases.map { stage in
                let label = "latchstring_edge_connections_gave_way_total"
                return (stage, Counter(label: label, dimensions: [("stage", "\(stage)")], factory: metrics))
            })
    }

    /// Other bounds, for clients that come from now on. Those that are connected stay.
    func update(_ bounds: Bounds) {
        self.bounds.withLock { $0 = bounds }
        self.state.withLock { state in
            state.all.setBounds(total: bounds.total, perClient: bounds.perClient)
            for (name, site) in state.sites where bounds.perSite[name] == nil {
                // A site without a bound of its own has that of all.
                site.share.setBounds(total: bounds.total, perClient: bounds.perClient)
            }
            for (name, share) in bounds.perSite {
                let perClient = Self.perClient(of: share)
                if let site = state.sites[name] {
                    site.share.setBounds(total: share, perClient: perClient)
                } else {
                    state.sites[name] = SiteShare(ConnectionShare(total: share, perClient: perClient))
                }
            }
        }
    }

    /// What one client may have of a site's share.
    private static func perClient(of share: Int) -> Int { max(1, share / 2) }

    /// How many there may be in all.
    var total: Int { self.bounds.withLock { $0.total } }

    func network(of client: ClientAddress) -> ClientNetwork {
        let address = client.address
        return self.bounds.withLock { bounds -> ClientNetwork in
            if bounds.exempt.contain(address) { return .exempt(address) }
            return ClientNetwork(address, ipv6PrefixLength: bounds.ipv6PrefixLength)
        }
    }

    /// Open connections.
    var count: Int { self.state.withLock { $0.places.count } }

    /// A connection was accepted.
    ///
    /// - Parameter isBalancer: It is about to say who the client is; until then it counts for no client.
    func accepted(
        _ place: ClientPlace, from client: ClientAddress, isBalancer: Bool, now: NIODeadline
    ) -> Refusal? {
        let network: ClientNetwork = isBalancer ? .exempt(nil) : self.network(of: client)
        return self.enter(place, network, now)
    }

    /// A balancer has said who the client is.
    func identified(_ place: ClientPlace, as client: ClientAddress, now: NIODeadline) -> Refusal? {
        self.state.withLock { state in
            state.all.leave(place.id)
            state.places[place.id] = nil
        }
        return self.enter(place, self.network(of: client), now)
    }

    private func enter(_ place: ClientPlace, _ network: ClientNetwork, _ now: NIODeadline) -> Refusal? {
        let (refusal, victim) = self.state.withLock { state -> (Refusal?, (place: ClientPlace, ConnectionStage)?) in
            let places = state.places
            let entry = state.all.enter(place.id, from: network) { places.mayGiveWay($0, now) }
            return Self.take(entry, in: &state, full: .total) { state in
                state.places[place.id] = Record(place: place, network: network)
            }
        }
        return self.conclude(refusal, victim)
    }

    /// The hello is read: the connection is a site's now.
    ///
    /// - Parameter stage: How far it is; what is passed on to others is established.
    func routed(_ place: ClientPlace, to site: String, stage: ConnectionStage, now: NIODeadline) -> Refusal? {
        let (refusal, victim) = self.state.withLock { state -> (Refusal?, (place: ClientPlace, ConnectionStage)?) in
            guard let record = state.places[place.id] else { return (nil, nil) }
            state.all.move(place.id, to: stage)
            guard let site = state.sites[site] else { return (nil, nil) }
            let places = state.places
            let entry = site.share.enter(place.id, from: record.network, stage: stage) {
                places.mayGiveWay($0, now)
            }
            return Self.take(entry, in: &state, full: .site) { state in
                state.places[place.id] = Record(place: record.place, network: record.network, site: site)
            }
        }
        return self.conclude(refusal, victim)
    }

    /// The handshake is done.
    func established(_ place: ClientPlace, now: NIODeadline) {
        place.rests(since: now)
        self.state.withLock { state in
            state.all.move(place.id, to: .established)
            state.places[place.id]?.site?.share.move(place.id, to: .established)
        }
    }

    func closed(_ place: ClientPlace) {
        let waiting = self.state.withLock { state -> [ObjectIdentifier: @Sendable () -> Void] in
            Self.remove(place.id, from: &state)
            guard !state.waiting.isEmpty else { return [:] }
            defer { state.waiting = [:] }
            return state.waiting
        }
        for callback in waiting.values { callback() }
    }

    /// Calls back once, on any thread, when a connection has closed.
    ///
    /// - Parameter listener: rests meanwhile; asks again and again while none closes, and only the last call counts.
    func whenOneCloses(for listener: ObjectIdentifier, _ callback: @escaping @Sendable () -> Void) {
        self.state.withLock { $0.waiting[listener] = callback }
    }

    func refused(_ refusal: Refusal) { self.refusals[refusal]?.increment() }

    private static func take(
        _ entry: ConnectionShare.Entry, in state: inout State, full: Refusal, admit: (inout State) -> Void
    ) -> (Refusal?, (place: ClientPlace, ConnectionStage)?) {
        switch entry {
        case .admitted:
            admit(&state)
            return (nil, nil)
        case .inPlaceOf(let id, let stage):
            let victim = state.places[id]?.place
            Self.remove(id, from: &state)
            admit(&state)
            return (nil, victim.map { ($0, stage) })
        case .refused(.client): return (full == .site ? .site : .client, nil)
        case .refused(.total): return (full, nil)
        }
    }

    private static func remove(_ id: UInt64, from state: inout State) {
        state.all.leave(id)
        state.places.remove(id)?.site?.share.leave(id)
    }

    private func conclude(_ refusal: Refusal?, _ victim: (place: ClientPlace, ConnectionStage)?) -> Refusal? {
        if let refusal { self.refused(refusal) }
        if let (place, stage) = victim {
            self.gaveWay[stage]?.increment()
            place.close()
        }
        return refusal
    }
}
