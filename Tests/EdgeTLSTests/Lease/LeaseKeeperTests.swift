import EdgeModel
import KeyProtocol
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import PeerLink
import PrivateAuthority
import TLSWire
import Testing

@testable import EdgeTLS

@Suite(.timeLimit(.minutes(1))) struct LeaseKeeperTests {
    /// A keeper of one keyless domain, and what it has published. Lives on its event loop.
    private final class Bench {
        let keeper: LeaseKeeper
        private(set) var shown: [SiteCertificate?] = []
        /// Why there is none yet.
        private(set) var problems: [String?] = []

        init(
            _ credentials: PeerCredentials, ticketLifetime: TimeAmount, after former: LeaseKeeper? = nil,
            _ loop: any EventLoop
        ) throws {
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            let addresses = [PeerAddress(host: "192.0.2.1", port: 1), PeerAddress(host: "192.0.2.2", port: 1)]
            // Never started: what its links would say, the test says.
            let pool = KeyHolderPool(
                configuration: .init(
                    expected: try PeerIdentity(role: .keyholder, name: "home"), addresses: addresses),
                tls: try credentials.clientContext(), eventLoop: loop, logger: logger)
            var termination = TerminationConfiguration(
                keyHolder: "home", origin: OriginConfiguration(scheme: .http, host: "127.0.0.1"))
            termination.ticketLifetime = ticketLifetime
            var publish: (SiteNews) -> Void = { _ in }
            self.keeper = LeaseKeeper(
                pool: pool,
                orders: [
                    .init(
                        pattern: try ServerNamePattern("www.example.test"), mode: .keyless,
                        configuration: termination)
                ],
                refreshInterval: .hours(1), shown: former?.shown ?? [:], standing: LeaseReport.Standing(),
                logger: logger, publish: { publish($1) },
                publishStanding: { _ in })
            publish = { [unowned self] news in
                if case .served(let served) = news {
                    self.shown.append(served.certificate)
                } else {
                    self.shown.append(nil)
                }
                if case .pending(let problem) = news { self.problems.append(problem) }
            }
        }

        func answer(_ result: Result<CertificateAnswer, any Error>, from address: Int) {
            _ = self.keeper.take(result, 0, from: address)
            self.keeper.tell(0)
        }
    }

    private static func parties() throws -> (PeerCredentials, CertificateAnswer) {
        let fleet = try FleetAuthority(name: "Test fleet")
        let identity = try fleet.issueIdentity(role: .edge, name: "paris")
        let credentials = try PeerCredentials(
            chainPEM: identity.chainPEM, keyPEM: identity.keyPEM, authorityPEM: fleet.certificatePEM)
        let site = try TestSiteAuthority(name: "test sites").issueSite(domains: ["www.example.test"], keyType: .p256)
        let certificate = try #require(try NIOSSLCertificate.fromPEMBytes(Array(site.chainPEM.utf8)).first)
        let answer = CertificateAnswer(
            modes: [.keyless], rate: 10,
            chains: [
                CertificateChain(
                    certificates: [try certificate.toDERBytes()], ski: [UInt8](repeating: 1, count: 20),
                    schemes: [.ecdsaP256SHA256], notAfter: 4_000_000_000)
            ])
        return (credentials, answer)
    }

    /// Health, and clients that wait, are told what the key holder says, and not that it is silent.
    @Test func whyThereIsNoLeaseYetIsTold() async throws {
        let (credentials, answer) = try Self.parties()
        let loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next()
        try await loop.submit {
            let bench = try Bench(credentials, ticketLifetime: .hours(1), loop)
            bench.keeper.heard(.renewed(lease: .seconds(60), changed: false), from: 0)
            bench.answer(.failure(LinkFailure.refused(.expired)), from: 0)
            bench.answer(.failure(LinkFailure.refused(.expired)), from: 0)
            #expect(bench.problems == ["the key holder refused: expired"])
            bench.answer(.failure(LinkFailure.refused(.internalError)), from: 0)
            #expect(bench.problems.count == 2)
            bench.answer(.success(answer), from: 0)
            // What is served goes on.
            bench.answer(.failure(LinkFailure.refused(.expired)), from: 0)
            #expect(bench.problems.count == 2 && bench.shown.last.flatMap { $0 } != nil)
            bench.keeper.stop()
        }.get()
    }

    /// One key holder withdraws, and the other one is asked for longer than the tickets may live.
    @Test func ticketKeysThatServeTheirTimeWhileNobodyLeasesAreReplaced() async throws {
        let (credentials, answer) = try Self.parties()
        let loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let bound = try await loop.submit {
            let bench = try Bench(credentials, ticketLifetime: .milliseconds(300), loop)
            bench.keeper.heard(.renewed(lease: .minutes(10), changed: false), from: 0)
            bench.answer(.success(answer), from: 0)
            bench.keeper.heard(.renewed(lease: .minutes(10), changed: false), from: 1)
            bench.answer(.failure(LinkFailure.refused(.keyNotFound)), from: 0)
            return NIOLoopBound(bench, eventLoop: loop)
        }.get()
        try await Task.sleep(for: .milliseconds(600))
        try await loop.submit {
            let now = Int64(NIODeadline.now().uptimeNanoseconds)
            let tickets = try #require(bound.value.shown[0]?.tickets)
            // They were replaced by then: who asks finds nothing to do for a while.
            #expect(tickets.replaceIfOver(at: now) > now)
            #expect(tickets.replaceIfOver(at: now) - now < 300_000_000)
            bound.value.answer(.success(answer), from: 1)
            bound.value.keeper.stop()
            let shown = bound.value.shown
            try #require(shown.count == 3)
            #expect(shown[1] == nil)
            #expect(shown[2]?.tickets === tickets)
        }.get()
    }

    @Test("After a reload the first of two key holders says no, and the other grants: session tickets stay good")
    func aRefusalOfOneKeyHolderCostsNoTickets() async throws {
        let (credentials, answer) = try Self.parties()
        let loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next()
        try await loop.submit {
            let former = try Bench(credentials, ticketLifetime: .hours(1), loop)
            former.keeper.heard(.renewed(lease: .minutes(10), changed: false), from: 1)
            former.answer(.success(answer), from: 1)
            let next = try Bench(credentials, ticketLifetime: .hours(1), after: former.keeper, loop)
            next.keeper.heard(.renewed(lease: .minutes(10), changed: false), from: 0)
            next.answer(.failure(LinkFailure.refused(.keyNotFound)), from: 0)
            next.keeper.heard(.renewed(lease: .minutes(10), changed: false), from: 1)
            next.answer(.success(answer), from: 1)
            let tickets = try #require(former.shown.last??.tickets)
            #expect(next.shown.last??.tickets === tickets)
            // When both have said no, it is over.
            let last = try Bench(credentials, ticketLifetime: .hours(1), after: next.keeper, loop)
            for address in 0..<2 {
                last.keeper.heard(.renewed(lease: .minutes(10), changed: false), from: address)
                last.answer(.failure(LinkFailure.refused(.keyNotFound)), from: address)
            }
            last.answer(.success(answer), from: 1)
            #expect(last.shown.last??.tickets !== tickets)
            for bench in [former, next, last] { bench.keeper.stop() }
        }.get()
    }

    /// After a reload: the same certificate, shown in the same way, keeps its session tickets, until its lease has ended once.
    @Test func theKeeperAfterAnotherGoesOnWithItsTicketKeysOnce() async throws {
        let (credentials, answer) = try Self.parties()
        let loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next()
        try await loop.submit {
            let former = try Bench(credentials, ticketLifetime: .hours(1), loop)
            former.keeper.heard(.renewed(lease: .minutes(10), changed: false), from: 0)
            former.answer(.success(answer), from: 0)
            let next = try Bench(credentials, ticketLifetime: .hours(1), after: former.keeper, loop)
            let other = try Bench(credentials, ticketLifetime: .hours(2), after: former.keeper, loop)
            let ended = try Bench(credentials, ticketLifetime: .hours(1), after: former.keeper, loop)
            for bench in [next, other] {
                bench.keeper.heard(.renewed(lease: .minutes(10), changed: false), from: 0)
                bench.answer(.success(answer), from: 0)
            }
            // Nothing of a lease that has ended comes back with another one.
            ended.keeper.heard(.renewed(lease: .minutes(10), changed: false), from: 0)
            ended.keeper.heard(.ended(.refused(.noGrant)), from: 0)
            ended.keeper.heard(.disconnected, from: 1)
            ended.keeper.heard(.renewed(lease: .minutes(10), changed: false), from: 0)
            ended.answer(.success(answer), from: 0)
            next.keeper.heard(.ended(.refused(.noGrant)), from: 0)
            next.keeper.heard(.renewed(lease: .minutes(10), changed: false), from: 0)
            next.answer(.success(answer), from: 0)
            let first = former.shown.first??.tickets
            #expect(first != nil)
            #expect(next.shown.first??.tickets === first)
            for later in [next, other, ended] {
                let last = later.shown.last??.tickets
                #expect(last != nil && last !== first)
            }
            for bench in [former, next, other, ended] { bench.keeper.stop() }
        }.get()
    }
}
