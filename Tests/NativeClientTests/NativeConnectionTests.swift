import Crypto
import Foundation
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NativeHandshake
import PrivateAuthority
import SwiftASN1
import TLSWire
import TestSockets
import Testing
import X509

@testable import Diagnosis
@testable import NativeClient

@Suite(.timeLimit(.minutes(3))) struct NativeConnectionTests {
    private static let authority = try? TestSiteAuthority(name: "native tests")

    private func authority() throws -> TestSiteAuthority { try #require(Self.authority) }

    private func options(_ server: NativeOriginServer, _ name: String = "www.test") throws -> NativeOptions {
        var options = NativeOptions(serverName: try ServerName(name), host: "127.0.0.1", port: server.port)
        options.roots = try ClientRoots(pem: try self.authority().certificatePEM)
        return options
    }

    private func exchange(_ options: NativeOptions) async throws -> String {
        try await NativeConnection.with(options) { connection in
            try await connection.send(ByteBuffer(string: "hello"))
            try await connection.finish()
            var answer = ByteBuffer()
            for try await part in connection.bytes { answer.writeImmutableBuffer(part) }
            return String(buffer: answer)
        }
    }

    /// The error of a connection that must not come about, and that the origin saw no data of.
    private func refusal(_ options: NativeOptions) async -> NativeError? {
        do {
            _ = try await self.exchange(options)
            return nil
        } catch { return error as? NativeError }
    }

    @Test(arguments: NativeVariant.allCases)
    func dataGoesBothWays(_ variant: NativeVariant) async throws {
        let server = try await NativeOriginServer(
            try self.authority().issueSite(domains: ["www.test"], keyType: .p256))
        var options: NativeOptions = try self.options(server)
        options.variant = variant
        #expect(try await self.exchange(options) == "hello")
        try await server.stop()
    }

    // MARK: Certificates

    @Test func aCertificateForAnotherNameIsRefused() async throws {
        let server = try await NativeOriginServer(
            try self.authority().issueSite(domains: ["other.test"], keyType: .p256))
        guard case .certificateRefused(let why)? = await self.refusal(try self.options(server)) else {
            return #expect(Bool(false))
        }
        #expect(why.contains("not for www.test"))
        try await server.stop()
    }

    @Test func certificatesOutsideTheirTimeAreRefused() async throws {
        let day: TimeInterval = 86_400
        for (from, to, word) in [(-10.0, -5.0, "expired"), (5.0, 10.0, "only from")] {
            let issued = try self.authority().issueSite(
                domains: ["www.test"], keyType: .p256, notBefore: Date(timeIntervalSinceNow: from * day),
                notAfter: Date(timeIntervalSinceNow: to * day))
            let server = try await NativeOriginServer(issued)
            guard case .certificateRefused(let why)? = await self.refusal(try self.options(server)) else {
                #expect(Bool(false), "\(word)")
                continue
            }
            #expect(why.contains(word), "\(why)")
            try await server.stop()
        }
    }

    @Test func anUnknownAuthorityIsRefused() async throws {
        let server = try await NativeOriginServer(
            try TestSiteAuthority(name: "stranger").issueSite(domains: ["www.test"], keyType: .p256))
        guard case .certificateRefused(let why)? = await self.refusal(try self.options(server)) else {
            return #expect(Bool(false))
        }
        #expect(why.contains("trusted root"))
        try await server.stop()
    }

    @Test func whoHasACertificateButNotItsKeyIsFoundOut() async throws {
        let right = try self.authority().issueSite(domains: ["www.test"], keyType: .p256)
        let other = try self.authority().issueSite(domains: ["www.test"], keyType: .p256)
        let server = try await NativeOriginServer(chainPEM: right.chainPEM, keyPEM: other.keyPEM)
        #expect(await self.refusal(try self.options(server)) == .badSignature)
        try await server.stop()
    }

    // MARK: Key directory

    private func pin(_ issued: IssuedCertificate) throws -> String {
        let leaf = try Certificate(pemEncoded: issued.chainPEM)
        let der: [UInt8] = try leaf.publicKey.serializeAsPEM().derBytes
        return "sha256/" + Data(SHA256.hash(data: der)).base64EncodedString()
    }

    @Test func theKeyDirectoryMustAgree() async throws {
        let issued = try self.authority().issueSite(domains: ["www.test"], keyType: .p256)
        let server = try await NativeOriginServer(issued)
        let tls = try TestServer.context(
            try self.authority().issueSite(domains: ["keys.test"], keyType: .p256))
        let pin: String = try self.pin(issued)
        let wrong = "sha256/" + Data(SHA256.hash(data: [1])).base64EncodedString()
        let cases: [(String, Bool, Bool)] = [
            ("\(wrong)\n\(pin)\n", true, true), (pin, false, true), (wrong, true, false), (wrong, false, false),
            ("nothing", true, false), ("nothing", false, true),
        ]
        for (answer, required, passes) in cases {
            let directory = try await TestServer(.https(tls, .ok, answer))
            var options: NativeOptions = try self.options(server)
            var keyDirectory = KeyDirectory(
                url: "https://keys.test/v1/", connect: directory.address, roots: options.roots)
            keyDirectory.isRequired = required
            options.keyDirectory = keyDirectory
            if passes {
                #expect(try await self.exchange(options) == "hello", "\(answer)")
            } else {
                guard case .certificateRefused(let why)? = await self.refusal(options) else {
                    #expect(Bool(false), "\(answer)")
                    continue
                }
                #expect(why.contains("key directory"))
            }
            try await directory.stop()
            // Now it is away.
            switch (await self.refusal(options), required) {
            case (.certificateRefused(let why)?, true): #expect(why.contains("cannot be asked"))
            case (nil, false): break
            case (let other, _): #expect(Bool(false), "\(String(describing: other))")
            }
        }
        try await server.stop()
    }

    // MARK: Silence, closes, cancellation

    @Test(arguments: [0, 1])
    func silenceEndsInATimeout(_ flights: Int) async throws {
        let server = try await NativeOriginServer(
            try self.authority().issueSite(domains: ["www.test"], keyType: .p256), .silent(after: flights))
        var options: NativeOptions = try self.options(server)
        options.timeout = .milliseconds(300)
        guard case .timeout? = await self.refusal(options) else { return #expect(Bool(false)) }
        try await server.stop()
    }

    @Test func aSilentStreamEndsInATimeout() async throws {
        let server = try await NativeOriginServer(
            try self.authority().issueSite(domains: ["www.test"], keyType: .p256))
        var options: NativeOptions = try self.options(server)
        options.idleTimeout = .milliseconds(200)
        await #expect(throws: NativeError.timeout("the stream was silent for too long")) {
            try await NativeConnection.with(options) { connection in
                for try await _ in connection.bytes {}
            }
        }
        try await server.stop()
    }

    @Test(arguments: [0, 1])
    func aCloseInTheHandshakeIsTruncated(_ flights: Int) async throws {
        let server = try await NativeOriginServer(
            try self.authority().issueSite(domains: ["www.test"], keyType: .p256), .closing(after: flights))
        #expect(await self.refusal(try self.options(server)) == .truncated)
        try await server.stop()
    }

    @Test func aStreamWithoutItsEndIsTruncated() async throws {
        let server = try await NativeOriginServer(
            try self.authority().issueSite(domains: ["www.test"], keyType: .p256), .truncating)
        let options: NativeOptions = try self.options(server)
        await #expect(throws: NativeError.truncated) {
            try await NativeConnection.with(options) { connection in
                try await connection.send(ByteBuffer(string: "hello"))
                for try await _ in connection.bytes {}
            }
        }
        try await server.stop()
    }

    @Test func nobodyThereIsAConnectFailure() async throws {
        let server = try await NativeOriginServer(
            try self.authority().issueSite(domains: ["www.test"], keyType: .p256))
        let options: NativeOptions = try self.options(server)
        try await server.stop()
        let failure = await #expect(throws: ConnectionFailure.self) { try await self.exchange(options) }
        #expect(failure?.isConnected == false)
    }

    @Test func aServerOfAnotherProtocolIsNamed() async throws {
        let server = try await TestServer(.bytes(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)))
        let port: Int = server.channel.localAddress?.port ?? 0
        var options = NativeOptions(serverName: try ServerName("www.test"), host: "127.0.0.1", port: port)
        options.roots = try ClientRoots(pem: try self.authority().certificatePEM)
        #expect(await self.refusal(options) == .notNative)
        try await server.stop()
    }

    @Test func cancellationEndsHandshakeAndStream() async throws {
        let issued = try self.authority().issueSite(domains: ["www.test"], keyType: .p256)
        for behaviour in [NativeOriginServer.Behaviour.silent(after: 0), .echo] {
            let server = try await NativeOriginServer(issued, behaviour)
            let options: NativeOptions = try self.options(server)
            let (started, continuation) = AsyncStream.makeStream(of: Void.self)
            let task = Task {
                try await NativeConnection.with(
                    options,
                    report: { event in
                        switch (event.event, behaviour) {
                        case (.connected, .silent), (.established, .echo): continuation.yield()
                        default: break
                        }
                    }
                ) { connection in
                    for try await _ in connection.bytes {}
                    try Task.checkCancellation()
                }
            }
            for await _ in started { break }
            task.cancel()
            await #expect(throws: (any Error).self) { try await task.value }
            try await server.stop()
        }
    }

    /// What the origin says last must not be lost behind the end of the connection, which looks like an end of data.
    @Test(arguments: NativeVariant.allCases)
    func anAlertAfterTheHandshakeIsTold(_ variant: NativeVariant) async throws {
        let server = try await NativeOriginServer(
            try self.authority().issueSite(domains: ["www.test"], keyType: .p256), .refusing(.unavailable))
        var options: NativeOptions = try self.options(server)
        options.variant = variant
        for _ in 0..<10 { #expect(await self.refusal(options) == .alert(.unavailable)) }
        try await server.stop()
    }

    @Test func aConnectionThatIsGoneBeforeItBeganIsTruncated() throws {
        let channel = EmbeddedChannel()
        let outcome: EventLoopPromise<NativeConnection> = channel.eventLoop.makePromise()
        let options = NativeOptions(serverName: try ServerName("www.test"), host: "127.0.0.1", port: 1)
        try channel.close().wait()
        let handler = NativeClientHandler(
            options: options, deadline: .now() + .seconds(15), journal: NativeJournal { _ in },
            outcome: outcome)
        try? channel.pipeline.syncOperations.addHandler(handler)
        #expect(throws: NativeError.truncated) { try outcome.futureResult.wait() }
    }

    @Test func anOriginThatClosesAtOnceIsTruncated() async throws {
        let listener = try TestListener()
        let workers = Workers()
        workers.run { for _ in 0..<50 { try listener.accept().reset() } }
        var options = NativeOptions(serverName: try ServerName("www.test"), host: "127.0.0.1", port: Int(listener.port))
        options.timeout = .seconds(60)
        for _ in 0..<50 {
            await #expect(throws: (any Error).self) { try await NativeConnection.with(options) { _ in } }
        }
        try await blocking { try workers.wait() }
    }

    // MARK: Connecting

    @Test func theTimeoutIsForConnectAndHandshakeTogether() async throws {
        let listener = try TestListener(backlog: 0)
        let filler = try TestSocket.connect(port: listener.port)
        var options = NativeOptions(serverName: try ServerName("www.test"), host: "127.0.0.1", port: Int(listener.port))
        options.timeout = .milliseconds(300)
        do {
            try await NativeConnection.with(options) { _ in }
            #expect(Bool(false), "connected")
        } catch {
            #expect((error as? ConnectionFailure)?.isConnected == false, "\(error)")
        }
        withExtendedLifetime(filler) {}
    }

    @Test func cancellationEndsAConnect() async throws {
        let listener = try TestListener(backlog: 0)
        let filler = try TestSocket.connect(port: listener.port)
        var options = NativeOptions(serverName: try ServerName("www.test"), host: "127.0.0.1", port: Int(listener.port))
        // More than this suite may take.
        options.timeout = .minutes(10)
        let endless: NativeOptions = options
        let task = Task { try await NativeConnection.with(endless) { _ in } }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        withExtendedLifetime(filler) {}
    }

    @Test func optionsThatOfferNothingAreAnErrorOfTheirOwn() async throws {
        let server = try await NativeOriginServer(
            try self.authority().issueSite(domains: ["www.test"], keyType: .p256))
        var options: NativeOptions = try self.options(server)
        options.suites = []
        guard case .internalFailure? = await self.refusal(options) else { return #expect(Bool(false)) }
        options = try self.options(server)
        options.keyKinds = []
        guard case .internalFailure? = await self.refusal(options) else { return #expect(Bool(false)) }
        try await server.stop()
    }

    // MARK: Back-pressure

    @Test func whatIsNotReadWaitsAtTheOrigin() async throws {
        let bytes: Int = 64 << 20
        let server = try await NativeOriginServer(
            try self.authority().issueSite(domains: ["www.test"], keyType: .p256), .flood(bytes))
        let options: NativeOptions = try self.options(server)
        let read: Int = try await NativeConnection.with(options) { connection in
            // The first part only: the rest stays where it is, or this would hold all of it.
            var iterator: NativeBytes.AsyncIterator = connection.bytes.makeAsyncIterator()
            return try await iterator.next()?.readableBytes ?? 0
        }
        #expect((1...NativeNumbers.maximumData).contains(read))
        try await server.stop()
    }
}
