import ArgumentParser
import Crypto
import FleetBus
import FleetLink
import Foundation
import Logging
import NIOCore
import NIOPosix
import PrivateAuthority

/// Edges that only speak the bus, and orders to be timed. `Benchmarks/fleet/run` calls it.
@main
struct FleetLoad: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fleetload", subcommands: [Stubs.self, Orders.self, Burst.self])
}

struct BusOptions: ParsableArguments {
    @Option(help: "Port of the bus on this machine.")
    var port: Int

    @Option(help: "The fleet's name.")
    var fleet = "bench"

    var bus: BusConfiguration {
        BusConfiguration(addresses: [BusAddress(host: "127.0.0.1", port: self.port, usesTLS: false)])
    }
}

/// A store that holds nothing, and does every purge at once.
struct EmptyStore: FleetStore {
    var isEmpty: Bool { true }
    func carryOut(_ purges: [FleetPurge]) async throws -> [Bool] { purges.map { _ in true } }
    func remove(_ rights: PurgeRights) async throws {}
    func confirm(_ rights: PurgeRights) async throws {}
}

struct Stubs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Edges without clients and stores, until they are killed.")

    @OptionGroup var options: BusOptions

    @Option var edges: Int

    @Option(help: "Where the authority's certificate is written.")
    var authority: String

    @Option(help: "The public key of the signer that is believed.")
    var signer: String

    func run() async throws {
        guard let key = SignerKey(hex: self.signer) else { throw ValidationError("--signer: 64 hexadecimal digits") }
        let authority = try FleetAuthority(name: "bench")
        try Data(authority.certificatePEM.utf8).write(to: URL(filePath: self.authority))
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let tls = try BusTLS(roots: nil, name: nil)
        var statuses: [FollowStatus] = []
        for number in 0..<self.edges {
            let issued = try authority.issueIdentity(role: .edge, name: "stub-\(number)")
            let membership = FleetMembership(
                fleet: self.options.fleet, bus: self.options.bus, tls: tls,
                signers: [Signer(name: "ops", key: key, rights: .everything)],
                seal: try EdgeSeal(certificatePEM: issued.chainPEM, keyPEM: issued.keyPEM),
                facts: { EdgeHeartbeat(version: "stub", started: 0, busTime: 0) })
            let follower = FleetFollower(
                membership, store: EmptyStore(), on: group.any(),
                logger: Logger(label: "stub") { _ in SwiftLogNoOpLogHandler() })
            statuses.append(follower.status)
            try await follower.prepare()
            Task { try await follower.run() }
        }
        while !statuses.allSatisfy(\.value.isFollowing) { try await Task.sleep(for: .milliseconds(20)) }
        print("ready")
        fflush(nil)
        while true { try await Task.sleep(for: .seconds(3600)) }
    }
}

struct Orders: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Orders purges one after the other, and prints how long each took until its last acknowledgement.")

    @OptionGroup var options: BusOptions

    @Option var authority: String

    @Option var key: String

    @Option var count: Int

    @Option(help: "Edges that must acknowledge.")
    var edges: Int

    func run() async throws {
        let key = try SigningKey(path: self.key)
        let desk = try await FleetDesk(
            .init(
                fleet: self.options.fleet, bus: self.options.bus, tls: try BusTLS(roots: nil, name: nil),
                authority: self.authority), on: MultiThreadedEventLoopGroup.singleton.any())
        // Heartbeats bring the edges' certificates.
        while try await desk.census().edges.count(where: { $0.standing == .alive }) < self.edges {
            try await Task.sleep(for: .milliseconds(100))
        }
        var whole: [Double] = []
        var last: [Double] = []
        for number in 0..<self.count {
            let start = ContinuousClock.now
            let outcome = try await desk.order(
                FleetPurge(targets: [.url("https://www.example.test/\(number)")], isSoft: false), by: key,
                timeout: 60_000)
            whole.append(Self.milliseconds(ContinuousClock.now - start))
            guard outcome.isSuccess, outcome.progress.done.count == self.edges else {
                print("failed: \(outcome.progress.done.count) of \(self.edges)")
                throw ExitCode.failure
            }
            let times = outcome.progress.edges.compactMap { edge in
                if case .done(let time) = edge.answer { Double(time) } else { nil }
            }
            last.append(times.max() ?? 0)
        }
        await desk.close()
        print(
            "{\"edges\":\(self.edges),\"orders\":\(self.count),\"median\":\(Self.quantile(whole, 0.5)),\"p99\":\(Self.quantile(whole, 0.99)),\"max\":\(whole.max() ?? 0)}"
        )
    }

    static func milliseconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) * 1000 + Double(duration.components.attoseconds) / 1e15
    }

    static func quantile(_ values: [Double], _ part: Double) -> Double {
        let sorted = values.sorted()
        return sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))]
    }
}

struct Burst: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes many orders at once, and prints how long the edges took to do them all.")

    @OptionGroup var options: BusOptions

    @Option var authority: String

    @Option(help: "The signer's private key; its count is not kept.")
    var key: String

    @Option var count: Int

    @Option var edges: Int

    @Option(help: "Entries that the stream keeps.")
    var length = 1_000_000

    func run() async throws {
        let key = try SigningKey(path: self.key)
        let client = try await BusClient(
            self.options.bus, tls: try BusTLS(roots: nil, name: nil), on: MultiThreadedEventLoopGroup.singleton.any())
        guard await client.ready(within: .seconds(5)) != nil else { throw ExitCode.failure }
        let keys = FleetKeys(fleet: self.options.fleet)
        let replies = try await client.send([
            RESPCommand("GET", keys.generation), RESPCommand("HGETALL", keys.edges),
            RESPCommand("XREVRANGE", keys.reports, "+", "-", "COUNT", "1"),
        ])
        guard let generation = replies[0].bytes.flatMap({ Generation($0) }), let fields = replies[1].pairs else {
            throw ExitCode.failure
        }
        var book = try EdgeBook(fleet: self.options.fleet, authorityFile: self.authority)
        let wall = Int64(Date().timeIntervalSince1970)
        for field in fields {
            guard let name = field.key.string, let bytes = field.value.bytes else { continue }
            _ = book.heartbeat(bytes, of: name, now: wall)
        }
        var from = StreamEntry.list(replies[2])?.first?.id ?? .zero
        let base = UInt64(wall) * 1000
        let write = RESPCommand("XADD", keys.purges, "MAXLEN", "~", "\(self.length)", "*", StreamEntry.field)
        var entries: [RESPCommand] = []
        for number in 0..<self.count {
            let entry = PurgeEntry(
                fleet: self.options.fleet, signer: key.publicKey, counter: base + UInt64(number), time: wall * 1000,
                generation: generation,
                purge: FleetPurge(targets: [.url("https://www.example.test/\(number)")], isSoft: false))
            entries.append(write.adding(try entry.signed(by: key.key)))
        }
        let start = ContinuousClock.now
        for begin in stride(from: 0, to: entries.count, by: 200) {
            _ = try await client.send(Array(entries[begin..<min(begin + 200, entries.count)]), timeout: 30_000)
        }
        let written = ContinuousClock.now - start
        let target = base + UInt64(self.count - 1)
        var done: Set<String> = []
        while done.count < self.edges {
            let reply = try await client.send(
                [RESPCommand("XREAD", "COUNT", "500", "BLOCK", "1000", "STREAMS", keys.reports, "\(from)")],
                timeout: 10_000)
            for entry in StreamEntry.read(reply[0]) ?? [] {
                from = entry.id
                guard let payload = entry.payload, let said = book.acknowledgement(payload),
                    said.signers[key.publicKey]?.includes(target) == true
                else { continue }
                done.insert(said.edge)
            }
            guard ContinuousClock.now - start < .seconds(600) else { throw ExitCode.failure }
        }
        let whole = ContinuousClock.now - start
        print(
            "{\"edges\":\(self.edges),\"orders\":\(self.count),\"written\":\(Orders.milliseconds(written)),\"done\":\(Orders.milliseconds(whole))}"
        )
        await client.stop()
    }
}
