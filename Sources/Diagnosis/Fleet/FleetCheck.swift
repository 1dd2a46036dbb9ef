import EdgeModel
import FleetBus
import FleetLink
import FoundationEssentials
import NIOCore
import NIOPosix
import Settings

/// Checks what a file says of a fleet: the files it names, each address of its bus, and there rights, stream and clock.
struct FleetCheck {
    let settings: FleetSettings
    let user: BusTrial.User
    let report: CheckReport
    let now: Date
    /// Where an edge keeps how far it has come; nil: nowhere.
    private var recordPath: String?

    init(settings: FleetSettings, user: BusTrial.User, report: CheckReport, now: Date) {
        self.settings = settings
        self.user = user
        self.report = report
        self.now = now
    }

    private var advice: BusAdvice { BusAdvice(fleet: self.settings) }
    private var place: SourceLocation { self.settings.location }

    /// The part of an edge.
    func run(_ edge: EdgeSettings, offline: Bool) async {
        if let identity = edge.identity {
            do throws(EdgeSeal.Failure) {
                _ = try EdgeSeal(certificateFile: identity.certificate, keyFile: identity.key)
            } catch {
                self.report.fail(identity.location, "fleet: \(error)", remedy: "`latchstring certs` makes identities.")
            }
        }
        var check = self
        check.recordPath = edge.cache.disk.map { FleetMembership.recordPath(inDiskStore: $0.path) }
        await check.run(offline: offline)
    }

    /// The part of a command.
    func run(authority: String, offline: Bool) async {
        do throws(EdgeBook.Failure) { _ = try EdgeBook(fleet: self.settings.name, authorityFile: authority) } catch {
            self.report.fail(
                self.place, "fleet: \(error)",
                remedy: "It is the authority.pem of `latchstring certs`, the one in the edges' \"identity\".")
        }
        await self.run(offline: offline)
    }

    private func run(offline: Bool) async {
        self.checkKey()
        let tls: BusTLS
        do { tls = try BusTLS(roots: self.settings.roots, name: self.settings.tlsName) } catch {
            self.report.fail(
                self.place, "fleet: the roots \(self.settings.roots ?? "") cannot be used: \(error)",
                remedy: "Store the certificate of the authority that issued the bus's as PEM.")
            return
        }
        let bus: BusConfiguration
        do { bus = try BusConfiguration(self.settings, clientName: "latchstring-check") } catch {
            self.report.fail(
                self.settings.login?.location ?? self.place, "fleet: the password cannot be read: \(error)", remedy: nil
            )
            return
        }
        guard !offline else { return }
        await self.check(bus, tls)
    }

    // MARK: Files

    /// An edge's orders are done at this edge, too, if it lists their key.
    private func checkKey() {
        guard let path = self.settings.signingKey else { return }
        let place = self.settings.signingKeyLocation ?? self.place
        do throws(SigningKey.Failure) {
            let key = try SigningKey(path: path).publicKey
            guard case .edge = self.user, !self.settings.signers.contains(where: { $0.key == key }) else { return }
            self.report.warn(
                place, "fleet: this edge orders purges with a key that is none of its own signers",
                remedy: "Add it to \"signers\" here and at every edge: key: \(key).")
        } catch {
            self.report.fail(place, "fleet: \(error)", remedy: nil)
        }
    }

    // MARK: The bus

    private struct Tried {
        var address: FleetSettings.Address
        var outcome: Result<(server: BusServer, client: BusClient), BusFailure>
    }

    private func check(_ bus: BusConfiguration, _ tls: BusTLS) async {
        var tried: [Tried] = []
        for address in self.settings.redis {
            tried.append(Tried(address: address, outcome: await self.connect(bus, to: BusAddress(address), tls)))
        }
        let first = tried.lazy.compactMap { try? $0.outcome.get() }.first
        for one in tried { self.tell(one, thereIsAnother: first != nil) }
        if let first { await self.tryOut(first.client, first.server) }
        for one in tried { await (try? one.outcome.get())?.client.stop() }
    }

    /// One attempt at one address, sentinels and what they name included. Each step of it has its own deadline.
    private func connect(
        _ bus: BusConfiguration, to address: BusAddress, _ tls: BusTLS
    ) async -> Result<(server: BusServer, client: BusClient), BusFailure> {
        var bus = bus
        bus.addresses = [address]
        let (events, told) = AsyncStream.makeStream(of: BusEvent.self)
        let client: BusClient
        do {
            client = try await BusClient(
                bus, tls: tls, on: MultiThreadedEventLoopGroup.singleton.any(), told: { told.yield($0) })
        } catch {
            return .failure(.broken(address, "\(error)"))
        }
        for await event in events {
            switch event {
            case .ready(let server): return .success((server, client))
            case .lost(let failure):
                await client.stop()
                return .failure(failure)
            }
        }
        return .failure(.stopped)
    }

    private func tell(_ tried: Tried, thereIsAnother: Bool) {
        let address = BusAddress(tried.address)
        let what = "fleet \(self.settings.name): "
        switch tried.outcome {
        case .success((let server, _)):
            let way = server.address == address ? "" : " names \(server.address)"
            self.report.ok(
                tried.address.location,
                "\(what)\(self.settings.sentinel == nil ? "bus" : "sentinel") \(address)\(way): connected, \(server.name) \(server.version), a primary"
            )
        case .failure(let failure):
            let at = BusAdvice.address(failure) ?? address
            let way = at == address ? "\(address)" : "\(address) names \(at)"
            let text =
                "\(what)\(self.settings.sentinel == nil ? "bus" : "sentinel") \(way): \(self.advice.text(failure))"
            let place = self.advice.location(failure, at: tried.address.location)
            if case .notPrimary = failure, thereIsAnother {
                self.report.ok(place, text + "; it is passed over until it is one")
            } else if case .unreachable = failure, thereIsAnother {
                self.report.warn(place, text, remedy: "The bus is used by way of another address meanwhile.")
            } else {
                self.report.fail(place, text, remedy: self.advice.remedy(failure))
            }
        }
    }

    private func tryOut(_ client: BusClient, _ server: BusServer) async {
        let trial = BusTrial(fleet: self.settings.name, user: self.user)
        let replies: [RESPValue]
        do throws(BusFailure) {
            replies = try await client.send(trial.steps.map(\.command))
        } catch {
            self.report.fail(
                self.place, "fleet \(self.settings.name): \(server.address): \(self.advice.text(error))",
                remedy: self.advice.remedy(error))
            return
        }
        let findings = trial.findings(replies)
        for finding in findings { self.tell(finding) }
        // In the order of the steps.
        self.checkClock(replies[0])
        await self.checkStream(replies[1], client, trial.keys)
        guard findings.isEmpty else { return }
        self.report.ok(
            self.settings.login?.location ?? self.place,
            "fleet \(self.settings.name): its user has all rights that \(self.user == .edge ? "an edge" : "a command") needs"
        )
    }

    private func tell(_ finding: BusTrial.Finding) {
        let name = "fleet \(self.settings.name)"
        let login = self.settings.login
        switch finding {
        case .lacksRights(let commands, let words):
            self.report.fail(
                login?.location ?? self.place,
                "\(name): the bus's user \(login?.user ?? "default") may not use \(commands.joined(separator: ", ")): \(words)",
                remedy:
                    "Give it the rights that docs/fleet.md lists, with the keys ~latchstring:{\(self.settings.name)}:*."
            )
        case .goesWithout(let text):
            self.report.warn(
                login?.location ?? self.place, "\(name): for lack of a right \(text)",
                remedy: "Give the user +role and +wait.")
        case .takesNoWrites(let text):
            self.report.fail(
                self.place, "\(name): the bus takes no writes now: \(text)", remedy: Self.remedy(noWrites: text))
        case .occupied(let key):
            self.report.fail(
                self.place, "\(name): the key \(key) on the bus holds something that is none of ours",
                remedy: "Another program uses it. Give this fleet another name, or remove the key: DEL \(key).")
        case .answer(let text):
            self.report.fail(self.place, "\(name): the bus refuses \(text)", remedy: nil)
        }
    }

    private static func remedy(noWrites text: String) -> String? {
        switch text.prefix(while: { $0 != " " }) {
        case "OOM": "Raise \"maxmemory\" of its configuration: docs/fleet.md says how much a fleet takes."
        case "MISCONF": "It cannot write to its disk. Its log says why."
        case "NOREPLICAS": "\"min-replicas-to-write\" of its configuration asks for replicas that are not there."
        default: nil
        }
    }

    // MARK: Clock and stream

    private func checkClock(_ reply: RESPValue) {
        guard let parts = reply.elements, parts.count == 2, let seconds = parts[0].number else { return }
        let ahead = Int64(self.now.timeIntervalSince1970) - seconds
        guard abs(ahead) > 5 else { return }
        let text =
            "fleet \(self.settings.name): this machine's clock is \(abs(ahead)) s \(ahead > 0 ? "ahead of" : "behind") the bus's"
        if abs(ahead) * 1000 > FollowMachine.clockTolerance {
            self.report.fail(
                self.place, text,
                remedy:
                    "Set both by NTP. More than ten minutes, and the first purge of a key can be refused as too old.")
        } else {
            self.report.warn(self.place, text, remedy: "Set both by NTP.")
        }
    }

    private func checkStream(_ reply: RESPValue, _ client: BusClient, _ keys: FleetKeys) async {
        let name = "fleet \(self.settings.name)"
        let generation: Generation
        switch reply {
        case .null:
            self.report.ok(self.place, "\(name): there is no stream of purges yet; the first edge or command makes it")
            return
        case .error: return
        default:
            guard let found = reply.bytes.flatMap({ Generation($0) }) else {
                self.tell(.occupied(keys.generation))
                return
            }
            generation = found
        }
        guard let record = self.record else { return }
        let position = "\(record.last)"
        guard let answer = try? await client.send([RESPCommand("XRANGE", keys.purges, position, position)])[0],
            let anchor = StreamEntry.list(answer)
        else { return }
        let machine = FollowMachine(fleet: self.settings.name, signers: [], record: record, since: 0)
        if machine.holdsPlace(generation: generation, anchor: anchor.first) {
            self.report.ok(self.place, "\(name): the stream of purges reaches back to where this edge has read it")
        } else {
            self.report.warn(
                self.place,
                "\(name): the stream of purges does not reach back to where this edge has read it, or is another one",
                remedy: "The edge has what it stores confirmed by its origins. docs/fleet.md says when that happens.")
        }
    }

    /// What this edge has kept of this fleet, as far as this user may read it.
    private var record: FollowRecord? {
        guard let path = self.recordPath, let data = FileManager.default.contents(atPath: path),
            let record = FollowRecord(encoded: Array(data)), record.fleet == self.settings.name
        else { return nil }
        return record
    }
}
