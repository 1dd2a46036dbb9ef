import Admission
import NIOCore
import StreamWire
import Synchronization

/// The native streams of all edges: which there are, how many, and how fast an edge may open more. A stream may outlive its link.
final class NativeCensus: Sendable {
    enum Refusal: String, Equatable {
        case tooManyStreams = "too many streams"
        case tooManyOfEdge = "too many streams of this edge"
        case tooFast = "this edge opens streams too fast"
    }

    private struct Edge {
        var count = 0
        var openings: TokenBucket
        let account: NativeAccount
    }

    private struct State {
        var total = 0
        /// Those that have been identified, of which there are no more than the policy knows.
        var edges: [String: Edge] = [:]
        var streams: [ObjectIdentifier: any Channel] = [:]
        /// Those that dial their application for a client that has left.
        var dials: [ObjectIdentifier: NIOLoopBound<NativeIntake>] = [:]
        /// Connections to applications.
        var applications: [ObjectIdentifier: any Channel] = [:]
    }

    private let limits: NativeLimits
    private let state = Mutex(State())

    init(limits: NativeLimits) { self.limits = limits }

    var count: Int { self.state.withLock { $0.total } }

    /// A stream is opened; ``leave(_:)`` when it has ended, unless it is refused.
    ///
    /// - Parameter now: Monotonic nanoseconds.
    func enter(_ edge: String, now: UInt64) -> Refusal? {
        self.state.withLock { state in
            guard state.edges[edge, default: self.fresh(now)].openings.take(now: now) else { return .tooFast }
            guard state.total < self.limits.connections else { return .tooManyStreams }
            guard state.edges[edge]?.count ?? 0 < self.limits.connectionsPerEdge else {
                return .tooManyOfEdge
            }
            state.total += 1
            state.edges[edge]?.count += 1
            return nil
        }
    }

    /// Of a stream that entered: until it is closed, it can be told of what happens. Then it has left.
    func hold(_ stream: any Channel, of edge: String) {
        let id = ObjectIdentifier(stream)
        self.state.withLock { $0.streams[id] = stream }
        stream.closeFuture.whenComplete { _ in
            self.state.withLock { $0.streams[id] = nil }
            self.leave(edge)
        }
    }

    /// Of a client that has left with all said: until the dial's outcome is dealt with, it can be told of what happens. On its event loop.
    func hold(_ intake: NativeIntake, dialling dial: EventLoopFuture<any Channel>) {
        let id = ObjectIdentifier(intake)
        let bound = NIOLoopBound(intake, eventLoop: dial.eventLoop)
        self.state.withLock { $0.dials[id] = bound }
        dial.whenComplete { _ in self.state.withLock { $0.dials[id] = nil } }
    }

    var isDialling: Bool { self.state.withLock { !$0.dials.isEmpty } }

    /// Tells all streams, and those that dial their application for a client that has left.
    func tell(_ command: ConnectionCommand, on group: any EventLoopGroup) {
        for stream in self.streams { stream.pipeline.fireUserInboundEventTriggered(command) }
        for loop in group.makeIterator() {
            // Behind the streams: one may have become a dial meanwhile.
            loop.execute {
                let dials = self.state.withLock { Array($0.dials.values) }
                for dial in dials where dial.eventLoop === loop { dial.value.perform(command) }
            }
        }
    }

    /// A connection to an application, which may outlive the stream that it is for.
    func hold(application: any Channel) {
        let id = ObjectIdentifier(application)
        self.state.withLock { $0.applications[id] = application }
        application.closeFuture.whenComplete { _ in self.state.withLock { $0.applications[id] = nil } }
    }

    var streams: [any Channel] { self.state.withLock { Array($0.streams.values) } }

    var applications: [any Channel] { self.state.withLock { Array($0.applications.values) } }

    private func fresh(_ now: UInt64) -> Edge {
        let openings: Int = self.limits.openingsPerEdge
        return Edge(
            openings: TokenBucket(perSecond: openings, burst: openings, now: now),
            account: NativeAccount(self.limits, now: now))
    }

    /// What all links of the edge share.
    func account(of edge: String, now: UInt64) -> NativeAccount {
        self.state.withLock { state in
            if let known = state.edges[edge] { return known.account }
            let fresh: Edge = self.fresh(now)
            state.edges[edge] = fresh
            return fresh.account
        }
    }

    func leave(_ edge: String) {
        self.state.withLock { state in
            state.total -= 1
            state.edges[edge]?.count -= 1
        }
    }

    /// Forgets edges that have no grant any more, and no stream.
    func keep(where isKnown: (String) -> Bool) {
        self.state.withLock { state in
            state.edges = state.edges.filter { $0.value.count > 0 || isKnown($0.key) }
        }
    }
}

/// What the links of one edge may cost the key holder, together.
final class NativeAccount: Sendable {
    /// For windows.
    let budget: WindowBudget
    private let frames: Mutex<TokenBucket>

    /// - Parameter now: Monotonic nanoseconds.
    init(_ limits: NativeLimits, now: UInt64) {
        self.budget = WindowBudget(limits.windowsPerEdge)
        self.frames = Mutex(
            TokenBucket(perSecond: limits.framesPerEdge, burst: max(1, limits.framesPerEdge / 5), now: now))
    }

    /// So many frames came.
    ///
    /// - Returns: for how many nanoseconds the link is not to be read; 0 within the rate.
    func charge(_ count: Int, now: UInt64) -> UInt64 {
        self.frames.withLock { $0.charge(count, now: now) }
    }
}
