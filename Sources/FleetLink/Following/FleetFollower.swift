public import CoreMetrics
internal import FleetBus
internal import Foundation
public import Logging
public import NIOCore

/// An edge's part in its fleet: reads the stream of purges, does them, says so, and sends heartbeats.
///
/// It is told what to do by ``FollowMachine``, one batch after the other: entries are judged, done in the store, noted on disk,
/// and acknowledged, in that order. When it ends anywhere in between, the same entries are read and done again. Heartbeats are
/// sent in between, and while a step takes long: an edge that can't finish a purge is there, and says what is wrong. Nothing
/// here runs on an event loop that serves clients: replies are read on the loop it is given, signatures are checked in tasks.
public actor FleetFollower {
    let membership: FleetMembership
    let store: any FleetStore
    private let eventLoop: any EventLoop
    let log: FollowLog
    let metrics: FollowMetrics
    public nonisolated let status: FollowStatus
    let keys: FleetKeys
    let record: RecordFile
    private nonisolated let hasCaughtUp = CatchUp()
    private nonisolated let news: BusNews

    var machine: FollowMachine
    /// How far the store is, and the record on disk; the machine may be ahead of it.
    var done: FollowRecord
    private var isCaughtUp = false
    private var needsJoining = true
    /// Milliseconds on the monotonic clock.
    var heartbeatAt: Int64 = 0
    var recordAt: Int64 = 0
    /// The bus's clock minus the monotonic one.
    var busOffset: Int64?
    var ordersSinceLoss = 0
    var refusalsUnlogged = 0
    var refusalsLoggedAt: Int64?
    /// What was said to be wrong last, so that it is said once.
    var complaint: String?
    var reportsFail = false

    /// Entries that are read at once: those of the largest size fit one reply. Fewer after one that could not be read.
    static let batch = 100
    private var batch = FleetFollower.batch
    private var doubts = DoubtPace()

    public init(
        _ membership: FleetMembership, store: any FleetStore, on eventLoop: any EventLoop, logger: Logger,
        status: FollowStatus = FollowStatus(), factory: any MetricsFactory = MetricsSystem.factory
    ) {
        var logger = logger
        logger[metadataKey: "fleet"] = "\(membership.fleet)"
        self.membership = membership
        self.store = store
        self.eventLoop = eventLoop
        self.log = FollowLog(logger)
        self.status = status
        self.keys = FleetKeys(fleet: membership.fleet)
        self.metrics = FollowMetrics(factory: factory)
        self.record = RecordFile(path: membership.recordPath)
        self.machine = FollowMachine(fleet: membership.fleet, signers: membership.signers, record: nil, since: 0)
        self.done = self.machine.record
        self.news = BusNews(log: self.log, metrics: self.metrics, status: status)
    }

    nonisolated var now: Int64 { Int64(NIODeadline.now().uptimeNanoseconds / 1_000_000) }
    var wallClock: Int64 { Int64(Date().timeIntervalSince1970 * 1000) }

    // MARK: Start

    /// Reads how far this edge had come. Before anything is served from the store.
    public func prepare() async throws {
        let start = self.wallClock
        var record: FollowRecord?
        switch try await self.record.read() {
        case .none: break
        case .damaged(let reason):
            self.write(
                .warning, "the record of the purges that were followed can't be used", ["reason": "\(reason)"])
        case .record(let found) where found.fleet == self.membership.fleet: record = found
        case .record(let found):
            self.write(.warning, "the record of purges is another fleet's", ["other": "\(found.fleet)"])
        }
        if self.store.isEmpty {
            self.begin(record, since: start)
        } else if let record {
            self.begin(record, since: record.followedUntil)
        } else {
            self.write(.warning, "what the disk store holds has followed no purges of this fleet: it is emptied")
            self.metrics.flushed(.noRecord)
            try await self.store.remove(.everything)
            self.begin(nil, since: start)
        }
    }

    private func begin(_ record: FollowRecord?, since: Int64) {
        self.machine = FollowMachine(
            fleet: self.membership.fleet, signers: self.membership.signers, record: record, since: since)
        self.done = self.machine.record
    }

    nonisolated func write(_ level: Logger.Level, _ message: Logger.Message, _ metadata: Logger.Metadata = [:]) {
        self.log.write(level, message, metadata, at: self.now)
    }

    /// Waits until all purges have been read that there are, for the time that is set at most. If it passes, what is stored is
    /// confirmed by its origin before it is used, and serving begins all the same.
    public nonisolated func awaitCatchUp() async throws {
        if self.store.isEmpty { return }
        guard await !self.hasCaughtUp.wait(milliseconds: self.membership.catchUp) else { return }
        self.write(
            .warning,
            "the fleet's bus was not there in time: what is stored is confirmed by its origin before it is used"
        )
        self.metrics.flushed(.lateStart)
        try await self.store.confirm(.everything)
    }

    // MARK: Following

    /// Follows until the task is cancelled.
    public func run() async throws {
        let news = self.news
        let client = try await BusClient(
            self.membership.bus, tls: self.membership.tls, on: self.eventLoop, told: { news.heard($0) })
        await withTaskCancellationHandler {
            while !Task.isCancelled {
                guard await client.ready(within: .seconds(1)) != nil else { continue }
                do {
                    try await self.follow(client)
                } catch {
                    self.failed(error)
                    // A bus that is lost comes back by itself; an answer that does not do may do later.
                    if client.server != nil { try? await Task.sleep(for: .seconds(1)) }
                }
            }
        } onCancel: {
            Task { await client.stop() }
        }
        await client.stop()
        await self.record.close()
    }

    private func failed(_ error: any Error) {
        self.isCaughtUp = false
        self.needsJoining = true
        self.busOffset = nil
        // Of a lost connection the news speak.
        if case .answer(let text)? = error as? FollowFailure {
            self.status.change {
                $0.isFollowing = false
                $0.problem = text
            }
            if self.complaint != text {
                self.complaint = text
                self.write(.warning, "the fleet's bus can't be followed", ["reason": "\(text)"])
            }
        }
    }

    private func follow(_ client: BusClient) async throws {
        self.needsJoining = true
        while !Task.isCancelled {
            if self.needsJoining { try await self.join(client) }
            let entries: [StreamEntry]?
            do {
                entries = try await self.read(client)
            } catch {
                // If it was an entry that is too large for a reply, or for its time, it is read alone.
                self.batch = max(1, self.batch / 4)
                throw error
            }
            guard let entries else {
                self.needsJoining = true
                continue
            }
            if entries.isEmpty {
                await self.reachedEnd(client)
            } else {
                await self.take(entries, client)
                await self.acknowledge(client)
                self.batch = min(Self.batch, self.batch * 2)
            }
            guard self.now >= self.heartbeatAt else { continue }
            await self.beat(client)
            // A bus that was full takes reports again.
            if self.machine.record.reported < self.machine.position { await self.acknowledge(client) }
        }
    }

    /// Does something that may take long, and sends heartbeats meanwhile: nothing waits for the bus then.
    private func beating(_ client: BusClient, _ body: () async -> Void) async {
        let beats = Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: .milliseconds(max(1, self.heartbeatAt - self.now)))
                if !Task.isCancelled { await self.beat(client) }
            }
        }
        await body()
        beats.cancel()
        await beats.value
    }

    /// Finds out whether the stream is the one that was read, and still reaches back to where reading ended.
    private func join(_ client: BusClient) async throws {
        let generation = try await self.generation(client)
        let place = self.machine.position
        let replies = try await self.ask(
            client,
            [RESPCommand("TIME"), RESPCommand("XRANGE", self.keys.purges, "\(place)", "\(place)")])
        self.noteTime(replies[0])
        guard let found = StreamEntry.list(replies[1]) else { throw FollowFailure.answer("the stream is none of ours") }
        let steps = self.machine.joined(generation: generation, anchor: found.first)
        // It may be a bus that has not heard of this edge.
        self.heartbeatAt = 0
        if !steps.isEmpty {
            self.isCaughtUp = false
            // What is stored is confirmed first: from then on a bus that changes its word all the time is no hurry.
            let pause = self.doubts.pause(at: self.now)
            await self.beating(client) {
                await self.carryOut(steps)
                if pause > 0 { try? await Task.sleep(for: .milliseconds(pause)) }
            }
        }
        self.needsJoining = false
    }

    private func generation(_ client: BusClient) async throws -> Generation {
        for _ in 0..<2 {
            let reply = try await self.ask(client, [RESPCommand("GET", self.keys.generation)])[0]
            if let bytes = reply.bytes {
                guard let generation = Generation(bytes) else {
                    throw FollowFailure.answer("\(self.keys.generation) is none of ours")
                }
                return generation
            }
            var random = SystemRandomNumberGenerator()
            _ = try await self.ask(
                client,
                [RESPCommand("SET", self.keys.generation).adding(Generation.random(using: &random).bytes).adding("NX")])
        }
        throw FollowFailure.answer("\(self.keys.generation) can't be set")
    }

    /// Reads what comes next: waits for it once all that there was has been read.
    ///
    /// - Returns: nil if the place up to which was read is gone.
    private func read(_ client: BusClient) async throws -> [StreamEntry]? {
        let place = self.machine.position
        var read = RESPCommand("XREAD", "COUNT", "\(self.batch)")
        var wait: Int64 = 0
        if self.isCaughtUp {
            wait = max(1, min(self.heartbeatAt - self.now, self.membership.heartbeat))
            read = read.adding("BLOCK", "\(wait)")
        }
        // The place is looked at after the reading: if it is there then, nothing behind it had been cut off before.
        let replies = try await self.ask(
            client,
            [
                read.adding("STREAMS", self.keys.purges, "\(place)"),
                RESPCommand("XRANGE", self.keys.purges, "\(place)", "\(place)"),
                RESPCommand("GET", self.keys.generation),
            ], timeout: wait + (self.batch == 1 ? 30_000 : 3000))
        guard let entries = StreamEntry.read(replies[0]), entries.allSatisfy({ $0.id > place }),
            let found = StreamEntry.list(replies[1])
        else {
            throw FollowFailure.answer("the stream is none of ours")
        }
        guard let generation = replies[2].bytes.flatMap({ Generation($0) }),
            self.machine.holdsPlace(generation: generation, anchor: found.first)
        else { return nil }
        return entries
    }

    private func take(_ entries: [StreamEntry], _ client: BusClient) async {
        let judgement = self.machine.judge(entries)
        self.metrics.known(judgement.known)
        for refusal in judgement.refused { self.refused(refusal) }
        await self.beating(client) {
            await self.carryOut(judgement.steps)
            await self.save()
        }
    }

    private func reachedEnd(_ client: BusClient) async {
        self.machine.caughtUp(at: self.wallClock)
        self.batch = Self.batch
        guard !self.isCaughtUp else {
            if self.now - self.recordAt > 60_000 { await self.beating(client) { await self.save() } }
            return
        }
        await self.beating(client) { await self.save() }
        guard !Task.isCancelled else { return }
        self.isCaughtUp = true
        self.complaint = nil
        self.hasCaughtUp.done()
        self.news.following(after: self.ordersSinceLoss)
        self.ordersSinceLoss = 0
        await self.acknowledge(client)
    }

    /// Sends commands; an error of the server is one here too.
    func ask(
        _ client: BusClient, _ commands: [RESPCommand], timeout: Int64 = 3000
    ) async throws -> [RESPValue] {
        let replies = try await client.send(commands, timeout: timeout)
        for (command, reply) in zip(commands, replies) {
            if case .error(let text) = reply { throw FollowFailure.answer("\(command.name): \(text)") }
        }
        return replies
    }
}

enum FollowFailure: Error {
    /// The bus is there, and what it says won't do.
    case answer(String)
}
