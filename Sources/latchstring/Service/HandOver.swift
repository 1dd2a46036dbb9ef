import Channels
import Logging
import NIOConcurrencyHelpers
import ServiceLifecycle
import Settings
import UnixSignals

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What of a process can be handed over to another one.
protocol HandedOver: Sendable {
    associatedtype State: Sendable

    /// Nothing changes yet; throws if it is no time for it.
    func begin() async throws -> (State, [PassedListener])
    /// Lets go of what only one process can have.
    ///
    /// - Returns: what the other process must not lose.
    /// - Throws: the other process cannot have it.
    func letGo(_ state: State) async throws -> Set<String>
    /// All stays as it was.
    func keep(_ state: State, hasLetGo: Bool) async
    /// Leaves connections in the queues of these listeners, for the other process, or goes on after all.
    func rest(_ state: State, taken: Set<Int>, _ isResting: Bool) async
    /// The other process accepts at these listeners from now on.
    func handOver(_ state: State, taken: Set<Int>) async
    func forgetStored(_ state: State)
}

/// Starts this process's successor at each SIGUSR2, and ends when one is ready. If none is, everything stays as it was.
final class HandOverOnSignal<Party: HandedOver>: Service {
    private let party: Party
    private let plan: @Sendable () -> HandOverPlan
    private let notifier: ServiceNotifier
    private let end: @Sendable () async -> Void
    private let logger: Logger

    /// - Parameters:
    ///   - plan: asked at each signal.
    ///   - end: has the process shut down gracefully.
    init(
        _ party: Party, plan: @escaping @Sendable () -> HandOverPlan, notifier: ServiceNotifier, logger: Logger,
        end: @escaping @Sendable () async -> Void
    ) {
        self.party = party
        self.plan = plan
        self.notifier = notifier
        self.logger = logger
        self.end = end
    }

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sigusr2).cancelOnGracefulShutdown() {
            let plan = self.plan()
            do {
                if let bond = ProcessSurroundings.now(self.notifier).bond { throw Failure(description: bond) }
                try await self.handOver(plan)
                // A service that returns before the others ends them at once.
                return try await gracefulShutdown()
            } catch {
                self.logger.error(
                    "not handed over; everything stays as it was",
                    metadata: ["program": "\(plan.program)", "reason": "\(error)"])
            }
        }
    }

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    private func handOver(_ plan: HandOverPlan) async throws {
        let (state, listeners) = try await self.party.begin()
        self.logger.notice("handing over", metadata: ["program": "\(plan.program)"])
        let process: SuccessorProcess
        let link: SuccessionLink
        do {
            defer { for listener in listeners { close(listener.descriptor) } }
            process = try SuccessorProcess(program: plan.program, listeners: listeners, notifier: self.notifier)
            do { link = try await SuccessionLink(process.link) } catch {
                await process.stop()
                throw error
            }
        } catch {
            await self.party.keep(state, hasLetGo: false)
            throw error
        }
        let deadline = ContinuousClock.now + plan.timeout
        let timeout = Task {
            try await Task.sleep(until: deadline)
            link.close()
        }
        // A shutdown does not wait for a successor.
        let isReady = NIOLockedValueBox(false)
        let hasLetGo = NIOLockedValueBox(false)
        let isDone = await withGracefulShutdownHandler {
            await self.converse(link, process, state, timeout, isReady, hasLetGo)
        } onGracefulShutdown: {
            if !isReady.withLockedValue({ $0 }) { link.close() }
        }
        guard !isDone else { return }
        timeout.cancel()
        let reason = await self.reason(process, isLate: ContinuousClock.now >= deadline)
        await self.party.keep(state, hasLetGo: hasLetGo.withLockedValue { $0 })
        throw Failure(description: reason)
    }

    /// - Returns: whether the successor has taken over.
    private func converse(
        _ link: SuccessionLink, _ process: SuccessorProcess, _ state: Party.State, _ timeout: Task<Void, any Error>,
        _ isReady: NIOLockedValueBox<Bool>, _ hasLetGo: NIOLockedValueBox<Bool>
    ) async -> Bool {
        for await line in link.lines {
            let words = line.split(separator: " ")
            switch words.first {
            case "let-go" where !hasLetGo.withLockedValue({ $0 }):
                hasLetGo.withLockedValue { $0 = true }
                let served: Set<String>
                do { served = try await self.party.letGo(state) } catch {
                    self.logger.error("the other process is given up", metadata: ["reason": "\(error)"])
                    link.close()
                    continue
                }
                try? await link.send((["let-go"] + served.sorted()).joined(separator: " "))
            case "purge" where hasLetGo.withLockedValue({ $0 }):
                self.party.forgetStored(state)
                try? await link.send("purged")
            case "ready" where hasLetGo.withLockedValue({ $0 }):
                let taken = Set(words.dropFirst().compactMap { Int($0) })
                await self.party.rest(state, taken: taken, true)
                do { try await link.send("yours") } catch {
                    // It is gone, and the link is at its end.
                    await self.party.rest(state, taken: taken, false)
                    continue
                }
                timeout.cancel()
                isReady.withLockedValue { $0 = true }
                self.notifier.handOver(to: process.number, logger: self.logger)
                try? await link.send("told")
                await self.party.handOver(state, taken: taken)
                self.logger.notice("handed over", metadata: ["process": "\(process.number)"])
                self.forget(link, state)
                await self.end()
                return true
            default: link.close()
            }
        }
        return false
    }

    private func reason(_ process: SuccessorProcess, isLate: Bool) async -> String {
        // Its end may be told a moment after that of its link.
        for _ in 0..<25 {
            if let end = process.end() { return end }
            if isLate { break }
            try? await Task.sleep(for: .milliseconds(20))
        }
        await process.stop()
        return isLate ? "it was not ready in time, and was stopped" : "it was given up, and was stopped"
    }

    /// Until this process ends, it forgets what it stores whenever its successor purges something.
    private func forget(_ link: SuccessionLink, _ state: Party.State) {
        Task { [party = self.party] in
            for await line in link.lines where line == "purge" {
                party.forgetStored(state)
                try? await link.send("purged")
            }
            // Of purges to come this process hears nothing.
            party.forgetStored(state)
        }
    }
}

/// How this process is handed over.
struct HandOverPlan: Sendable {
    var program: String
    /// For the successor to be ready.
    var timeout: Duration

    init(_ settings: HandOverSettings) {
        self.program = settings.program ?? SuccessorProcess.ownProgram
        self.timeout = settings.timeout
    }
}
