import CLibCrypto
import NIOCore
import RecordLayer
import Synchronization
import TLSWire

/// What the TLS library logged of one handshake. The exporter secret is never kept.
struct LoggedSecrets: Equatable, Sendable {
    /// TLS 1.3, RFC 8446 section 7.1.
    var clientHandshake: Secret?
    var serverHandshake: Secret?
    var clientApplication: Secret?
    var serverApplication: Secret?
    /// TLS 1.2.
    var master: Secret?
}

/// Takes secrets from the TLS library's key log to the handshakes they belong to, by client random.
///
/// Only handshakes that asked for theirs get any, and two with one random cannot be told apart: the second is refused.
/// Lines about others and lines of no use are dropped. Shared by event loops.
final class KeyLog: Sendable {
    /// Says who has a random reserved: nobody else can take its secrets or give it up.
    struct Reservation: Sendable {
        fileprivate let random: ClientRandom
        fileprivate let serial: UInt64
    }

    private struct Entry {
        let serial: UInt64
        /// Nil once they were taken: the random stays reserved, and lines with it are dropped.
        var secrets: LoggedSecrets?
    }

    private struct State {
        var entries: [ClientRandom: Entry] = [:]
        var lastSerial: UInt64 = 0
    }

    private let state = Mutex(State())

    init() {}

    /// Reserves a random until ``close(_:)``. Nil: a handshake with this random is under way already.
    func open(_ random: ClientRandom) -> Reservation? {
        self.state.withLock { state in
            guard state.entries[random] == nil else { return nil }
            state.lastSerial += 1
            state.entries[random] = Entry(serial: state.lastSerial, secrets: LoggedSecrets())
            return Reservation(random: random, serial: state.lastSerial)
        }
    }

    /// What was logged so far; once. Later lines are dropped.
    func take(_ reservation: Reservation) -> LoggedSecrets {
        self.state.withLock { state in
            guard let entry = state.entries[reservation.random], entry.serial == reservation.serial else {
                return LoggedSecrets()
            }
            state.entries[reservation.random]?.secrets = nil
            return entry.secrets ?? LoggedSecrets()
        }
    }

    /// The handshake is over, and the library will log nothing more of it. Without effect if it was closed before.
    func close(_ reservation: Reservation) {
        self.state.withLock { state in
            guard state.entries[reservation.random]?.serial == reservation.serial else { return }
            state.entries[reservation.random] = nil
        }
    }

    /// One line: label, space, client random, space, secret, the latter two in hexadecimal. Its bytes are overwritten, so it
    /// must be nobody else's: the TLS library makes a buffer for each line, and frees it when this returns.
    func log(_ line: ByteBuffer) {
        line.withUnsafeReadableBytes { bytes in
            // The memory is the heap's, and is read by nobody after this.
            defer { OPENSSL_cleanse(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count) }
            guard let end = bytes.firstIndex(of: UInt8(ascii: " ")), let label = Self.label(bytes[..<end]) else {
                return
            }
            let digits: Slice<UnsafeRawBufferPointer> = bytes[(end + 1)...]
            guard digits.count > 65, digits[digits.startIndex + 64] == UInt8(ascii: " "),
                let random = ClientRandom(hexadecimal: digits.prefix(64)),
                let secret = Self.secret(digits.dropFirst(65).prefix { $0 != UInt8(ascii: "\n") })
            else { return }
            self.state.withLock { state in
                switch label {
                case .clientHandshake: state.entries[random]?.secrets?.clientHandshake = secret
                case .serverHandshake: state.entries[random]?.secrets?.serverHandshake = secret
                case .clientApplication: state.entries[random]?.secrets?.clientApplication = secret
                case .serverApplication: state.entries[random]?.secrets?.serverApplication = secret
                case .master: state.entries[random]?.secrets?.master = secret
                }
            }
        }
    }

    private enum Label {
        case clientHandshake, serverHandshake, clientApplication, serverApplication, master
    }

    private static func label(_ text: Slice<UnsafeRawBufferPointer>) -> Label? {
        // By length first: most of those of no use have another.
        switch text.count {
        case 13 where text.elementsEqual("CLIENT_RANDOM".utf8): .master
        case 31 where text.elementsEqual("CLIENT_HANDSHAKE_TRAFFIC_SECRET".utf8): .clientHandshake
        case 31 where text.elementsEqual("SERVER_HANDSHAKE_TRAFFIC_SECRET".utf8): .serverHandshake
        case 23 where text.elementsEqual("CLIENT_TRAFFIC_SECRET_0".utf8): .clientApplication
        case 23 where text.elementsEqual("SERVER_TRAFFIC_SECRET_0".utf8): .serverApplication
        default: nil
        }
    }

    /// Nil unless there are 1 to 64 bytes in hexadecimal.
    private static func secret(_ digits: Slice<UnsafeRawBufferPointer>) -> Secret? {
        guard digits.count % 2 == 0, (2...128).contains(digits.count) else { return nil }
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: digits.count / 2) { bytes in
            bytes.initialize(repeating: 0)
            defer { bytes.update(repeating: 0) }
            guard Hexadecimal.decode(digits, into: bytes) else { return nil }
            return Secret(UnsafeBufferPointer(bytes))
        }
    }
}

/// The 32 bytes by which a handshake is known to both sides.
struct ClientRandom: Hashable, Sendable {
    private var a: UInt64 = 0, b: UInt64 = 0, c: UInt64 = 0, d: UInt64 = 0

    /// Nil unless there are 32 bytes.
    init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        withUnsafeMutableBytes(of: &self) { $0.copyBytes(from: bytes) }
    }

    /// Nil unless there are 64 digits.
    init?(hexadecimal digits: Slice<UnsafeRawBufferPointer>) {
        guard digits.count == 64 else { return nil }
        let isGood: Bool = withUnsafeMutableBytes(of: &self) { own in
            Hexadecimal.decode(digits, into: own.bindMemory(to: UInt8.self))
        }
        guard isGood else { return nil }
    }
}

/// Without branches or tables that depend on the digits: some of what is read here is secret.
enum Hexadecimal {
    /// False if a character is no lower-case or upper-case digit. There must be two for each byte.
    static func decode(_ digits: Slice<UnsafeRawBufferPointer>, into bytes: UnsafeMutableBufferPointer<UInt8>) -> Bool {
        precondition(digits.count == 2 * bytes.count)
        var wrong: UInt16 = 0
        var index: Int = digits.startIndex
        for position in bytes.indices {
            let high: UInt16 = Self.value(digits[index])
            let low: UInt16 = Self.value(digits[index + 1])
            wrong |= (high | low) & 0x100
            bytes[position] = UInt8(truncatingIfNeeded: high << 4 | low)
            index += 2
        }
        return wrong == 0
    }

    /// The digit's value, or one with bit 8 set.
    private static func value(_ character: UInt8) -> UInt16 {
        let code = UInt16(character)
        // All ones in the low byte if the character lies in the range, else 0.
        let isDigit: UInt16 = Self.mask(code &- 0x30, below: 10)
        let letter: UInt16 = (code | 0x20) &- 0x61
        let isLetter: UInt16 = Self.mask(letter, below: 6)
        let value: UInt16 = ((code &- 0x30) & isDigit) | ((letter &+ 10) & isLetter)
        return (value & 0x0F) | (0x100 & ~(isDigit | isLetter))
    }

    /// All ones if `value`, seen as unsigned, is below `bound`, which is at most 0x7FFF; else 0.
    private static func mask(_ value: UInt16, below bound: UInt16) -> UInt16 {
        let isBelow = UInt32(value) &- UInt32(bound)
        return UInt16(truncatingIfNeeded: 0 &- (isBelow >> 31))
    }
}
