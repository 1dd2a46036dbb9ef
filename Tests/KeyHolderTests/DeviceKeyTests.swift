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
            static let device = KeyDevice(concurrency: 2)
            var key: any StoredKey
            var type: KeyType { self.key.type }
            var publicKey: Certificate.PublicKey { self.key.publicKey }
            var signsHandshakesOnly: Bool { true }

            func cost(of operation: KeyOperation) -> KeyOperationCost { .device(Self.device) }

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

    private static var owner: WorkOwner {
        WorkOwner(
            edge: "paris", site: "a.test", network: ClientNetwork(nil as IPAddress?), urgency: .beginning,
            deadline: Clock.monotonic() + 60_000_000_000)
    }

    /// Returns when the job was done.
    private static func perform(_ slow: SlowOperations, _ cost: KeyOperationCost) async {
        let (done, end) = AsyncStream.makeStream(of: Void.self)
        #expect(slow.submit(Self.owner, cost, now: Clock.monotonic()) { _ in end.finish() } == nil)
        for await _ in done {}
    }

    @Test("A device that does not answer holds no threads that other keys need, those on other devices among them")
    func lanes() async throws {
        let slow = SlowOperations(perEdge: 100, limit: 100, threads: 1)
        slow.start()
        let (hung, other) = (KeyDevice(concurrency: 2), KeyDevice(concurrency: 1))
        let opening = DispatchSemaphore(value: 0)
        for _ in 0..<20 {
            #expect(
                slow.submit(Self.owner, .device(hung), now: Clock.monotonic()) { _ in
                    opening.wait()
                    opening.signal()
                } == nil)
        }
        await Self.perform(slow, .offload)
        await Self.perform(slow, .device(other))
        opening.signal()
        await Self.perform(slow, .device(hung))
        await slow.shutDown()
    }

    @Test("A device that does not answer holds up the end for a bounded time")
    func end() async throws {
        let slow = SlowOperations(perEdge: 100, limit: 100, threads: 1)
        slow.start()
        let devices = (0..<3).map { _ in KeyDevice(concurrency: 1) }
        let opening = DispatchSemaphore(value: 0)
        let (begun, hasBegun) = AsyncStream.makeStream(of: Void.self)
        let (turns, turn) = AsyncStream.makeStream(of: WorkLane.Turn.self)
        for device in devices {
            #expect(
                slow.submit(Self.owner, .device(device), now: Clock.monotonic()) { _ in
                    hasBegun.yield()
                    opening.wait()
                } == nil)
        }
        var count = 0
        for await _ in begun {
            count += 1
            if count == devices.count { break }
        }
        // One that waits is told that it ends, when the thread comes back.
        #expect(
            slow.submit(Self.owner, .device(devices[0]), now: Clock.monotonic()) {
                turn.yield($0)
                turn.finish()
            } == nil)
        let time = Clock.monotonic()
        #expect(await slow.shutDown(patience: 500_000_000) == false)
        #expect(Clock.monotonic() - time < 10_000_000_000)
        for _ in devices { opening.signal() }
        for await turn in turns { #expect(turn == .end) }
    }

    @Test("A device's threads end with its keys, and devices beyond the bound share some")
    func bound() async throws {
        let lanes = DeviceLanes()
        func use(_ device: KeyDevice) async {
            let (done, end) = AsyncStream.makeStream(of: Void.self)
            #expect(lanes.lane(of: device).submit(Self.owner, now: Clock.monotonic()) { _ in end.finish() } == nil)
            for await _ in done {}
        }
        for _ in 0..<100 { await use(KeyDevice(concurrency: 1)) }
        #expect(lanes.count == 1)
        let devices = (0..<DeviceLanes.most + 5).map { _ in KeyDevice(concurrency: 1) }
        for device in devices { await use(device) }
        #expect(lanes.count == DeviceLanes.most)
        #expect(lanes.lane(of: devices[DeviceLanes.most]) === lanes.lane(of: devices[DeviceLanes.most + 1]))
        #expect(lanes.lane(of: devices[0]) !== lanes.lane(of: devices[1]))
        #expect(await lanes.shutDown(patience: SlowOperations.patience))
        // What comes late is told that it ends.
        await use(KeyDevice(concurrency: 1))
    }
}
