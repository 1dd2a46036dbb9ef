public import FleetBus
internal import NIOConcurrencyHelpers
public import NIOCore

/// What becomes of a connection to a bus.
public enum BusEvent: Equatable, Sendable {
    case ready(BusServer)
    case lost(BusFailure)
}

/// A connection to a bus that comes back by itself. From any task.
public final class BusClient: Sendable {
    private struct State {
        var server: BusServer?
        var failure: BusFailure?
        var isStopped = false
        var waiters: [UInt64: CheckedContinuation<BusServer?, Never>] = [:]
        var next: UInt64 = 0
    }

    private let eventLoop: any EventLoop
    private let session: NIOLoopBound<BusSession>
    private let state: NIOLockedValueBox<State>

    /// Begins to connect.
    ///
    /// - Parameter told: each time that it becomes ready or is lost; on the event loop.
    public init(
        _ configuration: BusConfiguration, tls: BusTLS, limits: RESPLimits = RESPLimits(), on eventLoop: any EventLoop,
        told: @escaping @Sendable (BusEvent) -> Void = { _ in }
    ) async throws {
        self.eventLoop = eventLoop
        let state = NIOLockedValueBox(State())
        self.state = state
        self.session = try await eventLoop.submit {
            let session = BusSession(configuration, tls: tls, limits: limits, eventLoop: eventLoop) { event in
                Self.note(event, state)
                told(event)
            }
            session.start()
            return NIOLoopBound(session, eventLoop: eventLoop)
        }.get()
    }

    private static func note(_ event: BusEvent, _ state: NIOLockedValueBox<State>) {
        let (waiters, server): ([CheckedContinuation<BusServer?, Never>], BusServer?) = state.withLockedValue { state in
            switch event {
            case .ready(let server):
                state.server = server
                state.failure = nil
                defer { state.waiters = [:] }
                return (Array(state.waiters.values), server)
            case .lost(let failure):
                state.server = nil
                state.failure = failure
                return ([], nil)
            }
        }
        for waiter in waiters { waiter.resume(returning: server) }
    }

    /// The server, if the bus is there now.
    public var server: BusServer? { self.state.withLockedValue { $0.server } }

    /// Why it is not there, as the last attempt has shown.
    public var failure: BusFailure? { self.state.withLockedValue { $0.failure } }

    /// Waits until the bus is there.
    ///
    /// - Returns: nil after the time, or when it is stopped.
    public func ready(within time: TimeAmount) async -> BusServer? {
        await withCheckedContinuation { continuation in
            let number: UInt64? = self.state.withLockedValue { state in
                if state.server != nil || state.isStopped { return nil }
                state.next += 1
                state.waiters[state.next] = continuation
                return state.next
            }
            guard let number else { return continuation.resume(returning: self.server) }
            self.eventLoop.scheduleTask(in: time) {
                self.state.withLockedValue { $0.waiters.removeValue(forKey: number) }?.resume(returning: nil)
            }
        }
    }

    /// Sends commands together, and waits for all their replies; errors of the server are replies.
    ///
    /// - Parameter timeout: milliseconds for each reply. When it passes, the connection is given up.
    public func send(_ commands: [RESPCommand], timeout: Int64 = 3000) async throws(BusFailure) -> [RESPValue] {
        let result: Result<[RESPValue], BusFailure> = await withCheckedContinuation { continuation in
            self.eventLoop.execute {
                self.session.value.send(commands, timeout: timeout) { continuation.resume(returning: $0) }
            }
        }
        return try result.get()
    }

    /// Ends it for good. What waits fails.
    public func stop() async {
        try? await self.eventLoop.submit { self.session.value.stop() }.get()
        let waiters = self.state.withLockedValue { state in
            state.server = nil
            state.isStopped = true
            defer { state.waiters = [:] }
            return state.waiters.values.map { $0 }
        }
        for waiter in waiters { waiter.resume(returning: nil) }
    }
}
