import Logging
import NIOCore
import NIOEmbedded
import Synchronization
import Testing

@testable import Channels

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

@Suite struct AcceptGateTests {
    /// Counts what a server channel is asked, and what is logged.
    private final class Reads: ChannelOutboundHandler {
        typealias OutboundIn = Never
        var count = 0

        func read(context: ChannelHandlerContext) {
            self.count += 1
        }
    }

    private final class Lines: Sendable {
        private let lines = Mutex(0)
        var count: Int { self.lines.withLock { $0 } }

        struct Handler: LogHandler {
            let lines: Lines
            var logLevel = Logger.Level.info
            var metadata: Logger.Metadata = [:]

            subscript(metadataKey key: String) -> Logger.Metadata.Value? {
                get { self.metadata[key] }
                set { self.metadata[key] = newValue }
            }

            func log(event: LogEvent) { self.lines.lines.withLock { $0 += 1 } }
        }
    }

    private func channel(_ lines: Lines) throws -> (EmbeddedChannel, Reads, AcceptGate) {
        let gate = AcceptGate(address: "127.0.0.1:443", logger: Logger(label: "t") { _ in Lines.Handler(lines: lines) })
        let reads = Reads()
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandlers([reads, gate])
        return (channel, reads, gate)
    }

    @Test(arguments: [EMFILE, ENFILE, ENOBUFS, ENOMEM])
    func withoutDescriptorsItWaitsInsteadOfSpinning(code: Int32) throws {
        let lines = Lines()
        let (channel, reads, _) = try self.channel(lines)
        channel.pipeline.read()
        #expect(reads.count == 1)
        // As the server channel does: the error, and the next read at once, for as long as the system has nothing.
        for _ in 0..<1000 {
            channel.pipeline.fireErrorCaught(IOError(errnoCode: code, reason: "accept"))
            channel.pipeline.read()
        }
        #expect(reads.count == 1)
        #expect(lines.count == 1)
        channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        _ = try? channel.finish()
    }

    @Test func otherErrorsPass() throws {
        let (channel, _, _) = try self.channel(Lines())
        channel.pipeline.fireErrorCaught(IOError(errnoCode: EBADF, reason: "accept"))
        #expect(throws: IOError.self) { try channel.throwIfErrorCaught() }
        _ = try? channel.finish()
    }

    @Test func aFullListenerGoesOnWhenAPlaceIsFree() throws {
        let (channel, reads, gate) = try self.channel(Lines())
        gate.pauseWhileFull(for: .seconds(1))
        channel.pipeline.read()
        channel.pipeline.read()
        #expect(reads.count == 0)
        gate.resume()
        #expect(reads.count == 1)
        gate.resume()
        #expect(reads.count == 1)
        _ = try? channel.finish()
    }

    @Test func oneWarningForAnEpisode() {
        var pause = AcceptPause()
        let second: UInt64 = 1_000_000_000
        let steps: [(cause: AcceptPause.Cause, second: UInt64, isNews: Bool)] = [
            (.descriptors, 0, true), (.descriptors, 30, false), (.connections, 30, true), (.descriptors, 89, false),
        ]
        for step in steps {
            let start = pause.pause(step.cause, for: second, now: step.second * second)
            #expect(start.isNews == step.isNews)
            #expect(pause.isPaused)
            pause.resume()
        }
        let later = pause.pause(.descriptors, for: second, now: 149 * second)
        #expect(later == AcceptPause.Start(until: 150 * second, isNews: true))
    }

    @Test func whatFitsTheDescriptors() {
        #expect(DescriptorBudget(limit: 1024, reserve: 100).connections == 462)
        // A reserve that is larger than half leaves the half.
        #expect(DescriptorBudget(limit: 1024, reserve: 5000).connections == 256)
        #expect(DescriptorBudget(limit: 0, reserve: 10).connections == 1)
        #expect(DescriptorBudget(limit: 1024, reserve: 100).limit(for: 100_000) == 200_100)
    }
}
