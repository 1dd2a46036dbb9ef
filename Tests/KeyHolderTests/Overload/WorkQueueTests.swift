import Admission
import Testing

@testable import KeyHolder

@Suite("Work that waits for its turn")
struct WorkQueueTests {
    static func network(_ number: Int) -> ClientNetwork {
        ClientNetwork(IPAddress.v4(10 << 24 | UInt32(number)))
    }

    static func owner(
        _ network: Int = 1, edge: String = "paris", site: String = "www", _ urgency: Urgency = .beginning,
        deadline: UInt64 = 1_000_000_000
    ) -> WorkOwner {
        WorkOwner(edge: edge, site: site, network: Self.network(network), urgency: urgency, deadline: deadline)
    }

    /// Elements in the order in which they would be done, all at the time 0.
    static func order(_ queue: inout WorkQueue<Int>) -> [Int] {
        var order: [Int] = []
        while case .perform(let element)? = queue.popFirst(now: 0) { order.append(element) }
        return order
    }

    static func append(
        _ element: Int, _ owner: WorkOwner, to queue: inout WorkQueue<Int>, now: UInt64 = 0,
        expecting expected: WorkRefusal?
    ) {
        let refusal: WorkRefusal? = queue.append(element, of: owner, now: now)
        #expect(refusal == expected)
    }

    // MARK: Order

    @Test("Edges take turns, and so do networks of clients within an edge")
    func turns() {
        var queue = WorkQueue<Int>(workers: 1, cost: 1000)
        for element in 10..<14 { Self.append(element, Self.owner(1), to: &queue, now: 0, expecting: nil) }
        Self.append(20, Self.owner(2), to: &queue, now: 0, expecting: nil)
        Self.append(30, Self.owner(1, edge: "rome"), to: &queue, now: 0, expecting: nil)
        Self.append(31, Self.owner(1, edge: "rome"), to: &queue, now: 0, expecting: nil)
        #expect(Self.order(&queue) == [10, 30, 20, 31, 11, 12, 13])
        #expect(queue.isEmpty)
    }

    @Test("Sites of an edge take turns, however many networks one of them is asked from")
    func sites() {
        var queue = WorkQueue<Int>(workers: 1, cost: 1000)
        for element in 0..<50 { Self.append(element, Self.owner(element), to: &queue, now: 0, expecting: nil) }
        #expect(queue.estimatedTime(Self.owner(99)) == 51_000)
        #expect(queue.estimatedTime(Self.owner(99, site: "other")) == 2000)
        Self.append(100, Self.owner(99, site: "other"), to: &queue, now: 0, expecting: nil)
        Self.append(101, Self.owner(99, site: "other"), to: &queue, now: 0, expecting: nil)
        #expect(Self.order(&queue).prefix(4) == [0, 100, 1, 101])
    }

    @Test("The networks of one IPv6 /48 have one turn among the others")
    func blocks() {
        func owner(_ network: Int) -> WorkOwner {
            var owner = Self.owner()
            owner.network = ClientNetwork(IPAddress("2001:db8:1:\(network)::1"))
            return owner
        }
        var queue = WorkQueue<Int>(workers: 1, cost: 1000)
        for element in 0..<50 { Self.append(element, owner(element), to: &queue, now: 0, expecting: nil) }
        #expect(queue.estimatedTime(Self.owner(1)) == 2000)
        Self.append(100, Self.owner(1), to: &queue, now: 0, expecting: nil)
        #expect(Self.order(&queue).prefix(3) == [0, 100, 1])
    }

    @Test("What belongs to a handshake that was begun comes before what begins one, for the same network only")
    func underWayFirst() {
        var queue = WorkQueue<Int>(workers: 1, cost: 1000)
        for element in 10..<13 { Self.append(element, Self.owner(1), to: &queue, now: 0, expecting: nil) }
        Self.append(20, Self.owner(2), to: &queue, now: 0, expecting: nil)
        Self.append(14, Self.owner(1, .underWay), to: &queue, now: 0, expecting: nil)
        Self.append(15, Self.owner(1, .underWay), to: &queue, now: 0, expecting: nil)
        #expect(Self.order(&queue) == [14, 20, 15, 10, 11, 12])
    }

    // MARK: Time

    @Test("What could not be done in time is refused at once, and nothing else is")
    func refusedEarly() {
        var queue = WorkQueue<Int>(workers: 1, cost: 1000)
        for element in 0..<9 { Self.append(element, Self.owner(deadline: 10_000), to: &queue, now: 0, expecting: nil) }
        Self.append(9, Self.owner(deadline: 9999), to: &queue, now: 0, expecting: .overloaded)
        Self.append(9, Self.owner(deadline: 10_000), to: &queue, now: 0, expecting: nil)
        Self.append(10, Self.owner(deadline: 10_000), to: &queue, now: 0, expecting: .overloaded)
        // Its own network has nothing waiting: one turn of the other comes before it.
        Self.append(11, Self.owner(2, deadline: 2000), to: &queue, now: 0, expecting: nil)
        Self.append(12, Self.owner(deadline: 500), to: &queue, now: 500, expecting: .pastDeadline)
        #expect(queue.count == 11)
    }

    @Test("Several workers share the work that waits")
    func workers() {
        var queue = WorkQueue<Int>(workers: 4, cost: 1000)
        var taken: Int = 0
        while queue.append(taken, of: Self.owner(deadline: 5000), now: 0) == nil { taken += 1 }
        #expect((16...20).contains(taken))
    }

    @Test("What is past its deadline at its turn is dropped")
    func dropped() {
        var queue = WorkQueue<Int>(workers: 1, cost: 1000)
        Self.append(1, Self.owner(deadline: 3000), to: &queue, now: 0, expecting: nil)
        Self.append(2, Self.owner(deadline: 9000), to: &queue, now: 0, expecting: nil)
        guard case .drop(1)? = queue.popFirst(now: 3000) else { return #expect(Bool(false), "1 was not dropped") }
        guard case .perform(2)? = queue.popFirst(now: 3000) else { return #expect(Bool(false), "2 was not done") }
    }

    @Test("A slow spell does not end all work")
    func recovers() {
        var queue = WorkQueue<Int>(workers: 1, cost: 1000)
        for _ in 0..<100 { queue.measured(5_000_000_000) }
        var now: UInt64 = 0
        var done: Int = 0
        for element in 0..<200 {
            now += 1_000_000
            _ = queue.append(element, of: Self.owner(deadline: now + 100_000_000), now: now)
            guard case .perform? = queue.popFirst(now: now) else { continue }
            done += 1
            queue.measured(1000)
        }
        #expect(done == 200)
        #expect(queue.cost < 100_000)
    }

    // MARK: Overload

    /// A key holder with one worker, in simulated time.
    struct Simulation {
        struct Tally {
            var offered: Int = 0
            /// Done by its deadline.
            var inTime: Int = 0
            var late: Int = 0
            var refused: Int = 0
            var dropped: Int = 0
        }

        struct Arrival {
            var time: UInt64
            var owner: WorkOwner
            /// Whose it is, for the tally.
            var group: String
        }

        static let cost: UInt64 = 1_000_000
        var tallies: [String: Tally] = [:]

        init(_ arrivals: [Arrival]) {
            let arrivals: [Arrival] = arrivals.sorted { $0.time < $1.time }
            var queue = WorkQueue<Int>(workers: 1, cost: Self.cost)
            var next: Int = 0
            var now: UInt64 = 0
            while next < arrivals.count || !queue.isEmpty {
                if queue.isEmpty, next < arrivals.count { now = max(now, arrivals[next].time) }
                while next < arrivals.count, arrivals[next].time <= now {
                    let arrival: Arrival = arrivals[next]
                    self.tallies[arrival.group, default: Tally()].offered += 1
                    if queue.append(next, of: arrival.owner, now: arrival.time) != nil {
                        self.tallies[arrival.group]?.refused += 1
                    }
                    next += 1
                }
                switch queue.popFirst(now: now) {
                case .perform(let index):
                    now += Self.cost
                    queue.measured(Self.cost)
                    let isInTime: Bool = now <= arrivals[index].owner.deadline
                    self.tallies[arrivals[index].group]?.inTime += isInTime ? 1 : 0
                    self.tallies[arrivals[index].group]?.late += isInTime ? 0 : 1
                case .drop(let index): self.tallies[arrivals[index].group]?.dropped += 1
                case nil: break
                }
            }
        }

        /// `perSecond` requests a second for `seconds`, evenly, each with two seconds' time.
        static func arrivals(
            _ perSecond: Int, seconds: Int, group: String, offset: UInt64 = 0, _ network: (Int) -> Int
        ) -> [Arrival] {
            (0..<perSecond * seconds).map { index in
                let time: UInt64 = offset + UInt64(index) * 1_000_000_000 / UInt64(perSecond)
                return Arrival(
                    time: time, owner: WorkQueueTests.owner(network(index), deadline: time + 2_000_000_000),
                    group: group)
            }
        }
    }

    @Test("At twice the capacity, as much is done in time as without the overload, and a calm network loses nothing")
    func oneNetworkFloods() throws {
        var arrivals: [Simulation.Arrival] = Simulation.arrivals(1900, seconds: 10, group: "flood") { _ in 0 }
        for calm in 1...20 {
            arrivals += Simulation.arrivals(5, seconds: 10, group: "calm", offset: UInt64(calm) * 7_000_000) { _ in calm
            }
        }
        let simulation = Simulation(arrivals)
        let flood = try #require(simulation.tallies["flood"])
        let calm = try #require(simulation.tallies["calm"])
        #expect(calm.inTime == 1000)
        #expect(flood.inTime + calm.inTime >= 9800)
        #expect(flood.late == 0)
        // Most are told early, not dropped late.
        #expect(flood.dropped * 5 < flood.refused)
    }

    @Test("The same where every request comes from another network")
    func manyNetworksFlood() throws {
        let simulation = Simulation(Simulation.arrivals(2000, seconds: 10, group: "all") { $0 })
        let all = try #require(simulation.tallies["all"])
        #expect(all.inTime >= 9800)
        #expect(all.late == 0)
        #expect(all.refused + all.dropped + all.inTime == 20_000)
    }

    @Test("Another edge's requests are all done")
    func anotherEdge() throws {
        var arrivals: [Simulation.Arrival] = Simulation.arrivals(3000, seconds: 5, group: "flood") { $0 }
        for index in 0..<500 {
            let time: UInt64 = UInt64(index) * 10_000_000
            arrivals.append(
                Simulation.Arrival(
                    time: time, owner: Self.owner(7, edge: "rome", deadline: time + 10_000_000), group: "rome"))
        }
        let simulation = Simulation(arrivals)
        #expect(simulation.tallies["rome"]?.inTime == 500)
    }
}
