import NIOCore
import RecordLayer
import TLSWire
import Testing

@testable import TLSEngine

/// Whole handshakes with BoringSSL's own client, in process. Each ends with data both ways, through the record layer.
@Suite struct HandshakeTests {
    let site: TestSite

    init() throws { self.site = try #require(TestSite.shared) }

    @Test func tls13() throws {
        let pair = try Pair(.init(), self.site.context(), self.site)
        let facts: HandshakeFacts = try #require(pair.server.facts)
        #expect(facts.version == TLSVersion.tls13 && !facts.resumed && facts.credential == 0)
        #expect(facts.group == TLSGroup.x25519MLKEM768)
        #expect(pair.client.certificate == self.site.ecdsa.chain[0])
        // One signature, over what a TLS 1.3 server signs.
        #expect(pair.server.requests.count == 1)
        let request: SignatureRequest = try #require(pair.server.requests.first)
        #expect(request.scheme == .ecdsaP256SHA256)
        #expect(TLS13ServerSignature.transcriptHash(fromContent: request.content) != nil)
    }

    @Test(arguments: [
        TLSGroup.x25519, TLSGroup.secp256r1, TLSGroup.secp384r1, TLSGroup.x25519MLKEM768,
    ])
    func eachGroup(group: UInt16) throws {
        let pair = try Pair(.init(groups: [group]), self.site.context(), self.site)
        #expect(pair.server.facts?.group == group)
    }

    /// Of what is allowed, the client's first choice is taken.
    @Test func theClientsOrderOfGroupsDecides() throws {
        let pair = try Pair(
            .init(groups: [TLSGroup.secp256r1, TLSGroup.x25519]), self.site.context(), self.site)
        #expect(pair.server.facts?.group == TLSGroup.secp256r1)
    }

    /// The client's share is for a group that the site does not allow.
    @Test(arguments: [TLSGroup.secp384r1, TLSGroup.secp256r1])
    func helloRetryRequest(group: UInt16) throws {
        let context = try self.site.context { $0.groups = [group] }
        let client = BoringClient(.init(groups: [TLSGroup.x25519, group]))
        let server = try ServerSide(context) { try self.site.sign($0) }
        let retry: ByteBuffer = try server.receive(client.advance())
        let message = try #require(retry.getSlice(at: 5, length: retry.readableBytes - 5))
        let length = Int(try #require(message.getInteger(at: message.readerIndex + 2, as: UInt16.self)))
        let hello = try ServerHello(
            parsing: try #require(message.getSlice(at: message.readerIndex, length: 4 + length)))
        #expect(hello.isHelloRetryRequest && hello.group == group)
        #expect(server.requests.isEmpty)
        let pair = try Pair(.init(groups: [TLSGroup.x25519, group]), context, self.site)
        #expect(pair.server.facts?.group == group)
    }

    @Test(arguments: ServerPolicy.forwardSecretSuites)
    func eachSuiteOfTLS12(suite: RecordSuite) throws {
        let pair = try Pair(
            .init(versions: TLSVersion.tls12...TLSVersion.tls12),
            self.site.context { $0.tls12Suites = [suite] }, self.site)
        let facts: HandshakeFacts = try #require(pair.server.facts)
        #expect(facts.version == TLSVersion.tls12 && facts.suite == suite.rawValue)
        // The Finished messages.
        #expect(pair.server.session?.session.clientSequence == 1)
        #expect(pair.server.session?.session.serverSequence == 1)
        let request: SignatureRequest = try #require(pair.server.requests.first)
        #expect(throws: Never.self) { try TLS12ServerKeyExchange(signedContent: request.content) }
    }

    @Test(arguments: ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"])
    func theClientsSuiteOfTLS12IsTaken(name: String) throws {
        let pair = try Pair(
            .init(versions: TLSVersion.tls12...TLSVersion.tls12, ciphers: name), self.site.context(), self.site)
        #expect(pair.server.facts?.credential == (name.contains("RSA-CHACHA") ? 1 : 0))
    }

    // MARK: Certificates

    /// The first certificate that the client can verify.
    @Test(arguments: [TLSVersion.tls12, TLSVersion.tls13])
    func theCertificateIsOneThatTheClientCanVerify(version: UInt16) throws {
        let context = try self.site.context()
        for (schemes, leaf, index): ([SignatureScheme], TestSite.Leaf, Int) in [
            ([.ecdsaP256SHA256, .rsaPSSSHA256], self.site.ecdsa, 0),
            ([.rsaPSSSHA256, .ecdsaP256SHA256], self.site.ecdsa, 0),
            ([.rsaPSSSHA256], self.site.rsa, 1), ([.ecdsaP256SHA256], self.site.ecdsa, 0),
        ] {
            let pair = try Pair(
                .init(versions: version...version, schemes: schemes.map(\.rawValue)), context, self.site)
            #expect(pair.client.certificate == leaf.chain[0])
            #expect(pair.server.facts?.credential == index)
            #expect(schemes.map(\.rawValue).contains(pair.client.scheme))
        }
    }

    @Test func aClientThatCanVerifyNoCertificateIsRefused() throws {
        for version in [TLSVersion.tls12, TLSVersion.tls13] {
            let client = BoringClient(
                .init(versions: version...version, schemes: [SignatureScheme.rsaPSSSHA256.rawValue]))
            let server = try ServerSide(self.site.context([self.site.ecdsa.credential()])) { try self.site.sign($0) }
            try shake(client, server)
            #expect(client.alert == Alert.Description.handshakeFailure.rawValue)
            guard case .refused = server.end?.failure else {
                Issue.record("\(String(describing: server.end))")
                continue
            }
            #expect(server.requests.isEmpty)
        }
    }

    @Test func theOCSPResponseIsStapledForClientsThatAsk() throws {
        let response = [UInt8](repeating: 7, count: 1000)
        let context = try self.site.context([self.site.ecdsa.credential(ocspResponse: response)])
        for version in [TLSVersion.tls12, TLSVersion.tls13] {
            let asking = try Pair(.init(versions: version...version, asksForOCSP: true), context, self.site)
            #expect(asking.client.ocspResponse == response)
            let other = try Pair(.init(versions: version...version), context, self.site)
            #expect(other.client.ocspResponse.isEmpty)
        }
    }

    // MARK: ALPN

    @Test(arguments: [TLSVersion.tls12, TLSVersion.tls13])
    func theServersOrderOfProtocolsDecides(version: UInt16) throws {
        let context = try self.site.context { $0.applicationProtocols = ["h2", "http/1.1"].map { Array($0.utf8) } }
        let versions = version...version
        #expect(
            try Pair(.init(versions: versions, protocols: ["http/1.1", "h2"]), context, self.site)
                .client.applicationProtocol == "h2")
        #expect(
            try Pair(.init(versions: versions, protocols: ["x", "http/1.1"]), context, self.site)
                .client.applicationProtocol == "http/1.1")
        #expect(try Pair(.init(versions: versions), context, self.site).client.applicationProtocol == "")
        // Without a list of ours, theirs is ignored.
        #expect(
            try Pair(.init(versions: versions, protocols: ["x"]), self.site.context(), self.site)
                .client.applicationProtocol == "")
    }

    @Test(arguments: [TLSVersion.tls12, TLSVersion.tls13])
    func aClientOfAnotherProtocolIsRefusedBeforeTheKeyIsUsed(version: UInt16) throws {
        let context = try self.site.context { $0.applicationProtocols = [Array("h2".utf8), Array("http/1.1".utf8)] }
        let client = BoringClient(
            .init(versions: version...version, protocols: ["h", "h22", "http/1.0", "acme-tls/1"]))
        let server = try ServerSide(context) { try self.site.sign($0) }
        try shake(client, server)
        #expect(client.alert == Alert.Description.noApplicationProtocol.rawValue)
        #expect(server.end?.failure == .refused("no application protocol"))
        #expect(server.requests.isEmpty)
    }

    // MARK: Versions

    @Test func versionsOutsideOfThePolicyAreRefused() throws {
        for (allowed, offered) in [
            (ServerPolicy.Version.tls13, TLSVersion.tls12), (.tls12, TLSVersion.tls13), (.tls12, TLSVersion.tls11),
            (.tls13, TLSVersion.tls10),
        ] {
            let context = try self.site.context { $0.versions = allowed...allowed }
            let client = BoringClient(.init(versions: offered...offered))
            let server = try ServerSide(context) { try self.site.sign($0) }
            try shake(client, server)
            #expect(client.alert == Alert.Description.protocolVersion.rawValue, "\(allowed), \(offered)")
            #expect(server.requests.isEmpty)
        }
        #expect(
            try Pair(.init(), self.site.context { $0.versions = .tls12 ... .tls12 }, self.site).client.version
                == TLSVersion.tls12)
    }

    // MARK: Signatures

    /// The answer takes its time, and what the client sends meanwhile is kept by the caller.
    @Test(arguments: [TLSVersion.tls12, TLSVersion.tls13])
    func aSignatureMayComeLater(version: UInt16) throws {
        let client = BoringClient(.init(versions: version...version))
        let server = try ServerSide(self.site.context()) { _ in nil }
        #expect(try server.receive(client.advance()).readableBytes == 0)
        #expect(server.waitsForSignature)
        let request: SignatureRequest = try #require(server.requests.first)
        var toClient: ByteBuffer = try server.complete(try self.site.sign(request))
        while toClient.readableBytes > 0 { toClient = try server.receive(client.advance(toClient)) }
        #expect(client.isDone && server.isVerified && server.requests.count == 1)
        #expect(client.read(try server.send(ByteBuffer(string: "late"))) == ByteBuffer(string: "late"))
    }

    @Test func aContextVerifiesWhatItsCertificatesKeysSigned() throws {
        let context = try self.site.context()
        for (credential, schemes): (Int, [SignatureScheme]) in [
            (0, self.site.ecdsa.schemes), (1, self.site.rsa.schemes),
        ] {
            for scheme in schemes {
                let request = SignatureRequest(scheme: scheme, content: Array("content".utf8), credential: credential)
                var signature: [UInt8] = try self.site.sign(request)
                #expect(context.verifies(signature, for: request))
                var other: SignatureRequest = request
                other.content.append(0)
                #expect(!context.verifies(signature, for: other))
                other = request
                other.credential = 1 - credential
                #expect(!context.verifies(signature, for: other))
                other.credential = 2
                #expect(!context.verifies(signature, for: other))
                signature[signature.count / 2] ^= 1
                #expect(!context.verifies(signature, for: request))
                #expect(!context.verifies([], for: request))
            }
        }
    }

    // MARK: RSA key exchange

    /// Only where the policy has its suites, after all suites with forward secrecy, and with the key in the library.
    @Test func rsaKeyExchange() throws {
        let context = try self.site.context([self.site.rsa.localCredential]) {
            $0.tls12Suites = ServerPolicy.forwardSecretSuites + [.rsaAES128GCMSHA256, .rsaAES256GCMSHA384]
        }
        // This client takes no certificate without keyEncipherment for it; OpenSSL in ClientTests does.
        let only = BoringClient.Options(versions: TLSVersion.tls12...TLSVersion.tls12, ciphers: "AES128-GCM-SHA256")
        let both = BoringClient.Options(
            versions: TLSVersion.tls12...TLSVersion.tls12, ciphers: "AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256")
        #expect(try Pair(both, context, self.site).server.facts?.suite == 0xC02F)
        // Not by default.
        let client = BoringClient(only)
        let server = try ServerSide(self.site.context([self.site.rsa.localCredential])) { try self.site.sign($0) }
        try shake(client, server)
        #expect(client.alert == Alert.Description.handshakeFailure.rawValue)
        #expect(server.end?.failure == .refused("no shared cipher"))
    }

    @Test func aLocalKeySignsByItself() throws {
        let context = try self.site.context([self.site.rsa.localCredential])
        for version in [TLSVersion.tls12, TLSVersion.tls13] {
            let pair = try Pair(.init(versions: version...version), context, self.site)
            #expect(pair.server.requests.isEmpty && pair.server.facts?.credential == 0)
        }
    }
}
