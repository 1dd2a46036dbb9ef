import Crypto
import FleetBus
import FleetLink
import Foundation
import PrivateAuthority
import Settings
import TestBus
import TestSockets
import Testing

@testable import Diagnosis

/// `latchstring check` of a fleet's bus, with real servers.
@Suite(.serialized, .timeLimit(.minutes(2))) struct FleetCheckTests {
    /// An edge of a fleet, and a command's file, in a folder of their own.
    final class Stage {
        let path: String
        let key: SigningKey

        init() throws {
            self.path = FileManager.default.temporaryDirectory.appending(path: "fleet-check-\(UUID().uuidString)").path
            _ = try CertificateDirectory(path: self.path).fulfil(
                CertificateOrder(edges: ["paris"], keyHolders: ["home"], sites: [.init(domains: ["localhost"])]))
            self.key = try SigningKey.make(path: self.path + "/ops.key")
            try self.write("edge-password\n", "edge.password")
            try self.write("wrong", "wrong.password")
        }

        deinit { try? FileManager.default.removeItem(atPath: self.path) }

        func write(_ text: String, _ name: String) throws {
            try Data(text.utf8).write(to: URL(filePath: "\(self.path)/\(name)"))
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: "\(self.path)/\(name)")
        }

        /// Lines of the report that are about the fleet: `FAIL 12: …`.
        func check(
            _ fleet: String..., edge: Bool = true, offline: Bool = false, clock: TimeInterval = 0, all: Bool = false
        ) async throws -> [String] {
            let head =
                edge
                ? """
                role: edge
                listen: [127.0.0.1:0]
                identity: {certificate: edge-paris.pem, key: edge-paris.key, authority: authority.pem}
                sites: [{domains: [a.test], mode: relay, origin: {address: "127.0.0.1:9"}}]
                cache: {disk: {path: stored, size: 16MiB}}
                fleet:
                  name: test
                  signers: [{name: ops, key: "\(self.key.publicKey)", may: everything}]
                """ : "role: fleet\n\n\n\nauthority: authority.pem\nfleet:\n  name: test\n  signing-key: ops.key"
            let text = head + "\n" + fleet.map { "  \($0)\n" }.joined()
            let loaded = try Settings.parse(text, file: self.path + "/f.yaml", checkingFiles: true)
            let report = CheckReport(colours: false) { _ in }
            let now = Date(timeIntervalSinceNow: clock)
            switch loaded.party {
            case .edge(let settings):
                let fleet = try #require(settings.fleet)
                await FleetCheck(settings: fleet, user: .edge, report: report, now: now).run(settings, offline: offline)
            case .fleet(let settings):
                await FleetCheck(settings: settings.fleet, user: .command, report: report, now: now).run(
                    authority: settings.authority, offline: offline)
            case .keyHolder: break
            }
            return report.lines.filter { all || $0.outcome != .ok }.map { line in
                let place = line.location.map { "\($0.line): " } ?? ""
                let remedy = line.remedy.map { " | \($0)" } ?? ""
                return "\(line.outcome.rawValue) \(place)\(line.text)\(remedy)".replacing(self.path + "/", with: "")
            }
        }
    }

    private static func bus(_ ports: UInt16..., scheme: String = "redis", host: String = "127.0.0.1") -> String {
        "redis: [\(ports.map { "\"\(scheme)://\(host):\($0)\"" }.joined(separator: ", "))]"
    }

    @Test("A stock server is all right, for an edge and for a command, and is left as it was")
    func stock() async throws {
        let stage = try Stage()
        let server = try RedisServer()
        for edge in [true, false] {
            let lines = try await stage.check(Self.bus(server.port), edge: edge, all: true)
            #expect(lines.allSatisfy { $0.hasPrefix("ok ") } && lines.count == 3, "\(lines)")
            #expect(lines.first?.contains("9: fleet test: bus redis://127.0.0.1:\(server.port): connected") == true)
            #expect(lines.contains { $0.contains("there is no stream of purges yet") }, "\(lines)")
        }
        #expect(try server.run(["DBSIZE"]) == ":0\r\n")
        // Nor is anything written where there is something.
        let keys = FleetKeys(fleet: "test")
        try server.run(["SET", keys.generation, "0123456789abcdef"])
        try server.run(["HSET", keys.edges, "paris", "x"])
        try server.run(["XADD", keys.purges, "1-1", "e", "x"])
        try server.run(["XADD", keys.reports, "1-1", "e", "x"])
        for edge in [true, false] { #expect(try await stage.check(Self.bus(server.port), edge: edge) == []) }
        #expect(try server.run(["GET", keys.generation]).contains("0123456789abcdef"))
        #expect(try server.run(["HLEN", keys.edges]) == ":1\r\n")
        #expect(try server.run(["XLEN", keys.purges]) == ":1\r\n")
        #expect(try server.run(["XLEN", keys.reports]) == ":1\r\n")
    }

    @Test("Where there is no bus, or something else, the line of its address says so")
    func addresses() async throws {
        let stage = try Stage()
        let free = try TestListener().port
        let gone = try await stage.check(Self.bus(free))
        #expect(gone.count == 1 && gone[0].hasPrefix("FAIL 9: fleet test: bus redis://127.0.0.1:\(free): "), "\(gone)")
        #expect(gone[0].contains("Connection refused | Is it up"), "\(gone)")
        #expect(try await stage.check(Self.bus(free), offline: true) == [])
        let unknown = try await stage.check(Self.bus(6379, host: "no-such-host.invalid"))
        #expect(unknown.count == 1 && unknown[0].contains("no-such-host.invalid"), "\(unknown)")

        let listener = try TestListener()
        let workers = Workers()
        workers.run {
            let socket = try listener.accept()
            try? socket.send(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))
            socket.close()
        }
        let web = try await stage.check(Self.bus(listener.port))
        listener.close()
        #expect(web.count == 1 && web[0].contains("Is it a server of Redis or Valkey, 6 or later?"), "\(web)")

        // One of two is enough to go on, and the other is told of.
        let server = try RedisServer()
        let two = try await stage.check(Self.bus(free, server.port))
        #expect(two.count == 1 && two[0].hasPrefix("warn 9: "), "\(two)")
        let hung = try RedisServer()
        hung.hang()
        let silent = try await stage.check(Self.bus(hung.port))
        hung.wake()
        #expect(silent.count == 1 && silent[0].contains("no answer in time | It hangs"), "\(silent)")
    }

    @Test("Replicas, sentinels and clusters that are not what the file says")
    func modes() async throws {
        let stage = try Stage()
        let primary = try RedisServer(["repl-diskless-sync-delay 0"])
        let replica = try RedisServer(["replicaof 127.0.0.1 \(primary.port)"])
        _ = try await blocking {
            try eventually("the replica") { try replica.run(["ROLE"]).contains("connected") ? true : nil }
        }
        let alone = try await stage.check(Self.bus(replica.port))
        #expect(
            alone.count == 1 && alone[0].contains("it is a replica, and takes no writes | Name its primary"), "\(alone)"
        )
        #expect(try await stage.check(Self.bus(replica.port, primary.port)) == [])

        let sentinel = try RedisServer(["sentinel monitor main 127.0.0.1 \(primary.port) 1"], mode: ["--sentinel"])
        let named = try await stage.check(Self.bus(sentinel.port), "sentinel: {primary: main}", all: true)
        #expect(
            named.first?.contains(
                "sentinel redis://127.0.0.1:\(sentinel.port) names redis://127.0.0.1:\(primary.port): connected")
                == true)
        let other = try await stage.check(Self.bus(sentinel.port), "sentinel: {primary: other}")
        #expect(other.count == 1 && other[0].contains("knows no primary of that name"), "\(other)")
        let none = try await stage.check(Self.bus(primary.port), "sentinel: {primary: main}")
        #expect(none.count == 1 && none[0].contains("is no sentinel; remove \"sentinel\""), "\(none)")
        let missing = try await stage.check(Self.bus(sentinel.port))
        #expect(
            missing.count == 1 && missing[0].contains("is a sentinel; name a server, or set \"sentinel\""), "\(missing)"
        )
        primary.kill()
        let dead = try await stage.check(Self.bus(sentinel.port), "sentinel: {primary: main}")
        #expect(
            dead.count == 1 && dead[0].contains("names redis://127.0.0.1:\(primary.port): Connection refused"),
            "\(dead)")
    }

    @Test("Users, passwords and rights: what is missing is named, with the line of the password")
    func access() async throws {
        let stage = try Stage()
        let server = try RedisServer([
            "user default off",
            "user edge on >edge-password ~latchstring:{test}:* resetchannels -@all +hello +time +get +set +xread +xrange +xadd +hset",
            "user reader on >edge-password ~latchstring:{test}:* resetchannels -@all +hello +time +get +xread +xrange",
            "user other on >edge-password ~latchstring:{other}:* resetchannels +@all",
            "user command on >edge-password ~latchstring:{test}:* resetchannels -@all +hello +time +get +set +xread +xrange +xrevrange +xadd +hgetall +hdel",
        ])
        let bus = Self.bus(server.port)
        #expect(try await stage.check(bus, "user: edge", "password: edge.password") == [])
        let none = try await stage.check(bus)
        #expect(
            none.count == 1 && none[0].hasPrefix("FAIL 9: ") && none[0].contains("Write user and password under fleet"),
            "\(none)")
        let wrong = try await stage.check(bus, "user: edge", "password: wrong.password")
        #expect(wrong.count == 1 && wrong[0].hasPrefix("FAIL 11: ") && wrong[0].contains("WRONGPASS"), "\(wrong)")
        #expect(wrong[0].contains("Compare user and password under fleet"), "\(wrong)")
        let reader = try await stage.check(bus, "user: reader", "password: edge.password")
        #expect(
            reader.count == 1
                && reader[0].hasPrefix("FAIL 11: fleet test: the bus's user reader may not use SET, XADD, HSET: NOPERM"),
            "\(reader)")
        let other = try await stage.check(bus, "user: other", "password: edge.password")
        #expect(other.count == 1 && other[0].contains("may not use GET, SET, XREAD, XRANGE, XADD, HSET"), "\(other)")
        #expect(other[0].contains("~latchstring:{test}:*"), "\(other)")
        let command = try await stage.check(bus, "user: command", "password: edge.password", edge: false)
        #expect(
            command.count == 1 && command[0].hasPrefix("warn 11: ") && command[0].contains("+role and +wait"),
            "\(command)")
        let edge = try await stage.check(bus, "user: edge", "password: edge.password", edge: false)
        #expect(edge.count == 2 && edge[0].contains("may not use XREVRANGE, HGETALL, HDEL"), "\(edge)")
        for lines in [none, wrong, reader, other, command, edge] {
            #expect(lines.allSatisfy { !$0.contains("edge-password") && !$0.contains(" wrong ") })
        }
    }

    @Test("TLS: another authority, another name, and ports that speak it or do not")
    func tls() async throws {
        let stage = try Stage()
        let server = try RedisServer(tls: (stage.path + "/localhost.pem", stage.path + "/localhost.key"))
        let port = try #require(server.tlsPort)
        let roots = "roots: test-site-authority.pem"
        #expect(try await stage.check(Self.bus(port, scheme: "rediss", host: "localhost"), roots) == [])
        #expect(try await stage.check(Self.bus(port, scheme: "rediss"), roots, "tls-name: localhost") == [])
        let untrusted = try await stage.check(Self.bus(port, scheme: "rediss", host: "localhost"))
        #expect(untrusted.count == 1 && untrusted[0].contains("name its file under roots"), "\(untrusted)")
        let name = try await stage.check(Self.bus(port, scheme: "rediss"), roots)
        #expect(
            name.count == 1 && name[0].contains("be for 127.0.0.1 (or name what it is for under tls-name)"), "\(name)")
        let plain = try await stage.check(Self.bus(port))
        #expect(plain.count == 1 && plain[0].contains("write rediss://"), "\(plain)")
        let noTLS = try await stage.check(Self.bus(server.port, scheme: "rediss", host: "localhost"), roots)
        #expect(noTLS.count == 1 && noTLS[0].contains("tls-port"), "\(noTLS)")
    }

    @Test("A bus that is full, keys that hold something else, and clocks that differ")
    func surroundings() async throws {
        let stage = try Stage()
        let server = try RedisServer(["maxmemory-policy noeviction"])
        let bus = Self.bus(server.port)
        try server.run(["CONFIG", "SET", "maxmemory", "1"])
        let full = try await stage.check(bus)
        #expect(
            full.count == 1 && full[0].contains("takes no writes now: OOM") && full[0].contains("maxmemory"), "\(full)")
        try server.run(["CONFIG", "SET", "maxmemory", "0"])
        let keys = FleetKeys(fleet: "test")
        try server.run(["SET", keys.generation, "short"])
        try server.run(["SET", keys.purges, "text"])
        let taken = try await stage.check(bus)
        #expect(
            taken.contains {
                $0.contains("the key \(keys.purges) on the bus holds") && $0.contains("DEL \(keys.purges)")
            }, "\(taken)")
        #expect(taken.contains { $0.contains("the key \(keys.generation) on the bus holds") }, "\(taken)")
        try server.run(["FLUSHALL"])
        let minute = try await stage.check(bus, clock: 60)
        #expect(
            minute.count == 1 && minute[0].hasPrefix("warn 7: ") && minute[0].contains("s ahead of the bus's"),
            "\(minute)")
        let hour = try await stage.check(bus, clock: -3600)
        #expect(hour.count == 1 && hour[0].hasPrefix("FAIL 7: ") && hour[0].contains("s behind the bus's"), "\(hour)")
    }

    @Test("Where the stream does not reach back to what this edge has read, that is said before it starts")
    func stream() async throws {
        let stage = try Stage()
        let server = try RedisServer()
        let keys = FleetKeys(fleet: "test")
        try server.run(["SET", keys.generation, "0123456789abcdef"])
        try server.run(["XADD", keys.purges, "1-1", "e", "x"])
        var record = FollowRecord(fleet: "test")
        record.generation = Generation(Array("0123456789abcdef".utf8))
        record.last = StreamID(1, 1)
        record.digest = Array(SHA256.hash(data: Data("x".utf8)))
        try FileManager.default.createDirectory(atPath: stage.path + "/stored", withIntermediateDirectories: true)
        try Data(record.encoded).write(to: URL(filePath: stage.path + "/stored/fleet"))
        let good = try await stage.check(Self.bus(server.port), all: true)
        #expect(good.contains { $0.contains("reaches back to where this edge has read it") }, "\(good)")
        try server.run(["XTRIM", keys.purges, "MAXLEN", "0"])
        let cut = try await stage.check(Self.bus(server.port))
        #expect(cut.count == 1 && cut[0].hasPrefix("warn 7: ") && cut[0].contains("does not reach back"), "\(cut)")
    }

    @Test("Files: a signing key that this edge would not believe, an authority that is none, roots that are none")
    func files() async throws {
        let stage = try Stage()
        let server = try RedisServer()
        let other = try SigningKey.make(path: stage.path + "/other.key")
        let unlisted = try await stage.check(Self.bus(server.port), "signing-key: other.key", offline: true)
        #expect(
            unlisted.count == 1 && unlisted[0].hasPrefix("warn 10: ")
                && unlisted[0].contains("key: \(other.publicKey)"), "\(unlisted)")
        #expect(try await stage.check(Self.bus(server.port), "signing-key: ops.key", offline: true) == [])
        let noKey = try await stage.check(Self.bus(server.port), "signing-key: wrong.password", offline: true)
        #expect(
            noKey.count == 1 && noKey[0].hasPrefix("FAIL 10: ") && noKey[0].contains("latchstring fleet key"),
            "\(noKey)")
        let noRoots = try await stage.check(Self.bus(server.port), "roots: wrong.password", offline: true)
        #expect(noRoots.count == 1 && noRoots[0].contains("the roots wrong.password cannot be used"), "\(noRoots)")
        try stage.write("no certificate", "authority.pem")
        let authority = try await stage.check(Self.bus(server.port), edge: false, offline: true)
        #expect(
            authority.count == 1 && authority[0].contains("holds no PEM certificate of a fleet authority"),
            "\(authority)")
    }
}
