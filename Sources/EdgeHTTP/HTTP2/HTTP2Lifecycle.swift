import EdgeModel
import HTTP2Wire
import NIOCore

/// From the first frame of a connection to its last: how many requests it takes, when it ends, and how the client is told
/// (RFC 9113 §6.8). Pure; time is an argument.
///
/// Our bug: more streams ended than were opened; ignored. The peer's violation: more streams at once than the settings say,
/// which is refused, since the client may not have read them yet. Silently dropped: a second wish to end.
struct HTTP2Lifecycle {
    struct Limits {
        var concurrentStreams: Int
        /// Requests on one connection.
        var requests: Int
        /// From the start to the first request, and to the acknowledgement of our settings.
        var firstRequest: TimeAmount
        /// Without a request under way.
        var idle: TimeAmount
        var goAwayGrace: TimeAmount
    }

    enum Admission: Equatable {
        case serve
        /// And tell the client that there will be no more.
        case serveLast
        case refuse
    }

    enum Step: Equatable {
        case none
        /// GOAWAY that takes nothing back, and a PING: its answer says that the client has read both.
        case announce
        /// GOAWAY with the last request that is served.
        case goAway(HTTP2StreamID, HTTP2ErrorCode)
        /// GOAWAY, and close: nothing is under way.
        case goAwayAndClose(HTTP2StreamID, HTTP2ErrorCode)
        case close
    }

    private enum Phase {
        case open
        /// The client knows, or will soon; what it sent before it knew is served.
        case announced(until: NIODeadline)
        /// No more requests.
        case leaving
        case closed
    }

    private let limits: Limits
    private let start: NIODeadline
    private var phase = Phase.open
    private var settingsAreKnown = false
    private(set) var requests = 0
    private(set) var streams = 0
    private(set) var lastStream = HTTP2StreamID.connection
    private var idleSince: NIODeadline

    init(limits: Limits, now: NIODeadline) {
        self.limits = limits
        self.start = now
        self.idleSince = now
    }

    var isOpen: Bool {
        if case .open = self.phase { return true }
        return false
    }

    /// A client has begun a request.
    ///
    /// - Parameter kept: places of requests that are gone, see ``OriginPlaces``.
    mutating func opened(_ id: HTTP2StreamID, kept: Int = 0) -> Admission {
        guard self.streams + kept < self.limits.concurrentStreams else { return .refuse }
        self.streams += 1
        self.requests += 1
        self.lastStream = id
        return self.requests == self.limits.requests ? .serveLast : .serve
    }

    mutating func ended(now: NIODeadline) -> Step {
        self.streams = max(0, self.streams - 1)
        if self.streams > 0 { return .none }
        self.idleSince = now
        guard case .leaving = self.phase else { return .none }
        self.phase = .closed
        return .close
    }

    /// The edge wants to stop, or the connection has served its share.
    mutating func leave(now: NIODeadline) -> Step {
        guard case .open = self.phase else { return .none }
        self.phase = .announced(until: now + self.limits.goAwayGrace)
        return .announce
    }

    /// The client has answered the PING behind the announcement.
    mutating func announcementIsKnown() -> Step {
        guard case .announced = self.phase else { return .none }
        return self.refuseFurther(.noError)
    }

    mutating func settingsAcknowledged() { self.settingsAreKnown = true }

    /// The connection is at an end for another reason.
    mutating func closed() { self.phase = .closed }

    /// When ``timedOut(now:)`` is to be asked.
    var deadline: NIODeadline {
        switch self.phase {
        case .open:
            var deadline = NIODeadline.distantFuture
            if !self.settingsAreKnown || self.requests == 0 { deadline = self.start + self.limits.firstRequest }
            if self.requests > 0, self.streams == 0 { deadline = min(deadline, self.idleSince + self.limits.idle) }
            return deadline
        case .announced(let until): return until
        case .leaving, .closed: return .distantFuture
        }
    }

    mutating func timedOut(now: NIODeadline) -> Step {
        guard self.deadline <= now else { return .none }
        switch self.phase {
        case .open where self.requests > 0 && !self.settingsAreKnown && self.start + self.limits.firstRequest <= now:
            self.phase = .closed
            return .goAwayAndClose(self.lastStream, .settingsTimeout)
        case .open, .announced: return self.refuseFurther(.noError)
        case .leaving, .closed: return .none
        }
    }

    private mutating func refuseFurther(_ code: HTTP2ErrorCode) -> Step {
        if self.streams == 0 {
            self.phase = .closed
            return .goAwayAndClose(self.lastStream, code)
        }
        self.phase = .leaving
        return .goAway(self.lastStream, code)
    }
}
