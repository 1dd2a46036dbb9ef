import NIOCore
import RecordLayer
import TLSEngine
import TLSWire
import Testing

/// What a context refuses to be made of, and that threads may share one.
@Suite struct ContextTests {
    let site: TestSite

    init() throws { self.site = try #require(TestSite.shared) }

    private func expectRefusal(
        _ reason: String, _ credentials: [ServerCredential]? = nil, location: SourceLocation = #_sourceLocation,
        _ adjust: (inout ServerPolicy) -> Void = { _ in }
    ) {
        do {
            _ = try self.site.context(credentials, adjust)
            Issue.record("no error: \(reason)", sourceLocation: location)
        } catch {
            #expect("\(error)".contains(reason), "\(error)", sourceLocation: location)
        }
    }

    @Test func credentialsThatCannotBeUsed() throws {
        let leaf: [UInt8] = self.site.ecdsa.chain[0]
        self.expectRefusal("needs a certificate", [])
        self.expectRefusal("empty certificate chain", [ServerCredential(chain: [], key: .remote([.ecdsaP256SHA256]))])
        for bytes: [UInt8] in [[], [1, 2, 3], Array(leaf.dropLast()), leaf + [0]] {
            self.expectRefusal(
                "certificate in DER", [ServerCredential(chain: [bytes], key: .remote([.ecdsaP256SHA256]))])
            self.expectRefusal(
                "certificate in DER", [ServerCredential(chain: [leaf, bytes], key: .remote([.ecdsaP256SHA256]))])
        }
        for schemes: [SignatureScheme] in [[], [.rsaPSSSHA256], [.ecdsaSHA1], [.ed25519]] {
            self.expectRefusal("no signature scheme", [ServerCredential(chain: [leaf], key: .remote(schemes))])
        }
        self.expectRefusal(
            "private key in PKCS #8", [ServerCredential(chain: [leaf], key: .local(pkcs8: Secret([1, 2])))])
        var mixed: ServerCredential = self.site.rsa.localCredential
        mixed.chain = [leaf]
        self.expectRefusal("not the certificate's", [mixed])
        self.expectRefusal("OCSP response of 0", [self.site.ecdsa.credential(ocspResponse: [])])
    }

    @Test func policiesThatCannotBe() throws {
        self.expectRefusal("without a suite") { $0.tls12Suites = [] }
        self.expectRefusal("suites of TLS 1.3") { $0.tls12Suites = [.aes128GCMSHA256] }
        self.expectRefusal("no key exchange group") { $0.groups = [] }
        self.expectRefusal("key exchange groups") { $0.groups = [0x0100] }
        self.expectRefusal("name has 0 bytes") { $0.applicationProtocols = [[]] }
        self.expectRefusal("name has 256 bytes") { $0.applicationProtocols = [[UInt8](repeating: 1, count: 256)] }
        // RSA key exchange is never asked for from elsewhere.
        self.expectRefusal("needs the key here") { $0.tls12Suites = [.rsaAES128GCMSHA256] }
        let keys = try TestSite.ticketKeys()
        for change: @Sendable (inout TicketPolicy) -> Void in [
            { $0.lifetime = 0 }, { $0.lifetime = 604_801 }, { $0.tls12Lifetime = 0 }, { $0.count = 0 },
            { $0.count = 17 },
        ] {
            var tickets = TicketPolicy(keys: keys)
            change(&tickets)
            #expect(throws: EngineError.self) { try self.site.context { $0.tickets = tickets } }
        }
    }

    /// One context for all event loops, and keys that are replaced while they work.
    @Test func severalThreadsShareAContext() async throws {
        let keys = try TestSite.ticketKeys()
        let context = try self.site.context { $0.tickets = TicketPolicy(keys: keys) }
        let site: TestSite = self.site
        let resumed: Int = try await withThrowingTaskGroup(of: Int.self) { group in
            for task in 0..<4 {
                group.addTask {
                    var session: BoringClient.Session?
                    var resumed = 0
                    for round in 0..<25 {
                        let version: UInt16 = (round + task) % 5 == 0 ? TLSVersion.tls12 : TLSVersion.tls13
                        let pair = try Pair(.init(versions: version...version, session: session), context, site)
                        resumed += pair.client.isResumed ? 1 : 0
                        session = pair.client.sessions.last
                        if task == 0 {
                            let next = UInt8(round + 2)
                            try keys.replace(TestSite.secrets(next, others: [next - 1]))
                        }
                    }
                    return resumed
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(resumed > 0)
    }

    /// A context that its owner lets go lives as long as a handshake.
    @Test func aHandshakeKeepsItsContext() throws {
        var context: ServerContext? = try self.site.context()
        weak let observed: ServerContext? = context
        let client = BoringClient()
        let server = try ServerSide(try #require(context)) { try self.site.sign($0) }
        context = nil
        let hello: ByteBuffer = client.advance()
        #expect(observed != nil)
        var toServer: ByteBuffer = client.advance(try server.receive(hello))
        while toServer.readableBytes > 0 { toServer = client.advance(try server.receive(toServer)) }
        #expect(client.isDone && server.isVerified)
    }
}
