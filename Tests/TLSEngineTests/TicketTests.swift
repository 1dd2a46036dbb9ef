import NIOCore
import RecordLayer
import TLSWire
import Testing

@testable import TLSEngine

/// Session tickets: made, opened, bound to a site, rotated.
@Suite struct TicketTests {
    let site: TestSite

    init() throws { self.site = try #require(TestSite.shared) }

    private func context(
        _ keys: SiteTicketKeys?, _ adjust: (inout TicketPolicy) -> Void = { _ in }
    ) throws -> ServerContext {
        try self.site.context {
            $0.tickets = keys.map { TicketPolicy(keys: $0) }
            if $0.tickets != nil, var tickets = $0.tickets {
                adjust(&tickets)
                $0.tickets = tickets
            }
        }
    }

    /// A session that one context gave, offered to another.
    private func offer(
        _ version: UInt16, from first: ServerContext, to second: ServerContext
    ) throws -> Pair {
        let pair = try Pair(.init(versions: version...version), first, self.site)
        let session = try #require(pair.client.sessions.first)
        return try Pair(.init(versions: version...version, session: session), second, self.site)
    }

    static let versions: [UInt16] = [TLSVersion.tls12, TLSVersion.tls13]

    @Test(arguments: versions)
    func aSessionIsResumed(version: UInt16) throws {
        let context = try self.context(TestSite.ticketKeys())
        let pair = try self.offer(version, from: context, to: context)
        #expect(pair.client.isResumed)
        #expect(pair.server.facts?.resumed == true && pair.server.facts?.credential == nil)
        // Nothing is signed.
        #expect(pair.server.requests.isEmpty)
        if version == TLSVersion.tls12 {
            #expect(pair.server.session?.session.clientSequence == 1)
            #expect(pair.server.session?.session.serverSequence == 1)
        }
    }

    /// The tickets of a resumed session of TLS 1.3 are good as well.
    @Test func aChainOfResumptions() throws {
        let context = try self.context(TestSite.ticketKeys())
        var session: BoringClient.Session?
        for round in 0..<4 {
            let pair = try Pair(.init(session: session), context, self.site)
            #expect(pair.client.isResumed == (round > 0))
            session = pair.client.sessions.last
            #expect(session != nil)
        }
    }

    /// New keys in the middle of a handshake: what it resumes was made with the old ones, and ends with them. A full one gets tickets.
    @Test(arguments: [true, false]) func renewedInTheMiddleOfAHandshake(resumes: Bool) throws {
        let keys = SiteTicketKeys(site: "www.example.test")
        let context = try self.context(keys)
        let first = try Pair(.init(), context, self.site)
        let session: BoringClient.Session? = resumes ? first.client.sessions.first : nil
        let client = BoringClient(.init(session: session))
        let server = try ServerSide(context) { try self.site.sign($0) }
        let flight: ByteBuffer = try server.receive(client.advance())
        keys.renew()
        _ = client.advance(try server.receive(client.advance(flight)))
        #expect(client.isDone && client.isResumed == resumes)
        #expect(server.isVerified)
        #expect((server.tickets?.readableBytes ?? 0 > 0) != resumes)
    }

    /// Keys that no other process has: a ticket outlives one replacement of them.
    @Test(arguments: versions)
    func keysOfOnesOwnAreReplaced(version: UInt16) throws {
        let keys = SiteTicketKeys(site: "www.example.test")
        let context = try self.context(keys)
        let pair = try Pair(.init(versions: version...version), context, self.site)
        let session = try #require(pair.client.sessions.first)
        for isGood in [true, false] {
            keys.rotate()
            let next = try Pair(.init(versions: version...version, session: session), context, self.site)
            #expect(next.client.isResumed == isGood)
        }
        let other = try self.context(SiteTicketKeys(site: "www.example.test"))
        let latest = try Pair(.init(versions: version...version), context, self.site)
        let elsewhere = try Pair(
            .init(versions: version...version, session: latest.client.sessions.first), other, self.site)
        #expect(!elsewhere.client.isResumed)
    }

    /// Another process with the same secrets, such as a second key holder of the site.
    @Test(arguments: versions)
    func aSessionIsResumedWhereverTheSecretsAre(version: UInt16) throws {
        let pair = try self.offer(
            version, from: self.context(TestSite.ticketKeys()), to: self.context(TestSite.ticketKeys()))
        #expect(pair.client.isResumed)
    }

    /// Two sites with secrets from one file.
    @Test(arguments: versions)
    func aTicketOfOneSiteIsRefusedAtAnother(version: UInt16) throws {
        let other = try self.context(TestSite.ticketKeys(site: "other.example.test"))
        let pair = try self.offer(version, from: self.context(TestSite.ticketKeys()), to: other)
        #expect(!pair.client.isResumed && pair.server.requests.count == 1)
    }

    @Test(arguments: versions)
    func rotation(version: UInt16) throws {
        let keys = try TestSite.ticketKeys(site: TestSite.name, 1)
        let context = try self.context(keys)
        let first = try Pair(.init(versions: version...version), context, self.site)
        let session = try #require(first.client.sessions.first)
        func isResumed() throws -> Bool {
            try Pair(.init(versions: version...version, session: session), context, self.site).client.isResumed
        }
        try keys.replace(TestSite.secrets(2, others: [3, 1]))
        #expect(try isResumed())
        // New tickets are made with the new secret.
        let second = try Pair(.init(versions: version...version), context, self.site)
        let next = try self.context(TestSite.ticketKeys(site: TestSite.name, 3, others: [2]))
        let newer = try #require(second.client.sessions.first)
        #expect(try Pair(.init(versions: version...version, session: newer), next, self.site).client.isResumed)
        try keys.replace(TestSite.secrets(3, others: [2]))
        #expect(try !isResumed())
    }

    /// A party that has rotated already made this ticket; here its secret is the next one.
    @Test(arguments: versions)
    func theNextSecretOpensAlready(version: UInt16) throws {
        let ahead = try self.context(TestSite.ticketKeys(site: TestSite.name, 2))
        let behind = try self.context(TestSite.ticketKeys(site: TestSite.name, 1, others: [2]))
        #expect(try self.offer(version, from: ahead, to: behind).client.isResumed)
    }

    @Test(arguments: versions)
    func withoutKeysThereAreNoTickets(version: UInt16) throws {
        let context = try self.context(nil)
        let pair = try Pair(.init(versions: version...version), context, self.site)
        // No ticket, and no session that this process would remember.
        #expect(pair.client.sessions.isEmpty)
        #expect(pair.server.tickets?.readableBytes ?? 0 == 0)
        // A ticket of before leads to a full handshake.
        let other = try self.offer(version, from: self.context(TestSite.ticketKeys()), to: context)
        #expect(!other.client.isResumed)
    }

    @Test func countAndLifetimeAreTheSites() throws {
        let context = try self.context(TestSite.ticketKeys()) {
            $0.count = 3
            $0.lifetime = 1234
        }
        let pair = try Pair(.init(), context, self.site)
        var tickets: ByteBuffer = try #require(pair.server.tickets)
        var count = 0
        while let header: UInt32 = tickets.readInteger() {
            #expect(header >> 24 == UInt32(HandshakeType.newSessionTicket.rawValue))
            let message: ByteBuffer? = tickets.readSlice(length: Int(header & 0xFF_FFFF))
            #expect(message.flatMap { $0.getInteger(at: $0.readerIndex, as: UInt32.self) } == 1234)
            count += 1
        }
        #expect(count == 3 && pair.client.sessions.count == 3)
    }

    @Test(arguments: versions)
    func aTicketHasItsTime(version: UInt16) async throws {
        let context = try self.context(TestSite.ticketKeys()) {
            $0.lifetime = 1
            $0.tls12Lifetime = 1
        }
        let pair = try Pair(.init(versions: version...version), context, self.site)
        let session = try #require(pair.client.sessions.first)
        // A client of its own might not offer it any more: this one's session says two hours.
        let long = try self.context(TestSite.ticketKeys())
        let keeping = try Pair(.init(versions: version...version), long, self.site)
        let kept = try #require(keeping.client.sessions.first)
        try await Task.sleep(for: .milliseconds(2_100))
        #expect(try !Pair(.init(versions: version...version, session: session), context, self.site).client.isResumed)
        #expect(try Pair(.init(versions: version...version, session: kept), long, self.site).client.isResumed)
    }

    // MARK: The ticket itself

    private static func seal(_ keys: SiteTicketKeys, _ session: [UInt8]) throws -> [UInt8] {
        var ticket = [UInt8](repeating: 0xEE, count: session.count + SiteTicketKeys.overhead)
        let length: Int? = session.withUnsafeBytes { session in
            ticket.withUnsafeMutableBytes { keys.seal(session, into: $0) }
        }
        #expect(length == ticket.count)
        return ticket
    }

    private static func open(_ keys: SiteTicketKeys, _ ticket: [UInt8]) -> [UInt8]? {
        var output = [UInt8](repeating: 0xEE, count: ticket.count)
        let length: Int? = ticket.withUnsafeBytes { ticket in
            output.withUnsafeMutableBytes { output -> Int? in keys.open(ticket, into: output)?.length }
        }
        return length.map { Array(output.prefix($0)) }
    }

    @Test func ticketsOpenOnlyWhole() throws {
        let keys = try TestSite.ticketKeys()
        let session: [UInt8] = Array(0..<100)
        let ticket: [UInt8] = try Self.seal(keys, session)
        #expect(Self.open(keys, ticket) == session)
        #expect(ticket != (try Self.seal(keys, session)))
        for index in ticket.indices {
            var altered: [UInt8] = ticket
            altered[index] ^= 0x20
            #expect(Self.open(keys, altered) == nil, "byte \(index)")
        }
        for length in 0..<ticket.count { #expect(Self.open(keys, Array(ticket.prefix(length))) == nil) }
        #expect(Self.open(keys, ticket + [0]) == nil)
        #expect(Self.open(try TestSite.ticketKeys(site: "another.example.test"), ticket) == nil)
        #expect(Self.open(try TestSite.ticketKeys(site: TestSite.name, 2), ticket) == nil)
        #expect(Self.open(try TestSite.ticketKeys(site: TestSite.name, 2, others: [3, 1]), ticket) == session)
        #expect(Self.open(keys, try Self.seal(keys, [])) == [])
    }

    /// BoringSSL may give one buffer for both.
    @Test func inputAndOutputMayBeOneBuffer() throws {
        let keys = try TestSite.ticketKeys()
        for count in [0, 1, 39, 40, 41, 500] {
            let session: [UInt8] = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
            var buffer: [UInt8] = session + [UInt8](repeating: 0, count: SiteTicketKeys.overhead)
            let sealed: Int? = buffer.withUnsafeMutableBytes { bytes in
                keys.seal(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[..<count]), into: bytes)
            }
            #expect(sealed == buffer.count)
            #expect(Self.open(keys, buffer) == session)
            let opened: Int? = buffer.withUnsafeMutableBytes { bytes in
                keys.open(UnsafeRawBufferPointer(bytes), into: bytes)?.length
            }
            #expect(opened == count && Array(buffer.prefix(count)) == session)
        }
    }

    @Test func whereThereIsNoRoomThereIsNoTicket() throws {
        let keys = try TestSite.ticketKeys()
        let session = [UInt8](repeating: 1, count: 50)
        var room = [UInt8](repeating: 0, count: 50 + SiteTicketKeys.overhead - 1)
        let length: Int? = session.withUnsafeBytes { session in
            room.withUnsafeMutableBytes { keys.seal(session, into: $0) }
        }
        #expect(length == nil)
    }

    @Test func secretsHave32Bytes() throws {
        for count in [0, 16, 31, 33] {
            let short = Secret([UInt8](repeating: 1, count: count))
            let good: Secret = SiteTicketKeys.Secrets.random()
            #expect(throws: EngineError.self) { try SiteTicketKeys(site: "a", .init(current: short)) }
            #expect(throws: EngineError.self) { try SiteTicketKeys(site: "a", .init(current: good, others: [short])) }
            let keys = try TestSite.ticketKeys()
            let ticket: [UInt8] = try Self.seal(keys, [1])
            #expect(throws: EngineError.self) { try keys.replace(.init(current: short)) }
            // And stays as it was.
            #expect(Self.open(keys, ticket) == [1])
        }
        let many = (0..<5).map { _ in SiteTicketKeys.Secrets.random() }
        #expect(throws: EngineError.self) { try SiteTicketKeys(site: "a", .init(current: many[0], others: many)) }
        #expect(many[0] != many[1] && many[0].count == 32)
    }
}
