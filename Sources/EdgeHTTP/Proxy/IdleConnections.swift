import NIOCore

/// Connections to an origin that no request uses, and until when one may. Pure; times are monotonic.
///
/// The connection used last is used next, so that those not needed grow old and go. None is used beyond its age: a new one
/// looks the origin's name up again, so that a change in DNS is followed under steady traffic, too. A connection in use
/// is none of these, and is not cut.
///
/// Our bugs: none that it could see. Removing what is not here is silently ignored, since connections end when they like.
struct IdleConnections<Connection: AnyObject> {
    private struct Entry {
        let connection: Connection
        let until: NIODeadline
    }

    private let count: Int
    private let idleTimeout: TimeAmount
    private let age: TimeAmount
    /// The one used last is last.
    private var entries: [Entry] = []

    /// - Parameters:
    ///   - count: of connections, at most.
    ///   - idleTimeout: how long each is kept without use.
    ///   - age: from its beginning to its last use, at most.
    init(count: Int, idleTimeout: TimeAmount, age: TimeAmount) {
        self.count = count
        self.idleTimeout = idleTimeout
        self.age = age
    }

    /// Whether a connection that began then is young enough to be used again.
    func mayKeep(since birth: NIODeadline, now: NIODeadline) -> Bool { now < birth + self.age }

    /// A connection that ``mayKeep(since:now:)`` has no request any more.
    ///
    /// - Returns: until when a request may have it.
    @discardableResult
    mutating func add(_ connection: Connection, since birth: NIODeadline, now: NIODeadline) -> NIODeadline {
        let until = min(now + self.idleTimeout, birth + self.age)
        self.entries.append(Entry(connection: connection, until: until))
        return until
    }

    /// The one that was idle for the shortest time.
    mutating func take() -> Connection? { self.entries.popLast()?.connection }

    /// The one used longest ago, if there are more than there may be.
    mutating func surplus() -> Connection? {
        self.entries.count > self.count ? self.entries.removeFirst().connection : nil
    }

    mutating func remove(_ connection: Connection) { self.entries.removeAll { $0.connection === connection } }

    mutating func removeAll() -> [Connection] {
        defer { self.entries = [] }
        return self.entries.map(\.connection)
    }

    /// When ``expired(now:)`` finds one; nil if there is none.
    var deadline: NIODeadline? { self.entries.min { $0.until < $1.until }?.until }

    /// Those that are used no more.
    mutating func expired(now: NIODeadline) -> [Connection] {
        let expired = self.entries.filter { $0.until <= now }.map(\.connection)
        if !expired.isEmpty { self.entries.removeAll { $0.until <= now } }
        return expired
    }
}
