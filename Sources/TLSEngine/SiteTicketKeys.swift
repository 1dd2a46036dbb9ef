public import RecordLayer
import Synchronization
import TLSCrypto

/// The keys that protect one site's session tickets: one that makes them, and more that open them.
///
/// They are derived from secrets and the site's name. So two sites can have the same secrets, from one file, and the ticket of one
/// is a stranger's at the other; and all who have a site's secrets, such as its key holders, open each other's tickets.
///
/// Any number of contexts and threads may share a value. A ticket is
///
///     name of the key   16 bytes, derived like the key: it tells only who has the secret
///     nonce             24 bytes, random
///     sealed session    XChaCha20-Poly1305, which authenticates the name too; 16 bytes longer than the session
public final class SiteTicketKeys: Sendable {
    /// What a site's keys are derived from.
    public struct Secrets: Sendable {
        /// Tickets are made with it.
        public var current: Secret
        /// They open tickets: those of before a rotation, and those of parties who have rotated already.
        public var others: [Secret]

        /// - Parameters:
        ///   - current: 32 bytes, as each of the others.
        ///   - others: at most ``SiteTicketKeys/maximumOthers``.
        public init(current: Secret, others: [Secret] = []) {
            self.current = current
            self.others = others
        }

        /// A secret that no other process has.
        public static func random() -> Secret {
            withUnsafeTemporaryAllocation(byteCount: SiteTicketKeys.secretLength, alignment: 8) { bytes in
                SecretMemory.randomize(bytes)
                defer { SecretMemory.erase(bytes) }
                return Secret(UnsafeRawBufferPointer(bytes))
            }
        }
    }

    /// Bytes of a secret.
    public static let secretLength = 32
    /// More than the next and the previous one are of no use; each ticket of a stranger's is compared with all of them.
    public static let maximumOthers = 4

    static let nameLength = 16
    /// What a ticket is longer than the session in it.
    static let overhead: Int = nameLength + AEADAlgorithm.xChaCha20Poly1305.nonceLength + AEADAlgorithm.tagLength

    private let site: [UInt8]
    /// The first one seals. Read and replaced as a whole; nothing is computed under the lock.
    private let keys: Mutex<[TicketKey]>

    /// - Parameter site: what the owner calls it; every process that is to open its tickets must call it so.
    /// - Throws: ``EngineError`` for secrets of another length or number.
    public init(site: String, _ secrets: Secrets) throws(EngineError) {
        self.site = Array(site.utf8)
        self.keys = Mutex(try Self.derive(self.site, secrets))
    }

    /// With a secret that no other process has.
    public init(site: String) {
        self.site = Array(site.utf8)
        self.keys = Mutex([TicketKey(Secrets.random(), site: self.site)])
    }

    /// From now on with another such secret: every ticket that was made before leads to a full handshake.
    public func renew() {
        let key = TicketKey(Secrets.random(), site: self.site)
        self.keys.withLock { $0 = [key] }
    }

    /// From now on a new secret, which no other process has, makes tickets. The one that made them until now opens them; those before it
    /// no longer do.
    public func rotate() {
        let key = TicketKey(Secrets.random(), site: self.site)
        self.keys.withLock { $0 = [key] + $0.prefix(1) }
    }

    /// From now on these are the secrets. Tickets that none of them opens lead to full handshakes.
    public func replace(_ secrets: Secrets) throws(EngineError) {
        let keys: [TicketKey] = try Self.derive(self.site, secrets)
        self.keys.withLock { $0 = keys }
    }

    /// A session context (RFC 5077 §3.3 leaves it to the server): a second wall between sites, inside the ticket.
    var context: [UInt8] {
        var context = [UInt8](repeating: 0, count: 32)
        context.withUnsafeMutableBytes { output in
            self.site.withUnsafeBytes { site in
                TicketKey.info("context", []).withUnsafeBytes {
                    HKDF.expand(.sha256, key: site, info: $0, into: output)
                }
            }
        }
        return context
    }

    private static func derive(_ site: [UInt8], _ secrets: Secrets) throws(EngineError) -> [TicketKey] {
        guard secrets.others.count <= Self.maximumOthers else {
            throw EngineError("more than \(Self.maximumOthers) other ticket secrets")
        }
        var keys: [TicketKey] = []
        for secret in [secrets.current] + secrets.others {
            guard secret.count == Self.secretLength else {
                throw EngineError("a ticket secret has \(secret.count) bytes and not \(Self.secretLength)")
            }
            keys.append(TicketKey(secret, site: site))
        }
        return keys
    }

    // MARK: Sealing and opening

    /// - Parameters:
    ///   - session: begins where the output does, or lies outside of it.
    ///   - output: at least ``overhead`` bytes longer.
    ///   - former: the key that opened the ticket which the session goes back to. If it has gone meanwhile, there is no other ticket:
    ///     else a chain of them would outlive the keys that it began with.
    /// - Returns: bytes of the ticket; nil if there is no room.
    func seal(
        _ session: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, after former: TicketKey? = nil
    ) -> Int? {
        let length: Int = session.count + Self.overhead
        let current: TicketKey? = self.keys.withLock { keys in
            guard let former else { return keys.first }
            return keys.contains { $0.name == former.name } ? keys.first : nil
        }
        guard output.count >= length, let key = current else { return nil }
        let nonceEnd: Int = Self.overhead - AEADAlgorithm.tagLength
        let body = UnsafeMutableRawBufferPointer(rebasing: output[nonceEnd..<length])
        // Where the session stands may be where the ticket goes.
        body.copyMemory(from: session)
        UnsafeMutableRawBufferPointer(rebasing: output[..<Self.nameLength]).copyBytes(from: key.name)
        let nonce = UnsafeMutableRawBufferPointer(rebasing: output[Self.nameLength..<nonceEnd])
        SecretMemory.randomize(nonce)
        let isSealed: Bool = key.name.withUnsafeBytes { name in
            key.key.seal(
                UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(body)[..<session.count]), into: body,
                nonce: UnsafeRawBufferPointer(nonce), authenticating: name)
        }
        return isSealed ? length : nil
    }

    /// - Parameter output: as long as the ticket, or longer; may begin where it does.
    /// - Returns: bytes of the session, and the key; nil for a ticket that is not ours.
    func open(
        _ ticket: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) -> (length: Int, key: TicketKey)? {
        let length: Int = ticket.count - Self.overhead
        guard length >= 0, output.count >= ticket.count else { return nil }
        let keys: [TicketKey] = self.keys.withLock { $0 }
        guard let key = keys.first(where: { $0.name.elementsEqual(ticket[..<Self.nameLength]) }) else { return nil }
        let nonceEnd: Int = Self.overhead - AEADAlgorithm.tagLength
        return withUnsafeTemporaryAllocation(byteCount: nonceEnd, alignment: 8) { head in
            // What is opened goes where these may stand.
            head.copyMemory(from: UnsafeRawBufferPointer(rebasing: ticket[..<nonceEnd]))
            let sealed = UnsafeMutableRawBufferPointer(rebasing: output[..<(ticket.count - nonceEnd)])
            sealed.copyMemory(from: UnsafeRawBufferPointer(rebasing: ticket[nonceEnd...]))
            let isAuthentic: Bool = key.key.open(
                UnsafeRawBufferPointer(sealed), into: UnsafeMutableRawBufferPointer(rebasing: sealed[..<length]),
                nonce: UnsafeRawBufferPointer(rebasing: head[Self.nameLength...]),
                authenticating: UnsafeRawBufferPointer(rebasing: head[..<Self.nameLength]))
            return isAuthentic ? (length, key) : nil
        }
    }
}

/// One secret's key for one site.
final class TicketKey: Sendable {
    let name: [UInt8]
    let key: AEADKey

    init(_ secret: Secret, site: [UInt8]) {
        var name = [UInt8](repeating: 0, count: SiteTicketKeys.nameLength)
        name.withUnsafeMutableBytes { name in
            Self.expand(secret, "name", site, into: name)
        }
        self.name = name
        self.key = withUnsafeTemporaryAllocation(
            byteCount: AEADAlgorithm.xChaCha20Poly1305.keyLength, alignment: 8
        ) { bytes in
            defer { SecretMemory.erase(bytes) }
            Self.expand(secret, "key", site, into: bytes)
            return AEADKey(.xChaCha20Poly1305, key: UnsafeRawBufferPointer(bytes))
        }
    }

    private static func expand(
        _ secret: Secret, _ label: StaticString, _ site: [UInt8], into output: UnsafeMutableRawBufferPointer
    ) {
        secret.withUnsafeBytes { secret in
            Self.info(label, site).withUnsafeBytes { HKDF.expand(.sha256, key: secret, info: $0, into: output) }
        }
    }

    /// No label is another's beginning, and a zero ends each.
    fileprivate static func info(_ label: StaticString, _ site: [UInt8]) -> [UInt8] {
        Array("latchstring session tickets, ".utf8) + label.withUTF8Buffer { Array($0) } + [0] + site
    }
}
