import Admission
import NIOCore
import Testing

@testable import Admin

@Suite struct AdminPlacesTests {
    private static func network(_ address: String) throws -> ClientNetwork {
        ClientNetwork(try SocketAddress(ipAddress: address, port: 0))
    }

    @Test func theOldestOfTheNetworkThatHasMostGivesWay() throws {
        let (attacker, owner, other) = (
            try Self.network("192.0.2.1"), try Self.network("192.0.2.2"), try Self.network("192.0.2.3")
        )
        var places = AdminPlaces<Int>(maximum: 4)
        #expect(places.add(1, from: other) == .taken(insteadOf: nil))
        for key in 2...4 { #expect(places.add(key, from: attacker) == .taken(insteadOf: nil)) }
        #expect(places.add(5, from: owner) == .taken(insteadOf: 2))
        // The attacker's own give way to more of the attacker's.
        #expect(places.add(6, from: attacker) == .taken(insteadOf: 3))
        places.admit(5)
        #expect(places.add(7, from: owner) == .taken(insteadOf: 4))
        places.remove(1)
        #expect(places.add(8, from: other) == .taken(insteadOf: nil))
    }

    @Test func whatMayAskGivesWayToNone() throws {
        let network = try Self.network("192.0.2.1")
        var places = AdminPlaces<Int>(maximum: 2)
        _ = places.add(1, from: network)
        _ = places.add(2, from: network)
        places.admit(1)
        #expect(places.add(3, from: network) == .taken(insteadOf: 2))
        places.admit(3)
        #expect(places.add(4, from: network) == .full)
        places.remove(1)
        #expect(places.add(5, from: network) == .taken(insteadOf: nil))
        // It has gone, and is no place's any more.
        places.admit(2)
        #expect(places.add(6, from: network) == .taken(insteadOf: 5))
    }

    @Test func aNewcomerThatIsAllOfItsNetworkTakesTheOldestPlace() throws {
        var places = AdminPlaces<Int>(maximum: 2)
        for key in 1...2 { _ = places.add(key, from: try Self.network("192.0.2.\(key)")) }
        #expect(places.add(3, from: try Self.network("192.0.2.3")) == .taken(insteadOf: 1))
    }
}
