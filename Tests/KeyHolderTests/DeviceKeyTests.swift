import Admission
import Dispatch
import HSMWire
import KeyProtocol
import NIOCore
import PrivateAuthority
import Synchronization
import TLSWire
import Testing
import X509

@testable import KeyHolder

@Suite("Keys on a device", .timeLimit(.minutes(2)))
struct DeviceKeyTests {
    /// A store whose RSA keys are on a device that signs handshakes only.
    private struct DeviceStore: KeyStore {
        struct Key: StoredKey {
            var key: any StoredKey
            var type: KeyType { self.key.type }
            var publicKey: Certificate.PublicKey { self.key.publicKey }
            var signsHandshakesOnly: Bool { true }

            func cost(of operation: KeyOperation) -> KeyOperationCost { .device }

            func perform(_ operation: KeyOperation) throws(KeyOperationError) -> [UInt8] {
                try self.key.perform(operation)
            }
        }

        func key(
            from source: KeySource, for certified: Certificate.PublicKey
        ) throws(SiteLoadError) -> any StoredKey {
            let key = try SoftwareKeyStore().key(from: source)
            return key.type.isRSA ? Key(key: key) : key
        }
    }

    private static func load(_ change: (inout SiteConfiguration) -> Void) throws -> Site {
        var configuration = TestHolder.site(try TestHolder.rsa.get())
        change(&configuration)
        return try SiteLoader(store: DeviceStore()).load(configuration)
    }

    @Test("Settings that have such a key decrypt are refused when it is loaded")
    func decryption() throws {
        #expect(try Self.load { _ in }.first.key.signsHandshakesOnly)
        let exchange = #expect(throws: SiteLoadError.self) {
            try Self.load { $0.handshakes.allowsRSAKeyExchange = true }
        }
        #expect(exchange?.description.contains("remove rsa-key-exchange") == true)
        let native = #expect(throws: SiteLoadError.self) {
            try Self.load { $0.application = ApplicationConfiguration(address: .unix(path: "/run/app.sock")) }
        }
        #expect(native?.description.contains("remove application") == true)
    }

    @Test("Grants that have it work for stock peers are refused, also after a reload")
    func stock() throws {
        let site = try Self.load { _ in }
        for operation in [KeyProtocol.Operation.rsaSign, .rsaDecrypt, .ecdsaSign, .ed25519Sign] {
            let grant = try PolicyFixtures.grant("paris", "rsa.test", operations: [.handoff, operation])
            let error = #expect(throws: SiteLoadError.self) {
                try Policy(sites: [site], grants: [grant], previous: nil, now: 0)
            }
            #expect(error?.description.contains("signs handshakes only") == true)
        }
        let grant = try PolicyFixtures.grant("paris", "rsa.test", operations: KeyProtocol.Operation.handingOff)
        #expect(try Policy(sites: [site], grants: [grant], previous: nil, now: 0).knows(edge: "paris"))
    }

    @Test("A store without a module says what to write")
    func noModule() throws {
        let error = #expect(throws: SiteLoadError.self) {
            try SoftwareKeyStore().key(from: .token(try PKCS11URI("pkcs11:object=www")))
        }
        #expect(error?.description.contains("hsm.module") == true)
    }

    @Test("A device that does not answer holds no threads that other keys need")
    func lanes() async throws {
        let slow = SlowOperations(perEdge: 100, limit: 100, threads: 1, deviceThreads: 2)
        slow.start()
        let opening = DispatchSemaphore(value: 0)
        let owner = WorkOwner(
            edge: "paris", site: "a.test", network: ClientNetwork(nil as IPAddress?), urgency: .beginning,
            deadline: Clock.monotonic() + 60_000_000_000)
        for _ in 0..<2 {
            #expect(
                slow.submit(owner, .device, now: Clock.monotonic()) { _ in
                    opening.wait()
                    opening.signal()
                } == nil)
        }
        // Waits behind them.
        let (late, lateEnd) = AsyncStream.makeStream(of: Void.self)
        #expect(slow.submit(owner, .device, now: Clock.monotonic()) { _ in lateEnd.finish() } == nil)
        let (other, otherEnd) = AsyncStream.makeStream(of: Void.self)
        #expect(slow.submit(owner, .offload, now: Clock.monotonic()) { _ in otherEnd.finish() } == nil)
        for await _ in other {}
        opening.signal()
        for await _ in late {}
        await slow.shutDown()
    }
}
