import NIOCore
import Testing

@testable import EdgeHTTP

@Suite("Connections to an origin that no request uses") struct IdleConnectionsTests {
    private final class Connection {}

    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private let one = Connection()
    private let two = Connection()
    private let three = Connection()

    private func pool(count: Int = 2, idle: TimeAmount = .seconds(30), age: TimeAmount = .minutes(5))
        -> IdleConnections<Connection>
    {
        IdleConnections(count: count, idleTimeout: idle, age: age)
    }

    @Test("The one used last is used next, and the one used longest ago is the surplus")
    func order() {
        var pool = self.pool()
        for connection in [self.one, self.two, self.three] {
            pool.add(connection, since: Self.start, now: Self.start)
        }
        #expect(pool.surplus() === self.one)
        #expect(pool.surplus() == nil)
        #expect(pool.take() === self.three)
        #expect(pool.take() === self.two)
        #expect(pool.take() == nil)
        #expect(pool.deadline == nil)
    }

    @Test("An idle connection goes after its time, or at its age if that comes first")
    func deadlines() {
        var pool = self.pool()
        pool.add(self.one, since: Self.start, now: Self.start + .seconds(10))
        pool.add(self.two, since: Self.start, now: Self.start + .seconds(290))
        #expect(pool.deadline == Self.start + .seconds(40))
        #expect(pool.expired(now: Self.start + .seconds(39)).isEmpty)
        #expect(pool.expired(now: Self.start + .seconds(40)).first === self.one)
        #expect(pool.deadline == Self.start + .minutes(5))
        #expect(pool.expired(now: Self.start + .minutes(5)).first === self.two)
        #expect(pool.deadline == nil)
    }

    @Test("A connection that was used all the time is kept no more at its age")
    func age() {
        let pool = self.pool()
        #expect(pool.mayKeep(since: Self.start, now: Self.start + .seconds(299)))
        #expect(!pool.mayKeep(since: Self.start, now: Self.start + .seconds(300)))
    }

    @Test("What ended by itself, or was closed, is forgotten")
    func removal() {
        var pool = self.pool()
        pool.add(self.one, since: Self.start, now: Self.start)
        pool.add(self.two, since: Self.start, now: Self.start)
        pool.remove(self.two)
        pool.remove(self.three)
        #expect(pool.removeAll().map { ObjectIdentifier($0) } == [ObjectIdentifier(self.one)])
        #expect(pool.take() == nil)
    }
}
