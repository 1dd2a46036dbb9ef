import NIOCore
import NIOSSL
import TLSWire
import Testing

@testable import KeyHolder

@Suite("What a handshake under way keeps", .timeLimit(.minutes(1)))
struct HandshakeMemoryTests {
    @Test(
        "Not what was read at once from its edge, whether the client is to send more or its Finished",
        arguments: [true, false])
    func bytes(isTLS12: Bool) async throws {
        let site = try SiteLoader(store: SoftwareKeyStore(), previous: nil).load(
            TestHolder.site(try TestHolder.p256.get()))
        let client = try await HandoffClient("p256.test") { if isTLS12 { $0.maximumTLSVersion = .tlsv12 } }
        let bytes: ByteBuffer = try await client.bytes()
        let hello = try ClientRecords.hello(in: bytes)
        let context = try site.handoff.context(
            for: ["h2"], hello, showing: site.shown(at: Clock.wallMilliseconds() / 1000), allowsRSAKeyExchange: false)
        let handshake = try HandoffHandshake(
            hello.random, context: context,
            slow: .init(perform: { _, _, _ in .overloaded }, take: { _, _ in .overloaded }))
        // As it comes from the socket: many requests in one block of memory.
        var block: ByteBuffer = bytes
        block.writeRepeatingByte(0, count: 400_000)
        let place = block.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
        var turns = 0
        handshake.begin(try #require(block.getSlice(at: block.readerIndex, length: bytes.readableBytes))) { turn in
            turns += 1
            switch turn {
            case .needsMore: #expect(isTLS12)
            case .exported: #expect(!isTLS12)
            case .answered, .failed: Issue.record("\(turn)")
            }
        }
        #expect(turns == 1)
        // Written to in place only where nothing else has a share of it.
        block.setInteger(UInt8(1), at: block.readerIndex)
        #expect(block.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) } == place)
        handshake.end()
        await client.end()
    }
}
