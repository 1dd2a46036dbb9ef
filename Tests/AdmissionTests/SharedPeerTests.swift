import Testing

@testable import Admission

private let second: UInt64 = 1_000_000_000
private let millisecond: UInt64 = 1_000_000

/// A peer that does any number of requests beside each other, and clients of several sites that ask it through
/// ``Turnstiles``; in simulated time.
private struct SharedPeer {
    struct Site {
        var name: String
        /// Clients, each second.
        var rate: Int
        /// What becomes of the request with this number that passes now: when, and how it ends.
        var answer: (_ number: Int, _ now: UInt64) -> (UInt64, AnswerWindow.Outcome)

        init(
            _ name: String, rate: Int,
            _ answer: @escaping (_ number: Int, _ now: UInt64) -> (UInt64, AnswerWindow.Outcome)
        ) {
            self.name = name
            self.rate = rate
            self.answer = answer
        }

        /// Answers that always take as long.
        init(_ name: String, rate: Int, taking time: UInt64) {
            self.init(name, rate: rate) { _, _ in (time, .answered) }
        }
    }

    private struct End {
        var time: UInt64
        var id: Int
        var passed: UInt64
        var outcome: AnswerWindow.Outcome
    }

    /// Answered, by site and by the second in which their clients came.
    private(set) var answered: [String: [Int]] = [:]
    /// From the client's coming to its answer, by site; nanoseconds.
    private(set) var longest: [String: UInt64] = [:]
    private(set) var line: Turnstiles<Int>
    private let sites: [Site]
    /// By the client's number.
    private var clients: [(site: Int, time: UInt64)] = []
    /// In the order of time.
    private var ends: [End] = []
    private var first = 0

    init(_ sites: [Site], seconds: Int, deadline: UInt64 = 2 * second) {
        self.sites = sites
        self.line = Turnstiles(capacity: 1024, patience: 3 * second, deadline: deadline)
        for site in sites { self.answered[site.name] = Array(repeating: 0, count: seconds) }
        for (index, site) in sites.enumerated() {
            // Not all in the same moment.
            let interval: UInt64 = second / UInt64(site.rate)
            for number in 0..<site.rate * seconds {
                self.clients.append((index, UInt64(number) * interval + UInt64(index) * 10_000))
            }
        }
        self.clients.sort { $0.time < $1.time }
        self.run()
    }

    /// Clients that were answered, of those that came in these seconds.
    func served(_ site: String, _ seconds: Range<Int>) -> Int { self.answered[site]?[seconds].reduce(0, +) ?? 0 }

    private mutating func run() {
        var next = 0
        while next < self.clients.count || self.first < self.ends.count || self.line.waiting > 0 {
            let arrival = next < self.clients.count ? self.clients[next].time : UInt64.max
            let end = self.first < self.ends.count ? self.ends[self.first].time : .max
            let now = min(arrival, end, self.line.wake ?? .max)
            if arrival <= now {
                let site = self.sites[self.clients[next].site].name
                let network = ClientNetwork(IPAddress.v4(10 << 24 | UInt32(next % 500)))
                if self.line.enter(next, for: site, from: network, .beginning, now: now) == .pass {
                    self.ask(next, now)
                }
                next += 1
            } else if end <= now {
                self.end(now)
            }
            for id in self.line.advance(now: now).passing { self.ask(id, now) }
        }
    }

    private mutating func ask(_ id: Int, _ now: UInt64) {
        let (time, outcome) = self.sites[self.clients[id].site].answer(id, now)
        var index = self.ends.count
        while index > self.first, self.ends[index - 1].time > now + time { index -= 1 }
        self.ends.insert(End(time: now + time, id: id, passed: now, outcome: outcome), at: index)
    }

    private mutating func end(_ now: UInt64) {
        let end = self.ends[self.first]
        self.first += 1
        if self.first > 10_000 {
            self.ends.removeFirst(self.first)
            self.first = 0
        }
        let (index, time) = self.clients[end.id]
        let site = self.sites[index].name
        self.line.ended(end.outcome, of: site, after: now - end.passed, now: now)
        guard end.outcome == .answered else { return }
        self.answered[site]?[Int(time / second)] += 1
        self.longest[site] = max(self.longest[site] ?? 0, now - time)
    }
}

@Suite("Sites that share a peer")
struct SharedPeerTests {
    private static func hanging(_ name: String, rate: Int) -> SharedPeer.Site {
        SharedPeer.Site(name, rate: rate) { _, _ in (2 * second, .late) }
    }

    @Test(
        "A site whose answers do not come takes nothing from the others, however little they are asked for",
        arguments: [5, 20, 500], [2, 60, 500])
    func hangingSite(hanging: Int, other: Int) {
        let result = SharedPeer(
            [Self.hanging("x", rate: hanging), .init("y", rate: other, taking: 2 * millisecond)], seconds: 30)
        let longest = (result.longest["y"] ?? 0) / millisecond
        #expect(result.served("y", 0..<30) == 30 * other && longest < 20, "longest \(longest) ms")
    }

    @Test("Nor do several of them, after the first moments")
    func hangingSites() {
        let sites = (0..<6).map { Self.hanging("x\($0)", rate: 100) }
        let result = SharedPeer(sites + [.init("y", rate: 60, taking: 2 * millisecond)], seconds: 30)
        #expect(result.served("y", 0..<30) >= 30 * 60 - 60)
        #expect(result.served("y", 10..<30) == 20 * 60, "\(result.answered["y"] ?? [])")
    }

    @Test(
        "A site whose answers take long, whatever is sent, takes nothing from the others",
        arguments: [300, 600, 1200], [10, 60, 300])
    func slowSite(taking time: Int, other: Int) {
        let result = SharedPeer(
            [
                SharedPeer.Site("x", rate: 100) { _, now in
                    (now < second ? 6 * millisecond : UInt64(time) * millisecond, .answered)
                }, .init("y", rate: other, taking: 2 * millisecond),
            ], seconds: 20)
        let longest = (result.longest["y"] ?? 0) / millisecond
        #expect(result.served("y", 0..<20) == 20 * other && longest < 20, "longest \(longest) ms")
    }

    @Test("When answers come again, they come as before within two seconds")
    func recovery() {
        let broken: Range<UInt64> = 5 * second..<15 * second
        let result = SharedPeer(
            [
                SharedPeer.Site("x", rate: 200) { _, now in
                    broken.contains(now) ? (2 * second, .late) : (2 * millisecond, .answered)
                }
            ], seconds: 30)
        #expect(result.served("x", 0..<5) == 1000)
        #expect(result.served("x", 18..<30) >= 12 * 200 - 20, "\(result.answered)")
    }

    @Test(
        "A peer that is far away gets as much as one that is near, if that is in time",
        arguments: [120, 160, 200, 350])
    func farAway(_ time: Int) {
        // A deadline of half a second.
        let result = SharedPeer(
            [.init("y", rate: 400, taking: UInt64(time) * millisecond)], seconds: 30, deadline: second / 2)
        #expect(result.served("y", 3..<30) == 27 * 400, "\(result.answered), \(result.line.size)")
    }

    @Test("So does one whose times vary", arguments: [2, 4])
    func jitter(_ part: Int) {
        let result = SharedPeer(
            [
                SharedPeer.Site("y", rate: 400) { number, _ in
                    (
                        150 * millisecond + UInt64(number * 7919 % 100) * 150 * millisecond / UInt64(part) / 100,
                        .answered
                    )
                }
            ], seconds: 30, deadline: second / 2)
        #expect(result.served("y", 3..<30) >= 27 * 400 - 100, "\(result.answered), \(result.line.size)")
    }

    @Test(
        "Quick answers in between do not make those look late that take as long as they must",
        arguments: [100, 10, 3, 2])
    func quickAnswers(one quick: Int) {
        // A key of 200 ms that works on any number beside each other; one hello in so many needs no signature.
        let result = SharedPeer(
            [
                SharedPeer.Site("x", rate: 150) { number, _ in
                    (number % quick == 0 ? millisecond : 200 * millisecond, .answered)
                }, .init("y", rate: 100, taking: 2 * millisecond),
            ], seconds: 60)
        #expect(result.served("x", 3..<60) >= 57 * 150 - 150, "\(result.answered["x"] ?? [])")
    }

    @Test("What is learnt from quick answers while there is little to do is unlearnt within six seconds")
    func quickAnswersAtRest() {
        let sites = [
            SharedPeer.Site("x", rate: 150) { _, now in (now < 10 * second ? millisecond : 200 * millisecond, .answered)
            }
        ]
        let result = SharedPeer(sites, seconds: 40)
        #expect(result.served("x", 16..<40) >= 24 * 150 - 1, "\(result.answered["x"] ?? [])")
    }

    @Test("A pause of the peer does not leave a window small that was large")
    func pause() {
        var window = AnswerWindow(deadline: 2 * second)
        var now: UInt64 = second
        while window.size < 1000 {
            while window.hasRoom { window.began(now: now) }
            now += 20 * millisecond
            for _ in 0..<window.underWay { window.ended(.answered, after: 20 * millisecond, now: now) }
        }
        let size = window.size
        // Little traffic, and a pause of a second in it.
        for _ in 0..<4 { window.began(now: now) }
        for _ in 0..<4 { window.ended(.answered, after: second, now: now + second) }
        #expect(window.size >= size / 2)
        // One slow answer after an hour in which nothing was asked.
        now += 3600 * second
        let before = window.size
        window.began(now: now)
        window.ended(.answered, after: second, now: now + second)
        #expect(window.size == before)
    }

    @Test("After an outage a line is not taken for hopeless that moves again")
    func paceAfterOutage() {
        var line = Turnstiles<Int>(capacity: 1024, patience: 3 * second, deadline: 2 * second)
        let network = ClientNetwork(IPAddress.v4(10 << 24))
        line.setRate(1, of: "a", now: 0)
        var now: UInt64 = 0
        var id = 0
        // One each second passes while others wait.
        while now < 60 * second {
            id += 1
            if line.enter(id, for: "a", from: network, .beginning, now: now) == .pass {
                line.ended(.void, of: "a", after: 0, now: now)
            }
            for _ in line.advance(now: now).passing { line.ended(.void, of: "a", after: 0, now: now) }
            now += second / 4
        }
        line.setRate(100, of: "a", now: now)
        for _ in line.advance(now: now).passing { line.ended(.void, of: "a", after: 0, now: now) }
        now += 5 * second
        _ = line.advance(now: now)
        #expect(line.waiting == 0)
        id += 1
        check(line.enter(id, for: "a", from: network, .beginning, now: now) == .pass)
        line.setRate(1, of: "a", now: now)
        line.usedUp("a", now: now)
        let entries = (1...10).map { line.enter(id + $0, for: "a", from: network, .beginning, now: now) }
        #expect(entries.allSatisfy { $0 == .wait }, "\(entries)")
    }
}
