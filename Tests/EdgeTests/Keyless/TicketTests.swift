import EdgeModel
import Foundation
import KeyProtocol
import NIOCore
import TLSWire
import TestLogs
import TestSockets
import Testing

@testable import Edge
@testable import KeyHolder

/// Session tickets of a keyless edge (TLS 1.3), with a client that keeps them.
@Suite(.serialized, .timeLimit(.minutes(3))) struct KeylessTicketTests {
    /// Each connection takes the ticket of the one before it, as a chain does.
    private static func connect(_ bench: HandoffBench) async throws -> String {
        let ticket = bench.file("session")
        let isFirst = !FileManager.default.fileExists(atPath: ticket)
        guard !isFirst else { return try await bench.openssl("p256.test", "-tls1_3", "-sess_out", ticket).all }
        return try await bench.openssl("p256.test", "-tls1_3", "-sess_out", ticket, "-sess_in", ticket).all
    }

    private static func signatures(_ bench: HandoffBench) -> Int {
        bench.audit.split(separator: "\n").count { $0.contains("\"sign-tls13\"") && $0.contains("\"ok\"") }
    }

    @Test func byDefaultTheyResumeWithoutTheKeyHolder() async throws {
        try await KeylessTLS12Tests.run { bench in
            #expect(try await Self.connect(bench).contains("New, TLSv1.3"))
            for _ in 1...3 {
                let again = try await Self.connect(bench)
                #expect(again.contains("Reused, TLSv1.3") && again.contains("HTTP/1.1 200"), "\(again)")
            }
            #expect(Self.signatures(bench) == 1)
        }
    }

    /// Chained all the while, so that no ticket that is shown is old: but what it goes back to is.
    @Test func theyEndWithTheirLifetimeAndSoDoesAChainOfThem() async throws {
        try await KeylessTLS12Tests.run(adjustSite: { $0.ticketLifetime = .seconds(3) }) { bench in
            let end = ContinuousClock.now + .seconds(60)
            // After the handshake, so no earlier than the session.
            var lastFull = ContinuousClock.now
            var (reused, full) = (0, 0)
            while (reused < 3 || full < 3) && ContinuousClock.now < end {
                let before = ContinuousClock.now
                let output = try await Self.connect(bench)
                #expect(output.contains("HTTP/1.1 200"), "\(output)")
                if output.contains("Reused, TLSv1.3") {
                    reused += 1
                    // Whole seconds are compared.
                    #expect(before - lastFull < .seconds(4), "a session of \(before - lastFull)")
                } else {
                    #expect(output.contains("New, TLSv1.3"), "\(output)")
                    full += 1
                    lastFull = ContinuousClock.now
                }
                try await Task.sleep(for: .milliseconds(100))
            }
            #expect(reused >= 3 && full >= 3, "\(reused) resumed, \(full) full")
            #expect(Self.signatures(bench) == full)
        }
    }

    @Test func withoutALifetimeNoneIsGood() async throws {
        try await KeylessTLS12Tests.run(adjustSite: { $0.ticketLifetime = .zero }) { bench in
            for _ in 1...3 {
                let output = try await Self.connect(bench)
                #expect(output.contains("New, TLSv1.3") && output.contains("HTTP/1.1 200"), "\(output)")
            }
            #expect(Self.signatures(bench) == 3)
        }
    }

    /// The edge keeps its other grants, and the link with them: what ends is this site.
    @Test func aRefusedDomainResumesNothing() async throws {
        try await HandoffBench.run(
            operations: KeyProtocol.Operation.keyless,
            adjust: { edge in
                edge.certificateRefresh = .milliseconds(200)
                for index in edge.sites.indices {
                    guard let termination = edge.sites[index].mode.termination else { continue }
                    edge.sites[index].mode = .keyless(termination)
                }
            }
        ) { bench in
            _ = try await Self.connect(bench)
            #expect(try await Self.connect(bench).contains("Reused, TLSv1.3"))
            var configuration = bench.keyHolderConfiguration
            configuration.grants[0].sites.removeAll { $0.description == "p256.test" }
            try bench.keyHolder.reload(configuration)
            _ = try await blocking { try bench.log.wait(for: "lease ended: the site is not served") }
            let refused = try await Self.connect(bench)
            #expect(refused.contains("alert internal error") && !refused.contains("HTTP/1.1 200"), "\(refused)")
        }
    }
}
