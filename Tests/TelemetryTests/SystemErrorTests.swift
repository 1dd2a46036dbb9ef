import NIOCore
import NIOPosix
import Testing

@testable import Telemetry

@Suite("The system's errors in words")
struct SystemErrorTests {
    @Test("The reason once, without calls and numbers")
    func words() {
        #expect(SystemError.words(13) == "permission denied")
        #expect(SystemError.text(IOError(errnoCode: 111, reason: "connect(descriptor:)")) == "connection refused")
        #expect(SystemError.text(ChannelError.connectTimeout(.seconds(2))) == "no connection within 2000 ms")
    }

    @Test("An address that cannot be listened on: why, and what helps")
    func listening() async throws {
        func text(_ number: Int32, _ port: Int) -> String {
            SystemError.cannotListen(
                on: "127.0.0.1:\(port)", port: port, IOError(errnoCode: number, reason: "bind(descriptor:ptr:bytes:)"))
        }
        #expect(text(13, 443).hasPrefix("port 443 needs CAP_NET_BIND_SERVICE: "))
        #expect(text(13, 8443) == "cannot listen on 127.0.0.1:8443: permission denied")
        #expect(text(98, 8443).hasPrefix("another process listens on 127.0.0.1:8443; `ss "))
        #expect(text(99, 8443).hasPrefix("this machine has no address 127.0.0.1:8443"))
        // As the system says it.
        let first = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = first.localAddress?.port ?? 0
        do {
            let second = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .bind(host: "127.0.0.1", port: port).get()
            try await second.close()
            Issue.record("bound twice")
        } catch {
            #expect(SystemError.cannotListen(on: "a", port: port, error).hasPrefix("another process listens on a"))
        }
        try await first.close()
    }

    @Test("Addresses as people write them")
    func addresses() throws {
        #expect("\(PeerText(try SocketAddress(ipAddress: "127.0.0.1", port: 22834)))" == "127.0.0.1:22834")
        #expect("\(PeerText(try SocketAddress(ipAddress: "::1", port: 443)))" == "[::1]:443")
    }
}
