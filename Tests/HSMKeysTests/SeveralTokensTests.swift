import Admission
import HSMWire
import PrivateAuthority
import TLSWire
import TestSockets
import TestToken
import Testing
import X509

@testable import HSMKeys
@testable import KeyHolder

@Suite(
    "Several tokens", .enabled(if: SoftToken.isInstalled, "softhsm2 is not installed"), .timeLimit(.minutes(3)))
struct SeveralTokensTests {
    /// One token with the key `www`, and one, `second`, with the key `shop`.
    private static func stage() throws -> (FaultyToken, www: Certificate.PublicKey, shop: Certificate.PublicKey) {
        let (token, www) = try TokenKeyTests.stage()
        try token.token.makeToken("second")
        let (pem, shop) = try FaultyToken.site(.p256)
        try token.token.take(pem, as: "shop", id: "02", token: "second")
        return (token, www, shop)
    }

    @Test("A token that does not answer to a login holds up no login to another one")
    func logins() async throws {
        let (token, www, shop) = try await blocking { try Self.stage() }
        let store = token.store()
        try token.setFault("login-hangs@second")
        async let hung: Void = blocking {
            #expect(throws: SiteLoadError.self) {
                try store.key(from: try FaultyToken.key("shop", token: "second"), for: shop)
            }
        }
        try await blocking {
            _ = try eventually("a login to the second token") { token.calls("login") > 0 ? true : nil }
            let begin = Clock.monotonic()
            let key = try store.key(from: try FaultyToken.key("www"), for: www)
            #expect(try TokenKeyTests.isValid(try TokenKeyTests.sign(key), www))
            #expect(Clock.monotonic() - begin < WorkerPool.startTimeout / 2)
        }
        try await hung
    }

    @Test("A token that does not sign holds up no key of another one")
    func signatures() async throws {
        let (token, www, shop) = try await blocking { try Self.stage() }
        let store = token.store(timeout: .seconds(5))
        let (near, far) = try await blocking {
            (
                try store.key(from: try FaultyToken.key("www"), for: www),
                try store.key(from: try FaultyToken.key("shop", token: "second"), for: shop)
            )
        }
        let slow = SlowOperations(perEdge: 100, limit: 100, threads: 1)
        slow.start()
        func submit(_ key: any StoredKey, _ done: @escaping @Sendable (KeyResult) -> Void) {
            let owner = WorkOwner(
                edge: "paris", site: "a.test", network: ClientNetwork(nil as IPAddress?), urgency: .beginning,
                deadline: Clock.monotonic() + 60_000_000_000)
            let operation = KeyOperation.sign(.ecdsaP256SHA256, content: TokenKeyTests.content)
            let refusal = slow.submit(owner, key.cost(of: operation), now: Clock.monotonic()) { _ in
                done(Result { () throws(KeyOperationError) in try key.perform(operation) })
            }
            #expect(refusal == nil)
        }
        try token.setFault("hangs@second")
        // More than there are workers, and threads.
        let (results, end) = AsyncStream.makeStream(of: KeyResult.self)
        for _ in 0..<6 { submit(far) { end.yield($0) } }
        let begin = Clock.monotonic()
        for _ in 0..<10 {
            let signature: [UInt8] = try await withCheckedContinuation { continuation in
                submit(near) { continuation.resume(returning: $0) }
            }.get()
            #expect(try TokenKeyTests.isValid(signature, www))
        }
        #expect(Clock.monotonic() - begin < 4_000_000_000)
        try token.setFault(nil)
        var count = 0
        for await _ in results {
            count += 1
            if count == 6 { break }
        }
        await slow.shutDown()
    }
}
