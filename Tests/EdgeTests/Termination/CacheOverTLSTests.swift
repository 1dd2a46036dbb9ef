import EdgeModel
import HTTPCaching
import KeyProtocol
import NIOCore
import TestSockets
import TestWire
import Testing

@testable import Edge

/// What the cache sends over real TLS connections, of either kind: their flushes tell at once, from within, that the client
/// takes more.
@Suite(.timeLimit(.minutes(5))) struct CacheOverTLSTests {
    private static let sizes = [65_535, 65_536, 65_537, 100_000, 131_072, 400_000, 1 << 20, 3 << 20]

    /// The first site hands off, the others are keyless; all store what the origin sends.
    private static func run(_ test: @escaping @Sendable (HandoffBench) async throws -> Void) async throws {
        try await HandoffBench.run(
            operations: Operation.handingOff.union(Operation.keyless),
            adjust: { edge in
                for index in edge.sites.indices {
                    guard var termination = edge.sites[index].mode.termination else { continue }
                    var cache = SiteCacheConfiguration()
                    cache.policy.defaults.defaultLifetime = 3_600_000
                    termination.cache = cache
                    edge.sites[index].mode = index == 0 ? .handoff(termination) : .keyless(termination)
                }
            }, test: test)
    }

    @Test(arguments: ["p256.test", "rsa.test"]) func bodiesArriveWholeOverHTTP1(site: String) async throws {
        try await Self.run { bench in
            for size in Self.sizes {
                for word in ["miss", "hit"] {
                    // The second request follows on the same connection.
                    let client = try await bench.connect(site)
                    for _ in 1...2 {
                        try await client.send("GET /\(size) HTTP/1.1\r\nHost: \(site)\r\n\r\n")
                        let response = try await client.readResponse()
                        let isWhole = response.body == ByteBuffer(repeating: UInt8(ascii: "x"), count: size)
                        #expect(isWhole, "\(word): \(response.body.readableBytes) of \(size) bytes")
                    }
                    try? await client.channel.close()
                }
            }
        }
    }

    @Test(arguments: ["p256.test", "rsa.test"]) func bodiesArriveWholeOverHTTP2(site: String) async throws {
        try await Self.run { bench in
            for size in Self.sizes {
                for word in ["miss", "hit"] {
                    let fetched = try await bench.curl(
                        site, "/\(size)", "--http2", "--output", "/dev/null", "--write-out",
                        "%{http_version} %{http_code} %{size_download}")
                    #expect(fetched.output == "2 200 \(size)", "\(word): \(fetched.errors)")
                }
            }
        }
    }
}
