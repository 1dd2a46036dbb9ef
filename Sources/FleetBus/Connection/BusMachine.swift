internal import DequeModule

/// One connection to a bus, kept up: addresses in turn, sentinels, greeting, deadlines, waits between attempts.
///
/// Each event returns what to do. Time is milliseconds on a clock that only goes forward; the random numbers, from 0 to 1, are
/// arguments too. Replies are the peer's, and any will do: what does not fit ends the connection. A command that is submitted
/// while there is none is the caller's mistake, and answered with a failure.
public struct BusMachine: Sendable {
    public enum Action: Equatable, Sendable {
        /// Connects, by TLS if the address says so. Answered with `connected`, `connectFailed` or `closed`.
        case dial(BusAddress)
        case send([RESPCommand])
        /// Closes the connection, or gives up connecting. Nothing more is told of it.
        case close
        /// Commands can be submitted.
        case ready(BusServer)
        /// The reply to a command.
        case deliver(ticket: UInt64, RESPValue)
        /// There will be no reply.
        case fail(ticket: UInt64, BusFailure)
        /// The bus is lost, or an attempt has failed: told once for each.
        case lost(BusFailure)
    }

    private enum Purpose: Equatable {
        case server, sentinel
        /// The server that a sentinel named.
        case named
    }

    private enum State: Equatable {
        case idle
        case dialing(BusAddress, Purpose, deadline: Int64)
        case greeting(BusAddress, Purpose, deadline: Int64)
        case asking(BusAddress, deadline: Int64)
        case ready(BusAddress, since: Int64)
        case waiting(until: Int64)
        case stopped
    }

    private struct Pending {
        var ticket: UInt64
        var deadline: Int64
    }

    private let configuration: BusConfiguration
    private var state = State.idle
    private var pending: Deque<Pending> = []
    private var nextTicket: UInt64 = 0
    /// Of the addresses, which is tried next, and how many have been tried since one has proven itself.
    private var next = 0
    private var tried = 0
    private var rounds = 0

    /// The wait after all addresses have failed once, and the longest: milliseconds.
    static let firstWait: Int64 = 100
    static let longestWait: Int64 = 5000
    /// A connection that was ready for so long was of use: addresses and waits begin anew behind it. Milliseconds.
    static let provenAfter: Int64 = 10_000

    public init(_ configuration: BusConfiguration) {
        self.configuration = configuration
    }

    public var isReady: Bool {
        if case .ready = self.state { true } else { false }
    }

    /// When `timePassed` is due; nil: not at all.
    public var wakeAt: Int64? {
        switch self.state {
        case .dialing(_, _, let deadline), .greeting(_, _, let deadline), .asking(_, let deadline): deadline
        case .waiting(let until): until
        // In the order in which they were sent, which is the order of the replies: the first that is due may not be the first.
        case .ready: self.pending.lazy.map(\.deadline).min()
        case .idle, .stopped: nil
        }
    }

    // MARK: Connecting

    public mutating func start(at now: Int64) -> [Action] {
        guard self.state == .idle else { return [] }
        return self.dialNext(at: now)
    }

    private mutating func dialNext(at now: Int64) -> [Action] {
        let address = self.configuration.addresses[self.next % self.configuration.addresses.count]
        return self.dial(address, self.configuration.sentinel == nil ? .server : .sentinel, at: now)
    }

    private mutating func dial(_ address: BusAddress, _ purpose: Purpose, at now: Int64) -> [Action] {
        self.state = .dialing(address, purpose, deadline: now + self.configuration.connectTimeout)
        return [.dial(address)]
    }

    public mutating func connected(at now: Int64) -> [Action] {
        guard case .dialing(let address, let purpose, _) = self.state else { return [.close] }
        self.state = .greeting(address, purpose, deadline: now + self.configuration.connectTimeout)
        var hello = RESPCommand("HELLO", "3")
        if let login = purpose == .sentinel ? self.configuration.sentinel?.login : self.configuration.login {
            hello = hello.adding("AUTH", login.user).adding(login.password)
        }
        return [.send([hello.adding("SETNAME", self.configuration.clientName)])]
    }

    public mutating func connectFailed(_ reason: String, at now: Int64, random: Double) -> [Action] {
        guard case .dialing(let address, _, _) = self.state else { return [] }
        return self.fail(.unreachable(address, reason), at: now, random: random)
    }

    public mutating func closed(at now: Int64, random: Double) -> [Action] {
        guard let address = self.address else { return [] }
        return self.fail(.closed(address), at: now, random: random)
    }

    /// The peer sent what is no reply, or what was to be written could not be.
    public mutating func broke(_ reason: String, at now: Int64, random: Double) -> [Action] {
        guard let address = self.address else { return [] }
        return [.close] + self.fail(.broken(address, reason), at: now, random: random)
    }

    private var address: BusAddress? {
        switch self.state {
        case .dialing(let address, _, _), .greeting(let address, _, _), .asking(let address, _),
            .ready(let address, _):
            address
        case .idle, .waiting, .stopped: nil
        }
    }

    private mutating func fail(_ failure: BusFailure, at now: Int64, random: Double) -> [Action] {
        var actions: [Action] = self.pending.map { .fail(ticket: $0.ticket, failure) }
        self.pending = []
        // One that answers and then breaks, again and again, is of no use.
        if case .ready(_, let since) = self.state, now - since >= Self.provenAfter {
            self.tried = 0
            self.rounds = 0
        }
        self.next = (self.next + 1) % self.configuration.addresses.count
        self.tried += 1
        actions.append(.lost(failure))
        if self.tried < self.configuration.addresses.count { return actions + self.dialNext(at: now) }
        self.tried = 0
        let step = min(self.rounds < 16 ? Self.firstWait << Int64(self.rounds) : Self.longestWait, Self.longestWait)
        self.rounds += 1
        self.state = .waiting(until: now + step / 2 + Int64(Double(step - step / 2) * min(max(random, 0), 1)))
        return actions
    }

    // MARK: Replies

    public mutating func received(_ value: RESPValue, at now: Int64, random: Double) -> [Action] {
        // What was not asked for is not of interest.
        if case .push = value { return [] }
        switch self.state {
        case .greeting(let address, let purpose, _):
            return self.greeted(value, address, purpose, at: now, random: random)
        case .asking(let address, _): return self.named(value, by: address, at: now, random: random)
        case .ready(let address, _):
            guard let first = self.pending.popFirst() else {
                return [.close] + self.fail(.broken(address, "a reply to nothing"), at: now, random: random)
            }
            if case .error(let text) = value, Self.meansLost(text) {
                return [.deliver(ticket: first.ticket, value), .close]
                    + self.fail(.notPrimary(address, role: "replica now"), at: now, random: random)
            }
            return [.deliver(ticket: first.ticket, value)]
        case .idle, .dialing, .waiting, .stopped: return [.close]
        }
    }

    /// Errors of a server that has become a replica, or has lost its primary.
    private static func meansLost(_ text: String) -> Bool {
        text.hasPrefix("READONLY") || text.hasPrefix("MASTERDOWN")
    }

    private mutating func greeted(
        _ value: RESPValue, _ address: BusAddress, _ purpose: Purpose, at now: Int64, random: Double
    ) -> [Action] {
        func end(_ failure: BusFailure) -> [Action] { [.close] + self.fail(failure, at: now, random: random) }
        if case .error(let text) = value { return end(.refused(address, text)) }
        guard let server = BusServer(value, address: address) else {
            return end(.broken(address, "its greeting is none of Redis or Valkey"))
        }
        if purpose == .sentinel {
            guard server.mode == "sentinel", let sentinel = self.configuration.sentinel else {
                return end(.wrongMode(address, "is no sentinel; remove \"sentinel\", or name the sentinels' addresses"))
            }
            self.state = .asking(address, deadline: now + self.configuration.connectTimeout)
            return [.send([RESPCommand("SENTINEL", "get-master-addr-by-name", sentinel.primary)])]
        }
        guard server.mode == "standalone" else {
            return end(.wrongMode(address, "is a \(server.mode); name a server, or set \"sentinel\""))
        }
        guard server.role == "master" || server.role == "primary" else {
            return end(.notPrimary(address, role: server.role))
        }
        self.state = .ready(address, since: now)
        return [.ready(server)]
    }

    /// The sentinel's answer: `[host, port]`, or null.
    private mutating func named(
        _ value: RESPValue, by sentinel: BusAddress, at now: Int64, random: Double
    ) -> [Action] {
        if case .error(let text) = value {
            return [.close] + self.fail(.refused(sentinel, text), at: now, random: random)
        }
        guard let parts = value.elements, parts.count == 2, let host = parts[0].string, let port = parts[1].number,
            (1...65_535).contains(port), Self.isHost(host)
        else {
            return [.close]
                + self.fail(.wrongMode(sentinel, "knows no primary of that name"), at: now, random: random)
        }
        let address = BusAddress(host: host, port: Int(port), usesTLS: sentinel.usesTLS)
        return [.close] + self.dial(address, .named, at: now)
    }

    /// What a sentinel names is printed, too.
    private static func isHost(_ text: String) -> Bool {
        (1...255).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                default: ".-_:%".utf8.contains(byte)
                }
            }
    }

    // MARK: Commands

    /// Sends commands; each gets a reply or a failure under its ticket.
    ///
    /// - Parameter timeout: milliseconds for each reply.
    public mutating func submit(
        _ commands: [RESPCommand], timeout: Int64, at now: Int64
    ) throws(BusFailure) -> (tickets: [UInt64], actions: [Action]) {
        guard case .ready = self.state else { throw .absent }
        guard self.pending.count + commands.count <= self.configuration.pendingLimit else { throw .full }
        var tickets: [UInt64] = []
        for _ in commands {
            tickets.append(self.nextTicket)
            self.pending.append(Pending(ticket: self.nextTicket, deadline: now + timeout))
            self.nextTicket += 1
        }
        return (tickets, [.send(commands)])
    }

    // MARK: Time

    public mutating func timePassed(at now: Int64, random: Double) -> [Action] {
        guard let due = self.wakeAt, due <= now else { return [] }
        if case .waiting = self.state { return self.dialNext(at: now) }
        guard let address = self.address else { return [] }
        return [.close] + self.fail(.silent(address), at: now, random: random)
    }

    /// Ends it for good.
    public mutating func stop() -> [Action] {
        let isOpen = self.address != nil
        var actions: [Action] = self.pending.map { .fail(ticket: $0.ticket, .stopped) }
        self.pending = []
        self.state = .stopped
        if isOpen { actions.append(.close) }
        return actions
    }
}

/// What a server says of itself in its greeting.
public struct BusServer: Equatable, Sendable {
    public var address: BusAddress
    /// `redis` or `valkey`.
    public var name: String
    public var version: String
    /// `standalone`, `sentinel` or `cluster`.
    public var mode: String
    /// `master` or `replica`; sentinels have none.
    public var role: String

    init?(_ value: RESPValue, address: BusAddress) {
        guard let name = value["server"]?.string, let version = value["version"]?.string,
            value["proto"]?.number == 3, let mode = value["mode"]?.string
        else { return nil }
        self.address = address
        self.name = Self.plain(name)
        self.version = Self.plain(version)
        self.mode = Self.plain(mode)
        self.role = Self.plain(value["role"]?.string ?? "")
    }

    /// They are printed: what a word or a version has, and no more of it.
    private static func plain(_ text: String) -> String {
        String(decoding: text.utf8.lazy.filter { (0x21...0x7E).contains($0) }.prefix(32), as: UTF8.self)
    }
}
