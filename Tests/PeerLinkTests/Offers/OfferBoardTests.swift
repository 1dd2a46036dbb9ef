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
        #expect(board.lacks(101, now: 0) == 22)
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
        // Forgotten after a while: the newest is taken.
        for (offer, network): (UInt64, ClientNetwork) in [(5, unknown), (6, stranger)] {
            _ = board.arrived(offer, from: network, now: 0)
            _ = board.named(offer, as: "home", now: 0)
        }
        #expect(board.lacks(101, now: 200) == 6)
    }

    @Test("What is remembered of strangers is bounded")
    func memory() throws {
        var board = Self.board()
        for number in 1...50 { board.failed(try Self.network(number), now: 0) }
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
}
