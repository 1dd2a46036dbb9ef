import NIOCore
import NIOPosix
import PeerLink
import Synchronization
import Testing

@testable import KeyHolder

@Suite("Which addresses a key holder dials", .timeLimit(.minutes(1)))
struct DiallerTests {
    private final class Count: Sendable { let value = Mutex(0) }

    @Test("What a reload says while another process takes over is dialled when it did not, and not before")
    func resting() async throws {
        let count = Count()
        let edge = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                count.value.withLock { $0 += 1 }
                return channel.eventLoop.makeSucceededVoidFuture()
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let holder = try await TestHolder()
        let dialler = holder.server.dialler
        dialler.rest()
        dialler.update([PeerAddress(host: "127.0.0.1", port: edge.localAddress?.port ?? 0)])
        try await Task.sleep(for: .milliseconds(200))
        #expect(count.value.withLock { $0 } == 0)
        dialler.resume()
        while count.value.withLock({ $0 }) == 0 { try await Task.sleep(for: .milliseconds(5)) }
        _ = try await holder.stop()
        try await edge.close()
    }
}
