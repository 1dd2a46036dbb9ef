import Admission
import NIOCore
import Testing

@testable import PeerLink

@Suite struct OfferBoardTests {
    private static func network(_ number: Int) throws -> ClientNetwork {
        ClientNetwork(try SocketAddress(ipAddress: "192.0.2.\(number)", port: 1))
    }

    private static func board() -> OfferBoard {
        var limits = OfferBoard.Limits()
        (limits.unnamed, limits.unnamedPerNetwork, limits.parked, limits.parkedPerNetwork) = (4, 2, 4, 2)
        (limits.failures, limits.memory) = (2, 100)
        return OfferBoard(limits: limits)
    }

    @Test("A connection goes to the place that has lacked one longest, and each goes once")
    func places() throws {
        var board = Self.board()
        for place: UInt64 in [101, 102] {
            board.register(place, for: "home")
            #expect(board.lacks(place, now: 0) == nil)
        }
        for (offer, place): (UInt64, UInt64) in [(1, 101), (2, 102)] {
            #expect(board.arrived(offer, from: try Self.network(Int(offer)), now: 0) == nil)
            #expect(board.named(offer, as: "home", now: 0) == .give(place))
        }
        _ = board.arrived(3, from: try Self.network(3), now: 0)
        #expect(board.named(3, as: "home", now: 0) == .parked(evicting: nil))
        #expect(board.lacks(102, now: 0) == 3)
        #expect(board.lacks(101, now: 0) == nil)
    }

    @Test("A name that no place is for is refused, also after its last place is gone")
    func names() throws {
        var board = Self.board()
        board.register(101, for: "home")
        _ = board.arrived(1, from: try Self.network(1), now: 0)
        #expect(board.named(1, as: "other", now: 0) == .refused)
        board.register(102, for: "home")
        _ = board.arrived(3, from: try Self.network(1), now: 0)
        #expect(board.named(3, as: "home", now: 0) == .parked(evicting: nil))
        #expect(board.withdraw(102).isEmpty)
        // Those that wait for it are to be closed.
        #expect(board.withdraw(101) == [3])
        #expect(board.parked(for: "home") == 0)
        _ = board.arrived(2, from: try Self.network(1), now: 0)
        #expect(board.named(2, as: "home", now: 0) == .refused)
        #expect(board.lacks(101, now: 0) == nil)
    }

    @Test("Where there are too many, the oldest of the network with most gives way, and no other")
    func crowds() throws {
        var board = Self.board()
        let (crowd, other) = (try Self.network(1), try Self.network(2))
        #expect(board.arrived(1, from: crowd, now: 0) == nil)
        #expect(board.arrived(2, from: crowd, now: 0) == nil)
        #expect(board.arrived(3, from: crowd, now: 0) == 1)
        #expect(board.arrived(4, from: other, now: 0) == nil)
        #expect(board.arrived(5, from: try Self.network(3), now: 0) == nil)
        #expect(board.arrived(6, from: try Self.network(4), now: 0) == 2)
        // Those that have said whose they are count by themselves.
        board.register(101, for: "home")
        for offer: UInt64 in [3, 4] { #expect(board.named(offer, as: "home", now: 0) == .parked(evicting: nil)) }
        #expect(board.arrived(7, from: crowd, now: 0) == nil)
        #expect(board.named(7, as: "home", now: 0) == .parked(evicting: nil))
        #expect(board.arrived(8, from: crowd, now: 0) == nil)
        #expect(board.named(8, as: "home", now: 0) == .parked(evicting: 3))
        #expect(board.parked(for: "home") == 3)
    }

    private static func wide(_ block: Int, _ number: Int) throws -> ClientNetwork {
        ClientNetwork(try SocketAddress(ipAddress: "2001:db8:\(block):\(number)::1", port: 1))
    }

    /// Has `offers` say that they are the key holder "home".
    private static func park(_ offers: [(UInt64, ClientNetwork)], _ board: inout OfferBoard) -> [UInt64] {
        offers.compactMap { offer, network in
            _ = board.arrived(offer, from: network, now: 0)
            guard case .parked(let evicted?) = board.named(offer, as: "home", now: 0) else { return nil }
            return evicted
        }
    }

    @Test("One sender with many networks is one crowd")
    func blocks() throws {
        var board = Self.board()
        board.register(101, for: "home")
        let home = try Self.network(1)
        let crowd = try (1...20).map { (UInt64($0 + 2), try Self.wide(1, $0)) }
        #expect(Self.park([(1, home), (2, home)] + crowd, &board) == Array(3...20))
        #expect(board.lacks(101, now: 0) == 1)
    }

    @Test("The key holder's own connections give way to each other alone")
    func own() throws {
        var board = Self.board()
        board.register(101, for: "home")
        let home = try Self.network(1)
        board.proved(home, for: 101)
        let crowd = try (2...20).map { (UInt64($0 + 1), try Self.network($0)) }
        #expect(Self.park([(1, home), (2, home)] + crowd, &board) == Array(3...19))
        #expect(Self.park([(30, home)], &board) == [1])
        #expect(board.lacks(101, now: 0) == 30)
        // Before it has said who it is, too.
        for offer: UInt64 in 40...45 {
            _ = board.arrived(offer, from: try offer == 40 ? home : Self.network(Int(offer)), now: 0)
        }
        #expect(board.named(40, as: "home", now: 0) != .refused)
    }

    @Test("Of equals, the oldest gives way, and before them one from where strangers were")
    func equals() throws {
        var board = Self.board()
        board.register(101, for: "home")
        let networks = try (1...6).map { (UInt64($0), try Self.network($0)) }
        #expect(Self.park(Array(networks[..<5]), &board) == [1])
        board.failed(networks[3].1, now: 0)
        #expect(Self.park([networks[5]], &board) == [4])
    }

    @Test("Connections from where strangers were come last, and those from where the key holder was come first")
    func strangers() throws {
        var board = Self.board()
        board.register(101, for: "home")
        let (stranger, home, unknown) = (try Self.network(1), try Self.network(2), try Self.network(3))
        board.failed(stranger, now: 0)
        for (offer, network): (UInt64, ClientNetwork) in [(1, unknown), (2, stranger)] {
            _ = board.arrived(offer, from: network, now: 0)
            #expect(board.named(offer, as: "home", now: 0) == .parked(evicting: nil))
        }
        #expect(board.lacks(101, now: 10) == 1)
        board.proved(home, for: 101)
        for (offer, network): (UInt64, ClientNetwork) in [(3, home), (4, unknown)] {
            _ = board.arrived(offer, from: network, now: 0)
            #expect(board.named(offer, as: "home", now: 0) == .parked(evicting: nil))
        }
        #expect(board.lacks(101, now: 10) == 3)
        #expect(board.lacks(101, now: 10) == 4)
        #expect(board.lacks(101, now: 10) == 2)
        // Forgotten after a while: the oldest is taken.
        for (offer, network): (UInt64, ClientNetwork) in [(5, stranger), (6, unknown)] {
            _ = board.arrived(offer, from: network, now: 0)
            _ = board.named(offer, as: "home", now: 0)
        }
        #expect(board.lacks(101, now: 200) == 5)
    }

    @Test("Of those that were not tried, the oldest comes first, and networks near a stranger's come behind all others")
    func turns() throws {
        var board = Self.board()
        board.register(101, for: "home")
        let offers = [(UInt64(1), try Self.wide(1, 2)), (2, try Self.network(1)), (3, try Self.network(2))]
        // The first network of a block has the block's own address.
        board.failed(try Self.wide(1, 0), now: 0)
        #expect(Self.park(offers, &board).isEmpty)
        for offer: UInt64 in [2, 3, 1] { #expect(board.lacks(101, now: 10) == offer) }
    }

    @Test("What is remembered of strangers is bounded")
    func memory() throws {
        var board = Self.board()
        for number in 1...50 { board.failed(try Self.network(number), now: 0) }
        // Full, and it is remembered all the same.
        board.failed(try Self.network(51), now: 50)
        board.register(102, for: "other")
        for (offer, number): (UInt64, Int) in [(3, 51), (4, 52)] {
            _ = board.arrived(offer, from: try Self.network(number), now: 60)
            _ = board.named(offer, as: "other", now: 60)
        }
        #expect(board.lacks(102, now: 60) == 4)
        #expect(board.lacks(102, now: 60) == 3)
        board.failed(try Self.network(60), now: 1000)
        board.register(101, for: "home")
        for (offer, number): (UInt64, Int) in [(1, 61), (2, 60)] {
            _ = board.arrived(offer, from: try Self.network(number), now: 0)
            _ = board.named(offer, as: "home", now: 0)
        }
        #expect(board.lacks(101, now: 1001) == 1)
    }

    @Test("A connection that has ended is given to no place")
    func ended() throws {
        var board = Self.board()
        board.register(101, for: "home")
        _ = board.arrived(1, from: try Self.network(1), now: 0)
        _ = board.named(1, as: "home", now: 0)
        board.closed(1)
        #expect(board.lacks(101, now: 0) == nil)
        #expect(board.takeAll().isEmpty)
    }

    private enum Strangers { case addresses, networksOfOneBlock }

    /// Strangers from `count` addresses or networks that say the key holder's name all the time, and keep each attempt for as long as it may take.
    ///
    /// - Returns: after how many seconds the key holder's connection is tried; nil: not within three hours.
    private static func siege(_ count: Int, _ kind: Strangers = .addresses) throws -> Int64? {
        let attempt: Int64 = 2_050_000_000
        var board = OfferBoard()
        board.register(101, for: "home")
        let home = try Self.wide(1, 1)
        let strangers = try (0..<count).map { number in
            switch kind {
            case .addresses:
                ClientNetwork(try SocketAddress(ipAddress: "198.51.\(number / 250).\(number % 250 + 1)", port: 1))
            case .networksOfOneBlock: try Self.wide(2, number)
            }
        }
        // More than have a place come in the time of an attempt, in turns where there are many.
        let most = min(count, 64)
        var next = 0
        var offers: [UInt64: ClientNetwork] = [:]
        var last: UInt64 = 0
        func offer(from network: ClientNetwork, now: Int64) {
            last += 1
            offers[last] = network
            if let evicted = board.arrived(last, from: network, now: now) { offers[evicted] = nil }
            if case .parked(let evicted?) = board.named(last, as: "home", now: now) { offers[evicted] = nil }
        }
        for now in stride(from: 0, to: 10_800_000_000_000, by: Int(attempt)) {
            // The key holder comes back when its connection was closed, and before the strangers do.
            if !offers.values.contains(home) { offer(from: home, now: Int64(now)) }
            for number in next..<(next + most) {
                let network = strangers[number % count]
                if !offers.values.contains(network) { offer(from: network, now: Int64(now)) }
            }
            next = (next + most) % count
            guard let taken = board.lacks(101, now: Int64(now)), let network = offers.removeValue(forKey: taken) else {
                continue
            }
            if network == home { return Int64(now) / 1_000_000_000 }
            board.failed(network, now: Int64(now) + attempt)
        }
        return nil
    }

    @Test(
        "Strangers from many addresses hold a key holder up that has not been here yet for one attempt each, and no longer",
        arguments: [20, 32, 60, 300, 1100])
    func siege(count: Int) throws {
        let time = try #require(try Self.siege(count))
        #expect(time <= Int64(count + 1) * 2_050 / 1000)
    }

    @Test("Strangers from many networks of one block hold it up for no longer than one", arguments: [300, 2000])
    func siegeOfOneBlock(count: Int) throws {
        let time = try #require(try Self.siege(count, .networksOfOneBlock))
        #expect(time <= 2 * 2_050 / 1000)
    }
}
