import KeyProtocol
import NIOCore
import PeerLink
import PrivateAuthority
import TLSWire
import TestSockets
import Testing

@testable import KeyHolder

@Suite("Leases: what an edge hears of its grants", .timeLimit(.minutes(2)))
struct LeaseTests {
    static func request(_ generation: UInt64) -> KeyMessage {
        KeyMessage(
            opcode: .custom, payload: LeaseRequest(generation: generation).encoded(),
            function: KeyFunction.lease.rawValue)
    }

    private static func answer(_ event: KeyPacketEvent?, id: UInt32) throws -> LeaseAnswer {
        guard case .packet(let packet)? = event else { throw KeyErrorCode.readError }
        #expect(packet.id == id)
        if let code = packet.body.errorCode { throw code }
        return try LeaseAnswer(decoding: packet.body.payload)
    }

    private static func generation(_ edge: TestEdge) async throws -> UInt64 {
        try edge.send([KeyPacket(id: 1, body: Self.request(0))])
        return try Self.answer(await edge.next(), id: 1).generation
    }

    /// Paris has `first`, Rome everything.
    private static func configuration(
        _ holder: TestHolder, paris sites: [String], rate: Int = 1000, lease: TimeAmount = .minutes(10)
    ) throws -> KeyHolderConfiguration {
        var configuration = holder.configuration
        configuration.grants = try TestHolder.grants(["rome"])
        if !sites.isEmpty {
            configuration.grants.append(
                GrantConfiguration(
                    edge: "paris", sites: try sites.map { try ServerNamePattern($0) },
                    operations: KeyProtocol.Operation.keyless, rate: rate))
        }
        configuration.lease = lease
        return configuration
    }

    // MARK: The machine

    @Test("A request is held while nothing changes, and one at a time")
    func machine() {
        var held = HeldLease()
        #expect(held.asked(1, known: 0, current: 4) == [1])
        #expect(!held.isHeld)
        #expect(held.asked(2, known: 4, current: 4) == [])
        #expect(held.changed(current: 4) == nil)
        #expect(held.isHeld)
        #expect(held.asked(3, known: 4, current: 4) == [2])
        #expect(held.changed(current: 5) == 3)
        #expect(held.changed(current: 6) == nil)
        #expect(held.asked(4, known: 6, current: 6) == [])
        #expect(held.asked(5, known: 5, current: 6) == [4, 5])
        #expect(held.release() == nil)
        #expect(held.asked(6, known: 6, current: 6) == [])
        #expect(held.release() == 6)
        #expect(held.release() == nil)
    }

    @Test("A generation stays as long as an edge's grants and their certificates do")
    func generations() throws {
        func sites(_ ski: UInt8 = 1) throws -> [Site] {
            [try PolicyFixtures.site("a.test", ski: ski), try PolicyFixtures.site("b.test", ski: 9)]
        }
        func policy(
            _ sites: [Site], paris names: [String], rate: Int = 10, lease: TimeAmount = .minutes(1), after: Policy?
        ) throws -> Policy {
            let grants = [
                GrantConfiguration(
                    edge: "paris", sites: try names.map { try ServerNamePattern($0) }, operations: [.signTLS13],
                    rate: rate),
                try PolicyFixtures.grant("rome", "b.test"),
            ]
            return try Policy(sites: sites, grants: grants, lease: lease, previous: after, now: 0)
        }
        let first = try policy(sites(), paris: ["a.test"], after: nil)
        #expect(first.generation(of: "paris") == 1)
        #expect(first.generation(of: "berlin") == nil)
        let same = try policy(sites(), paris: ["a.test"], after: first)
        #expect(same.generation(of: "paris") == 1)
        let certificate = try policy(sites(2), paris: ["a.test"], after: same)
        #expect(certificate.generation(of: "paris") == 3)
        #expect(certificate.generation(of: "rome") == 1)
        let rate = try policy(sites(2), paris: ["a.test"], rate: 11, after: certificate)
        #expect(rate.generation(of: "paris") == 4)
        let more = try policy(sites(2), paris: ["a.test", "b.test"], rate: 11, after: rate)
        #expect(more.generation(of: "paris") == 5)
        let other = try policy(sites(2), paris: ["b.test"], rate: 11, after: more)
        #expect(other.generation(of: "paris") == 6)
        let longer = try policy(sites(2), paris: ["b.test"], rate: 11, lease: .minutes(2), after: other)
        #expect(longer.generation(of: "paris") == 7)
        #expect(longer.generation(of: "rome") == 7)
    }

    @Test("What a reload costs grows with the grants, not with their square")
    func manyGrants() throws {
        let key: any StoredKey = SoftwareKey(.p256(PolicyFixtures.p256))
        func sites() throws -> [Site] {
            try (0..<4000).map { number in
                let bytes: [UInt8] = [UInt8(number >> 8), UInt8(number & 0xFF)]
                let credential = SiteCredential(
                    chain: [bytes], ski: bytes + [UInt8](repeating: 1, count: 18), certificateDigest: bytes, key: key,
                    certified: [], notAfter: 4_000_000_000, chainName: "s.pem")
                return Site(
                    domains: [try ServerNamePattern("s\(number).test")], credentials: [credential], modes: [.keyless])
            }
        }
        func policy(_ sites: [Site], after: Policy?) throws -> Policy {
            let grant = GrantConfiguration(
                edge: "paris", sites: sites.flatMap(\.domains), operations: [.signTLS13], rate: 10)
            return try Policy(sites: sites, grants: [grant], previous: after, now: 0)
        }
        var first: Policy?
        var second: Policy?
        let before = try processorTime { first = try policy(sites(), after: nil) }
        let after = try processorTime { second = try policy(sites(), after: first) }
        #expect(second?.generation(of: "paris") == 1)
        #expect(after < before * 5 + .milliseconds(500), "\(before), then \(after)")
    }

    // MARK: Over the wire

    @Test("A change of an edge's grants answers its request at once, and no other edge's")
    func notice() async throws {
        let holder = try await TestHolder()
        try holder.server.reload(try Self.configuration(holder, paris: ["p256.test", "rsa.test"]))
        let paris = try await holder.edge("paris")
        let rome = try await holder.edge("rome")
        let known = try await Self.generation(paris)
        let knownToRome = try await Self.generation(rome)
        try paris.send([KeyPacket(id: 2, body: Self.request(known))])
        try rome.send([KeyPacket(id: 2, body: Self.request(knownToRome))])
        // Behind the request, so it is held by now.
        #expect(await paris.ping())
        #expect(await rome.ping())
        try holder.server.reload(try Self.configuration(holder, paris: ["p256.test"]))
        let answer = try Self.answer(await paris.next(), id: 2)
        #expect(answer.generation > known)
        #expect(answer.milliseconds == 600_000)
        #expect(try await paris.ask(PolicyFixtures.certificateRequest("rsa.test"))?.errorCode == .keyNotFound)
        #expect(try await paris.ask(PolicyFixtures.certificateRequest("p256.test"))?.opcode == .success)
        // Rome's is the next answer that Rome gets.
        #expect(await rome.ping())
        // Leases that are answered leave no audit lines.
        #expect(try await holder.stop().map { $0["operation"] } == ["certificate", "certificate"])
    }

    @Test("At half of the lease the answer comes though nothing has changed")
    func renewal() async throws {
        let holder = try await TestHolder()
        try holder.server.reload(try Self.configuration(holder, paris: ["p256.test"], lease: .seconds(2)))
        let paris = try await holder.edge("paris")
        let known = try await Self.generation(paris)
        let start = NIODeadline.now()
        try paris.send([KeyPacket(id: 2, body: Self.request(known))])
        let answer = try Self.answer(await paris.next(), id: 2)
        #expect(answer == LeaseAnswer(milliseconds: 2000, generation: known))
        #expect(NIODeadline.now() - start >= .milliseconds(900))
        _ = try await holder.stop()
    }

    @Test("The edge hears that its last grant is gone before its connection ends", arguments: [true, false])
    func withdrawn(isHeld: Bool) async throws {
        let holder = try await TestHolder()
        try holder.server.reload(try Self.configuration(holder, paris: ["p256.test"]))
        let paris = try await holder.edge("paris")
        let known = try await Self.generation(paris)
        if isHeld { try paris.send([KeyPacket(id: 2, body: Self.request(known))]) }
        #expect(await paris.ping())
        try holder.server.reload(try Self.configuration(holder, paris: []))
        if !isHeld { try paris.send([KeyPacket(id: 2, body: ServerTests.p256Sign)]) }
        #expect(await paris.next() == .packet(.failure(id: 2, .noGrant)))
        #expect(await paris.next() == nil)
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] }.contains("cut-off"))
        #expect(!lines.contains { $0["operation"] == "sign-tls13" && $0["outcome"] == "ok" })
    }

    @Test("An edge without a grant hears so with its first answer, whatever it asks, and nothing else")
    func noGrantAtConnect() async throws {
        let holder = try await TestHolder()
        for body in [
            Self.request(0), KeyMessage(opcode: .ping), ServerTests.p256Sign,
            KeyMessage(opcode: Opcode(rawValue: 0x99)),
        ] {
            let berlin = try await holder.edge("berlin")
            try berlin.send((7..<20).map { KeyPacket(id: $0, body: body) })
            #expect(await berlin.next() == .packet(.failure(id: 7, .noGrant)))
            #expect(await berlin.next() == nil)
        }
        // What can't be read is answered the same.
        let berlin = try await holder.edge("berlin")
        berlin.send(ByteBuffer(bytes: [1, 0, 0, 1, 0, 0, 0, 5, 0xFF]))
        #expect(await berlin.next() == .packet(.failure(id: 5, .noGrant)))
        #expect(await berlin.next() == nil)
        let lines = try await holder.stop()
        #expect(lines.count == 5)
        #expect(lines.allSatisfy { $0["outcome"] == "refused" && $0["detail"] == "the edge has no grant" })
    }

    @Test("An edge without a grant that says nothing is not waited for long, and keeps no place")
    func silentWithoutGrant() async throws {
        var limits = KeyHolderLimits()
        limits.connections = 1
        limits.connectionsPerEdge = 1
        limits.turnAwayTimeout = .milliseconds(300)
        let holder = try await TestHolder(limits: limits)
        let silent = try await holder.edge("berlin")
        // It sends half a packet, and no more.
        silent.send(ByteBuffer(bytes: [1, 0, 0xFF, 0xFF, 0, 0, 0, 1, 0x11]))
        #expect(try await ServerTests.isServed(try TestHolder.credentials(holder.authority, .edge, "paris"), holder))
        #expect(await silent.next() == nil)
        _ = try await holder.stop()
    }

    @Test("Requests for leases are bounded in rate")
    func flood() async throws {
        let holder = try await TestHolder()
        let paris = try await holder.edge("paris")
        try paris.send((1...200).map { KeyPacket(id: $0, body: Self.request(0)) })
        let answers = await paris.answers(200)
        #expect(answers.count { $0.body.opcode == .success } <= 40)
        #expect(answers.count { $0.body.errorCode == .rateLimited } >= 160)
        #expect(await paris.ping())
        _ = try await holder.stop()
    }

    // MARK: Other revisions

    @Test("An edge of the former revision gets a clear error, and the audit line names the remedy")
    func formerRevision() async throws {
        let holder = try await TestHolder()
        let paris = try await holder.edge("paris")
        for (function, remedy) in [
            ("latchstring.certificate/1", "the edge is older than this key holder; upgrade the edge"),
            ("latchstring.lease/1", "the edge is older than this key holder; upgrade the edge"),
            ("latchstring.lease/3", "the edge is newer than this key holder; upgrade the key holder"),
        ] {
            let request = KeyMessage(opcode: .custom, function: function, serverName: "p256.test")
            #expect(try await paris.ask(request)?.errorCode == .badOpcode)
            #expect(OtherRevision.remedy(function) == remedy)
        }
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["bad-opcode", "bad-opcode", "bad-opcode"])
        #expect(lines[0]["detail"]?.hasSuffix("upgrade the edge") == true)
        #expect(lines[1]["detail"]?.hasSuffix("upgrade the edge") == true)
        #expect(lines[2]["detail"]?.hasSuffix("upgrade the key holder") == true)
        #expect(OtherRevision.remedy("another.vendor/1") == nil)
    }
}
