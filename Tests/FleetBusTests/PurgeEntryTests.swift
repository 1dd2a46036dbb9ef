import Crypto
import FleetBus
import Foundation
import Testing

@Suite("Orders are believed only as their signers made them")
struct PurgeEntryTests {
    private static func open(_ bytes: [UInt8], _ signers: Signer..., fleet: String = "test") throws(PurgeEntry.Failure)
        -> PurgeEntry
    {
        try PurgeEntry.open(
            bytes, fleet: fleet, signers: Dictionary(uniqueKeysWithValues: signers.map { ($0.key, $0) })
        ).0
    }

    @Test("What is signed is read as it was")
    func roundTrip() throws {
        let signer = TestSigner("ops")
        let order = PurgeEntry(
            fleet: "europe-1", signer: signer.publicKey, counter: 17, time: 1_764_400_000_123, generation: .test,
            purge: FleetPurge(
                targets: [
                    .url("https://www.test/é?a=b"), .prefix("https://www.test/x/"), .host("www.test:8443"), .tag("t"),
                    .everything,
                ], isSoft: true))
        let bytes = try order.signed(by: signer.key)
        #expect(try Self.open(bytes, signer.listed(), fleet: "europe-1") == order)
    }

    @Test("No byte can be changed, removed or added")
    func tampering() throws {
        var signer = TestSigner("ops")
        let bytes = try #require(try signer.next(at: .zero).0.payload)
        for index in bytes.indices {
            for bit in [0x01, 0x80] as [UInt8] {
                var changed = bytes
                changed[index] ^= bit
                #expect(throws: PurgeEntry.Failure.self) { try Self.open(changed, signer.listed()) }
            }
            var shorter = bytes
            shorter.remove(at: index)
            #expect(throws: PurgeEntry.Failure.self) { try Self.open(shorter, signer.listed()) }
        }
        #expect(throws: PurgeEntry.Failure.self) { try Self.open(bytes + [0], signer.listed()) }
        #expect(throws: PurgeEntry.Failure.self) { try Self.open([0] + bytes, signer.listed()) }
        #expect(throws: PurgeEntry.Failure.malformed) { try Self.open([], signer.listed()) }
    }

    @Test("Another fleet's, a stranger's and a wrongly signed one are told apart")
    func strangers() throws {
        var signer = TestSigner("ops")
        let stranger = TestSigner("stranger")
        let bytes = try #require(try signer.next(at: .zero).0.payload)
        #expect(throws: PurgeEntry.Failure.otherFleet) { try Self.open(bytes, signer.listed(), fleet: "else") }
        #expect(throws: PurgeEntry.Failure.unknownSigner) { try Self.open(bytes, stranger.listed()) }
        // Another key signed for this one.
        let forged = try signer.order(5).signed(by: stranger.key)
        #expect(throws: PurgeEntry.Failure.badSignature) { try Self.open(forged, signer.listed()) }
    }

    @Test("Large orders are split, and each part fits")
    func splitting() throws {
        let signer = TestSigner("ops")
        let urls = (0..<2500).map {
            FleetPurge.Target.url("https://www.test/" + String(repeating: "x", count: 120) + "\($0)")
        }
        let parts = try #require(FleetPurge(targets: urls, isSoft: false).split())
        #expect(parts.flatMap(\.targets) == urls)
        for part in parts {
            let order = PurgeEntry(
                fleet: "test", signer: signer.publicKey, counter: 1, time: 0, generation: .test, purge: part)
            #expect(try Self.open(try order.signed(by: signer.key), signer.listed()) == order)
        }
        let long = String(repeating: "x", count: FleetPurge.maximumTargetBytes + 1)
        #expect(FleetPurge(targets: [.tag(long)], isSoft: false).split() == nil)
        #expect(FleetPurge(targets: [], isSoft: false).split() == nil)
        let largest = String(repeating: "x", count: FleetPurge.maximumTargetBytes)
        let many = try #require(FleetPurge(targets: (0..<20).map { _ in .tag(largest) }, isSoft: false).split())
        for part in many {
            let order = PurgeEntry(
                fleet: "test", signer: signer.publicKey, counter: 1, time: 0, generation: .test, purge: part)
            #expect(try order.signed(by: signer.key).count <= FleetPurge.maximumBytes)
        }
    }

    @Test(
        "Rights are those of the host that a cache reads in a URL",
        arguments: [
            (.url("https://www.test/a"), true), (.url("HTTPS://WWW.test:8443?x"), true), (.host("www.test:8443"), true),
            (.host("WWW.TEST"), true), (.prefix("https://www.test/"), true), (.url("https://a.shop.test/"), true),
            (.tag("product-17"), true), (.tag("exact"), true),
            (.prefix("https://www.test"), false), (.prefix("https://www.tes"), false), (.prefix("https://"), false),
            (.prefix("https://shop.test/"), false), (.url("https://a.b.shop.test/"), false),
            (.url("https://shop.test/"), false), (.url("https://.shop.test/"), false),
            (.url("https://www.test@evil.test/"), false), (.url("https://evil.test/https://www.test/"), false),
            (.url("https://evil.test\\@www.test/"), false), (.url("https://www.test:80@evil.test/"), false),
            (.url("http://www.test/"), false), (.url("https://evil.test#.www.test/"), false),
            (.url("https://www.test\u{0}.evil.test/"), false), (.url(" https://www.test/"), false),
            (.host("www.test/"), false), (.host("evil.test"), false), (.host("www.test evil.test"), false),
            (.tag("other"), false), (.tag("exact2"), false), (.everything, false),
        ] as [(FleetPurge.Target, Bool)])
    func rights(_ target: FleetPurge.Target, isAllowed: Bool) {
        let rights = PurgeRights.some(hosts: ["www.test", "*.shop.test"], tags: ["product-*", "exact"])
        #expect(rights.allow(FleetPurge(targets: [target], isSoft: false)) == isAllowed)
        #expect(PurgeRights.everything.allow(FleetPurge(targets: [target], isSoft: false)))
        let both = FleetPurge(targets: [.url("https://www.test/"), target], isSoft: false)
        #expect(rights.allow(both) == isAllowed)
    }

    @Test("Reports are believed only with the edge's signature, and say what was done and what was not")
    func reports() throws {
        var signer = TestSigner("ops")
        let key = P256.Signing.PrivateKey()
        func verify(_ report: EdgeReport, _ signed: [UInt8], _ signature: [UInt8]) -> Bool {
            guard let signature = try? P256.Signing.ECDSASignature(derRepresentation: Data(signature)) else {
                return false
            }
            return key.publicKey.isValidSignature(signature, for: Data(signed))
        }
        let (entry, order) = try signer.next(at: StreamID(5))
        var machine = FollowMachine(fleet: "test", signers: [signer.listed()], record: nil, since: 0)
        _ = machine.joined(generation: .test, anchor: nil)
        _ = machine.judge([entry])
        let said = try #require(machine.acknowledgement(edge: "paris", time: 77))
        let bytes = try said.report.sealed { Array(try key.signature(for: Data($0)).derRepresentation) }
        #expect(EdgeReport.open(bytes, verify: verify).flatMap { EdgeAcknowledgement($0) } == said)
        for index in bytes.indices {
            var changed = bytes
            changed[index] ^= 1
            #expect(EdgeReport.open(changed, verify: verify) == nil)
        }
        let mark = Refusal.mark(of: entry.payload)
        #expect(said.verdict(on: order, mark: mark, at: StreamID(5)) == .done)
        #expect(said.verdict(on: order, mark: mark, at: StreamID(6)) == .silent)
        var other = order
        other.counter += 1
        #expect(said.verdict(on: other, mark: mark, at: StreamID(5)) == .silent)
        other.counter -= 2
        #expect(said.verdict(on: other, mark: mark, at: StreamID(5)) == .silent, "before the first that it heard")
        other = order
        other.generation = .other
        #expect(said.verdict(on: other, mark: mark, at: StreamID(5)) == .silent)

        var heartbeat = EdgeHeartbeat(version: "1", started: 2, busTime: 3)
        heartbeat.sites = [.init(name: "a", mode: "keyless", requests: 4, hits: 3)]
        let report = try #require(
            heartbeat.report(fleet: "test", edge: "paris", time: 9, certificate: [1, 2, 3]))
        #expect(EdgeHeartbeat(report) == heartbeat)
        #expect(EdgeHeartbeat.certificate(of: report) == [1, 2, 3])
        #expect(EdgeAcknowledgement(report) == nil)
        #expect(heartbeat.hitRatio == 75)
    }
}
