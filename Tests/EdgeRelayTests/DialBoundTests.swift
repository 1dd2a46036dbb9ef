import Admission
import NIOCore
import Testing

@testable import EdgeRelay

@Suite struct DialBoundTests {
    /// By reference: an expectation cannot change a value.
    private final class Bound {
        private var bound: DialBound
        init(total: Int, perSite: Int = .max, perNetwork: Int, waiting: Int = 2) {
            self.bound = DialBound(total: total, perSite: perSite, perNetwork: perNetwork, waiting: waiting)
        }
        var underWay: Int { self.bound.underWay }
        func enter(_ id: UInt64, _ network: ClientNetwork, _ site: String = "a") -> DialBound.Entry {
            self.bound.enter(DialBound.Dial(id: id, network: network, site: site))
        }
        func leave(_ id: UInt64, _ network: ClientNetwork, _ site: String = "a") {
            self.bound.leave(DialBound.Dial(id: id, network: network, site: site))
        }
        func end(_ network: ClientNetwork, _ site: String = "a") -> UInt64? {
            self.bound.end(DialBound.Dial(id: 0, network: network, site: site))
        }
    }

    private func network(_ address: String) throws -> ClientNetwork {
        ClientNetwork(try SocketAddress(ipAddress: address, port: 1))
    }

    @Test func aNetworkHasItsShareAndWaitsForMore() throws {
        let bound = Bound(total: 5, perNetwork: 2)
        let first: ClientNetwork = try self.network("192.0.2.1")
        #expect(bound.enter(1, first) == .begin)
        #expect(bound.enter(2, try self.network("::ffff:192.0.2.1")) == .begin)
        #expect(bound.enter(3, first) == .wait)
        #expect(bound.enter(4, try self.network("192.0.3.1")) == .begin)
        #expect(bound.end(first) == 3)
        #expect(bound.underWay == 3)
        #expect(bound.end(first) == nil)
        #expect(bound.enter(5, first) == .begin)
    }

    @Test func allTogetherHaveABoundAndTakeTurns() throws {
        let bound = Bound(total: 3, perNetwork: 2)
        for index in 0..<3 {
            #expect(bound.enter(UInt64(index), try self.network("2001:db8:0:\(index)::1")) == .begin)
        }
        let other: ClientNetwork = try self.network("2001:db8:1::1")
        #expect(bound.enter(10, other) == .wait)
        #expect(bound.enter(11, other) == .wait)
        #expect(bound.enter(12, other) == .refused)
        // One with nothing in line has a claim before one that has two.
        #expect(bound.enter(13, try self.network("2001:db8:2::1")) == .waitInPlaceOf(11))
        // An end without a beginning makes no room.
        #expect(bound.end(other) == nil)
        bound.leave(10, other)
        #expect(bound.end(try self.network("2001:db8::ffff")) == 13)
        #expect(bound.underWay == 3)
        #expect(bound.end(ClientNetwork(nil as IPAddress?)) == nil)
    }

    /// A key holder that does not answer holds its site's share, and no other site's turn.
    @Test func sitesTakeTurnsAndHaveAShareEach() throws {
        let bound = Bound(total: 4, perSite: 2, perNetwork: 2, waiting: 3)
        let networks = try (1...9).map { try self.network("192.0.2.\($0)") }
        for id in 0..<2 { #expect(bound.enter(UInt64(id), networks[id]) == .begin) }
        for id in 2..<5 { #expect(bound.enter(UInt64(id), networks[id]) == .wait) }
        #expect(bound.enter(5, networks[5]) == .refused)
        // There is room for others, and a line of their own.
        for id in 6..<8 { #expect(bound.enter(UInt64(id), networks[id], "b") == .begin) }
        #expect(bound.enter(8, networks[8], "b") == .wait)
        #expect(bound.enter(9, networks[0], "c") == .wait)
        // "a" has its share still; then it is the turn of "b", of "c", and of "a".
        #expect(bound.end(networks[6], "b") == 8)
        #expect(bound.end(networks[7], "b") == 9)
        #expect(bound.end(networks[0]) == 2)
        #expect(bound.end(networks[1]) == 3)
        bound.leave(4, networks[4])
        #expect(bound.end(networks[2]) == nil && bound.underWay == 3)
        #expect(bound.enter(10, networks[5]) == .begin)
    }
}
