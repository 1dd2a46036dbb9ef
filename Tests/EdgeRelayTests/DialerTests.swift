import NIOCore
import NIOPosix
import Synchronization
import TestSockets
import Testing

@testable import EdgeRelay

/// Several places in turn, over real sockets.
@Suite(.timeLimit(.minutes(1))) struct DialerTests {
    private enum Outcome: Equatable, Sendable {
        case connected(port: Int?)
        case failed(Dialer.Failure)
    }

    private final class Flag: Sendable {
        let value = Atomic<Bool>(false)
    }

    private static func target(_ port: UInt16) throws -> Dialer.Target {
        .address(try SocketAddress(ipAddress: "127.0.0.1", port: Int(port)))
    }

    /// A port at which nothing listens.
    private static func closedPort() throws -> UInt16 {
        let listener = try TestListener()
        defer { listener.close() }
        return listener.port
    }

    private static func dial(
        _ targets: [Dialer.Target], within time: TimeAmount = .seconds(30),
        prepare: (@Sendable (any Channel, NIODeadline, @escaping (String?) -> Void) -> Void)? = nil
    ) async throws -> Outcome {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        return try await loop.flatSubmit {
            let promise = loop.makePromise(of: Outcome.self)
            Dialer(on: loop, deadline: .now() + time, prepare: prepare).dial(targets) { result in
                switch result {
                case .success(let channel):
                    promise.succeed(.connected(port: channel.remoteAddress?.port))
                    channel.close(promise: nil)
                case .failure(let failure): promise.succeed(.failed(failure))
                }
            }
            return promise.futureResult
        }.get()
    }

    @Test func theNextPlaceIsTriedWhenOneRefuses() async throws {
        let listener = try TestListener()
        let outcome = try await Self.dial([try Self.target(try Self.closedPort()), try Self.target(listener.port)])
        #expect(outcome == .connected(port: Int(listener.port)))
    }

    @Test func theLastPlaceSaysWhy() async throws {
        let port = try Self.closedPort()
        guard case .failed(.refused(let reason)) = try await Self.dial([try Self.target(port)]) else {
            Issue.record("a port at which nothing listens was connected to")
            return
        }
        #expect(reason.hasPrefix("127.0.0.1:\(port): "))
        #expect(try await Self.dial([]) == .failed(.refused("no address is configured")))
    }

    @Test func noTimeLeftIsATimeout() async throws {
        let listener = try TestListener()
        #expect(try await Self.dial([try Self.target(listener.port)], within: .zero) == .failed(.timeout(nil)))
    }

    @Test func aPreparationThatFailsClosesItsConnectionAndMovesOn() async throws {
        let (first, second) = (try TestListener(), try TestListener())
        let firstPort = Int(first.port)
        let outcome = try await Self.dial([try Self.target(first.port), try Self.target(second.port)]) {
            channel, deadline, completion in
            #expect(deadline > .now())
            completion(channel.remoteAddress?.port == firstPort ? "not the one" : nil)
        }
        #expect(outcome == .connected(port: Int(second.port)))
        let received = try await blocking { try first.accept().receiveToEnd() }
        #expect(received == [])
    }

    @Test func cancellingClosesWhatIsUnderWayAndTellsNothing() async throws {
        let listener = try TestListener()
        let target = try Self.target(listener.port)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let told = Flag()
        let prepared = loop.makePromise(of: Void.self)
        try await loop.flatSubmit {
            let dialer = Dialer(on: loop, deadline: .now() + .seconds(30)) { _, _, _ in prepared.succeed() }
            dialer.dial([target]) { _ in told.value.store(true, ordering: .relaxed) }
            let bound = NIOLoopBound(dialer, eventLoop: loop)
            return prepared.futureResult.map { bound.value.cancel() }
        }.get()
        let received = try await blocking { try listener.accept().receiveToEnd() }
        #expect(received == [])
        let wasTold = told.value.load(ordering: .relaxed)
        #expect(!wasTold)
    }
}
