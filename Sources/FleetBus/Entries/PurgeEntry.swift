public import Crypto
internal import Foundation
internal import KeyProtocol

/// One signed order on the bus.
///
/// Canonical: one order has one encoding, and what is read is checked to be that. Layout, big-endian:
///
///     "LSFP" 1            5 bytes
///     fleet               length (1 byte), 1 to 64 bytes
///     signer              32 bytes: the public key
///     counter             8 bytes: one more than that of the signer's order before
///     time                8 bytes: milliseconds since 1970, by the signer's clock
///     generation          16 bytes: of the stream that it was written for
///     flags               1 byte: 1 soft, 0 hard
///     targets             count (2 bytes, 1 to 1,000); each kind (1), length (2), text
///     signature           64 bytes: Ed25519 (RFC 8032) over `context` and all before it
public struct PurgeEntry: Equatable, Sendable {
    public var fleet: String
    public var signer: SignerKey
    public var counter: UInt64
    public var time: Int64
    public var generation: Generation
    public var purge: FleetPurge

    public init(
        fleet: String, signer: SignerKey, counter: UInt64, time: Int64, generation: Generation, purge: FleetPurge
    ) {
        self.fleet = fleet
        self.signer = signer
        self.counter = counter
        self.time = time
        self.generation = generation
        self.purge = purge
    }

    private static let magic: [UInt8] = Array("LSFP".utf8) + [1]
    /// What no other signature of latchstring begins with.
    private static let context: [UInt8] = Array("latchstring fleet purge entry 1".utf8) + [0]
    private static let signatureBytes = 64

    /// Signs it. The key must be the one whose public half is ``signer``.
    public func signed(by key: Curve25519.Signing.PrivateKey) throws -> [UInt8] {
        let content = self.content
        return content + Array(try key.signature(for: Data(Self.context + content)))
    }

    /// What is ordered, and as which: 16 bytes that stay the same when it is signed again for another generation.
    public var identity: [UInt8] {
        var writer = FieldWriter()
        writer.write(self.counter)
        self.writeTargets(to: &writer)
        return Array(SHA256.hash(data: Data(writer.bytes)).prefix(16))
    }

    private func writeTargets(to writer: inout FieldWriter) {
        writer.write(self.purge.isSoft ? 1 : 0 as UInt8)
        writer.write(UInt16(clamping: self.purge.targets.count))
        for target in self.purge.targets {
            writer.write(target.kind)
            writer.writeCounted(Array(target.text.utf8), by: UInt16.self)
        }
    }

    private var content: [UInt8] {
        var writer = FieldWriter()
        writer.write(Self.magic)
        writer.writeCounted(Array(self.fleet.utf8), by: UInt8.self)
        writer.write(self.signer.bytes)
        writer.write(self.counter)
        writer.write(self.time)
        writer.write(self.generation.bytes)
        self.writeTargets(to: &writer)
        return writer.bytes
    }

    /// Why bytes are no order of a signer of this fleet.
    public enum Failure: Error, Equatable, Sendable {
        /// They are not of this form.
        case malformed
        case otherFleet
        case unknownSigner
        case badSignature
    }

    /// What says that it is an order of a listed signer, before its signature has been looked at.
    public struct Unverified: Sendable {
        public let entry: PurgeEntry
        /// Whom it names.
        public let signer: Signer
        private let content: [UInt8]
        private let signature: [UInt8]

        fileprivate init(_ entry: PurgeEntry, _ signer: Signer, content: [UInt8], signature: [UInt8]) {
            self.entry = entry
            self.signer = signer
            self.content = content
            self.signature = signature
        }

        /// Whether the signer has signed it.
        public var isSigned: Bool {
            guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: Data(self.entry.signer.bytes)) else {
                return false
            }
            // Over the bytes that came, which are the entry's only encoding.
            return key.isValidSignature(Data(self.signature), for: Data(PurgeEntry.context + self.content))
        }
    }

    /// Reads an order for `fleet` that names one of `signers`. The signature is not looked at.
    public static func read(
        _ bytes: [UInt8], fleet: String, signers: [SignerKey: Signer]
    ) throws(Failure) -> Unverified {
        guard bytes.count <= FleetPurge.maximumBytes, bytes.count > Self.signatureBytes else { throw .malformed }
        let content = Array(bytes.dropLast(Self.signatureBytes))
        guard let entry = Self.parse(content[...]) else { throw .malformed }
        guard entry.fleet == fleet else { throw .otherFleet }
        guard let signer = signers[entry.signer] else { throw .unknownSigner }
        guard entry.content == content else { throw .malformed }
        return Unverified(entry, signer, content: content, signature: Array(bytes.suffix(Self.signatureBytes)))
    }

    /// Reads an order and checks its signature. What it returns was signed by one of `signers` for `fleet`, and nothing more:
    /// whether it is new, and allowed, is for the caller to say.
    public static func open(
        _ bytes: [UInt8], fleet: String, signers: [SignerKey: Signer]
    ) throws(Failure) -> (PurgeEntry, Signer) {
        let unverified = try Self.read(bytes, fleet: fleet, signers: signers)
        guard unverified.isSigned else { throw .badSignature }
        return (unverified.entry, unverified.signer)
    }

    private static func parse(_ content: ArraySlice<UInt8>) -> PurgeEntry? {
        var reader = FieldReader(content)
        guard reader.bytes(Self.magic.count) == Self.magic,
            let fleet = reader.text(by: UInt8.self), PartyName.isLegal(fleet),
            let signer = reader.bytes(32).flatMap({ SignerKey($0) }),
            let counter = reader.integer(as: UInt64.self), counter > 0, counter < .max,
            let time = reader.integer(as: Int64.self), time >= 0,
            let generation = reader.bytes(16).flatMap({ Generation($0) }),
            let flags = reader.byte(), flags <= 1,
            let count = reader.integer(as: UInt16.self), (1...FleetPurge.maximumTargets).contains(Int(count))
        else { return nil }
        var targets: [FleetPurge.Target] = []
        for _ in 0..<count {
            guard let kind = reader.byte(), let text = reader.text(by: UInt16.self),
                text.utf8.count <= FleetPurge.maximumTargetBytes,
                let target = FleetPurge.Target(kind: kind, text: text)
            else { return nil }
            targets.append(target)
        }
        guard reader.isAtEnd else { return nil }
        return PurgeEntry(
            fleet: fleet, signer: signer, counter: counter, time: time, generation: generation,
            purge: FleetPurge(targets: targets, isSoft: flags == 1))
    }
}
