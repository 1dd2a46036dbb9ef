import EdgeModel
import Logging
import NIOCore
import NIOPosix
import PeerLink
import PrivateAuthority
import TLSWire
import Testing

@testable import Edge
@testable import EdgeTLS

@Suite(.timeLimit(.minutes(1))) struct EdgeGenerationTests {
    private struct Weak {
        weak var loop: EdgeLoop?
    }

    private static func configuration() throws -> EdgeConfiguration {
        let authority = try FleetAuthority(name: "test fleet")
        let issued = try authority.issueIdentity(role: .edge, name: "paris")
        let origin = OriginConfiguration(scheme: .http, host: "127.0.0.1", port: 1)
        var configuration = EdgeConfiguration(
            listen: [],
            sites: [
                Site(
                    domains: [try ServerNamePattern("www.test")],
                    mode: .keyless(TerminationConfiguration(keyHolder: "home", origin: origin)))
            ])
        configuration.credentials = try PeerCredentials(
            chainPEM: issued.chainPEM, keyPEM: issued.keyPEM, authorityPEM: authority.certificatePEM)
        // Where nothing listens.
        configuration.keyHolders["home"] = KeyHolderPool.Configuration(
            expected: try PeerIdentity(role: .keyholder, name: "home"),
            addresses: [PeerAddress(host: "127.0.0.1", port: 1)])
        return configuration
    }

    @Test(
        "Nothing stays of a generation: of one that came to nothing, of one whose last connection has ended, and after a drain",
        arguments: ["refused", "retired", "drained"])
    func nothingStays(end: String) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let configuration = try Self.configuration()
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let shared = EdgeShared(configuration, group: group, logger: logger)
        let eventLoops = Array(group.makeIterator())
        var slots: [NIOLoopBound<LoopSlot>] = []
        for (index, loop) in eventLoops.enumerated() {
            slots.append(
                try await loop.submit {
                    NIOLoopBound(LoopSlot(eventLoop: loop, index: index, of: 2), eventLoop: loop)
                }.get())
        }
        let bound = slots
        let left = try await Self.run(end, configuration, slots: bound, shared: shared, group: group)
        for (loop, weak) in zip(eventLoops, left) {
            var isFree = false
            for _ in 0..<500 where !isFree {
                isFree = try await loop.submit { weak.value.loop == nil }.get()
                if !isFree { try await Task.sleep(for: .milliseconds(10)) }
            }
            #expect(isFree)
        }
        shared.shutdown()
        try await group.shutdownGracefully()
    }

    /// Answers with what is left of the generation's loops.
    private static func run(
        _ end: String, _ configuration: EdgeConfiguration, slots: [NIOLoopBound<LoopSlot>], shared: EdgeShared,
        group: MultiThreadedEventLoopGroup
    ) async throws -> [NIOLoopBound<Weak>] {
        let readiness = EdgeReadiness()
        let generation = try await EdgeGeneration(1, configuration, on: slots, shared: shared, group: group)
        try await generation.start(after: nil, readiness: readiness)
        var weak: [NIOLoopBound<Weak>] = []
        for loop in generation.loops {
            weak.append(
                try await loop.eventLoop.submit {
                    // A handshake that waits for the lease when the end comes.
                    if let domain = loop.value.domains.value(for: try ServerName("www.test")) { _ = domain.served() }
                    return NIOLoopBound(Weak(loop: loop.value), eventLoop: loop.eventLoop)
                }.get())
        }
        switch end {
        case "refused": generation.end()
        case "drained":
            generation.takeOver()
            try await generation.drain(for: .seconds(1))
        default:
            generation.takeOver()
            let next = try await EdgeGeneration(2, configuration, on: slots, shared: shared, group: group)
            try await next.start(after: generation, readiness: readiness)
            next.takeOver(from: generation)
            try await generation.retire()?.get()
            next.end()
        }
        return weak
    }
}
