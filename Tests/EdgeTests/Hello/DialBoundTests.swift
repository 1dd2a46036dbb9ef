import Admission
import NIOCore
import Testing

@testable import Edge

@Suite struct DialBoundTests {
    /// By reference: an expectation cannot change a value.
    private final class Bound {
        private var bound: DialBound
        init(total: Int, perNetwork: Int, waiting: Int = 2) {
            self.bound = DialBound(total: total, perNetwork: perNetwork, waiting: waiting)
        }
        var underWay: Int { self.bound.underWay }
        func enter(_ id: UInt64, _ network: ClientNetwork) -> DialBound.Entry { self.bound.enter(id, from: network) }
        func leave(_ id: UInt64) { self.bound.leave(id) }
        func end(_ network: ClientNetwork) -> UInt64? { self.bound.end(network) }
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
        bound.leave(10)
        #expect(bound.end(try self.network("2001:db8::ffff")) == 13)
        #expect(bound.underWay == 3)
        #expect(bound.end(ClientNetwork(nil as IPAddress?)) == nil)
    }
}
