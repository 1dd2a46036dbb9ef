public import FleetBus
internal import Foundation
public import NIOCore
internal import NIOPosix

/// Where purges of a fleet are ordered, and its edges listed.
public actor FleetDesk {
    public struct Configuration: Sendable {
        public var fleet: String
        public var bus: BusConfiguration
        public var tls: BusTLS
        /// Path of the certificate of the authority that issued the edges' identities.
        public var authority: String
        /// Names of edges that are waited for, and missed, whatever the bus says.
        public var expected: [String] = []
        /// Entries that the stream keeps, about.
        public var streamLength = 100_000

        public init(fleet: String, bus: BusConfiguration, tls: BusTLS, authority: String) {
            self.fleet = fleet
            self.bus = bus
            self.tls = tls
            self.authority = authority
        }
    }

    public enum Failure: Error, Equatable, CustomStringConvertible {
        case noBus(BusFailure?)
        case answer(String)
        /// The bus says that it was not written. It is written before the next order of the same key, under its number.
        case notTaken(String)
        /// It may have been written. It is written again before the next order of the same key.
        case uncertain(BusFailure?)
        /// Of a purge that makes several orders, so many are written; why the next one is not.
        indirect case partly(written: Int, of: Int, Failure)
        case tooLong
        case book(OrderBook.Failure)
        case unwritable(String)

        public var description: String {
            switch self {
            case .noBus(let failure):
                "the fleet's bus can't be used" + (failure.map { ": \($0)" } ?? ": no answer in time")
            case .answer(let text): "the fleet's bus refuses: \(text)"
            case .notTaken(let text):
                "the fleet's bus refuses the purge: \(text). It is written with the next purge with this key. Run the command again"
            case .uncertain(let failure):
                "the fleet's bus was lost while the purge was written\(failure.map { " (\($0))" } ?? ""): it may have been, and is written again before the next purge with this key. Run the command again"
            case .partly(let written, let all, let failure):
                "\(written) of \(all) orders of this purge are written, and edges do them. Then: \(failure)"
            case .tooLong: "one of the things to purge is longer than \(FleetPurge.maximumTargetBytes) bytes"
            case .book(let failure): failure.description
            case .unwritable(let reason): "the count of orders can't be kept: \(reason)"
            }
        }
    }

    /// What became of a purge.
    public struct Outcome: Equatable, Sendable {
        public var progress: OrderProgress
        public var isSuccess: Bool
        /// Servers that have a copy of the bus, and how many said in time that they have the purge.
        public var replicas = 0
        public var confirmed = 0
        /// Where it stands in the stream.
        public var ids: [StreamID] = []
        /// Why edges could not be listed, or heard; nil: they could.
        public var problem: String?
    }

    private let configuration: Configuration
    private let client: BusClient
    private let keys: FleetKeys
    private var book: EdgeBook
    private let threads: NIOThreadPool

    public init(_ configuration: Configuration, on eventLoop: any EventLoop) async throws {
        self.configuration = configuration
        self.keys = FleetKeys(fleet: configuration.fleet)
        self.book = try EdgeBook(fleet: configuration.fleet, authorityFile: configuration.authority)
        self.threads = NIOThreadPool(numberOfThreads: 1)
        self.threads.start()
        self.client = try await BusClient(configuration.bus, tls: configuration.tls, on: eventLoop)
    }

    public func close() async {
        await self.client.stop()
        try? await self.threads.shutdownGracefully()
    }

    private nonisolated var now: Int64 { Int64(NIODeadline.now().uptimeNanoseconds / 1_000_000) }
    private var wallClock: Int64 { Int64(Date().timeIntervalSince1970 * 1000) }

    private func ask(_ commands: [RESPCommand], timeout: Int64 = 3000) async throws -> [RESPValue] {
        let replies = try await self.client.send(commands, timeout: timeout)
        for (command, reply) in zip(commands, replies) {
            if case .error(let text) = reply { throw Failure.answer("\(command.name): \(text)") }
        }
        return replies
    }

    private func connect(by deadline: Int64) async throws(Failure) {
        guard await self.client.ready(within: .milliseconds(max(1, deadline - self.now))) != nil else {
            throw .noBus(self.client.failure)
        }
    }

    // MARK: Edges

    /// Does something that can be done again until it succeeds or the time is over: a bus that is lost comes back, and one that is
    /// starting answers soon.
    private func persist<Value: Sendable>(
        until deadline: Int64, _ body: () async throws -> Value
    ) async throws(Failure) -> Value {
        while true {
            try await self.connect(by: deadline)
            do {
                return try await body()
            } catch let failure as BusFailure {
                guard self.now < deadline else { throw .noBus(failure) }
            } catch let failure as Failure {
                guard failure.isPassing, self.now < deadline else { throw failure }
            } catch {
                throw .answer("\(error)")
            }
            try? await Task.sleep(for: .milliseconds(50))
            if Task.isCancelled { throw .noBus(.stopped) }
        }
    }

    /// Lists the edges.
    ///
    /// - Parameter timeout: milliseconds for all of it.
    public func census(timeout: Int64 = 5000) async throws(Failure) -> FleetCensus {
        try await self.persist(until: self.now + timeout) { try await self.takeCensus() }
    }

    private func takeCensus() async throws -> FleetCensus {
        let replies = try await self.ask([RESPCommand("TIME"), RESPCommand("HGETALL", self.keys.edges)])
        guard let time = replies[0].elements, time.count == 2, let seconds = time[0].number,
            let microseconds = time[1].number, (0...10_000_000_000).contains(seconds), let fields = replies[1].pairs
        else { throw Failure.answer("its answers are none that are known") }
        return FleetCensus.take(
            fields, busTime: seconds * 1000 + microseconds / 1000, server: self.client.server,
            expected: self.configuration.expected, book: &self.book, now: self.wallClock / 1000)
    }

    /// Removes an edge from the list. One that is alive comes back with its next heartbeat.
    public func forget(_ name: String) async throws -> Bool {
        try await self.persist(until: self.now + 5000) {
            try await self.ask([RESPCommand("HDEL", self.keys.edges, name)])[0].number == 1
        }
    }

    // MARK: Purging

    /// Orders a purge, and waits until every edge that is alive has acknowledged it, or the time is over.
    ///
    /// - Parameters:
    ///   - timeout: milliseconds for all of it.
    ///   - told: each time that something has changed.
    public func order(
        _ purge: FleetPurge, by signer: SigningKey, timeout: Int64 = 10_000,
        told: @Sendable (OrderProgress) -> Void = { _ in }
    ) async throws -> Outcome {
        let deadline = self.now + timeout
        guard let parts = purge.split() else { throw Failure.tooLong }
        var progress = OrderProgress(start: self.now)
        var outcome = Outcome(progress: progress, isSuccess: false)
        // An order goes out even if what the bus says of edges is of no use.
        do throws(Failure) {
            let census = try await self.persist(until: deadline) { try await self.takeCensus() }
            progress.expect(census, expected: self.configuration.expected)
        } catch {
            guard case .answer(let text) = error else { throw error }
            outcome.problem = text
        }
        let place = (try? await self.persist(until: deadline) { try await self.lastReport() }) ?? .zero
        for order in try await self.write(parts, by: signer, deadline: deadline) {
            progress.ordered(order)
            outcome.ids.append(order.id)
        }
        (outcome.replicas, outcome.confirmed) = await self.awaitReplica()
        told(progress)
        var reading = Reading(from: place, censusAt: outcome.problem == nil ? self.now + 500 : self.now)
        while outcome.problem != nil || !progress.isComplete, self.now < deadline {
            do {
                outcome.problem = nil
                if try await self.hear(&reading, &progress, until: deadline) { told(progress) }
            } catch let failure as Failure {
                outcome.problem = "\(failure)"
                guard failure.isPassing || self.client.server == nil else { break }
                try? await Task.sleep(for: .milliseconds(100))
            } catch {
                // Those that have acknowledged have; the others may still, when the bus is back.
                reading.count = max(1, reading.count / 4)
                try? await Task.sleep(for: .milliseconds(100))
                guard await self.client.ready(within: .milliseconds(max(1, deadline - self.now))) != nil else { break }
            }
            if Task.isCancelled { break }
        }
        outcome.progress = progress
        outcome.isSuccess = progress.isSuccess(expected: self.configuration.expected)
        return outcome
    }

    /// Where the reading of reports is.
    private struct Reading {
        var from: StreamID
        var censusAt: Int64
        /// Reports that are read at once; fewer after some that could not be read.
        var count = FleetDesk.reportsAtOnce
        var unproven: [[UInt8]] = []
    }

    private static let reportsAtOnce = 200

    /// Reads reports, and now and then the list of edges.
    ///
    /// - Returns: whether something has changed.
    private func hear(
        _ reading: inout Reading, _ progress: inout OrderProgress, until deadline: Int64
    ) async throws -> Bool {
        let before = progress
        let wait = max(1, min(deadline - self.now, reading.censusAt - self.now))
        let reply = try await self.ask(
            [
                RESPCommand(
                    "XREAD", "COUNT", "\(reading.count)", "BLOCK", "\(wait)", "STREAMS", self.keys.reports,
                    "\(reading.from)")
            ], timeout: wait + 3000)[0]
        guard let entries = StreamEntry.read(reply), entries.allSatisfy({ $0.id > reading.from }) else {
            throw Failure.answer("the reports are none of ours")
        }
        reading.count = min(Self.reportsAtOnce, reading.count * 2)
        for entry in entries {
            reading.from = entry.id
            guard let payload = entry.payload else { continue }
            if let said = self.book.acknowledgement(payload) {
                _ = progress.heard(said, at: self.now)
            } else {
                reading.unproven.append(payload)
                if reading.unproven.count > Self.maximumUnproven { reading.unproven.removeFirst() }
            }
        }
        // Edges that come and go meanwhile, and the certificates of those that have not been heard before.
        if self.now >= reading.censusAt {
            reading.censusAt = self.now + 500
            let census = try await self.takeCensus()
            progress.expect(census, expected: self.configuration.expected)
            for payload in reading.unproven {
                guard let said = self.book.acknowledgement(payload) else { continue }
                _ = progress.heard(said, at: self.now)
            }
        }
        return progress != before
    }

    /// Acknowledgements of edges whose certificate is not known yet, which the next census may bring.
    private static let maximumUnproven = 256

    private func lastReport() async throws -> StreamID {
        let reply = try await self.ask([RESPCommand("XREVRANGE", self.keys.reports, "+", "-", "COUNT", "1")])[0]
        return StreamEntry.list(reply)?.first?.id ?? .zero
    }

    private func generation() async throws -> Generation {
        for _ in 0..<2 {
            if let bytes = try await self.ask([RESPCommand("GET", self.keys.generation)])[0].bytes {
                guard let generation = Generation(bytes) else { break }
                return generation
            }
            var random = SystemRandomNumberGenerator()
            let made = Generation.random(using: &random).bytes
            _ = try await self.ask([RESPCommand("SET", self.keys.generation).adding(made).adding("NX")])
        }
        throw Failure.answer("\(self.keys.generation) is none of ours")
    }

    /// Writes orders one after the other, each under its number.
    private func write(
        _ parts: [FleetPurge], by signer: SigningKey, deadline: Int64
    ) async throws -> [OrderProgress.Order] {
        let now = self.wallClock
        let fleet = self.configuration.fleet
        var book: OrderBook
        do {
            book = try await self.threads.runIfActive { try OrderBook(signer, fleet: fleet, now: now) }
        } catch let failure as OrderBook.Failure {
            throw Failure.book(failure)
        }
        defer { book.close() }
        var orders: [OrderProgress.Order] = []
        if let pending = book.pending { _ = try await self.write(pending.purge, &book, deadline: deadline) }
        for part in parts {
            do throws(Failure) {
                orders.append(try await self.write(part, &book, deadline: deadline))
            } catch {
                throw orders.isEmpty ? error : .partly(written: orders.count, of: parts.count, error)
            }
        }
        return orders
    }

    private func write(
        _ purge: FleetPurge, _ book: inout OrderBook, deadline: Int64
    ) async throws(Failure) -> OrderProgress.Order {
        var lost: BusFailure?
        repeat {
            do {
                let generation = try await self.generation()
                let (entry, bytes) = try book.begin(purge, generation: generation, now: self.wallClock)
                let reply = try await self.client.send([
                    RESPCommand(
                        "XADD", self.keys.purges, "MAXLEN", "~", "\(self.configuration.streamLength)", "*",
                        StreamEntry.field
                    ).adding(bytes)
                ])[0]
                // It is signed and sent, and the bus may show it to edges all the same: the number is this order's.
                if case .error(let text) = reply { throw Failure.notTaken(text) }
                guard let id = reply.string.flatMap({ StreamID($0) }) else {
                    throw Failure.answer("XADD was answered with no id")
                }
                try book.written()
                return OrderProgress.Order(entry: entry, mark: Refusal.mark(of: bytes), id: id)
            } catch let failure as BusFailure {
                lost = failure
                _ = await self.client.ready(within: .milliseconds(max(1, deadline - self.now)))
            } catch let failure as Failure {
                guard failure.isPassing, self.now < deadline else { throw failure }
                try? await Task.sleep(for: .milliseconds(50))
            } catch {
                throw .unwritable("\(error)")
            }
        } while self.now < deadline && !Task.isCancelled
        throw .uncertain(lost)
    }

    /// Where there is a replica, waits half a second for one to have what was written.
    ///
    /// - Returns: replicas, and how many confirmed.
    private func awaitReplica() async -> (Int, Int) {
        // Needs a right that a user may not have; then nothing is known of replicas.
        guard let role = try? await self.ask([RESPCommand("ROLE")])[0].elements, role.count >= 3,
            let replicas = role[2].elements, !replicas.isEmpty
        else { return (0, 0) }
        let reply = try? await self.ask([RESPCommand("WAIT", "1", "500")])[0]
        return (replicas.count, Int(reply?.number ?? 0))
    }
}

extension FleetDesk.Failure {
    /// A server says so while it starts, is busy, or changes its role.
    fileprivate var isPassing: Bool {
        guard case .answer(let text) = self else { return false }
        return ["LOADING", "MASTERDOWN", "BUSY", "TRYAGAIN", "READONLY"].contains { text.contains(": \($0) ") }
    }
}
