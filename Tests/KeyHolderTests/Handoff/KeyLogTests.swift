import NIOCore
import RecordLayer
import Testing

@testable import KeyHolder

@Suite("Handoff: secrets from the TLS library's key log")
struct KeyLogTests {
    static let randomText = String(repeating: "0f", count: 31) + "Fa"
    static let random = ClientRandom([UInt8](repeating: 0x0F, count: 31) + [0xFA])!
    static let secretText = String(repeating: "ab", count: 48)
    static let secret = Secret([UInt8](repeating: 0xAB, count: 48))

    static func line(_ label: String, _ random: String = randomText, _ secret: String = secretText) -> ByteBuffer {
        ByteBuffer(string: "\(label) \(random) \(secret)\n")
    }

    @Test("Each label has its place, and the exporter's has none")
    func labels() throws {
        let log = KeyLog()
        let unused: KeyLog.Reservation = try #require(log.open(Self.random))
        log.log(Self.line("EXPORTER_SECRET"))
        log.log(Self.line("CLIENT_EARLY_TRAFFIC_SECRET"))
        #expect(log.take(unused) == LoggedSecrets())
        log.close(unused)
        let own: KeyLog.Reservation = try #require(log.open(Self.random))
        log.log(Self.line("CLIENT_HANDSHAKE_TRAFFIC_SECRET"))
        log.log(Self.line("SERVER_HANDSHAKE_TRAFFIC_SECRET"))
        log.log(Self.line("CLIENT_TRAFFIC_SECRET_0"))
        log.log(Self.line("SERVER_TRAFFIC_SECRET_0"))
        log.log(Self.line("CLIENT_RANDOM"))
        let secrets: LoggedSecrets = log.take(own)
        #expect(secrets.clientHandshake == Self.secret && secrets.serverHandshake == Self.secret)
        #expect(secrets.clientApplication == Self.secret && secrets.serverApplication == Self.secret)
        #expect(secrets.master == Self.secret)
        // Taken once, and what comes later is dropped.
        #expect(log.take(own) == LoggedSecrets())
        log.log(Self.line("CLIENT_RANDOM"))
        #expect(log.take(own) == LoggedSecrets())
    }

    @Test("Nothing is kept for handshakes that are not under way")
    func strangers() throws {
        let log = KeyLog()
        log.log(Self.line("CLIENT_RANDOM"))
        let first: KeyLog.Reservation = try #require(log.open(Self.random))
        #expect(log.take(first) == LoggedSecrets())
        log.close(first)
        log.log(Self.line("CLIENT_RANDOM"))
        #expect(log.take(first) == LoggedSecrets())
        let second: KeyLog.Reservation = try #require(log.open(Self.random))
        #expect(log.take(second) == LoggedSecrets())
    }

    @Test("Two handshakes with one random are not told apart: the second is refused until the first is over")
    func duplicates() throws {
        let log = KeyLog()
        let first: KeyLog.Reservation = try #require(log.open(Self.random))
        #expect(log.open(Self.random) == nil)
        // Whoever has taken its secrets still has the random.
        _ = log.take(first)
        #expect(log.open(Self.random) == nil)
        log.close(first)
        #expect(log.open(Self.random) != nil)
    }

    @Test("Whoever gave up a random can neither take the next one's secrets nor give it up")
    func owners() throws {
        let log = KeyLog()
        let first: KeyLog.Reservation = try #require(log.open(Self.random))
        log.close(first)
        let second: KeyLog.Reservation = try #require(log.open(Self.random))
        log.close(first)
        #expect(log.open(Self.random) == nil)
        log.log(Self.line("CLIENT_RANDOM"))
        #expect(log.take(first) == LoggedSecrets())
        #expect(log.take(second).master == Self.secret)
    }

    @Test("A line is erased once it was read, of use or not", arguments: ["CLIENT_RANDOM", "EXPORTER_SECRET", "X"])
    func erased(label: String) {
        let log = KeyLog()
        let reservation: KeyLog.Reservation? = log.open(Self.random)
        let line: ByteBuffer = Self.line(label)
        log.log(line)
        #expect(line.readableBytes > 100 && line.readableBytesView.allSatisfy { $0 == 0 })
        if let reservation { #expect((log.take(reservation).master != nil) == (label == "CLIENT_RANDOM")) }
    }

    @Test(
        "Lines that are not right are dropped",
        arguments: [
            "", "\n", "CLIENT_RANDOM", "CLIENT_RANDOM \n", "CLIENT_RANDOM " + randomText,
            "CLIENT_RANDOM " + randomText + " \n", "CLIENT_RANDOM " + randomText + " abc\n",
            "CLIENT_RANDOM " + randomText + " zz\n", "CLIENT_RANDOM " + randomText.dropLast(2) + " ab\n",
            "CLIENT_RANDOM " + randomText.dropLast() + "g ab\n", "CLIENT_RANDO " + randomText + " ab\n",
            "CLIENT_RANDOM  " + randomText + " ab\n", "CLIENT_RANDOM " + randomText + " ab cd\n",
            "CLIENT_RANDOM " + randomText + " " + String(repeating: "ab", count: 65) + "\n",
            " " + randomText + " ab\n",
        ])
    func malformed(line: String) throws {
        let log = KeyLog()
        let reservation: KeyLog.Reservation = try #require(log.open(Self.random))
        log.log(ByteBuffer(string: line))
        #expect(log.take(reservation) == LoggedSecrets())
    }

    @Test("Every character is a digit's value or none")
    func hexadecimal() {
        for character in UInt8.min...UInt8.max {
            var byte: UInt8 = 0
            let digits: [UInt8] = [UInt8(ascii: "1"), character]
            let isGood: Bool = digits.withUnsafeBytes { digits in
                withUnsafeMutablePointer(to: &byte) {
                    Hexadecimal.decode(digits[...], into: UnsafeMutableBufferPointer(start: $0, count: 1))
                }
            }
            let expected = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
            // The standard library takes a sign for part of a number, but not here.
            #expect(isGood == (expected != nil), "\(character)")
            if let expected { #expect(byte == expected) }
        }
    }
}
