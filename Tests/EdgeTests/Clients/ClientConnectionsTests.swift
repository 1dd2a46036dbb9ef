import Admission
import Channels
import EdgeModel
import MetricsTestKit
import NIOCore
import NIOEmbedded
import TestWire
import Testing

@testable import Edge

@Suite struct ClientConnectionsTests {
    private let metrics = TestMetrics()
    private let now = NIODeadline.now()

    private func client(_ address: String) throws -> ClientAddress {
        ClientAddress(source: try SocketAddress(ipAddress: address, port: 1))
    }

    private func place(_ id: UInt64) -> ClientPlace {
        ClientPlace(id: id, channel: EmbeddedChannel())
    }

    private func refusals(_ reason: String) throws -> Int64 {
        try self.metrics.expectCounter("latchstring_edge_connections_refused_total", [("reason", reason)]).totalValue
    }

    @Test func aSiteDoesNotTakeAll() throws {
        let clients = ClientConnections(
            .init(total: 100, perClient: 100, perSite: ["busy.test": 10]), metrics: self.metrics)
        var refused = 0
        for id in 1...20 {
            let place = self.place(UInt64(id))
            #expect(
                clients.accepted(place, from: try self.client("192.0.2.\(id)"), isBalancer: false, now: self.now) == nil
            )
            let refusal = clients.routed(place, to: "busy.test", stage: .established, now: self.now)
            if refusal == .site {
                refused += 1
                clients.closed(place)
            }
        }
        #expect(refused == 10)
        #expect(try self.refusals("site") == 10)
        #expect(clients.count == 10)
        let other = self.place(30)
        #expect(clients.accepted(other, from: try self.client("192.0.2.99"), isBalancer: false, now: self.now) == nil)
        #expect(clients.routed(other, to: "calm.test", stage: .shaking, now: self.now) == nil)
    }

    @Test func restingConnectionsOfASiteGiveWay() throws {
        let clients = ClientConnections(
            .init(total: 100, perClient: 100, perSite: ["busy.test": 2]), metrics: self.metrics)
        for id in 1...2 {
            let place = self.place(UInt64(id))
            _ = clients.accepted(place, from: try self.client("192.0.2.\(id)"), isBalancer: false, now: self.now)
            _ = clients.routed(place, to: "busy.test", stage: .shaking, now: self.now)
            clients.established(place, now: self.now)
        }
        let late = self.place(3)
        _ = clients.accepted(late, from: try self.client("192.0.2.9"), isBalancer: false, now: self.now)
        // Not at once: a request may be on its way.
        #expect(clients.routed(late, to: "busy.test", stage: .shaking, now: self.now) == .site)
        #expect(clients.routed(late, to: "busy.test", stage: .shaking, now: self.now + .seconds(2)) == nil)
        #expect(clients.count == 2)
    }

    @Test func whatABalancerBringsCountsForItsClient() throws {
        let clients = ClientConnections(
            .init(total: 100, perClient: 2, exempt: [try IPNetwork(parsing: "198.51.100.0/24")]), metrics: self.metrics)
        let balancer = try self.client("10.0.0.1")
        for id in 1...10 {
            let place = self.place(UInt64(id))
            #expect(clients.accepted(place, from: balancer, isBalancer: true, now: self.now) == nil)
            if id <= 2 { clients.established(place, now: self.now) }
            let refusal = clients.identified(place, as: try self.client("192.0.2.7"), now: self.now)
            #expect(refusal == nil)
        }
        #expect(clients.count == 2)
        for id in 11...20 {
            let place = self.place(UInt64(id))
            #expect(clients.accepted(place, from: balancer, isBalancer: true, now: self.now) == nil)
            #expect(clients.identified(place, as: try self.client("198.51.100.9"), now: self.now) == nil)
        }
        #expect(clients.count == 12)
    }

    @Test func aFullEdgeSaysWhenAPlaceIsFree() throws {
        let clients = ClientConnections(.init(total: 1, perClient: 1), metrics: self.metrics)
        let first = self.place(1)
        _ = clients.accepted(first, from: try self.client("192.0.2.1"), isBalancer: false, now: self.now)
        _ = clients.routed(first, to: "www.test", stage: .established, now: self.now)
        #expect(
            clients.accepted(self.place(2), from: try self.client("192.0.2.2"), isBalancer: false, now: self.now)
                == .total)
        #expect(try self.refusals("total") == 1)
        let called = ManagedCounter()
        // A listener that rests asks again and again while none closes: nothing piles up.
        let (listener, other) = (EmbeddedChannel(), EmbeddedChannel())
        for _ in 0..<100 { clients.whenOneCloses(for: ObjectIdentifier(listener)) { called.increment() } }
        clients.whenOneCloses(for: ObjectIdentifier(other)) { called.increment() }
        clients.closed(first)
        clients.closed(first)
        #expect(called.value == 2)
    }
}
