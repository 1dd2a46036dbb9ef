import DequeModule
import Testing

@testable import Admission

private let second: UInt64 = 1_000_000_000
private let millisecond: UInt64 = 1_000_000

@Suite("Turns at a peer")
struct TurnstilesTests {
    private static func network(_ number: Int) -> ClientNetwork {
        ClientNetwork(IPAddress("10.0.\(number / 256).\(number % 256)"))
    }

    private static func turnstiles(capacity: Int = 100, patience: UInt64 = 3 * second) -> Turnstiles<Int> {
        Turnstiles(capacity: capacity, patience: patience, deadline: 2 * second)
    }

    // MARK: Rates

    @Test("A grant's rate is let through in fair turns")
    func rate() {
        var line = Self.turnstiles()
        check(line.enter(0, for: "a", from: Self.network(1), .beginning, now: 0) == .pass)
        line.setRate(10, of: "a", now: 0)
        let passed = (1...20).filter { line.enter($0, for: "a", from: Self.network(1), .beginning, now: 0) == .pass }
        check(passed.count == 5)
        check(line.enter(50, for: "a", from: Self.network(2), .beginning, now: 0) == .wait)
        check(line.advance(now: 0).passing.isEmpty && line.wake == second / 10)
        var through: [Int] = []
        for tenth in 1...4 { through += line.advance(now: UInt64(tenth) * second / 10 + 1).passing }
        // One client with many waiting, and one with one.
        check(through == [6, 50, 7, 8])
        line.usedUp("a", now: second / 2)
        let late = line.advance(now: 3 * second)
        check(late.expired.count == 12 && late.passing.isEmpty)
        check(line.wake == nil && line.waiting == 0)
    }

    /// Nothing comes of waking up before those who wait have waited too long.
    @Test("A rate of nothing wakes only for patience")
    func noRate() {
        var line = Self.turnstiles(capacity: 1, patience: 5)
        line.setRate(0, of: "a", now: 1)
        check(line.enter(1, for: "a", from: Self.network(1), .beginning, now: 1) == .pass)
        check(line.enter(2, for: "a", from: Self.network(1), .beginning, now: 1) == .wait)
        check(line.advance(now: 1).passing.isEmpty && line.wake == 6)
    }

    @Test("A rate that is not known any more holds no client up, and one site's rate no other site")
    func forgottenRate() {
        var line = Self.turnstiles(capacity: 1)
        line.setRate(1, of: "a", now: 0)
        _ = line.enter(1, for: "a", from: Self.network(1), .beginning, now: 0)
        check(line.enter(2, for: "a", from: Self.network(1), .beginning, now: 0) == .wait)
        check(line.enter(3, for: "a", from: Self.network(1), .beginning, now: 0) == .turnedAway(.full))
        check(line.enter(9, for: "b", from: Self.network(1), .beginning, now: 0) == .pass)
        line.setRate(nil, of: "a", now: 0)
        check(line.advance(now: 0).passing == [2])
        check(line.enter(4, for: "a", from: Self.network(1), .beginning, now: 0) == .pass)
    }

    // MARK: Room

    @Test("Beyond the window requests wait; sites take turns, and what goes on comes before what begins")
    func room() {
        var line = Self.turnstiles(capacity: 1000)
        let room = line.size
        for id in 0..<room {
            let site = id % 2 == 0 ? "a" : "b"
            check(line.enter(id, for: site, from: Self.network(1), .beginning, now: 0) == .pass)
        }
        for id in 1000..<1004 { check(line.enter(id, for: "a", from: Self.network(id), .beginning, now: 0) == .wait) }
        for id in 2000..<2002 { check(line.enter(id, for: "c", from: Self.network(id), .beginning, now: 0) == .wait) }
        check(line.enter(1900, for: "a", from: Self.network(5), .underWay, now: 0) == .wait)
        check(line.advance(now: 0).passing.isEmpty && line.wake == 3 * second)
        var order: [Int] = []
        for _ in 0..<7 {
            line.ended(.answered, of: "a", after: 1, now: 1)
            order += line.advance(now: 1).passing
        }
        check(order == [1900, 2000, 1000, 2001, 1001, 1002, 1003])
        check(line.underWay == room)
    }

    @Test("What leaves takes no turn, and what ends twice counts once")
    func leaving() {
        var line = Self.turnstiles()
        line.setRate(1, of: "a", now: 0)
        for id in 0..<4 { _ = line.enter(id, for: "a", from: Self.network(id), .beginning, now: 0) }
        line.leave(1)
        line.leave(1)
        check(line.advance(now: second).passing == [2])
        line.leave(3)
        check(line.waiting == 0 && line.wake == nil)
        for _ in 0..<5 { line.ended(.void, of: "a", after: 1, now: 1) }
        check(line.underWay == 0)
        line.ended(.answered, of: "nowhere", after: 1, now: 1)
    }

    @Test("What would wait too long is turned away at once")
    func hopeless() {
        var line = Self.turnstiles(capacity: 1000, patience: second)
        line.setRate(100, of: "a", now: 0)
        var now: UInt64 = 0
        var entered = 0
        var turnedAway = 0
        // One client asks ten times as often as its site's rate allows.
        while now < 4 * second {
            now += millisecond
            entered += 1
            var passed = 0
            switch line.enter(entered, for: "a", from: Self.network(1), .beginning, now: now) {
            case .pass: passed += 1
            case .turnedAway(.hopeless): turnedAway += 1
            default: break
            }
            let (passing, expired) = line.advance(now: now)
            passed += passing.count
            for _ in 0..<passed { line.ended(.void, of: "a", after: 0, now: now) }
            // Until it is known how fast the line moves, too many wait.
            if now > 2 * second { check(expired.isEmpty) }
        }
        check(turnedAway > 2000)
        // Another client need not wait behind it.
        check(line.enter(0, for: "a", from: Self.network(2), .beginning, now: now) == .wait)
    }
}

/// A peer that answers one request after the other, and clients that ask it through ``Turnstiles``; in simulated time.
private struct PeerSimulation {
    struct Client {
        var site: String
        var network: ClientNetwork
        var time: UInt64
    }

    struct Tally {
        var offered = 0
        var refused = 0
        /// Of those that passed: answered within the deadline.
        var inTime = 0
        var late = 0
        /// From the client's coming to its answer; nanoseconds.
        var times: [UInt64] = []

        var p99: UInt64 { self.times.sorted().dropFirst(self.times.count * 99 / 100).first ?? 0 }
    }

    static let deadline = 2 * second
    var tallies: [String: Tally] = [:]
    /// Answers in time, by the second in which they came.
    var bySecond: [UInt64: Int] = [:]
    var turnstiles = Turnstiles<Int>(capacity: 1024, patience: 3 * second, deadline: Self.deadline)

    /// - Parameters:
    ///   - trip: There and back.
    ///   - cost: Of one request of a site at a time.
    init(_ clients: [Client], trip: UInt64, cost: (String, UInt64) -> UInt64) {
        let clients = clients.sorted { $0.time < $1.time }
        var arrivals = clients.indices.makeIterator()
        var next = arrivals.next()
        /// In the order in which they end, since the peer does one after the other.
        var answers: Deque<(id: Int, passed: UInt64, time: UInt64)> = []
        var free: UInt64 = 0
        while next != nil || !answers.isEmpty || self.turnstiles.waiting > 0 {
            let times = [next.map { clients[$0].time }, answers.first?.time, self.turnstiles.wake]
            let now = times.compactMap(\.self).min() ?? 0
            var passing: [Int] = []
            if let id = next, clients[id].time <= now {
                next = arrivals.next()
                let client = clients[id]
                self.tallies[client.site, default: Tally()].offered += 1
                switch self.turnstiles.enter(id, for: client.site, from: client.network, .beginning, now: now) {
                case .pass: passing.append(id)
                case .wait: break
                case .waitInPlaceOf(let other): self.tallies[clients[other].site]?.refused += 1
                case .turnedAway: self.tallies[client.site]?.refused += 1
                }
            } else if let answer = answers.first, answer.time <= now {
                answers.removeFirst()
                let client = clients[answer.id]
                let isInTime = now - answer.passed <= Self.deadline
                self.turnstiles.ended(
                    isInTime ? .answered : .late, of: client.site, after: min(now - answer.passed, Self.deadline),
                    now: now)
                if isInTime {
                    self.tallies[client.site]?.inTime += 1
                    self.tallies[client.site]?.times.append(now - client.time)
                    self.bySecond[now / second, default: 0] += 1
                } else {
                    self.tallies[client.site]?.late += 1
                }
            }
            let (turns, expired) = self.turnstiles.advance(now: now)
            for id in expired { self.tallies[clients[id].site]?.refused += 1 }
            for id in passing + turns {
                free = max(free, now + trip / 2) + cost(clients[id].site, now)
                answers.append((id, now, free + trip / 2))
            }
        }
    }

    static func network(_ number: Int) -> ClientNetwork {
        ClientNetwork(IPAddress.v4(10 << 24 | UInt32(number)))
    }

    /// Clients at an even rate for a time, from networks in turn.
    static func clients(
        of site: String, perSecond: Int, networks: Range<Int>, seconds: Int, from start: UInt64 = 0
    ) -> [Client] {
        (0..<perSecond * seconds).map {
            Client(
                site: site, network: Self.network(networks.lowerBound + $0 % networks.count),
                time: start + UInt64($0) * second / UInt64(perSecond))
        }
    }
}

@Suite("A peer that is asked for more than it can answer")
struct OverloadedPeerTests {
    @Test("At twice to ten times the capacity it does as much as it can; another site's and other clients are served")
    func overloaded() {
        for factor in [2, 3, 10] {
            let flood = PeerSimulation.clients(of: "a", perSecond: 500 * factor, networks: 0..<200, seconds: 8)
            let other = PeerSimulation.clients(of: "b", perSecond: 10, networks: 1000..<1200, seconds: 8)
            let same = PeerSimulation.clients(of: "a", perSecond: 5, networks: 5000..<5100, seconds: 8)
            let result = PeerSimulation(flood + other, trip: 2 * millisecond) { site, _ in
                site == "a" ? 2 * millisecond : millisecond / 10
            }
            let flooded = result.tallies["a"], spared = result.tallies["b"]
            let (served, late) = (flooded?.inTime ?? 0, flooded?.late ?? 0)
            #expect(served >= 3600 && late == 0, "at \(factor) times: \(served), \(late) late")
            let p99 = spared?.p99 ?? .max
            #expect(spared?.inTime == 80 && p99 < 500 * millisecond, "at \(factor) times: p99 \(p99)")
            // Clients of the flooded site, of networks that ask for little.
            let mixed = PeerSimulation(flood + same, trip: 2 * millisecond) { _, _ in 2 * millisecond }
            #expect(mixed.turnstiles.waiting == 0)
            let refusedOfMany = mixed.tallies["a"]?.refused ?? 0
            #expect(refusedOfMany <= flood.count - 3600 + 40, "at \(factor) times")
        }
    }

    @Test("Clients of the flooded site whose networks ask for little are served within a second")
    func sameSite() {
        let flood = PeerSimulation.clients(of: "a", perSecond: 1600, networks: 0..<200, seconds: 10)
        // Counted as a site of its own by their names only: the line is the same.
        var times: [UInt64] = []
        var line = Turnstiles<Int>(capacity: 1024, patience: 3 * second, deadline: 2 * second)
        var passed: [Int: UInt64] = [:]
        var queue: Deque<Int> = []
        var free: UInt64 = 0
        var next = 0
        let probes = PeerSimulation.clients(of: "a", perSecond: 10, networks: 5000..<5100, seconds: 10)
        let clients = (flood + probes).sorted { $0.time < $1.time }
        let first = PeerSimulation.network(5000)
        func isProbe(_ id: Int) -> Bool { clients[id].network.description >= first.description }
        var refusedProbes = 0
        while next < clients.count || !queue.isEmpty {
            let answer = queue.isEmpty ? UInt64.max : free
            let arrival = next < clients.count ? clients[next].time : .max
            let now = min(answer, arrival)
            var turns: [Int] = []
            if answer <= arrival, let id = queue.popFirst() {
                line.ended(.answered, of: "a", after: now - (passed[id] ?? 0), now: now)
                if isProbe(id) { times.append(now - clients[id].time) }
                free = now + 2 * millisecond
            } else {
                switch line.enter(next, for: "a", from: clients[next].network, .beginning, now: now) {
                case .pass: turns.append(next)
                case .turnedAway: if isProbe(next) { refusedProbes += 1 }
                case .wait, .waitInPlaceOf: break
                }
                next += 1
            }
            for id in turns + line.advance(now: now).passing {
                if queue.isEmpty { free = now + 2 * millisecond }
                passed[id] = now
                queue.append(id)
            }
        }
        #expect(refusedProbes == 0 && times.count == 100)
        #expect(times.max() ?? .max < second)
    }

    @Test("Many sites that are asked for little each do not overload it together")
    func manySites() {
        var clients: [PeerSimulation.Client] = []
        for site in 0..<800 {
            for number in 0..<20 {
                let time: UInt64 = UInt64(number) * second / 2 + UInt64(site) * second / 1600
                clients.append(
                    PeerSimulation.Client(site: "\(site)", network: PeerSimulation.network(site % 200), time: time))
            }
        }
        let result = PeerSimulation(clients, trip: 2 * millisecond) { _, _ in 2 * millisecond }
        let inTime = result.tallies.values.reduce(0) { $0 + $1.inTime }
        #expect(inTime >= 4500)
        #expect(result.tallies.values.reduce(0) { $0 + $1.late } == 0)
    }

    @Test("A peer that is fast and far away gets as much as it can do")
    func fastAndFar() {
        let clients = PeerSimulation.clients(of: "a", perSecond: 8000, networks: 0..<5000, seconds: 6)
        let result = PeerSimulation(clients, trip: 100 * millisecond) { _, _ in millisecond / 10 }
        #expect(result.bySecond[4] ?? 0 >= 7900)
        #expect(result.tallies["a"]?.late == 0)
    }

    @Test("A peer that is slow for a while gets less meanwhile, and as much as before soon after")
    func slowSpell() {
        let clients = PeerSimulation.clients(of: "a", perSecond: 1000, networks: 0..<200, seconds: 30)
        let result = PeerSimulation(clients, trip: 2 * millisecond) { _, now in
            (10 * second..<20 * second).contains(now) ? 20 * millisecond : 2 * millisecond
        }
        let bySecond = (0..<30).map { result.bySecond[$0] ?? 0 }
        #expect((12..<19 as Range<UInt64>).allSatisfy { result.bySecond[$0] ?? 0 >= 40 }, "\(bySecond)")
        #expect((22..<29 as Range<UInt64>).allSatisfy { result.bySecond[$0] ?? 0 >= 450 }, "\(bySecond)")
        // Those that were under way when the spell began.
        #expect(result.tallies["a"]?.late ?? 0 <= 128)
    }

    @Test("A site whose key is slow takes no room from one whose key is fast")
    func slowKey() {
        // A tenth of a second for each signature, done beside the others.
        struct End {
            var time: UInt64
            var site: String
            var passed: UInt64
        }
        var line = Turnstiles<Int>(capacity: 1024, patience: 3 * second, deadline: 2 * second)
        // Each in order.
        var ends: [String: Deque<End>] = ["slow": [], "fast": []]
        var done: [String: Int] = [:]
        var slowFree: UInt64 = 0
        var id = 0
        func take(_ now: UInt64) -> End? {
            for site in ["slow", "fast"] {
                if let first = ends[site]?.first, first.time <= now { return ends[site]?.popFirst() }
            }
            return nil
        }
        func begin(_ number: Int, _ now: UInt64) {
            let site = number % 2 == 1 ? "slow" : "fast"
            var time = now + millisecond
            if site == "slow" {
                slowFree = max(slowFree, now) + 100 * millisecond
                time = slowFree
            }
            ends[site]?.append(End(time: time, site: site, passed: now))
        }
        for step in 0..<100_000 {
            let now = UInt64(step) * millisecond / 10
            while let end = take(now) {
                line.ended(.answered, of: end.site, after: now - end.passed, now: now)
                done[end.site, default: 0] += 1
            }
            for (site, every) in [("slow", 100), ("fast", 10)] where step % every == 0 {
                id += 1
                let number = id * 2 + (site == "slow" ? 1 : 0)
                let network = PeerSimulation.network(id % 200)
                if line.enter(number, for: site, from: network, .beginning, now: now) == .pass { begin(number, now) }
            }
            for number in line.advance(now: now).passing { begin(number, now) }
        }
        #expect(done["slow"] ?? 0 >= 85)
        #expect(done["fast"] ?? 0 >= 9900)
    }

    @Test("A window shrinks for answers that do not come, and is never gone", arguments: [false, true])
    func noAnswers(isShared: Bool) {
        var window = AnswerWindow(deadline: 2 * second, isShared: isShared)
        var now: UInt64 = 0
        for _ in 0..<2000 {
            now += 100 * millisecond
            while window.hasRoom { window.began(now: now) }
            window.ended(.late, after: 2 * second, now: now)
        }
        #expect(window.size == (isShared ? 8 : 2))
        for _ in 0..<2000 {
            now += millisecond
            window.ended(.answered, after: millisecond, now: now)
            while window.hasRoom { window.began(now: now) }
        }
        #expect(window.size > 1000)
    }
}
