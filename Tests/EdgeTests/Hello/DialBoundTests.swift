import NIOCore
import Testing

@testable import Edge

@Suite struct DialBoundTests {
    /// By reference: an expectation cannot change a value.
    private final class Bound {
        private var bound: DialBound
        init(total: Int, perNetwork: Int) { self.bound = DialBound(total: total, perNetwork: perNetwork) }
        var underWay: Int { self.bound.underWay }
        func begin(_ network: ClientNetwork) -> Bool { self.bound.begin(network) }
        func end(_ network: ClientNetwork) { self.bound.end(network) }
    }

    private func network(_ address: String) throws -> ClientNetwork {
        ClientNetwork(try SocketAddress(ipAddress: address, port: 1))
    }

    @Test func aNetworkHasItsShare() throws {
        let bound = Bound(total: 5, perNetwork: 2)
        let first: ClientNetwork = try self.network("192.0.2.1")
        #expect(bound.begin(first))
        #expect(bound.begin(try self.network("192.0.2.200")))
        #expect(!bound.begin(try self.network("192.0.2.3")))
        #expect(bound.begin(try self.network("192.0.3.1")))
        bound.end(first)
        #expect(bound.begin(try self.network("::ffff:192.0.2.9")))
        #expect(!bound.begin(first))
    }

    @Test func allTogetherHaveABound() throws {
        let bound = Bound(total: 3, perNetwork: 2)
        for index in 0..<3 { #expect(bound.begin(try self.network("2001:db8:0:\(index)::1"))) }
        let other: ClientNetwork = try self.network("2001:db8:1::1")
        #expect(!bound.begin(other))
        // An end without a beginning makes no room.
        bound.end(other)
        #expect(!bound.begin(other))
        bound.end(try self.network("2001:db8::ffff"))
        #expect(bound.begin(other))
        #expect(bound.underWay == 3)
        bound.end(ClientNetwork(nil))
        #expect(bound.underWay == 3)
    }
}
